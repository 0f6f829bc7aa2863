"""What this machine can do: `find()`.

Costly facts are found by doing (minibox.probing) and kept in a small file for as long as the
machine runs and the caller stays who it is; what may change from one moment to the next, such as
the caller's cgroup, is looked up each time.  A found Host costs no import beyond this module.
"""

from __future__ import annotations

import os

from minibox import cgroups
from minibox.facts import Host, IdRange, SystemPath
from minibox.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from minibox.cgroups import Hierarchy
    from minibox.facts import Controller
    from minibox.mends import Row

FORMAT = "minibox-host 3"

BEHIND = ("/etc/subuid", "/etc/subgid", "/usr/bin/newuidmap", "/usr/bin/newgidmap")
"""Files that decide on ranges of ids: a change of one is a reason to look again."""

SYSTEM_PATHS = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store",
    "/etc/alternatives", "/etc/crypto-policies", "/etc/fonts", "/etc/ld.so.cache",
    "/etc/localtime", "/etc/nsswitch.conf", "/etc/os-release", "/etc/pki/ca-trust",
    "/etc/pki/tls/certs", "/etc/protocols", "/etc/services", "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf", "/etc/timezone",
)
"""What programs need to run, and no more of the host: nothing that is about its users. Each costs a
box 7 to 30 us, so what only administration reads (ld.so.conf, shells) is not among them."""


class Probed(Record):
    """What minibox.probing found: fields of Host, with the key that they hold for."""

    key: str
    namespaces: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    uid_range: IdRange | None = None
    gid_range: IdRange | None = None
    uid_helper: str = ""
    gid_helper: str = ""
    why: tuple[tuple[str, str, str], ...] = ()


def find(refresh: bool = False) -> Host:
    """What this machine can do for this process. refresh: probe anew, whatever is remembered."""
    status = _status()
    found = cgroups.current()
    usable = cgroups.controllers(found, os.getuid())
    key = _key(status, " ".join(f"{one.name}{one.version}" for one in usable))
    probed = None if refresh else _remembered(key)
    if probed is None:
        from minibox.probing import probe

        probed, lasting = probe(key, usable)
        if lasting:
            _remember(probed)
    system, uncounted = os.uname(), _uncounted(found, usable)
    return Host(
        kernel=release(system.release), machine=system.machine,
        uid=os.getuid(), gid=os.getgid(), groups=tuple(os.getgroups()),
        namespaces=probed.namespaces, cgroup_mode=cgroups.mode(found),
        controllers=tuple(one for one in usable if one.name not in probed.refused),
        uid_range=probed.uid_range, gid_range=probed.gid_range,
        uid_helper=probed.uid_helper, gid_helper=probed.gid_helper,
        id_mapped_mounts="idmap" in probed.features, features=probed.features,
        uncounted_disks=uncounted,
        cpus=tuple(sorted(os.sched_getaffinity(0))),
        memory_nodes=status.get("Mems_allowed_list", "0"),
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        system_paths=tuple(_system_paths()), why=probed.why + _missing(found, usable, uncounted))


def _uncounted(found: tuple[Hierarchy, ...], usable: tuple[Controller, ...]) -> tuple[str, ...]:
    """Disks that a box's cgroup would tell nothing of."""
    if not any(one.name == "blkio" for one in usable):
        return ()
    mount = next(one.mount for one in found if "blkio" in one.controllers)
    return cgroups.uncounted_disks(cgroups.read(f"{mount}/blkio.throttle.io_service_bytes"),
                                   cgroups.read("/proc/diskstats"), os.listdir("/sys/block"))


def _missing(found: tuple[Hierarchy, ...], usable: tuple[Controller, ...],
             uncounted: tuple[str, ...]) -> tuple[Row, ...]:
    """Why some controllers, or figures of theirs, cannot be used."""
    missing = {"memory", "pids", "cpu", "cpuset"} - {one.name for one in usable}
    if not missing and not uncounted:
        return ()
    from minibox import mends

    return mends.no_controller(sorted(missing), found) + mends.uncounted(uncounted, found)


def release(text: str) -> tuple[int, ...]:
    """The numbers of a kernel release such as "6.1.0-28-amd64": (6, 1)."""
    numbers = []
    for part in text.split(".")[:2]:
        digits = part[:len(part) - len(part.lstrip("0123456789"))]
        numbers.append(int(digits or 0))
    return tuple(numbers)


