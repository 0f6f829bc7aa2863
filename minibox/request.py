"""From a person's words to a plan: the arguments that the command and the Python API share.

Sizes, times and lists may be text ("64MiB", "1m30s", "0-1") or what the text stands for.
"""

from __future__ import annotations

import os
import stat

from minibox import cgroups, parse, spec
from minibox.errors import HostError, SpecError
from minibox.spec import BoxSpec, Device, DeviceRate, Mount, Ulimit, User

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any, TypeVar

    from minibox.facts import Host
    from minibox.plan import Plan

    Path = str | os.PathLike[str]
    T = TypeVar("T")


class Limits(spec.Limits):
    """What a box may use; None is no cap of that kind.

    memory: with page cache and tmpfs, in bytes or as "64MiB"; memory_swap: together with swap, -1
    for no limit on that.  cpus: CPU seconds per second; cpuset: CPU numbers, or "0-1,3".  pids:
    processes and threads.  walltime, cpu_time: seconds, or "1m30s".  output: bytes of stdout and
    stderr together.  tmpfs, tmpfs_inodes, shm: what may be written to memory.  ulimits: such as
    "nofile=256".  device_*: such as "/dev/sda:1M", per second.

    Errors: SpecError names the field, its value, and what would do.
    """

    def __init__(self, *, memory: int | str | None = None, memory_swap: int | str | None = None,
                 cpus: float | str | None = None, cpuset: Iterable[int] | str | None = None,
                 pids: int | str | None = None, walltime: float | str | None = None,
                 cpu_time: float | str | None = None, output: int | str | None = None,
                 tmpfs: int | str | None = None, tmpfs_inodes: int | str | None = None,
                 shm: int | str | None = None, ulimits: Iterable[str | Ulimit] = (),
                 oom_score_adj: int | str | None = None, device_read_bps: Iterable[str] = (),
                 device_write_bps: Iterable[str] = (), device_read_iops: Iterable[str] = (),
                 device_write_iops: Iterable[str] = ()) -> None:
        asked: dict[str, Any] = {
            "memory_bytes": _read(parse.size, "memory", memory),
            "cpus": _read(parse.decimal, "cpus", cpus),
            "cpuset": parse.cpus("cpuset-cpus", cpuset) if isinstance(cpuset, str) else
            None if cpuset is None else tuple(cpuset),
            "pids": _read(parse.integer, "pids-limit", pids),
            "walltime_s": _read(parse.duration, "timeout", walltime),
            "cputime_s": _read(parse.duration, "cpu-time", cpu_time),
            "output_bytes": _read(parse.size, "output-limit", output),
            "tmpfs_bytes": _read(parse.size, "tmpfs-size", tmpfs),
            "tmpfs_inodes": _read(parse.integer, "tmpfs-inodes", tmpfs_inodes),
            "shm_bytes": _read(parse.size, "shm-size", shm),
            "oom_score_adj": _read(parse.integer, "oom-score-adj", oom_score_adj)}
        if memory_swap is not None:
            asked["swap_bytes"] = _swap(parse.swap("memory-swap", memory_swap), asked)
        super().__init__(
            ulimits=tuple(_each(parse.ulimit, "ulimit", ulimits)),
            device_rates=(*_rates("read_bps", device_read_bps),
                          *_rates("write_bps", device_write_bps),
                          *_rates("read_iops", device_read_iops),
                          *_rates("write_iops", device_write_iops)),
            **{field: value for field, value in asked.items() if value is not None})


