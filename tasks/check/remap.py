"""Convert checked detections to annotations with the task's ids, the frame number and a source.

Label thresholds apply here, so they can be changed without running the model again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import evolve, field, frozen

from cvat_flows.tasks.check.validate import add_counts
from cvat_flows.tasks.matching.mapping import WILDCARD
from cvat_flows.tasks.matching.names import canonical
from cvat_flows.tasks.matching.nearest import NearestName
from cvat_flows.tasks.matching.result import LabelMatch, SpecMatch
from cvat_flows.tasks.model.annotations import TAG, Annotation, Attributes, Detection
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.frames import Outcome
from cvat_flows.tasks.model.labels import SKELETON, Label

UNMATCHED = "unmatched"
"""Key of `Outcome.counts`: annotations whose label is not in the task or is dropped."""
BELOW_THRESHOLD = "below threshold"
"""Key of `Outcome.counts`: annotations with a score below their label's threshold."""
KEYPOINTS_ADDED = "keypoints added"
"""Key of `Outcome.counts`: keypoints that the function did not return, added as outside."""


class ThresholdError(CvatFlowsError, ValueError):
    """`label_thresholds` has an unknown label, or a threshold that is not from 0 to 1."""


@frozen(kw_only=True)
class RemapOptions:
    """Options of `remap_frame`."""

    label_thresholds: Mapping[str, float] = field(factory=dict)
    """Minimum score by the function's label name; `"*"` applies to labels that are not listed.
    Annotations without a score are kept: the SDK considers them certain."""
    canonical_thresholds: Mapping[str, float] = field(init=False, repr=False, eq=False)

    @canonical_thresholds.default
    def _by_canonical_name(self) -> dict[str, float]:
        return {canonical(name): value for name, value in self.label_thresholds.items()}


def check_thresholds(label_thresholds: Mapping[str, float], spec_labels: Iterable[Label]) -> None:
    """Check label thresholds.

    Raises ThresholdError, which names every label that the function does not have and every
    threshold that is not a number from 0 to 1.
    """
    problems = []
    label_names = dict.fromkeys(label.name for label in spec_labels)
    same = set(map(canonical, label_names))
    nearest = NearestName(label_names)
    for name, threshold in label_thresholds.items():
        if name != WILDCARD and canonical(name) not in same:
            hint = nearest.find(name)
            meant = f"; did you mean {hint!r}?" if hint else ""
            problems.append(f"the function has no label {name!r}{meant}")
        number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
        if not (number and 0 <= threshold <= 1):
            problems.append(f"{threshold!r} for {name!r} is not a number from 0 to 1")
    if problems:
        raise ThresholdError("--label-thresholds: " + "; ".join(problems))


def remap_frame(outcome: Outcome, match: SpecMatch, options: RemapOptions) -> Outcome:
    """Set the `annotations` of a validated frame, and count what was left out or added.

    The detections must have been validated with the same match. If a skeleton lacks keypoints,
    they are added at its centre and marked outside; validation fails such skeletons unless
    `missing_keypoints` is "outside". An outcome without detections, or with a failure, is returned
    unchanged.
    """
    if outcome.detections is None or outcome.failure is not None:
        return outcome
    thresholds = options.canonical_thresholds
    default_threshold = thresholds.get(WILDCARD, 0.0)
    annotations: list[Annotation] = []
    counts: dict[str, int] = {}
    for detection in outcome.detections:
        label = match.labels[detection.label_id]
        if label is None:
            counts[UNMATCHED] = counts.get(UNMATCHED, 0) + 1
            continue
        score = detection.score
        threshold = thresholds.get(label.canonical_name, default_threshold)
        if score is not None and score < threshold:
            counts[BELOW_THRESHOLD] = counts.get(BELOW_THRESHOLD, 0) + 1
            continue
        annotation = remap_detection(detection, label, outcome.frame.number)
        annotations.append(annotation)
        if detection.type == SKELETON:
            added = len(annotation.elements) - _count_matched(detection, label)
            if added:
                counts[KEYPOINTS_ADDED] = counts.get(KEYPOINTS_ADDED, 0) + added
    return evolve(
        outcome,
        annotations=tuple(annotations),
        counts=add_counts(outcome.counts, counts) if counts else outcome.counts,
    )


def remap_detection(detection: Detection, label: LabelMatch, frame: int) -> Annotation:
    """Return the annotation with the CVAT task's ids, on the given frame."""
    if detection.type == TAG:
        return Annotation(
            type=TAG,
            label_id=label.id,
            frame=frame,
            group=detection.group,
            score=_score(detection),
            attributes=_attributes(detection, label),
        )
    skeleton = detection.type == SKELETON
    return Annotation(
        type=detection.type,
        label_id=label.id,
        frame=frame,
        points=() if skeleton else tuple(map(float, detection.points)),
        rotation=float(detection.rotation),
        occluded=detection.occluded,
        outside=detection.outside,
        z_order=detection.z_order,
        group=detection.group,
        score=_score(detection),
        attributes=_attributes(detection, label) if detection.attributes else (),
        elements=_elements(detection, label, frame) if skeleton else (),
    )


def _elements(skeleton: Detection, label: LabelMatch, frame: int) -> tuple[Annotation, ...]:
    """Return the skeleton's keypoints in the function's order, then those that it did not return.

    All have the skeleton's frame. With another frame CVAT could no longer read the task.
    """
    elements = []
    for element in skeleton.elements:
        sublabel = label.sublabels[element.label_id]
        if sublabel is not None:
            elements.append(remap_detection(element, sublabel, frame))
    if len(elements) < len(label.keypoints):
        there = {element.label_id for element in elements}
        centre = _centre(elements)
        elements += [
            Annotation(type="points", label_id=keypoint, frame=frame, points=centre, outside=True)
            for keypoint in label.keypoints
            if keypoint not in there
        ]
    return tuple(elements)


def _centre(elements: list[Annotation]) -> tuple[float, ...]:
    """Return the centre of the box around the visible keypoints, or around all if none is."""
    visible = [element for element in elements if not element.outside] or elements
    points = [value for element in visible for value in element.points]
    across, down = points[::2], points[1::2]
    return (min(across) + max(across)) / 2, (min(down) + max(down)) / 2


def _count_matched(skeleton: Detection, label: LabelMatch) -> int:
    return sum(label.sublabels[element.label_id] is not None for element in skeleton.elements)


def _attributes(detection: Detection, label: LabelMatch) -> Attributes:
    """Return the attributes that the task has. CVAT sets the others to their default."""
    attributes = []
    for spec_id, value in detection.attributes:
        attribute = label.attributes[spec_id]
        mapped = None if attribute is None else attribute.map_value(str(value))
        if attribute is not None and mapped is not None:
            attributes.append((attribute.id, mapped))
    return tuple(attributes)


def _score(detection: Detection) -> float | None:
    return None if detection.score is None else float(detection.score)
