"""Landlock: a second wall, which holds even where a mount, a namespace or an id fails."""

from __future__ import annotations

from minibox.compiler.draft import Draft
from minibox.compiler.network import has_network
from minibox.compiler.process import home
from minibox.spec import HOST_VIEW
from minibox.steps import RestrictLandlock

WRITE_FILE, REMOVE, NODES, MAKE, REFER, TRUNCATE = (
    1 << 1, 1 << 4 | 1 << 5, 1 << 6 | 1 << 11, 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 12,
    1 << 13, 1 << 14)
"""LANDLOCK_ACCESS_FS_*; NODES are devices, which nobody is to make anywhere."""

TCP = 1 << 0 | 1 << 1
"""LANDLOCK_ACCESS_NET_*: to bind to, and connect to, a port."""

SCOPES = 1 << 0 | 1 << 1
"""LANDLOCK_SCOPE_*: abstract sockets, signals."""

PLACES = ("/dev", "/home", "/mnt", "/opt", "/root", "/run", "/srv", "/tmp", "/var")
"""Where one may write in the host's view: not where its programs and their settings lie."""


def restrict(draft: Draft) -> None:
    """Refuse what this kernel's Landlock can refuse, and say how much that is."""
    spec, features = draft.spec, draft.host.features
    if not draft.has("landlock"):
        return
    if not spec.landlock:
        draft.receipt("landlock", "off", None, "none")
        return
    if "landlock" not in features:
        draft.receipt("landlock", None, None, "none", "; ".join(draft.host.mend("landlock")))
        return
    # Before REFER no file could be moved from one directory to another; and who may mount does it.
    files = "landlock.refer" in features and "SYS_ADMIN" not in spec.capabilities
    granted = (WRITE_FILE | REMOVE | MAKE | REFER
               | (TRUNCATE if "landlock.truncate" in features else 0)) if files else 0
    tcp = TCP if "landlock.tcp" in features and not has_network(spec) else 0
    scopes = SCOPES if "landlock.scope" in features else 0
    if not files and not tcp and not scopes:
        draft.receipt("landlock", None, None, "none", "it has nothing to refuse to this box, on "
                      "this kernel")
        return
    places = writable(draft) if files else ()
    draft.app.append(RestrictLandlock(writes=granted | NODES if files else 0, tcp=tcp,
                                      scopes=scopes, writable=places))
    walls = (["writes"] if files else []) + (["tcp"] if tcp else []) \
        + (["abstract sockets", "signals"] if scopes else [])
    draft.receipt("landlock", None, walls, "landlock_restrict_self",
                  f"writes only below {', '.join(places)}" if files else "")


def writable(draft: Draft) -> tuple[str, ...]:
    """The places below which the box may write, as far as mounts and owners let it."""
    spec = draft.spec
    found = ["/dev", *(mount.target for mount in spec.mounts if not mount.read_only)]
    if not spec.read_only:
        ours = spec.rootfs == HOST_VIEW and spec.keep is None
        found += (*PLACES, home(spec), *_unless_root(spec.workdir)) if ours else ("/",)
    return tuple(dict.fromkeys(place for place in found
                               if place == "/" or not _below(place, found)))


def _unless_root(path: str) -> tuple[str, ...]:
    return (path,) if path.strip("/") else ()


def _below(place: str, others: list[str]) -> bool:
    """Does the rule for another place cover this one?"""
    return any(other != place and (place + "/").startswith(other.rstrip("/") + "/")
               for other in others)