def box_spec(argv: Iterable[str], *, limits: spec.Limits | None = None,
             rootfs: Path | None = None, keep: Path | None = None,
             volumes: Iterable[str | Mount] = (), mounts: Iterable[str | Mount] = (),
             tmpfs: Iterable[str | Mount] = (), devices: Iterable[str | Device] = (),
             cwd: Path = "/", user: str | int | User = 0,
             env: Mapping[str, str] | Iterable[str | tuple[str, str]] = (),
             env_files: Iterable[Path] = (), network: str = "none", pid: str = "private",
             ipc: str = "private", uts: str = "private", time_offset: float | str | None = None,
             cap_add: Iterable[str] = (), cap_drop: Iterable[str] = (), privileged: bool = False,
             security_opts: Iterable[str] = (), without: Iterable[str] = (),
             terminal: bool = False, stop_signal: int | str = "TERM",
             stop_timeout: float | str = 10.0, here: bool = True, **others: Any) -> BoxSpec:
    """A box that runs *argv*, by what people say of it.

    rootfs: a directory, or the name of one that `minibox rootfs build` made; None for a read-only
    view of the host's own programs.  keep: a directory for what the box writes, which is forgotten
    otherwise.  volumes: "SOURCE:TARGET[:ro]"; mounts: "type=bind,..."; tmpfs: "TARGET[:size=16m]";
    devices: "SOURCE[:TARGET]".  cwd: where it starts, in the box.  user: "UID[:GID]".  network:
    "none", "loopback" or "host"; pid, ipc, uts: "private" or "host".  time_offset: seconds of boot
    time, or "monotonic=SECONDS,boottime=SECONDS".  cap_add, cap_drop: names of capabilities,
    or "ALL".  security_opts: "seccomp=unconfined", "seccomp=FILE", "landlock=off", "unmask=PATH".
    privileged: all capabilities, no filter of system calls, no Landlock, no masks.  without:
    names of LAYERS.  here: on this machine; else for another, whose paths have to be whole and
    are not looked at.  others: hostname, read_only, writable, root_by, ids, cgroups, best_effort,
    init, stdin, seccomp_log, as in BoxSpec.

    Errors: SpecError.
    """
    for name in others:
        if name not in BoxSpec.__fields__:
            is_limit = name in (Limits.__init__.__kwdefaults__ or ())
            place = f": say limits=minibox.Limits({name}=...)" if is_limit else ""
            raise TypeError(f"there is no argument {name!r}{place}")
    without = tuple(_each(_same, "without", without))
    return BoxSpec(
        argv=tuple(argv), limits=limits or spec.Limits(),
        rootfs=spec.HOST_VIEW if rootfs is None else
        _root(os.fspath(rootfs)) if here else _whole("rootfs", os.fspath(rootfs)),
        keep=None if keep is None else
        _absolute(os.fspath(keep)) if here else _whole("keep", os.fspath(keep)),
        mounts=(*_each(_volume if here else parse.volume, "volume", volumes),
                *_each(parse.mount, "mount", mounts),
                *_each(parse.tmpfs, "tmpfs", tmpfs)),
        devices=tuple(_each(_device, "device", devices)),
        workdir=os.fspath(cwd), user=_user(user),
        environment=_environment(env, env_files, terminal, "environment" in without),
        capabilities=_capabilities(("ALL",) if privileged else cap_add, cap_drop),
        **_walls(privileged, security_opts, without),
        share=_shared(net=network, pid=pid, ipc=ipc, uts=uts), loopback=network == "loopback",
        terminal=terminal, stop_signal=parse.signal("stop-signal", stop_signal),
        stop_timeout_s=parse.duration("stop-timeout", stop_timeout),
        **_offsets(time_offset), **others)


def plan_for(asked: BoxSpec, known: Host | None = None) -> Plan:
    """The plan of a box on this machine, or on the one that is *known*.

    A cap that lacks its controller may get it: from systemd, or by making room in a container;
    only then is the best effort less.

    Errors: HostError, SpecError.
    """
    from minibox import host
    from minibox.compiler import compile
    from minibox.record import replace

    found = known or host.find()
    try:
        return compile(replace(asked, best_effort=False) if asked.best_effort else asked, found)
    except HostError:
        from minibox.claim import claim

        return compile(asked, host.find() if claim() else found)


