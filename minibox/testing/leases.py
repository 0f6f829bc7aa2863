"""Leases of cores and memory, which hold among all processes of a user.

A lease is a file that says what it takes, and it holds while its file is locked (flock(2)): so it
ends with the process that has it, however that ends, and no daemon keeps accounts.  (The boxes of a
process that was killed outlive it, and its leases, by the millisecond that their engines need.)
Whoever takes one has its *turn*, a lock of its own, reads what the others hold, and takes of the
rest.

Cores are leased whole: all hardware threads of one share its units and caches, so two boxes on one
core would measure each other.  Several come from one NUMA node where one has them free.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import stat
from contextlib import suppress

from minibox import cgroups, parse
from minibox.errors import HostError, SpecError
from minibox.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SYSTEM = "/sys/devices/system"

RELEASED = 0x200 | 0x8
"""IN_DELETE, of a lease that was released, and IN_CLOSE_WRITE, of a turn that was passed or a lease
whose process was killed: nobody else may close a file there that can be written."""


class Core(Record):
    """One physical core. cpus: its hardware threads, by number; node: its NUMA node."""

    cpus: tuple[int, ...]
    node: int = 0


class Lease(Record):
    """What one run has for itself. cpus: CPU numbers, all threads of its cores; memory_bytes: what
    it was promised, which is its memory cap."""

    cpus: tuple[int, ...] = ()
    memory_bytes: int = 0


class Held:
    """A lease while it holds."""

    def __init__(self, lease: Lease, path: str, fd: int) -> None:
        self.lease, self._path, self._fd = lease, path, fd

    def release(self) -> None:
        """Give it back."""
        with suppress(FileNotFoundError):                   # somebody cleaned up
            os.unlink(self._path)
        os.close(self._fd)


class Leases:
    """Takes leases of this machine, or of the *cores* that are given.

    directory: where the lease files are; all that share it respect each other.  By default
    /run/minibox/leases for root, for a user a place of its own (MINIBOX_LEASES names another).
    """

    def __init__(self, directory: str | None = None, cores: Iterable[Core] | None = None) -> None:
        self.cores = tuple(machine() if cores is None else cores)
        self._directory = directory or _directory()
        self._turn, self._has_turn = -1, False
        _own(self._directory)

    def check(self, cores: int, memory_bytes: int) -> None:
        """Errors: SpecError if that much would not be free if nobody else had any."""
        if cores > len(self.cores):
            raise SpecError("cores_per_run", cores, f"this process may use {len(self.cores)} "
                            f"({_listed(cpu for core in self.cores for cpu in core.cpus)})")
        if memory_bytes > (most := available_bytes()):
            raise SpecError("memory", memory_bytes, f"{most} bytes are available here: give less, "
                            "or make room")

    def take(self, cores: int, memory_bytes: int) -> Held | None:
        """A lease, None if there is none to be had now: then ask again when something was released.

        From a None on this has the turn, so that who wants much is not passed by all who want
        little; `pass_turn` if it is not wanted any more.

        Errors: SpecError if it can never be had; HostError where lease files cannot be written.
        """
        if not self._take_turn():
            return None
        others = list(self._others())
        promised = sum(other.memory_bytes for other in others)
        cpus = choose(self.cores, {cpu for other in others for cpu in other.cpus}, cores)
        if cpus is None or memory_bytes and memory_bytes > self._unpromised(promised):
            if not others:
                self.pass_turn()
                self.check(cores, memory_bytes)
            return None
        try:
            return self._hold(Lease(cpus=cpus, memory_bytes=memory_bytes))
        finally:
            self.pass_turn()

    def _take_turn(self) -> bool:
        if self._turn < 0:
            self._turn = _open(f"{self._directory}/turn", os.O_CREAT)
        # It stays open: to close it would tell those who wait that it is free.
        self._has_turn = self._has_turn or _lock(self._turn)
        return self._has_turn

    def pass_turn(self) -> None:
        """Let the next one choose."""
        fd, self._turn, self._has_turn = self._turn, -1, False
        if fd >= 0:
            fcntl.flock(fd, fcntl.LOCK_UN)                  # before those who watch are told
            os.close(fd)

    def watch(self) -> int:
        """A descriptor that can be read when somebody released a lease or passed the turn.

        -1 where there is none to be had: inotify(7) has a limit for each user.
        """
        libc = ctypes.CDLL(None)
        fd = int(libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
        if fd >= 0 and libc.inotify_add_watch(fd, os.fsencode(self._directory), RELEASED) < 0:
            os.close(fd)
            return -1
        return fd

    def _others(self) -> Iterator[Lease]:
        """All leases that hold. The files of those that no longer do are removed."""
        for name in os.listdir(self._directory):
            if not name.startswith("lease-"):
                continue
            path = f"{self._directory}/{name}"
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)  # see RELEASED
            except FileNotFoundError:
                continue                                    # released since
            try:
                if _lock(fd):
                    with suppress(FileNotFoundError):
                        os.unlink(path)
                else:
                    yield _read(os.pread(fd, 1 << 16, 0).decode())
            finally:
                os.close(fd)

    def _unpromised(self, promised: int) -> int:
        """Bytes of memory that nobody was promised.

        Of what was available when nobody had any: what the boxes use by now is not to be counted
        twice.
        """
        path = f"{self._directory}/available"
        if not promised or not (before := cgroups.read(path)).isdecimal():
            before = str(available_bytes())
            fd = _open(path, os.O_CREAT | os.O_TRUNC)
            os.write(fd, before.encode())
            os.close(fd)
        return int(before) - promised

    def _hold(self, lease: Lease) -> Held:
        path = f"{self._directory}/lease-{os.getpid()}-{os.urandom(6).hex()}"
        fd = _open(path, os.O_CREAT | os.O_EXCL)
        held = Held(lease, path, fd)
        try:
            assert _lock(fd)
            os.write(fd, f"cpus {_listed(lease.cpus)}\nmemory {lease.memory_bytes}\n".encode())
        except OSError as error:
            held.release()
            raise _refused(path, error) from error
        return held


def choose(cores: Iterable[Core], taken: set[int], count: int) -> tuple[int, ...] | None:
    """The CPUs of *count* cores of which none is taken, None if there are not so many.

    From the node that has the fewest that are enough, so that nodes stay whole for who wants many;
    else from as few nodes as will do.
    """
    free: dict[int, list[Core]] = {}
    for core in cores:
        if not taken.intersection(core.cpus):
            free.setdefault(core.node, []).append(core)
    enough = [node for node in free.values() if len(node) >= count]
    nodes = [min(enough, key=len)] if enough else sorted(free.values(), key=len, reverse=True)
    chosen = [core for node in nodes for core in node][:count]
    return tuple(cpu for core in chosen for cpu in core.cpus) if len(chosen) == count else None


def machine(system: str = SYSTEM, usable: Iterable[int] | None = None) -> tuple[Core, ...]:
    """The cores of this machine, with those of their threads that this process may use.

    Source: sysfs, Documentation/ABI/stable/sysfs-devices-system-cpu; where there is none (some
    containers) each CPU counts as a core.
    """
    allowed = set(os.sched_getaffinity(0) if usable is None else usable)
    nodes = {cpu: int(name[4:]) for name in _entries(f"{system}/node")
             if name.startswith("node") and name[4:].isdecimal()
             for cpu in _numbers(f"{system}/node/{name}/cpulist")}
    found: dict[tuple[int, ...], Core] = {}
    for cpu in sorted(allowed):
        threads = _numbers(f"{system}/cpu/cpu{cpu}/topology/thread_siblings_list") or (cpu,)
        found.setdefault(threads, Core(cpus=tuple(one for one in threads if one in allowed),
                                       node=nodes.get(cpu, 0)))
    return tuple(found.values())


def available_bytes() -> int:
    """Memory that could be used now without swapping, by this machine and by the cgroups we are in.

    Source: MemAvailable of proc_meminfo(5); of each cgroup its limit less its usage, without page
    cache that is not in use, as `docker stats` counts.
    """
    meminfo = dict(line.split(":", 1) for line in cgroups.lines(cgroups.read("/proc/meminfo")))
    least = int(meminfo["MemAvailable"].split()[0]) << 10
    for hierarchy in cgroups.current():
        if hierarchy.version == 2 or "memory" in hierarchy.controllers:
            names = _FILES[hierarchy.version]
            for directory in cgroups.upwards(hierarchy):
                least = min(least, _room(directory, *names, otherwise=least))
    return max(0, least)


_FILES = {1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
          2: ("memory.max", "memory.current", "inactive_file")}


def _room(directory: str, limit: str, usage: str, idle: str, otherwise: int) -> int:
    most, used = (cgroups.read(f"{directory}/{name}").strip() for name in (limit, usage))
    if not (most.isdecimal() and used.isdecimal()):
        return otherwise                                    # "max", or no such file at the root
    statistics = dict(line.split(" ", 1)
                      for line in cgroups.lines(cgroups.read(f"{directory}/memory.stat")))
    return int(most) - int(used) + int(statistics.get(idle, 0))


def _entries(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _numbers(path: str) -> tuple[int, ...]:
    text = cgroups.read(path).strip()
    return parse.cpus(path, text) if text else ()


def _listed(cpus: Iterable[int]) -> str:
    return ",".join(map(str, cpus))


def _read(text: str) -> Lease:
    values = dict(line.split(" ", 1) for line in cgroups.lines(text))
    cpus = values.get("cpus", "")
    return Lease(cpus=parse.cpus("lease", cpus) if cpus else (),
                 memory_bytes=int(values.get("memory", 0)))


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open(path: str, how: int) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | how, 0o600)
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: str, error: OSError) -> HostError:
    return HostError("leases", f"{path}: {error.strerror}",
                     "name a directory of your own by MINIBOX_LEASES")


def _directory() -> str:
    if named := os.environ.get("MINIBOX_LEASES"):
        return os.path.abspath(named)
    if os.geteuid() == 0:
        return "/run/minibox/leases"
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    return f"{base}/minibox/leases" if base else f"/tmp/minibox-{os.geteuid()}/leases"


def _own(directory: str) -> None:
    """Make *directory*; in a place that all may write to, it must be nobody else's."""
    for one in (os.path.dirname(directory), directory):
        try:
            os.makedirs(one, mode=0o755 if os.geteuid() == 0 else 0o700, exist_ok=True)
            found = os.lstat(one)
        except OSError as error:
            raise _refused(one, error) from error
        others = stat.S_IMODE(found.st_mode) & 0o022 and not found.st_mode & stat.S_ISVTX
        if found.st_uid not in (0, os.geteuid()) or others or not stat.S_ISDIR(found.st_mode):
            raise HostError("leases", f"{one} is not yours alone",
                            "name a directory of your own by MINIBOX_LEASES")
