"""What may be asked for: BoxSpec and its parts, immutable, and nothing of this host in them.

Every value is checked once, here; after that its type can be trusted.  Text forms ("64MiB",
"SRC:DST:ro") are read by `minibox.parse`.
"""

from __future__ import annotations

from minibox.errors import SpecError
from minibox.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

NAMESPACES = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time")
"""All kinds of namespace, by their names in /proc/PID/ns."""

LAYERS = (
    "pid", "net", "ipc", "uts", "cgroup", "nested-user", "namespace-limit", "pivot-root", "view",
    "propagation", "masks", "read-only-paths", "hidepid", "boot-id", "dev", "nosuid", "nodev",
    "tmpfs-caps", "keyring", "capabilities", "no-new-privs", "landlock", "seccomp", "rlimits",
    "pids", "oom-score", "session", "streams", "descriptors", "environment", "umask", "signals",
    "parent-death")
"""The walls of a box that can be left out, one by one, to see what each of them holds. The user and
mount namespaces are not among them: without those, set-up would change the host itself."""

CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
    "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW",
    "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT",
    "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD",
    "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG",
    "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE")
"""All capabilities without their CAP_; the place is the number (capabilities(7), Linux 5.9)."""

MAX_ID = 2**32 - 2
"""The largest user or group id: 2**32 - 1 means "no id" to the kernel."""

MAX_COMMAND_BYTES = 6 << 20
"""What the kernel takes of arguments and environment together, whatever the limit on the stack."""

MAX_BYTES = 2**62
MAX_SECONDS = 10**9

HOST_VIEW = ""
"""The root file system that shows the host's own system directories, read-only."""


def _range(field: str, value: int | float | None, low: float, high: float, hint: str) -> None:
    if value is not None and not low <= value <= high:        # false for nan as well
        raise SpecError(field, value, hint)


