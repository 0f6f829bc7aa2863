# file: box.py
# fails: root writable-root
"""A container: python3 box.py ROOT COMMAND [ARGUMENT]..., without root.

Three processes, as in most runtimes: this one waits outside, its child is PID 1 of the box and
reaps, the command runs below that.
"""

import errno
import os
import platform
import secrets
import signal
import sys
from contextlib import suppress
from pathlib import Path

from minibox import syscalls as sc

V2 = Path("/cgroup/cgroup.procs").exists()
X32 = 0x40000000

# What a program in a box has no business with, by number: mount, umount2, pivot_root, unshare,
# setns, ptrace, bpf, keyctl, the mount calls of Linux 5.2 and 5.12; and clone3, whose flags lie in
# memory, where no filter can see them.
ARCH, REFUSED = {
    "x86_64": (sc.AUDIT_ARCH_X86_64, (165, 166, 155, 272, 308, 101, 321, 250, 428, 429, 430, 442)),
    "aarch64": (sc.AUDIT_ARCH_AARCH64, (40, 39, 41, 97, 268, 117, 280, 219, 428, 429, 430, 442)),
}[platform.machine()]
CLONE3 = 435


def cap_resources() -> list[Path]:
    """A cgroup of its own, if we have any to divide: 64 MiB, 32 processes."""
    if not Path("/cgroup").exists():
        return []
    name = f"box-{secrets.token_hex(8)}"
    memory, pids = (Path("/cgroup", "" if V2 else which, name) for which in ("memory", "pids"))
    for group in {memory, pids}:
        group.mkdir()
    (pids / "pids.max").write_text("32")
    size = str(64 << 20)
    (memory / ("memory.max" if V2 else "memory.limit_in_bytes")).write_text(size)
    with suppress(FileNotFoundError):                       # where swap is not accounted for
        (memory / ("memory.swap.max" if V2 else "memory.memsw.limit_in_bytes")).write_text(
            "0" if V2 else size)
    return sorted({memory, pids})


def copy(root: str, to: str) -> None:
    """A root of its own, in memory."""
    for path in sorted(Path(root).rglob("*")):
        target = to / path.relative_to(root)
        if path.is_dir():
            target.mkdir()
        else:
            target.write_bytes(path.read_bytes())
            target.chmod(0o755)


def enter_root(root: str) -> None:
    """The new root, read-only; a /tmp and a /proc of its own; no way back to the old one."""
    sc.mount(None, "/", None, sc.MS_REC | sc.MS_PRIVATE)    # nothing that we mount is seen outside
    sc.mount(root, root, None, sc.MS_BIND | sc.MS_REC)      # pivot_root wants a mount point
    sc.mount("tmpfs", f"{root}/tmp", "tmpfs", 0, "size=1m")
    sc.mount("tmpfs", "/mnt", "tmpfs", 0, "size=16m")
    copy(root, "/mnt")
    root = "/mnt"
    sc.mount("tmpfs", f"{root}/tmp", "tmpfs", sc.MS_NOSUID | sc.MS_NODEV, "size=16m")
    sc.mount("proc", f"{root}/proc", "proc", sc.MS_NOSUID | sc.MS_NODEV | sc.MS_NOEXEC)
    sc.pivot_root(root, f"{root}/old")
    sc.chdir("/")
    sc.umount2("/old", sc.MNT_DETACH)


def give_up_privileges() -> None:
    """What exec would pass on, or give back, is gone: for user 0 as well."""
    for number in range(64):
        with suppress(OSError):                             # the kernel has no more of them
            sc.drop_bounding(number)
    sc.clear_ambient()
    sc.capset([], [], [])
    sc.no_new_privs()


def filter_calls() -> None:
    """The architecture first: a number means another call elsewhere."""
    refused, absent = (sc.ret(sc.SECCOMP_RET_ERRNO, one) for one in (errno.EPERM, errno.ENOSYS))
    program = [sc.load(4), sc.jump_if_equal(ARCH, 1, 0), sc.ret(sc.SECCOMP_RET_KILL_PROCESS),
               sc.load(0), sc.jump_if_at_least(X32, 0, 1), absent,
               sc.jump_if_equal(CLONE3, 0, 1), absent]
    for number in REFUSED:
        program += [sc.jump_if_equal(number, 0, 1), refused]
    sc.seccomp([*program, sc.ret(sc.SECCOMP_RET_ALLOW)])


def run_command(command: list[str]) -> None:
    """The last steps, in this order: the filter forbids what comes before it."""
    sc.setsid()
    sc.close_range(3)
    give_up_privileges()
    filter_calls()
    sc.execve(command[0], command, {"PATH": "/bin", "HOME": "/tmp"})


def look_after(command: list[str]) -> int:
    """PID 1: start the command, reap whoever ends, end with the command."""
    sc.die_with_parent(signal.SIGKILL)                      # and the kernel ends all with PID 1
    pid = sc.fork()
    if pid == 0:
        run_command(command)
    while True:
        ended, status = sc.waitpid(-1)
        if ended == pid:
            return status if status >= 0 else 128 - status


def start(root: str, command: list[str], gate: int) -> None:
    """In the child: once our ids are mapped and our cgroup is ours, go on; never return."""
    try:
        if os.read(gate, 1):                                # nothing: who should say so is dead
            sc.sethostname("box")
            enter_root(root)
            os._exit(look_after(command))
    except OSError as error:
        os.write(2, f"box.py: {error}\n".encode())
    os._exit(125)


def main(root: str, command: list[str]) -> int:
    groups = cap_resources()
    gate, opener = os.pipe()
    try:
        # The child is born as PID 1; we stay outside, where the cgroups can be removed at the end.
        pid = sc.clone3(sc.CLONE_NEWUSER | sc.CLONE_NEWNS | sc.CLONE_NEWPID | sc.CLONE_NEWNET
                        | sc.CLONE_NEWIPC | sc.CLONE_NEWUTS)
        if pid == 0:
            os.close(opener)
            start(root, command, gate)
        for group in groups:
            (group / "cgroup.procs").write_text(str(pid))   # it waits: nothing has escaped yet
        sc.write_id_map(pid, [(0, os.getuid(), 1)], [(0, os.getgid(), 1)])
        os.write(opener, b"go")
        status = sc.waitpid(pid)[1]
        return status if status >= 0 else 128 - status
    finally:
        for group in groups:
            group.rmdir()


sys.exit(main(sys.argv[1], sys.argv[2:]))
