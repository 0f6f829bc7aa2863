"""Processes, their namespaces, ids and limits."""

from __future__ import annotations

import os
import sys

from minibox.core import ffi
from minibox.syscalls.flags import CLONE
from minibox.syscalls.raw import Path, by_python, call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import NoReturn

__all__ = [
    "fork", "clone3", "unshare", "setns", "waitpid", "execve", "kill", "pidfd_open",
    "pidfd_send_signal", "setsid", "setresuid", "setresgid", "setgroups", "sethostname", "prlimit",
    "sched_setaffinity", "write_id_map"]

SIGCHLD = 17


def fork() -> int:
    """Make a child: 0 in the child, its pid in the parent. What is buffered is written first.

    Errors: EAGAIN: RLIMIT_NPROC or pids.max; ENOMEM, also where PID 1 of the namespace is dead.
    Source: fork(2).
    Example: `if fork() == 0: execve("/bin/sh", ["sh"], {})`
    """
    sys.stdout.flush()
    sys.stderr.flush()
    return by_python("fork", os.fork)


def clone3(flags: int, *, cgroup: int = -1, exit_signal: int = SIGCHLD) -> int:
    """Make a child in new namespaces at once: 0 in the child, its pid (as we see it) in the parent.

    flags: CLONE_NEW...; cgroup: a descriptor of a cgroup v2 directory in which it is born (with
    CLONE_INTO_CGROUP). It returns twice, and Python does not know of it: have one thread only, and
    leave the child by execve or os._exit. What is buffered is written first.
    Errors: EPERM without CLONE_NEWUSER or privilege; ENOSYS under some filters; ENOSPC, EAGAIN.
    Source: clone(2); Linux 5.3, CLONE_INTO_CGROUP 5.7.
    Example: `pid = clone3(CLONE_NEWUSER | CLONE_NEWPID)`
    """
    sys.stdout.flush()
    sys.stderr.flush()
    how = {"flags": int(flags), "exit_signal": int(exit_signal)}
    if cgroup >= 0:
        how["cgroup"] = cgroup
    return call("clone3", ffi.new("struct clone_args *", how), given=(CLONE(flags),))


def unshare(flags: int) -> None:
    """Leave some namespaces for new ones. A new PID or time namespace is for children only.

    Errors: EPERM: all but CLONE_NEWUSER take CAP_SYS_ADMIN; EINVAL with several threads; ENOSPC.
    Source: unshare(2), namespaces(7).
    Example: `unshare(CLONE_NEWUSER | CLONE_NEWNS)`
    """
    call("unshare", int(flags), given=(CLONE(flags),))


def setns(fd: int, kinds: int = 0) -> None:
    """Enter the namespace that descriptor *fd* of /proc/PID/ns/KIND stands for.

    kinds: CLONE_NEW... that it must be, 0 for any; with a pidfd, which of that process's to enter.
    Errors: EPERM without CAP_SYS_ADMIN over it; EINVAL: of another kind; EBADF.
    Source: setns(2); pidfds Linux 5.8.
    Example: `setns(os.open("/proc/1234/ns/net", os.O_RDONLY), CLONE_NEWNET)`
    """
    call("setns", fd, int(kinds), given=(fd, CLONE(kinds)))


def waitpid(pid: int, options: int = 0) -> tuple[int, int]:
    """Wait for a child (-1 for any): its pid, and its exit status, or minus the signal.

    options: os.WNOHANG gives (0, 0) where none has ended.
    Errors: ECHILD: there is no such child.
    Source: wait(2).
    Example: `_, status = waitpid(pid)`
    """
    found, status = by_python("waitpid", os.waitpid, pid, options)
    return found, os.waitstatus_to_exitcode(status) if found else 0


def execve(path: Path, argv: Iterable[str], environment: Mapping[str, str]) -> NoReturn:
    """Become another program. It does not return.

    Errors: ENOENT, EACCES, ENOEXEC, E2BIG.
    Source: execve(2).
    Example: `execve("/bin/ls", ["ls", "/"], {"PATH": "/bin"})`
    """
    sys.stdout.flush()
    sys.stderr.flush()
    by_python("execve", os.execve, os.fspath(path), list(argv), dict(environment))
    raise AssertionError("execve returned")


def kill(pid: int, signal: int) -> None:
    """Send a signal to a process (-1: to all that one may, -PID: to a process group).

    Errors: ESRCH, EPERM.
    Source: kill(2).
    Example: `kill(pid, signal.SIGTERM)`
    """
    by_python("kill", os.kill, pid, signal)