def _size(field: str, text: str) -> int:
    try:
        return len(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        raise SpecError(field, text, "has half of a surrogate pair, which no bytes stand for"
                        ) from None


def _names(path: str) -> list[str]:
    """The names that *path* goes through."""
    return [name for name in path.split("/") if name not in ("", ".")]


def _text(field: str, value: str, *, absolute: bool = False) -> None:
    if not value or "\0" in value:
        raise SpecError(field, value, "give a text that is not empty and has no NUL")
    if absolute and not value.startswith("/"):
        raise SpecError(field, value, "give an absolute path, one that begins with /")
    if _size(field, value) > 4095:
        raise SpecError(field, value, "a path has at most 4095 bytes")


class Ulimit(Record):
    """One resource limit. name: as `ulimit` in Docker ("nofile", "core"); soft, hard: in
    getrlimit(2)'s units, -1 for unlimited."""

    name: str
    soft: int
    hard: int

    NAMES: ClassVar[tuple[str, ...]] = (
        "cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "as",
        "locks", "sigpending", "msgqueue", "nice", "rtprio", "rttime")

    def __post_init__(self) -> None:
        if self.name not in self.NAMES:
            raise SpecError("ulimit", self.name, f"use one of {', '.join(self.NAMES)}")
        for value in (self.soft, self.hard):
            _range("ulimit", value, -1, MAX_BYTES, "give a number, or -1 for unlimited")
        if self.hard != -1 and (self.soft == -1 or self.soft > self.hard):
            raise SpecError("ulimit", f"{self.name}={self.soft}:{self.hard}",
                            "the soft limit may not be above the hard one")

    @property
    def resource(self) -> int:
        """The number that setrlimit(2) knows it by."""
        return self.NAMES.index(self.name)


class DeviceRate(Record):
    """A cap on one block device. path: the device on the host, major and minor its numbers;
    per_second: bytes or operations; kind: "read_bps", "write_bps", "read_iops" or "write_iops"."""

    path: str
    per_second: int
    kind: str
    major: int
    minor: int

    def __post_init__(self) -> None:
        _text("device rate", self.path, absolute=True)
        _range("device rate", self.per_second, 1, MAX_BYTES, "give a rate of at least 1")


class Limits(Record):
    """What the box may use. None: no cap asked for; the defaults below are finite all the same.

    memory_bytes: of RAM, page cache and tmpfs included; swap_bytes: on top of it, 0 by default
    when memory is capped (Docker's --memory-swap minus --memory).
    cpus: CPU seconds per second; cpuset: CPU numbers.  pids: processes and threads, init not
    counted.  walltime_s from exec, cputime_s over all processes.  output_bytes: stdout and
    stderr together.
    """

    memory_bytes: int | None = None
    swap_bytes: int | None = None
    cpus: float | None = None
    cpuset: tuple[int, ...] | None = None
    pids: int | None = None
    walltime_s: float | None = None
    cputime_s: float | None = None
    output_bytes: int | None = None
    tmpfs_bytes: int = 256 << 20
    tmpfs_inodes: int = 100_000
    shm_bytes: int = 64 << 20
    ulimits: tuple[Ulimit, ...] = ()
    oom_score_adj: int = 500
    device_rates: tuple[DeviceRate, ...] = ()

    def __post_init__(self) -> None:
        _range("memory", self.memory_bytes, 256 << 10, MAX_BYTES, "give 256K or more, such as 64M")
        _range("memory-swap", self.swap_bytes, -1, MAX_BYTES,
               "give memory and swap together, at least --memory, or -1 for no limit on swap")
        if self.swap_bytes is not None and self.memory_bytes is None:
            raise SpecError("memory-swap", self.swap_bytes, "give --memory as well")
        _range("cpus", self.cpus, 0.01, 4096, "give a number of CPUs from 0.01, such as 0.5")
        if self.cpuset is not None and not self.cpuset:
            raise SpecError("cpuset-cpus", self.cpuset, "name at least one CPU, such as 0 or 0-1")
        for cpu in self.cpuset or ():
            _range("cpuset-cpus", cpu, 0, 8191, "CPU numbers go from 0 to 8191")
        _range("pids-limit", self.pids, 1, 4_194_304, "give a number from 1 to 4194304")
        for field, value in (("timeout", self.walltime_s), ("cpu-time", self.cputime_s)):
            _range(field, value, 0.001, MAX_SECONDS, "give seconds from 0.001, such as 2 or 0.5")
        _range("output-limit", self.output_bytes, 1, MAX_BYTES, "give a size of 1 byte or more")
        _range("tmpfs-size", self.tmpfs_bytes, 4096, MAX_BYTES, "give 4K or more, such as 64M")
        _range("tmpfs-inodes", self.tmpfs_inodes, 64, 2**31, "give 64 or more")
        _range("shm-size", self.shm_bytes, 4096, MAX_BYTES, "give 4K or more, such as 64M")
        _range("oom-score-adj", self.oom_score_adj, -1000, 1000, "give -1000 to 1000")
        names = [limit.name for limit in self.ulimits]
        for name in names:
            if names.count(name) > 1:
                raise SpecError("ulimit", name, "give each limit once")


class User(Record):
    """Who the application is, in the box's own ids. gid None: the same number as uid."""

    uid: int = 0
    gid: int | None = None

    def __post_init__(self) -> None:
        for number in (self.uid, self.gid):
            _range("user", number, 0, MAX_ID, f"an id goes from 0 to {MAX_ID}")


class Mount(Record):
    """One mount that was asked for.

    type: "bind" or "tmpfs"; source: the host's path (bind); target: absolute, in the box.
    size_bytes, inodes, mode: for tmpfs; None takes the box's defaults.
    """

    type: str
    target: str
    source: str = ""
    read_only: bool = False
    size_bytes: int | None = None
    inodes: int | None = None
    mode: int = 0o1777

    def __post_init__(self) -> None:
        if self.type not in ("bind", "tmpfs"):
            raise SpecError("mount", self.type, "type is bind or tmpfs")
        _text("mount target", self.target, absolute=True)
        names = _names(self.target)
        if ".." in names:
            raise SpecError("mount target", self.target, "give a path without ..")
        if not names:
            raise SpecError("mount target", self.target, "the root itself is given by --rootfs")
        if names[0] == "proc" or names in (["dev"], ["dev", "pts"]):
            raise SpecError("mount target", self.target, "the box's own is there: choose another")
        if self.type == "bind":
            _text("mount source", self.source, absolute=True)
        elif self.source:
            raise SpecError("mount source", self.source, "a tmpfs has no source")
        _range("tmpfs size", self.size_bytes, 4096, MAX_BYTES, "give 4K or more, such as 64M")
        _range("tmpfs inodes", self.inodes, 64, 2**31, "give 64 or more")
        _range("tmpfs mode", self.mode, 0, 0o7777, "give an octal mode such as 1777")


class Device(Record):
    """A device of the host to show in the box. source, target: absolute paths; major, minor: which
    device the source is."""

    source: str
    target: str
    major: int
    minor: int

    def __post_init__(self) -> None:
        _text("device", self.source, absolute=True)
        _text("device", self.target, absolute=True)


SHAREABLE = ("net", "pid", "ipc", "uts")
"""Kinds of namespace that can be the host's."""


class BoxSpec(Record):
    """One box, as asked for: `minibox run`'s flags, one field each.

    argv: the program and its arguments; a name without a slash is looked for in the box's PATH.
    environment: NAME to value, on top of the defaults.  rootfs: HOST_VIEW or an absolute path.
    share: kinds of namespace that stay the host's (net, pid, ipc, uts).  loopback: internet sockets
    may be used, over the box's own loopback interface.
    ids: "auto", "one" or "range".  cgroups: "auto" (when a cap needs one), "enabled", "disabled".
    keep: where what the box writes stays, None to forget it.  root_by: "pivot_root" or "chroot".
    capabilities: those that the application keeps, in its own user namespace, of CAPABILITIES.
    seccomp: "default", "unconfined", or a profile in Docker's JSON; seccomp_log: count what it
    refuses.  unmask: paths of /proc that are neither masked nor read-only, ("ALL",) for all.
    without: LAYERS that are left out.
    """

    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    workdir: str = "/"
    user: User = User()
    capabilities: tuple[str, ...] = ()
    seccomp: str = "default"
    seccomp_log: bool = False
    landlock: bool = True
    unmask: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    hostname: str = "minibox"
    rootfs: str = HOST_VIEW
    read_only: bool = False
    writable: bool = False
    keep: str | None = None
    root_by: str = "pivot_root"
    mounts: tuple[Mount, ...] = ()
    devices: tuple[Device, ...] = ()
    share: tuple[str, ...] = ()
    loopback: bool = False
    boottime_offset_s: float | None = None
    monotonic_offset_s: float | None = None
    ids: str = "auto"
    cgroups: str = "auto"
    limits: Limits = Limits()
    best_effort: bool = False
    init: bool = True
    stdin: bool = False
    terminal: bool = False
    stop_signal: int = 15
    stop_timeout_s: float = 10.0

    def __post_init__(self) -> None:
        self._check_program()
        self._check_root()
        self._check_walls()
        for kind in self.share:
            if kind not in SHAREABLE:
                raise SpecError("share", kind, "only net, pid, ipc and uts can be the host's")
        if self.ids not in ("auto", "one", "range"):
            raise SpecError("ids", self.ids, "use auto, one or range")
        if self.cgroups not in ("auto", "enabled", "disabled"):
            raise SpecError("cgroups", self.cgroups, "use auto, enabled or disabled")
        for field, value in (("time-offset", self.boottime_offset_s),
                             ("time-offset", self.monotonic_offset_s)):
            _range(field, value, -MAX_SECONDS, MAX_SECONDS, "give seconds, such as 86400")
        _range("stop-timeout", self.stop_timeout_s, 0, MAX_SECONDS, "give seconds, such as 10")
        _range("stop-signal", self.stop_signal, 1, 64, "give a signal's name or number")
        targets = [_names(mount.target) for mount in self.mounts]
        for mount, names in zip(self.mounts, targets, strict=True):
            if targets.count(names) > 1:
                raise SpecError("mount target", mount.target, "mount one thing on one place")
        if not self.init and "pid" in self.share:
            raise SpecError("init", False, "without one nobody reaps the box's processes among the "
                            "host's: leave --no-init or --pid host out")
        if not self.init and (self.boottime_offset_s, self.monotonic_offset_s) != (None, None):
            raise SpecError("init", False, "only what an init starts gets other clocks: leave "
                            "--no-init or --time-offset out")

    def _check_program(self) -> None:
        if not self.argv or not self.argv[0]:
            raise SpecError("command", self.argv, "name a program to run")
        for argument in self.argv:
            if "\0" in argument:
                raise SpecError("command", argument, "an argument cannot have a NUL in it")
            if _size("command", argument) >= 128 << 10:
                raise SpecError("command", argument, "the kernel takes at most 131071 bytes in one "
                                "argument (MAX_ARG_STRLEN); pass it by a file or by stdin")
        for name, value in self.environment:
            if not name or "=" in name or "\0" in name + value:
                raise SpecError("env", f"{name}={value}", "a name is not empty and has neither = "
                                "nor NUL, a value has no NUL")
        total = (sum(_size("command", argument) for argument in self.argv)
                 + sum(_size("env", name + value) for name, value in self.environment))
        if total > MAX_COMMAND_BYTES:
            raise SpecError("command", f"{total} bytes", "the kernel takes at most 6 MiB of "
                            "arguments and environment; pass them by a file or by stdin")
        _text("workdir", self.workdir, absolute=True)
        plain = self.hostname.isascii() and self.hostname.isprintable() and " " not in self.hostname
        if not plain or not 0 < len(self.hostname) <= 64:
            raise SpecError("hostname", self.hostname, "give 1 to 64 letters, digits and dashes")

    def _check_root(self) -> None:
        if self.rootfs != HOST_VIEW:
            _text("rootfs", self.rootfs, absolute=True)
        if self.keep is not None:
            _text("keep", self.keep, absolute=True)
        if self.root_by not in ("pivot_root", "chroot"):
            raise SpecError("root-by", self.root_by, "use pivot_root or chroot")
        if self.writable and self.rootfs == HOST_VIEW:
            raise SpecError("rw", True, "the host's own directories are never writable; "
                            "give --rootfs DIR, or leave --rw out")
        chosen = [name for name, on in (("--read-only", self.read_only), ("--rw", self.writable),
                                        ("--keep", self.keep is not None)) if on]
        if len(chosen) > 1:
            raise SpecError(chosen[1], chosen[0], "these contradict each other, choose one")

    def _check_walls(self) -> None:
        for name in self.capabilities:
            if name not in CAPABILITIES:
                raise SpecError("cap-add", name, "give a capability by its name, such as NET_RAW, "
                                "or ALL (capabilities(7))")
        for layer in self.without:
            if layer not in LAYERS:
                raise SpecError("without", layer, f"the layers are {', '.join(LAYERS)}")
        if self.seccomp not in ("default", "unconfined") and not self.seccomp.startswith("{"):
            raise SpecError("security-opt seccomp", self.seccomp, "give unconfined, or a file with "
                            "a profile in JSON, as for Docker")
        if self.seccomp_log and (self.seccomp == "unconfined" or "seccomp" in self.without):
            raise SpecError("seccomp-log", True, "this box has no filter that could refuse a call")
        for path in self.unmask:
            if path != "ALL":
                _text("security-opt unmask", path, absolute=True)
