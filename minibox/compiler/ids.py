"""Who the box's users are on the host: user namespace maps, and the leased range of a box of root."""

from __future__ import annotations

from minibox.compiler.draft import Draft
from minibox.errors import HostError
from minibox.facts import IdRange
from minibox.spec import HOST_VIEW
from minibox.steps import (
    GATE_IDS,
    Await,
    DieWithParent,
    LeaseIds,
    MapIds,
    MapIdsWithHelpers,
    Release,
    SetIds,
)

USUAL = 65536
"""How many ids a box normally has, as any Linux system: 0 to 65535."""

LEASE_FIRST, LEASE_SIZE, LEASE_COUNT = 0x7000_0000, 2 * USUAL, 2047
"""Where root's boxes get their ids: above what systemd uses for containers and below 2**31, two ranges
for each box so that a user id above the usual ones has a place (systemd's UIDS-GIDS.md)."""


def group(draft: Draft) -> int:
    """The application's group id."""
    user = draft.spec.user
    return user.uid if user.gid is None else user.gid


def mode(draft: Draft) -> str:
    """"lease", "range" or "one": which map this box gets."""
    spec, host = draft.spec, draft.host
    if draft.by_root:
        return "lease"
    if spec.ids == "range" and not (host.uid_range and host.gid_range):
        raise HostError("ids", *host.mend("ranges"))
    wanted = spec.ids == "range" or spec.ids == "auto" and spec.rootfs != HOST_VIEW
    return "range" if wanted and host.uid_range and host.gid_range else "one"


def lease(draft: Draft) -> None:
    if mode(draft) == "lease":
        draft.prepare.append(LeaseIds(path=draft.host.lease_file, first=LEASE_FIRST, size=LEASE_SIZE,
                                      count=LEASE_COUNT))


def extents(draft: Draft, own: int, caller: int, range_: IdRange | None) -> tuple[int, ...]:
    """The map of one kind of ids, as triples; *own* is the application's id in the box."""
    kind = mode(draft)
    if kind == "one":
        return own, caller, 1
    if kind == "lease":
        return (0, 0, USUAL) + ((own, USUAL, 1) if own >= USUAL else ())
    assert range_ is not None
    count = min(range_.count, USUAL)
    if own >= count:
        return 0, range_.first, count, own, caller, 1
    below = (0, range_.first, own) if own else ()
    above = (own + 1, range_.first + own, count - own - 1) if own + 1 < count else ()
    return (*below, own, caller, 1, *above)


def maps(draft: Draft) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The maps of user ids and of group ids."""
    host = draft.host
    return (extents(draft, draft.spec.user.uid, host.uid, host.uid_range),
            extents(draft, group(draft), host.gid, host.gid_range))


def inside(extents: tuple[int, ...]) -> tuple[int, ...]:
    """The map of a user namespace below: each id to itself, extent by extent, as the kernel wants."""
    return tuple(number for n in range(0, len(extents), 3)
                 for number in (extents[n], extents[n], extents[n + 2]))


def map_them(draft: Draft) -> None:
    """Give the set-up namespace its ids; init becomes one of them, and is bound to the engine's life."""
    kind, (uids, gids), host = mode(draft), maps(draft), draft.host
    if kind == "range":
        draft.prepare.append(MapIdsWithHelpers(uids=uids, gids=gids, uid_helper=host.uid_helper,
                                               gid_helper=host.gid_helper))
    else:
        draft.prepare.append(MapIds(uids=uids, gids=gids, deny_setgroups=kind == "one",
                                    leased=kind == "lease"))
    own = (draft.spec.user.uid, group(draft)) if kind == "one" else (0, 0)
    draft.enter += [Await(gate=GATE_IDS),
                    SetIds(uid=own[0], gid=own[1], keep_groups=kind == "one"),
                    DieWithParent()]
    what = {"lease": "a range of its own, leased for this run", "range": "the user's range of subordinate ids",
            "one": "one id, the caller's own"}[kind]
    draft.receipt("ids", draft.spec.ids, what, {"lease": "uid_map, " + host.lease_file,
                                                "range": "newuidmap, newgidmap", "one": "uid_map"}[kind])


def release(draft: Draft) -> None:
    draft.prepare.append(Release(gate=GATE_IDS))


def become(draft: Draft) -> None:
    """The application's own ids."""
    one = mode(draft) == "one"
    draft.app.append(SetIds(uid=draft.spec.user.uid, gid=group(draft), keep_groups=one))
    draft.receipt("user", [draft.spec.user.uid, draft.spec.user.gid], [draft.spec.user.uid, group(draft)],
                  "setresuid, setresgid")
