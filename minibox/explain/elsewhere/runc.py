"""runc, or another OCI runtime: a bundle's config.json."""

from __future__ import annotations

from minibox.compiler.cgroups import PERIOD_US
from minibox.compiler.devices import DEVICES
from minibox.compiler.filesystem import BOOT_ID, MASKED, NAME_SERVICE, READ_ONLY
from minibox.compiler.process import environment
from minibox.compiler.rlimits import DEFAULTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minibox.explain.elsewhere.draft import Draft
    from minibox.spec import Mount

VERSION = "1.0.2"
"""Of the OCI runtime specification."""

TYPES = {"net": "network"}
"""Kinds of namespace that the specification calls otherwise."""

SETS = ("bounding", "effective", "permitted", "inheritable", "ambient")
OPEN = ("nosuid", "nodev")
KINDS = {"read_bps": "throttleReadBpsDevice", "write_bps": "throttleWriteBpsDevice",
         "read_iops": "throttleReadIOPSDevice", "write_iops": "throttleWriteIOPSDevice"}


def write(draft: Draft) -> None:
    """The configuration, and how it is used."""
    spec = draft.spec
    kinds = draft.kinds()
    keyring = () if draft.has("keyring") else ("--no-new-keyring",)
    draft.add("runc", "run", *keyring, "--bundle", "DIR", "NAME")
    draft.layers.add("environment")                         # all of it is asked for then
    config = draft.config = {
        "ociVersion": VERSION, "process": _process(draft), "root": _root(draft),
        "mounts": [*_own_mounts(draft), *(_mount(draft, one) for one in draft.mounts())],
        "linux": _linux(draft, kinds)}
    if "uts" in kinds:
        config["hostname"] = spec.hostname
    draft.take("argv", "hostname", "workdir", "environment", "mounts", "capabilities",
               "limits.tmpfs_bytes", "limits.tmpfs_inodes", "limits.shm_bytes", "landlock",
               "loopback", "stdin")
    _the_rest(draft, kinds)
    for field in ("argv", "environment", "workdir", "rootfs", "mounts"):
        if "\\udc" in ascii(getattr(spec, field)).replace("\\\\", ""):
            draft.cannot(field, "it is not UTF-8 (bytes such as \\xff), which JSON has to be")


def _process(draft: Draft) -> dict[str, Any]:
    spec = draft.spec
    draft.take("terminal", "limits.ulimits", "limits.oom_score_adj", "user")
    if draft.host.uid and (spec.user.uid or draft.gid):
        draft.cannot("user", "without root runc maps one id, which has to be 0")
    rlimits = {one.name: one for one in (*(DEFAULTS if draft.has("rlimits") else ()),
                                         *spec.limits.ulimits)}
    capabilities = [f"CAP_{name}" for name in spec.capabilities]
    found: dict[str, Any] = {
        "terminal": spec.terminal, "args": list(spec.argv), "cwd": spec.workdir,
        "user": {"uid": 0, "gid": 0} if draft.host.uid else
        {"uid": spec.user.uid, "gid": draft.gid},
        "env": [f"{name}={value}" for name, value in environment(spec).items()],
        "capabilities": {name: capabilities for name in SETS},
        "noNewPrivileges": draft.has("no-new-privs"),
        "rlimits": [{"type": f"RLIMIT_{one.name.upper()}", "soft": _unsigned(one.soft),
                     "hard": _unsigned(one.hard)} for one in rlimits.values()]}
    if draft.has("oom-score"):
        found["oomScoreAdj"] = spec.limits.oom_score_adj
    if draft.has("umask"):
        found["user"]["umask"] = 0o022
    return found


def _unsigned(value: int) -> int:
    """-1 is the largest number there."""
    return value % 2**64


def _root(draft: Draft) -> dict[str, Any]:
    spec = draft.spec
    draft.take("read_only")
    if draft.own_view:
        draft.differ("each place to write is a tmpfs by itself, with the whole --tmpfs-size")
        draft.differ("there is no /etc/passwd, /etc/group or /etc/hosts of the box's own")
        return {"path": "root", "readonly": True}
    draft.take("rootfs", "writable")
    if not (spec.writable or spec.read_only or spec.keep):
        draft.differ("what is written to the root is refused, not forgotten")
    return {"path": spec.rootfs, "readonly": not spec.writable}


def _own_mounts(draft: Draft) -> list[dict[str, Any]]:
    """What the box has by itself: the host's programs, /proc, /dev, places to write."""
    spec, limits = draft.spec, draft.spec.limits
    found = [_tmpfs(draft, place, limits.tmpfs_bytes, limits.tmpfs_inodes)
             for place in draft.places()]
    if draft.own_view:
        names = NAME_SERVICE if "net" in spec.share else ()
        paths = dict.fromkeys((*(one.path for one in draft.host.system_paths), *names))
        found += [_bind(path, path, read_only=True) for path in paths]
    found.append(_bind("/proc", "/proc", read_only=False) if "pid" in spec.share else
                 {"destination": "/proc", "type": "proc", "source": "proc"})
    if draft.has("dev"):
        found += [
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "noexec", "mode=755", "size=65536"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
            _tmpfs(draft, "/dev/shm", limits.shm_bytes, limits.tmpfs_inodes)]
    else:
        found.append({"destination": "/dev", "type": "bind", "source": "/dev",
                      "options": ["rbind", "nosuid"]})
    draft.take("devices")
    return found + [{"destination": device.target, "type": "bind", "source": device.source,
                     "options": ["bind", "nosuid"]} for device in spec.devices]


