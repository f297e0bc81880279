"""What to create, keep and delete on one frame, from digests alone.

The rules, in CVAT terms:

- an object is ours if the manifest has its id and its digest has not changed since: a person who
  moves, relabels or gives it an attribute makes it theirs;
- source `auto` alone proves nothing, but an object that equals a wanted one and is `auto` counts
  as already there, so that a lost manifest leads to no duplicate;
- what this project put there once and a person changed or deleted is not put there again, except
  by `clear`;
- a request without a clear answer may still be carried out later: copies of what such a request
  held, beyond those that are accounted for, are ours and go.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal

from attrs import evolve, field, frozen

Existing = Literal["keep", "replace", "clear"]


@frozen(kw_only=True)
class Present:
    """A tag or shape that is in the CVAT job now."""

    id: int
    digest: str
    """Begins with the kind: tags and shapes may share an id."""


@frozen(kw_only=True)
class Item:
    """A tag or shape that this project put on the frame; whether it is still there is open."""

    id: int
    digest: str
    run: str | None
    """Id of the run that created it. None: it was there already, and equal to a wanted one; such
    an object satisfies a wish but is never deleted as ours."""


@frozen(kw_only=True)
class Known:
    """What the manifest knows about a frame before an upload."""

    items: tuple[Item, ...] = ()
    doomed: tuple[Item, ...] = ()
    """Ours, and about to be deleted when the record was written: if one is gone, no person did
    it."""
    pending: tuple[str, ...] = ()
    """Digests that were about to be sent, or sent, when the record was written."""
    pending_run: str = ""
    unsure: tuple[str, ...] = ()
    """Digests of which copies may turn up late: their request never got a clear answer."""


@frozen(kw_only=True)
class FramePlan:
    """What an upload does to one frame."""

    items: tuple[Item, ...] = ()
    """What is ours on the frame, before `create` and after `delete`."""
    superseded: tuple[Item, ...] = ()
    """What is ours among `delete`."""
    create: tuple[int, ...] = ()
    """Indices of the wanted annotations that are missing."""
    kept: int = 0
    """Wanted annotations that are there already."""
    withheld: int = 0
    """Wanted annotations that are not repeated because a person removed or changed them."""
    delete: tuple[Present, ...] = ()
    """Superseded objects; to be deleted once the new ones are in."""
    surplus: tuple[Present, ...] = ()
    """Copies that an unanswered request left; to be deleted."""


@frozen(kw_only=True)
class _Claims:
    """Who has a claim to the objects of a frame."""

    standing: tuple[Item, ...] = ()
    """Ours, there and unchanged."""
    gone: tuple[Item, ...] = ()
    """Ours once; a person removed or changed them."""
    free: dict[str, list[Present]] = field(factory=dict)
    """The other objects, by digest; the oldest last."""
    touched: frozenset[tuple[str, int]] = frozenset()
    """Kind and id of what was ours until a person changed it, perhaps into the likeness of another
    object of ours: no request of ours has made it."""

    def made(self, digest: str) -> list[Present]:
        """Free objects with the digest that a request of ours may have made."""
        return [p for p in self.free.get(digest, ()) if (digest[0], p.id) not in self.touched]

    def take_made(self, digest: str) -> Present | None:
        """Claim the oldest of them."""
        made = self.made(digest)
        if not made:
            return None
        self.free[digest].remove(made[-1])
        return made[-1]


def plan_frame(
    wanted: Sequence[str], present: Sequence[Present], known: Known, existing: Existing
) -> FramePlan:
    """Plan the upload of annotations with the digests `wanted` to a frame that holds `present`."""
    claims = _claims(present, known)
    if existing == "clear":
        return _plan_clear(wanted, present, claims)
    need = Counter(wanted)
    items: list[Item] = []
    superseded: list[Item] = []
    kept = withheld = 0
    for item in claims.standing:
        if _take(need, item.digest):
            kept += 1
        elif existing == "replace" and item.run is not None:
            superseded.append(item)
            continue
        items.append(item)
    for item in claims.gone:
        withheld += _take(need, item.digest)
        items.append(item)
    adopted = _adopt(need, claims.free)
    return FramePlan(
        items=(*items, *adopted),
        create=_missing(wanted, need),
        kept=kept + len(adopted),
        withheld=withheld,
        superseded=tuple(superseded),
        delete=_objects(superseded),
        surplus=_surplus(claims, known),
    )


def settle_frame(present: Sequence[Present], known: Known) -> FramePlan:
    """Plan for a frame to which nothing is uploaded: only clear up after an interrupted run.

    What that run had begun either is there as a whole and stays, or goes (a frame is all or
    nothing).
    """
    claims = _claims(present, known)
    recorded = {(item.id, item.digest) for item in (*known.items, *known.doomed)}
    landed = [item for item in claims.standing if (item.id, item.digest) not in recorded]
    whole = len(landed) == len(known.pending)
    remains = [item for item in claims.standing if whole or (item.id, item.digest) in recorded]
    half = () if whole else _objects(landed)
    return FramePlan(
        items=(*remains, *claims.gone),
        kept=len(remains),
        surplus=(*half, *_surplus(claims, known)),
    )


def reconcile(
    sent: Sequence[str], present: Sequence[Present], items: Iterable[Item], run: str
) -> tuple[list[Item], list[int]]:
    """After a doubtful create: what of `sent` is there, and the indices of what is not.

    `items` are the objects that are spoken for.
    """
    claims = _claims(present, Known(items=tuple(items)))
    landed: list[Item] = []
    missing: list[int] = []
    for index, digest in enumerate(sent):
        made = claims.take_made(digest)
        if made:
            landed.append(Item(id=made.id, digest=digest, run=run))
        else:
            missing.append(index)
    return landed, missing


def surplus_of(
    present: Sequence[Present], items: Iterable[Item], unsure: Iterable[str]
) -> tuple[Present, ...]:
    """Copies of `unsure` digests that nothing accounts for."""
    known = Known(items=tuple(items), unsure=tuple(unsure))
    return _surplus(_claims(present, known), known)


def plan_undo(present: Sequence[Present], known: Known, run: str | None) -> FramePlan:
    """Plan to remove what a run (None: any run) created and nobody has changed since."""
    claims = _claims(present, known)
    going = [i for i in claims.standing if i.run is not None and run in (None, i.run)]
    staying = [item for item in claims.standing if item not in going]
    return FramePlan(
        items=(*staying, *claims.gone),
        kept=len(staying),
        superseded=tuple(going),
        delete=_objects(going),
        surplus=_surplus(claims, known),
    )


def _plan_clear(wanted: Sequence[str], present: Sequence[Present], claims: _Claims) -> FramePlan:
    need = Counter(wanted)
    items = [item for item in claims.standing if _take(need, item.digest)]
    items += _adopt(need, claims.free)
    stay = {(item.id, item.digest) for item in items}
    return FramePlan(
        items=tuple(items),
        superseded=tuple(i for i in claims.standing if (i.id, i.digest) not in stay),
        create=_missing(wanted, need),
        kept=len(items),
        delete=tuple(p for p in present if (p.id, p.digest) not in stay),
    )


def _claims(present: Iterable[Present], known: Known) -> _Claims:
    there = {(p.id, p.digest): p for p in present}
    standing: list[Item] = []
    gone: list[Item] = []
    for item in known.items:
        found = there.pop((item.id, item.digest), None)
        (standing if found else gone).append(item)
    standing += [item for item in known.doomed if there.pop((item.id, item.digest), None)]
    free: defaultdict[str, list[Present]] = defaultdict(list)
    # Later ids first, so that pop() takes the oldest.
    for p in sorted(there.values(), key=lambda p: -p.id):
        free[p.digest].append(p)
    claims = _Claims(
        free=free, touched=frozenset((i.digest[0], i.id) for i in (*gone, *known.doomed))
    )
    for digest in known.pending:
        landed = claims.take_made(digest)
        if landed:
            standing.append(Item(id=landed.id, digest=digest, run=known.pending_run))
    return evolve(claims, standing=tuple(standing), gone=tuple(gone))


def _adopt(need: Counter[str], free: dict[str, list[Present]]) -> list[Item]:
    adopted = []
    for digest in list(need):
        while need[digest] and free.get(digest):
            found = free[digest].pop()
            adopted.append(Item(id=found.id, digest=digest, run=None))
            need[digest] -= 1
    return adopted


def _surplus(claims: _Claims, known: Known) -> tuple[Present, ...]:
    doubtful = {*known.pending, *known.unsure}
    return tuple(p for digest in sorted(doubtful) for p in claims.made(digest))


def _objects(items: Iterable[Item]) -> tuple[Present, ...]:
    return tuple(Present(id=item.id, digest=item.digest) for item in items)


def _missing(wanted: Sequence[str], need: Counter[str]) -> tuple[int, ...]:
    left = need.copy()
    return tuple(index for index, digest in enumerate(wanted) if _take(left, digest))


def _take(need: Counter[str], digest: str) -> bool:
    if need[digest] <= 0:
        return False
    need[digest] -= 1
    return True