def pidfd_open(pid: int) -> int:
    """A descriptor that stands for process *pid*, and for no other that gets its number later.

    Errors: ESRCH.
    Source: pidfd_open(2); Linux 5.3.
    Example: `select.select([pidfd_open(pid)], [], [])   # until it ends`
    """
    return call("pidfd_open", pid, 0, given=(pid, 0))


def pidfd_send_signal(pidfd: int, signal: int) -> None:
    """Send a signal to the process that *pidfd* stands for.

    Errors: ESRCH: it has ended; EPERM.
    Source: pidfd_send_signal(2); Linux 5.1.
    Example: `pidfd_send_signal(pidfd, signal.SIGKILL)`
    """
    call("pidfd_send_signal", pidfd, int(signal), given=(pidfd, int(signal)))


def setsid() -> int:
    """Lead a new session, without a terminal; its id.

    Errors: EPERM: this process leads a process group already.
    Source: setsid(2).
    Example: `setsid()`
    """
    return call("setsid")


def setresuid(real: int, effective: int, saved: int) -> None:
    """Become another user, as this user namespace numbers them.

    Errors: EPERM without CAP_SETUID for an id that is not one's own; EINVAL: it is not mapped.
    Source: setresuid(2), user_namespaces(7).
    Example: `setresuid(0, 0, 0)`
    """
    call("setresuid", real, effective, saved)


def setresgid(real: int, effective: int, saved: int) -> None:
    """Take another group, as this user namespace numbers them.

    Errors: EPERM without CAP_SETGID; EINVAL: it is not mapped.
    Source: setresgid(2).
    Example: `setresgid(0, 0, 0)`
    """
    call("setresgid", real, effective, saved)


def setgroups(groups: Iterable[int]) -> None:
    """Take these supplementary groups, and drop all others.

    Errors: EPERM without CAP_SETGID, or where /proc/self/setgroups says deny; EINVAL.
    Source: setgroups(2), user_namespaces(7).
    Example: `setgroups([])`
    """
    wanted = list(groups)
    call("setgroups", len(wanted), ffi.new("unsigned[]", wanted), given=(len(wanted), wanted))


def sethostname(name: str) -> None:
    """Name the host, in this UTS namespace.

    Errors: EPERM without CAP_SYS_ADMIN over it; EINVAL: more than 64 bytes.
    Source: sethostname(2), uts_namespaces(7).
    Example: `sethostname("box")`
    """
    raw = name.encode()
    call("sethostname", raw, len(raw), given=(name, len(raw)))


def prlimit(resource: int, soft: int, hard: int) -> None:
    """Limit what this process may use: a number of the module `resource`; -1 is unlimited.

    Errors: EPERM: raising a hard limit; EINVAL: soft above hard.
    Source: prlimit(2).
    Example: `prlimit(resource.RLIMIT_NOFILE, 64, 64)`
    """
    limit = ffi.new("struct rlimit *", {"rlim_cur": soft & 2**64 - 1, "rlim_max": hard & 2**64 - 1})
    call("prlimit64", 0, resource, limit, None, given=(0, resource, [soft, hard], None))


def sched_setaffinity(cpus: Iterable[int]) -> None:
    """Run on these CPUs only.

    Errors: EINVAL: none of them may be used.
    Source: sched_setaffinity(2).
    Example: `sched_setaffinity([0])`
    """
    wanted = sorted(cpus)
    mask = sum(1 << cpu for cpu in wanted).to_bytes(1024, "little")
    call("sched_setaffinity", 0, len(mask), ffi.from_buffer("uint64_t[]", mask),
         given=(0, wanted))


# ---- not calls, but what every container needs -------------------------------------------------

def write_id_map(pid: int | str, uids: Iterable[tuple[int, int, int]],
                 gids: Iterable[tuple[int, int, int]], *, deny_setgroups: bool = True) -> None:
    """Write the maps of the user namespace of *pid* or "self", once: (inside, outside, count) each.

    An ordinary user may map the own ids only, one each, and groups only after setgroups is denied.
    Errors: of open and write, with the file: EPERM: not one's own ids, or written before; ENOENT,
    EACCES: not one's own process.
    Source: user_namespaces(7); Linux 3.8, setgroups 3.19.
    Example: `write_id_map("self", [(0, uid, 1)], [(0, gid, 1)])`
    """
    files = [("setgroups", "deny")] if deny_setgroups else []
    for name, triples in (("uid_map", uids), ("gid_map", gids)):
        files.append((name, "".join(f"{inside} {outside} {count}\n"
                                    for inside, outside, count in triples)))
    for name, text in files:
        path = f"/proc/{pid}/{name}"
        fd = by_python("open", os.open, path, os.O_WRONLY, given=(path, "O_WRONLY"))
        try:
            by_python("write", os.write, fd, text.encode(), given=(path, text))
        finally:
            os.close(fd)