def _tmpfs(draft: Draft, target: str, size: int, inodes: int, mode: int = 0o1777
           ) -> dict[str, Any]:
    caps = [f"size={size}", f"nr_inodes={inodes}"] if draft.has("tmpfs-caps") else []
    return {"destination": target, "type": "tmpfs", "source": "tmpfs",
            "options": [*_open(draft), f"mode={mode:o}", *caps]}


def _open(draft: Draft) -> list[str]:
    return [name for name in OPEN if draft.has(name)]


def _bind(source: str, target: str, *, read_only: bool,
          options: tuple[str, ...] | list[str] = OPEN) -> dict[str, Any]:
    return {"destination": target, "type": "bind", "source": source,
            "options": ["rbind", *options, "ro" if read_only else "rw"]}


def _mount(draft: Draft, mount: Mount) -> dict[str, Any]:
    if mount.type == "bind":
        return _bind(mount.source, mount.target, read_only=mount.read_only, options=_open(draft))
    limits = draft.spec.limits
    made = _tmpfs(draft, mount.target, mount.size_bytes or limits.tmpfs_bytes,
                  mount.inodes or limits.tmpfs_inodes, mount.mode)
    made["options"] += ["ro"] * mount.read_only
    return made


def _linux(draft: Draft, kinds: tuple[str, ...]) -> dict[str, Any]:
    host = draft.host
    found: dict[str, Any] = {
        "namespaces": [{"type": TYPES.get(kind, kind)} for kind in ("mount", *kinds)],
        "maskedPaths": _less(draft, (*MASKED, BOOT_ID)) if draft.has("masks") else [],
        "readonlyPaths": _less(draft, READ_ONLY) if draft.has("read-only-paths") else [],
        "resources": _resources(draft)}
    draft.take("unmask")
    if host.uid:
        found["namespaces"].append({"type": "user"})
        found["uidMappings"], found["gidMappings"] = (
            [{"containerID": 0, "hostID": own, "size": 1}] for own in (host.uid, host.gid))
    if draft.has("propagation"):
        found["rootfsPropagation"] = "private"
    return found


def _less(draft: Draft, paths: tuple[str, ...]) -> list[str]:
    return [path for path in paths if not {path, "ALL"} & set(draft.spec.unmask)]


def _resources(draft: Draft) -> dict[str, Any]:
    """Caps, and the devices that may be opened."""
    limits = draft.spec.limits
    fields = ("memory_bytes", "swap_bytes", "pids", "cpus", "cpuset", "device_rates")
    if draft.host.uid:
        for field in fields:
            draft.cannot(f"limits.{field}", "without root runc needs a cgroup that was delegated, "
                         "by systemd on v2 (runc --systemd-cgroup)")
        return {}
    draft.take(*(f"limits.{field}" for field in fields))
    found: dict[str, Any] = {"devices": [{"allow": False, "access": "rwm"}, *(
        {"allow": True, "type": "c", "major": major, "minor": minor, "access": "rw"}
        for major, minor in (*((major, minor) for _, major, minor in DEVICES),
                             *((one.major, one.minor) for one in draft.spec.devices)))]}
    if limits.memory_bytes is not None:
        both = -1 if limits.swap_bytes == -1 else limits.memory_bytes + (limits.swap_bytes or 0)
        found["memory"] = {"limit": limits.memory_bytes, "swap": both}
    if limits.pids is not None:
        found["pids"] = {"limit": limits.pids}
    cpu: dict[str, Any] = {}
    if limits.cpus is not None:
        cpu = {"quota": round(limits.cpus * PERIOD_US), "period": PERIOD_US}
    if limits.cpuset is not None:
        cpu["cpus"] = ",".join(map(str, limits.cpuset))
    if cpu:
        found["cpu"] = cpu
    for rate in limits.device_rates:
        found.setdefault("blockIO", {}).setdefault(KINDS[rate.kind], []).append(
            {"major": rate.major, "minor": rate.minor, "rate": rate.per_second})
    return found


def _the_rest(draft: Draft, kinds: tuple[str, ...]) -> None:
    spec = draft.spec
    if not spec.init:
        draft.take("init")
    else:
        draft.differ("the program is PID 1, and must reap; signals without a handler pass it by")
    if "net" in kinds and not spec.loopback:
        draft.differ("internet sockets may be used, over lo of the box's own")
    for field, as_asked in (("seccomp", "unconfined"), ("ids", "one")):
        if getattr(spec, field) == as_asked:
            draft.take(field)
    if spec.seccomp not in ("default", "unconfined"):
        draft.cannot("seccomp", "linux.seccomp takes a profile without Docker's includes and "
                     "excludes")
    if spec.cgroups == ("enabled" if draft.host.uid == 0 else "disabled"):
        draft.take("cgroups")
    for field in ("boottime_offset_s", "monotonic_offset_s"):
        draft.cannot(field, "runc has linux.timeOffsets from 1.2 on")
    if draft.host.uid == 0:
        draft.differ("there is no user namespace: uid 0 of the box is the host's root, without its "
                     "capabilities")
        draft.layers.add("nested-user")
    else:
        draft.lack("nested-user")
    draft.lack("seccomp", "landlock", "pids", "hidepid", "namespace-limit", "parent-death")