def _status() -> dict[str, str]:
    """/proc/self/status, which tells in one read what may change the answers of this kernel."""
    lines = cgroups.read("/proc/self/status").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _key(status: dict[str, str], controllers: str) -> str:
    """What the probes' answers depend on, in one line."""
    from minibox.engine import path

    system = os.uname()
    who = [status.get(name, "") for name in
           ("Uid", "Gid", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp_filters")]
    changed = [_changed(name) for name in (*BEHIND, path())]
    label = cgroups.read("/proc/self/attr/current").strip("\0\n")
    return " ".join([FORMAT, system.release, system.version, *who, *changed, label,
                     controllers]).replace("\t", ",")


def _changed(path: str) -> str:
    try:
        return str(os.stat(path).st_ctime_ns)
    except OSError:
        return "-"


# ---- the memory of what was probed: lines of words with tabs between, whole or not at all --------

def directory() -> str:
    """Where facts are remembered, for this user."""
    if os.getuid() == 0 and os.access("/var/cache", os.W_OK):
        return "/var/cache/minibox"
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (base if base.startswith("/") else os.path.expanduser("~/.cache")) + "/minibox"


def _path() -> str:
    """One file for each boot and each container: mounts and ids differ between those."""
    boot = cgroups.read("/proc/sys/kernel/random/boot_id").strip()
    spaces = [os.readlink(f"/proc/self/ns/{kind}").strip("]").split("[")[1]
              for kind in ("user", "mnt")]
    return f"{directory()}/host-{'-'.join([boot, *spaces])}"


def dump(probed: Probed) -> str:
    """*probed* as text."""
    lines = [("key", probed.key), ("namespaces", *probed.namespaces),
             ("features", *probed.features), ("refused", *probed.refused)]
    for kind, ids, helper in (("uid", probed.uid_range, probed.uid_helper),
                              ("gid", probed.gid_range, probed.gid_helper)):
        if ids:
            lines.append((kind, str(ids.first), str(ids.count), helper))
    lines += [("why", *row) for row in probed.why]
    return "".join("\t".join(line) + "\n" for line in [*lines, ("end", str(len(lines)))])


def load(text: str, key: str) -> Probed | None:
    """What `dump` wrote, None if it is for another key, or damaged."""
    lines = [tuple(line.split("\t")) for line in text.split("\n")[:-1]]
    if not lines or lines[0] != ("key", key) or lines[-1] != ("end", str(len(lines) - 1)):
        return None
    words: dict[str, tuple[str, ...]] = {}
    ranges = {}
    why = []
    for name, *rest in lines[1:-1]:
        match name, rest:
            case ("namespaces" | "features" | "refused"), _:
                words[name] = tuple(rest)
            case ("uid" | "gid"), [first, count, helper] if (first + count).isdecimal():
                ranges[name] = IdRange(first=int(first), count=int(count)), helper
            case "why", [feature, reason, mend]:
                why.append((feature, reason, mend))
            case _:
                return None
    if len(words) != 3:
        return None
    (uids, uid_helper), (gids, gid_helper) = (ranges.get(n, (None, "")) for n in ("uid", "gid"))
    return Probed(key=key, uid_range=uids, gid_range=gids, uid_helper=uid_helper,
                  gid_helper=gid_helper, why=tuple(why), **words)


def _remembered(key: str) -> Probed | None:
    """What is remembered for *key*; a file that is not ours alone is not believed."""
    try:
        fd = os.open(_path(), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    status = os.fstat(fd)
    if status.st_uid != os.getuid() or status.st_mode & 0o170077 != 0o100000:
        os.close(fd)
        return None
    with open(fd, "rb", buffering=0) as file:
        return load(os.fsdecode(file.readall()), key)


def _remember(probed: Probed) -> None:
    """Keep *probed*, if this user has a place of its own to keep it."""
    path = _path()
    place, name = os.path.split(path)
    try:
        os.makedirs(place, mode=0o700, exist_ok=True)
        status = os.lstat(place)
        if status.st_uid == os.getuid() and status.st_mode & 0o170077 == 0o040000:
            _replace(path, os.fsencode(dump(probed)))
            _forget_other_boots(place, name[:len("host-") + 36])
    except OSError:
        return                                      # next time it is found by doing again


def _replace(path: str, content: bytes) -> None:
    """Write the file *path* whole, or leave it as it was."""
    temporary = f"{path}.{os.getpid()}"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(content)
        os.rename(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise


def _forget_other_boots(place: str, this: str) -> None:
    for name in os.listdir(place):
        if name.startswith("host-") and not name.startswith(this):
            os.unlink(f"{place}/{name}")


# ---- looked up each time -------------------------------------------------------------------------

def _system_paths() -> Iterator[SystemPath]:
    for path in SYSTEM_PATHS:
        try:
            to = os.readlink(path)
        except FileNotFoundError:
            continue
        except OSError:                                     # EINVAL: no link
            kind = "dir" if os.path.isdir(path) else "file"
            yield SystemPath(path=path, kind=kind)
        else:
            yield SystemPath(path=path, kind="link", to=to)
