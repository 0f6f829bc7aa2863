"""Who the box's users are on the host: maps of user namespaces, and the leases of root's boxes."""

from __future__ import annotations

from minibox.errors import HostError
from minibox.facts import Host, IdRange
from minibox.record import Record
from minibox.spec import HOST_VIEW, BoxSpec
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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minibox.compiler.draft import Draft

USUAL = 65536
"""How many ids a box normally has, as any Linux system: 0 to 65535."""

LEASE_FIRST, LEASE_SIZE, LEASE_COUNT = 0x7000_0000, 2 * USUAL, 2047
"""Where root's boxes get their ids: above what systemd uses for containers and below 2**31, twice
the usual for each box, so that a user id above those has a place (systemd's UIDS-GIDS.md)."""

MEANING = {
    "lease": ("a range of its own, leased for this run", "uid_map, lock"),
    "range": ("the user's range of subordinate ids", "newuidmap, newgidmap"),
    "one": ("one id, the caller's own", "uid_map"),
    "leased one": ("one id of its own, leased for this run", "uid_map, lock"),
}
"""What each way to map ids gives, and by which mechanism."""


class Ids(Record):
    """Which ids a box has. how: a key of MEANING; uid, gid: the application's, inside; uids, gids:
    the maps to the host, as triples (inside, outside, count)."""

    how: str
    uid: int
    gid: int
    uids: tuple[int, ...]
    gids: tuple[int, ...]

    @property
    def leased(self) -> bool:
        return self.how in ("lease", "leased one")

    @property
    def owner(self) -> int:
        """The application's place in the leased range; -1 where there is none."""
        places = (self.uids[n + 1] + self.uid - self.uids[n] for n in range(0, len(self.uids), 3)
                  if 0 <= self.uid - self.uids[n] < self.uids[n + 2])
        return next(places) if self.leased else -1

    @property
    def keep_groups(self) -> bool:
        """A user may map the own group only with setgroups denied for good."""
        return self.how == "one"


def choose(spec: BoxSpec, host: Host) -> Ids:
    """Which ids the box gets. Box id 0 is never the host's root: root's boxes lease a range.

    Errors: HostError for a range that this user may not map.
    """
    uid, gid = spec.user.uid, spec.user.uid if spec.user.gid is None else spec.user.gid
    if host.uid == 0 and "lease" in host.features:
        if spec.ids == "one":
            return Ids(how="leased one", uid=uid, gid=gid, uids=(uid, 0, 1), gids=(gid, 0, 1))
        return Ids(how="lease", uid=uid, gid=gid, uids=_leased(uid), gids=_leased(gid))
    granted = host.uid_range and host.gid_range
    if spec.ids == "range" and not granted:
        raise HostError("ids range", *host.mend("lease" if host.uid == 0 else "ranges"))
    if granted and (spec.ids == "range" or spec.ids == "auto" and spec.rootfs != HOST_VIEW):
        assert host.uid_range and host.gid_range
        return Ids(how="range", uid=uid, gid=gid, uids=_ranged(uid, host.uid, host.uid_range),
                   gids=_ranged(gid, host.gid, host.gid_range))
    return Ids(how="one", uid=uid, gid=gid, uids=(uid, host.uid, 1), gids=(gid, host.gid, 1))


def _leased(own: int) -> tuple[int, ...]:
    """The usual ids; and the application's own, if it is not one of them."""
    return (0, 0, USUAL) + ((own, USUAL, 1) if own >= USUAL else ())


def _ranged(own: int, caller: int, granted: IdRange) -> tuple[int, ...]:
    """The usual ids, as far as the range goes; the application's own is the caller."""
    count = min(granted.count, USUAL)
    if own >= count:
        return 0, granted.first, count, own, caller, 1
    below = (0, granted.first, own) if own else ()
    above = (own + 1, granted.first + own, count - own - 1) if own + 1 < count else ()
    return (*below, own, caller, 1, *above)


def inside(extents: tuple[int, ...]) -> tuple[int, ...]:
    """The map of a user namespace below: each id to itself, an extent for each extent above."""
    return tuple(number for n in range(0, len(extents), 3)
                 for number in (extents[n], extents[n], extents[n + 2]))


def lease(draft: Draft) -> None:
    if draft.ids.leased:
        draft.prepare.append(LeaseIds(path=draft.host.lease_file, first=LEASE_FIRST,
                                      size=LEASE_SIZE, count=LEASE_COUNT))


def map_them(draft: Draft) -> None:
    """Give the set-up namespace its ids; init becomes one of them, and dies with the engine."""
    ids, host = draft.ids, draft.host
    if ids.how == "range":
        draft.prepare.append(MapIdsWithHelpers(
            uids=ids.uids, gids=ids.gids, uid_helper=host.uid_helper, gid_helper=host.gid_helper))
    else:
        draft.prepare.append(MapIds(uids=ids.uids, gids=ids.gids, deny_setgroups=ids.keep_groups,
                                    leased=ids.leased))
    uid, gid = (0, 0) if ids.how in ("lease", "range") else (ids.uid, ids.gid)
    draft.enter += [Await(gate=GATE_IDS), SetIds(uid=uid, gid=gid, keep_groups=ids.keep_groups)]
    if draft.has("parent-death"):
        draft.enter.append(DieWithParent())
    draft.receipt("ids", draft.spec.ids, *MEANING[ids.how],
                  "the caller's supplementary groups stay" if ids.keep_groups else "")


def release(draft: Draft) -> None:
    draft.prepare.append(Release(gate=GATE_IDS))


def become(draft: Draft) -> None:
    """The application's own ids."""
    ids, user = draft.ids, draft.spec.user
    draft.app.append(SetIds(uid=ids.uid, gid=ids.gid, keep_groups=ids.keep_groups))
    draft.receipt("user", [user.uid, user.gid], [ids.uid, ids.gid], "setresuid, setresgid")