def _read(read: Callable[[str, Any], T], field: str, value: Any) -> T | None:
    return None if value is None else read(field, value)


def _each(read: Callable[[str, str], T], field: str, values: Iterable[str | T]) -> Iterator[T]:
    if isinstance(values, str):
        raise SpecError(field, values, "give a list of them")
    for value in values:
        yield read(field, value) if isinstance(value, str) else value


def _swap(both: int, asked: dict[str, Any]) -> int:
    """Of memory and swap together, the swap."""
    memory = asked["memory_bytes"]
    if both != -1 and memory is not None and both < memory:
        raise SpecError("memory-swap", both, "it is memory and swap together: give --memory or "
                        "more")
    return both if both == -1 or memory is None else both - memory


def _rates(kind: str, values: Iterable[str]) -> Iterator[DeviceRate]:
    field = f"device-{kind.replace('_', '-')}"
    for path, per_second in _each(parse.device_rate, field, values):
        major, minor = _disk(field, path) if os.path.isdir(path) else \
            _numbers(field, path, stat.S_ISBLK, "block device")
        yield DeviceRate(path=path, per_second=per_second, kind=kind, major=major, minor=minor)


def _disk(field: str, directory: str) -> tuple[int, int]:
    """The disk that a directory is on; of a partition the whole, which is what the kernel caps."""
    device = os.stat(directory).st_dev
    known = f"/sys/dev/block/{os.major(device)}:{os.minor(device)}"
    disk = f"{known}/.." if os.path.exists(f"{known}/partition") else known
    numbers = cgroups.read(f"{disk}/dev")
    if not numbers:
        raise SpecError(field, directory, "its file system is on no block device that is known by "
                        "it: name the device")
    major, _, minor = numbers.strip().partition(":")
    return int(major), int(minor)


def _absolute(path: str) -> str:
    return os.path.abspath(path) if path else path


def _whole(field: str, path: str) -> str:
    """A path of another machine."""
    if not path.startswith("/"):
        raise SpecError(field, path, "it is for another host: give the whole path there")
    return path


