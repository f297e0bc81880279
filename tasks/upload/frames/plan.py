"""Decide from digests what to create, keep and delete on one frame.

- An object with source `auto` is not necessarily ours. But if it equals a wanted one it counts as
  present, so that a lost manifest does not lead to duplicates.
- If a person changed or deleted an object of ours, it is not created again, except by `clear`.
- A request that was given up may still be carried out later. Copies that only such a request can
  have created are deleted.

`record.ownership` decides which objects are ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from attrs import frozen

from cvat_flows.tasks.record.ownership import (
    ExistingObject,
    FrameHistory,
    ManifestItem,
    Ownership,
    find_owners,
)

Existing = Literal["keep", "replace", "clear"]
"""The option `--existing`."""


@frozen(kw_only=True)
class FramePlan:
    """What an upload does to one frame."""

    items: tuple[ManifestItem, ...] = ()
    """The frame's items in the manifest before `create` and after `delete`."""
    superseded: tuple[ManifestItem, ...] = ()
    """Our items among `delete`."""
    create: tuple[int, ...] = ()
    """Indices of the wanted annotations to create."""
    kept: int = 0
    """Number of wanted annotations that are already there."""
    withheld: int = 0
    """Number of wanted annotations that are not created because a person changed or removed
    them."""
    delete: tuple[ExistingObject, ...] = ()
    """Objects to delete after the new ones are created."""
    duplicates: tuple[ExistingObject, ...] = ()
    """Copies that a request without an answer created; to be deleted."""


def plan_frame(
    wanted: Sequence[str],
    existing: Sequence[ExistingObject],
    history: FrameHistory,
    mode: Existing,
) -> FramePlan:
    """Plan the upload of annotations to a frame.

    Args:
        wanted: Digests of the annotations.
        existing: The frame's objects in the CVAT job.
        history: What the manifest records about the frame.
        mode: What to do with existing objects.
    """
    owners = find_owners(existing, history)
    if mode == "clear":
        return _plan_clear(wanted, existing, owners)
    missing = Counter(wanted)
    items: list[ManifestItem] = []
    superseded: list[ManifestItem] = []
    kept = withheld = 0
    for item in owners.ours:
        if _take(missing, item.digest):
            kept += 1
        elif mode == "replace" and item.run is not None:
            superseded.append(item)
            continue
        items.append(item)
    for item in owners.lost:
        withheld += _take(missing, item.digest)
        items.append(item)
    adopted = _adopt(missing, owners)
    return FramePlan(
        items=(*items, *adopted),
        create=_indices(wanted, missing),
        kept=kept + len(adopted),
        withheld=withheld,
        superseded=tuple(superseded),
        delete=_objects(superseded),
        duplicates=_duplicates(owners, history),
    )


def _plan_clear(
    wanted: Sequence[str], existing: Sequence[ExistingObject], owners: Ownership
) -> FramePlan:
    missing = Counter(wanted)
    items = [item for item in owners.ours if _take(missing, item.digest)]
    items += _adopt(missing, owners)
    keep = {(item.id, item.digest) for item in items}
    return FramePlan(
        items=tuple(items),
        superseded=tuple(i for i in owners.ours if (i.id, i.digest) not in keep),
        create=_indices(wanted, missing),
        kept=len(items),
        delete=tuple(o for o in existing if (o.id, o.digest) not in keep),
    )


def plan_cleanup(existing: Sequence[ExistingObject], history: FrameHistory) -> FramePlan:
    """Plan to clean up after earlier runs on a frame to which nothing is uploaded."""
    owners = find_owners(existing, history)
    return FramePlan(
        items=(*owners.ours, *owners.lost),
        kept=len(owners.ours),
        duplicates=_duplicates(owners, history),
    )


def plan_undo(
    existing: Sequence[ExistingObject], history: FrameHistory, run: str | None
) -> FramePlan:
    """Plan to delete what a run (None: any run) created, if it is unchanged."""
    owners = find_owners(existing, history)
    undo = [i for i in owners.ours if i.run is not None and run in (None, i.run)]
    keep = [item for item in owners.ours if item not in undo]
    return FramePlan(
        items=(*keep, *owners.lost),
        kept=len(keep),
        superseded=tuple(undo),
        delete=_objects(undo),
        duplicates=_duplicates(owners, history),
    )


def find_created(
    sent: Sequence[str],
    existing: Sequence[ExistingObject],
    items: Iterable[ManifestItem],
    run: str,
) -> tuple[list[ManifestItem], list[int]]:
    """Find out which of some annotations were created.

    Args:
        sent: Digests of the annotations.
        existing: The frame's objects in the CVAT job.
        items: Objects that the request did not create.
        run: Id of the run that sent the request.

    Returns:
        The objects that were created, and the indices in `sent` of those that were not.
    """
    owners = find_owners(existing, FrameHistory(items=tuple(items)))
    created: list[ManifestItem] = []
    missing: list[int] = []
    for index, digest in enumerate(sent):
        found = owners.take_creation(digest)
        if found:
            created.append(ManifestItem(id=found.id, digest=digest, run=run))
        else:
            missing.append(index)
    return created, missing


def find_duplicates(
    existing: Sequence[ExistingObject], items: Iterable[ManifestItem], doubtful: Iterable[str]
) -> tuple[ExistingObject, ...]:
    """Return the objects with `doubtful` digests that are not among `items`."""
    history = FrameHistory(items=tuple(items), doubtful=tuple(doubtful))
    return _duplicates(find_owners(existing, history), history)


def _adopt(missing: Counter[str], owners: Ownership) -> list[ManifestItem]:
    """Take other objects that equal missing ones."""
    adopted = []
    for digest in list(missing):
        while missing[digest] and owners.others.get(digest):
            found = owners.others[digest].pop()
            adopted.append(ManifestItem(id=found.id, digest=digest, run=None))
            missing[digest] -= 1
    return adopted


def _duplicates(owners: Ownership, history: FrameHistory) -> tuple[ExistingObject, ...]:
    digests = sorted({*history.doubtful})
    return tuple(o for digest in digests for o in owners.possible_creations(digest))


def _objects(items: Iterable[ManifestItem]) -> tuple[ExistingObject, ...]:
    return tuple(ExistingObject(id=item.id, digest=item.digest) for item in items)


def _indices(wanted: Sequence[str], missing: Counter[str]) -> tuple[int, ...]:
    left = missing.copy()
    return tuple(index for index, digest in enumerate(wanted) if _take(left, digest))


def _take(missing: Counter[str], digest: str) -> bool:
    if missing[digest] <= 0:
        return False
    missing[digest] -= 1
    return True
