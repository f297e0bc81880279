"""Decide which objects on a frame this project created.

- An object is ours if the manifest contains its id and its digest is unchanged. If a person moves
  it, relabels it or gives it an attribute, it is theirs.
- An object may also be ours if a request of ours could have created it: one that never got a clear
  answer (`upload.requests.recover`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from attrs import field, frozen


@frozen(kw_only=True)
class ExistingObject:
    """A tag or shape that is in the CVAT job now."""

    id: int
    digest: str
    """Begins with the kind, `t` or `s`: a tag and a shape can have the same id."""


@frozen(kw_only=True)
class ManifestItem:
    """A tag or shape that the manifest records for a frame. It may no longer exist."""

    id: int
    """0 if a person removed or changed it before its id was known."""
    digest: str
    run: str | None
    """Id of the run that created it. None if it existed before and was equal to a wanted one. Such
    an object counts as present, but is never deleted as ours."""
    label: str | None = None
    """What digests call its label. None if an earlier version recorded it."""


@frozen(kw_only=True)
class FrameHistory:
    """What the manifest records about a frame before an upload."""

    items: tuple[ManifestItem, ...] = ()
    deleting: tuple[ManifestItem, ...] = ()
    """Ours, and about to be deleted when the record was written. If one is gone, that was not a
    person's work."""
    doubtful: tuple[str, ...] = ()
    """Digests of requests that were given up or sent again. CVAT may still create copies."""


@frozen(kw_only=True)
class Ownership:
    """The objects of a frame by owner."""

    ours: tuple[ManifestItem, ...] = ()
    """Recorded and unchanged."""
    lost: tuple[ManifestItem, ...] = ()
    """Recorded, but changed or removed by a person."""
    others: dict[str, list[ExistingObject]] = field(factory=dict)
    """The other objects, by digest; the oldest is last."""
    lost_ids: frozenset[tuple[str, int]] = frozenset()
    """Kind and id of objects that were ours until a person changed them. Even if such an object now
    equals a wanted one, no request of ours created it."""

    def possible_creations(self, digest: str) -> list[ExistingObject]:
        """Return the other objects with this digest that a request of ours may have created."""
        return [o for o in self.others.get(digest, ()) if (digest[0], o.id) not in self.lost_ids]

    def take_creation(self, digest: str) -> ExistingObject | None:
        """Remove the oldest possible creation from `others` and return it."""
        possible = self.possible_creations(digest)
        if not possible:
            return None
        self.others[digest].remove(possible[-1])
        return possible[-1]


def find_owners(existing: Iterable[ExistingObject], history: FrameHistory) -> Ownership:
    """Compare the objects of a frame with its history."""
    unclaimed = {(o.id, o.digest): o for o in existing}
    ours: list[ManifestItem] = []
    lost: list[ManifestItem] = []
    for item in history.items:
        found = unclaimed.pop((item.id, item.digest), None)
        (ours if found else lost).append(item)
    ours += [item for item in history.deleting if unclaimed.pop((item.id, item.digest), None)]
    others: defaultdict[str, list[ExistingObject]] = defaultdict(list)
    # Highest ids first, so that pop() takes the oldest object.
    for one in sorted(unclaimed.values(), key=lambda o: -o.id):
        others[one.digest].append(one)
    return Ownership(
        ours=tuple(ours),
        lost=tuple(lost),
        others=others,
        lost_ids=frozenset((i.digest[0], i.id) for i in (*lost, *history.deleting)),
    )
