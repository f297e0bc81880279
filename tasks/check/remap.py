"""Turn checked detections into what CVAT takes: the task's ids, the frame's number, a source.

Label thresholds apply here and not when detecting, so that changing them runs no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import evolve, field, frozen

from cvat_flows.tasks.check.validate import add_counts
from cvat_flows.tasks.matching.mapping import WILDCARD
from cvat_flows.tasks.matching.nearest import NearestName
from cvat_flows.tasks.matching.result import LabelMatch, SpecMatch
from cvat_flows.tasks.model.annotations import TAG, Annotation, Attributes, Detection
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.frames import Outcome
from cvat_flows.tasks.model.labels import SKELETON, Label

UNMATCHED = "unmatched"
"""Key of `Outcome.counts`: annotations whose label the task lacks or the mapping drops."""
BELOW_THRESHOLD = "below threshold"
"""Key of `Outcome.counts`: annotations with a score below their label's threshold."""
KEYPOINTS_ADDED = "keypoints added"
"""Key of `Outcome.counts`: keypoints that the function did not return, added as outside."""


class ThresholdError(CvatFlowsError, ValueError):
    """`label_thresholds` names a label that the function does not have, or has a bad number."""


@frozen(kw_only=True)
class RemapOptions:
    """What remapping leaves out."""

    label_thresholds: Mapping[str, float] = field(factory=dict)
    """Lowest score that is kept, by the function's label name; `"*"` for labels not named. What
    has no score is kept: the SDK takes it for certain."""


def check_thresholds(label_thresholds: Mapping[str, float], spec_labels: Iterable[Label]) -> None:
    """Raises ThresholdError, which names every label that the function does not have, and every
    threshold that is not a number from 0 to 1."""
    problems = []
    label_names = dict.fromkeys(label.name for label in spec_labels)
    nearest = NearestName(label_names)
    for name, threshold in label_thresholds.items():
        if name != WILDCARD and name not in label_names:
            hint = nearest.find(name)
            meant = f"; did you mean {hint!r}?" if hint else ""
            problems.append(f"the function has no label {name!r}{meant}")
        number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
        if not (number and 0 <= threshold <= 1):
            problems.append(f"{threshold!r} for {name!r} is not a number from 0 to 1")
    if problems:
        raise ThresholdError("label_thresholds: " + "; ".join(problems))


def remap_frame(outcome: Outcome, match: SpecMatch, options: RemapOptions) -> Outcome:
    """Give a validated frame its `annotations`; `counts` says what was left out and added.

    The detections have to be ones that `check.validate` let pass with the same match. A skeleton
    that lacks keypoints gets them at its centre, marked outside: validation has refused it unless
    that was asked for. An outcome without detections, or with a failure, comes back as it is.
    """
    if outcome.detections is None or outcome.failure is not None:
        return outcome
    thresholds = options.label_thresholds
    rest = thresholds.get(WILDCARD, 0.0)
    annotations: list[Annotation] = []
    counts: dict[str, int] = {}
    for detection in outcome.detections:
        label = match.labels[detection.label_id]
        if label is None:
            counts[UNMATCHED] = counts.get(UNMATCHED, 0) + 1
            continue
        score = detection.score
        if thresholds and score is not None and score < thresholds.get(label.name, rest):
            counts[BELOW_THRESHOLD] = counts.get(BELOW_THRESHOLD, 0) + 1
            continue
        annotation = remap_detection(detection, label, outcome.frame.number)
        annotations.append(annotation)
        if detection.type == SKELETON:
            added = len(annotation.elements) - _matched(detection, label)
            if added:
                counts[KEYPOINTS_ADDED] = counts.get(KEYPOINTS_ADDED, 0) + added
    return evolve(
        outcome,
        annotations=tuple(annotations),
        counts=add_counts(outcome.counts, counts) if counts else outcome.counts,
    )


def remap_detection(detection: Detection, label: LabelMatch, frame: int) -> Annotation:
    """One annotation in the CVAT task's ids, on the given frame of the task."""
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
    """The skeleton's keypoints in the function's order, then those that it did not return. All
    have the skeleton's frame: with another one CVAT's task is beyond repair (CVAT_FACTS 5)."""
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
    """The middle of the box around what is visible, or around everything if nothing is."""
    visible = [element for element in elements if not element.outside] or elements
    points = [value for element in visible for value in element.points]
    across, down = points[::2], points[1::2]
    return (min(across) + max(across)) / 2, (min(down) + max(down)) / 2


def _matched(skeleton: Detection, label: LabelMatch) -> int:
    return sum(label.sublabels[element.label_id] is not None for element in skeleton.elements)


def _attributes(detection: Detection, label: LabelMatch) -> Attributes:
    """Attributes that go somewhere; CVAT gives the others their default."""
    attributes = []
    for spec_id, value in detection.attributes:
        attribute = label.attributes[spec_id]
        mapped = None if attribute is None else attribute.map_value(str(value))
        if attribute is not None and mapped is not None:
            attributes.append((attribute.id, mapped))
    return tuple(attributes)


def _score(detection: Detection) -> float | None:
    return None if detection.score is None else float(detection.score)