def _root(text: str) -> str:
    """A directory; a word without a slash is the name of a root file system that was built."""
    if "/" not in text and text not in ("", ".", ".."):
        from minibox.rootfs import find

        return find(text)
    path = _absolute(text)
    try:
        found = os.stat(path)
    except OSError as error:
        raise SpecError("rootfs", text, f"it cannot be reached: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise SpecError("rootfs", text, "it is not a directory")
    if os.path.samestat(found, os.stat("/")):
        raise SpecError("rootfs", text, "this is the host's own root, with all that is private in "
                        "it: leave --rootfs out to see the host's programs")
    return path


def _volume(field: str, text: str) -> Mount:
    """As Docker's -v; a source that begins with a dot counts from the caller's directory."""
    source, colon, rest = text.partition(":")
    return parse.volume(field, (_absolute(source) if source.startswith(".") else source)
                        + colon + rest)


def _device(field: str, text: str) -> Device:
    source, target = parse.device(field, text)
    major, minor = _numbers(field, source, stat.S_ISCHR, "character device")
    return Device(source=source, target=target, major=major, minor=minor)


def _numbers(field: str, path: str, kind: Callable[[int], bool], name: str) -> tuple[int, int]:
    """Which device *path* is: the engine shows, and the kernel caps, a device by its numbers."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise SpecError(field, path, f"it cannot be reached: {error.strerror}") from error
    if not kind(found.st_mode):
        raise SpecError(field, path, f"it is no {name}")
    return os.major(found.st_rdev), os.minor(found.st_rdev)


def _user(user: str | int | User) -> User:
    if isinstance(user, User):
        return user
    return User(uid=user) if isinstance(user, int) else parse.user("user", user)


def _environment(env: Mapping[str, str] | Iterable[str | tuple[str, str]],
                 files: Iterable[Path], terminal: bool, all_of_it: bool
                 ) -> tuple[tuple[str, str], ...]:
    """NAME to VALUE: of the files, then of *env*; a terminal's program must know its kind.
    all_of_it: what the caller has, first."""
    caller = dict(os.environ)
    found = {name: value for name, value in caller.items()
             if all_of_it or terminal and name == "TERM"}
    for path in files:
        found.update(parse.env_file("env-file", _text_of("env-file", os.fspath(path)), caller))
    for one in env.items() if hasattr(env, "items") else env:
        pair = parse.env("env", one, caller) if isinstance(one, str) else one
        if pair:
            found[pair[0]] = pair[1]
    return tuple(found.items())


def _text_of(field: str, path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except OSError as error:
        raise SpecError(field, path, f"it cannot be read: {error.strerror}") from error


def _same(field: str, text: str) -> str:
    return text


def _capabilities(added: Iterable[str], dropped: Iterable[str]) -> tuple[str, ...]:
    """Those that were added and not dropped, in the kernel's order; "ALL" is every one."""
    def names(field: str, asked: Iterable[str]) -> set[str]:
        found = {name.upper().removeprefix("CAP_") for name in _each(_same, field, asked)}
        if unknown := sorted(found.difference(spec.CAPABILITIES, ("ALL",))):
            raise SpecError(field, unknown[0], "give a capability by its name, such as NET_RAW, "
                            "or ALL (capabilities(7))")
        return set(spec.CAPABILITIES) if "ALL" in found else found

    kept = names("cap-add", added) - names("cap-drop", dropped)
    return tuple(name for name in spec.CAPABILITIES if name in kept)


def _walls(privileged: bool, options: Iterable[str], without: tuple[str, ...]) -> dict[str, Any]:
    """What --privileged and each --security-opt say of the filter, Landlock and the masks."""
    found: dict[str, Any] = {"without": without}
    if privileged:
        found = {"seccomp": "unconfined", "landlock": False, "unmask": ("ALL",),
                 "without": tuple(dict.fromkeys((*without, "namespace-limit")))}
    for option in _each(_same, "security-opt", options):
        name, _, value = option.replace(":", "=", 1).partition("=")
        if name == "seccomp" and value == "unconfined":
            found["seccomp"] = value
        elif name == "seccomp" and value:
            found["seccomp"] = _text_of("security-opt seccomp", value).lstrip()
        elif (name, value) == ("landlock", "off"):
            found["landlock"] = False
        elif name == "unmask" and value:
            found["unmask"] = (*found.get("unmask", ()), *value.split(":"))
        elif option != "no-new-privileges":         # which always holds
            raise SpecError("security-opt", option, "use seccomp=FILE, seccomp=unconfined, "
                            "landlock=off or unmask=PATH")
    return found


def _shared(**kinds: str) -> tuple[str, ...]:
    """The namespaces that stay the host's."""
    for kind, value in kinds.items():
        own = ("none", "loopback") if kind == "net" else ("private",)
        if value not in (*own, "host"):
            raise SpecError("network" if kind == "net" else kind, value,
                            f"use {', '.join(own)} or host")
    return tuple(kind for kind, value in kinds.items() if value == "host")


def _offsets(text: float | str | None) -> dict[str, Any]:
    """Both clocks' offsets; a number alone is for the boot time, which uptime shows."""
    if text is None:
        return {}
    if not isinstance(text, str) or "=" not in text:
        return {"boottime_offset_s": parse.offset("time-offset", text)}
    found = {}
    for word in text.split(","):
        clock, _, seconds = word.partition("=")
        if clock not in ("boottime", "monotonic"):
            raise SpecError("time-offset", text, "give SECONDS, or boottime=SECONDS and "
                            "monotonic=SECONDS with a comma between")
        found[f"{clock}_offset_s"] = parse.offset("time-offset", seconds)
    return found
