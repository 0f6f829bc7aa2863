"""One real use of each function of minibox.syscalls, and one refusal: syscall_uses.py FUNCTION.

The test runs this as an unprivileged user.  Each use begins as root of namespaces of its own, with
all capabilities there, in an empty directory, and is alone in its process.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import select
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from minibox.syscalls import *
from minibox.syscalls import SyscallError
from minibox.syscalls.flags import CAP, CLONE, LANDLOCK_ACCESS_FS, LANDLOCK_ACCESS_NET, MS, RESOLVE

NOBODY = 2**31 - 1
"""A pid that is never given."""


def refused(call: str, number: int, arguments: tuple[Any, ...], function: Callable[..., object],
            *given: Any, **named: Any) -> None:
    """The function raises this errno, and the error has the call and its arguments."""
    try:
        function(*given, **named)
    except SyscallError as error:
        assert (error.call, error.arguments, error.errno) == (call, arguments, number), str(error)
        assert str(error).startswith(f"{call}(") and f"-1 {errno.errorcode[number]}" in str(error)
    else:
        raise AssertionError(f"{call}{arguments} was not refused")


def child(does: Callable[[], object]) -> int:
    """The pid of a child that does this: its status is 0, or 1 where it raised."""
    pid = fork()
    if pid == 0:
        try:
            does()
        except BaseException:                                       # noqa: BLE001
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    return pid


def apart(does: Callable[[], object]) -> int:
    """What became of such a child."""
    return waitpid(child(does))[1]


def namespace(kind: str) -> str:
    return os.readlink(f"/proc/self/ns/{kind}")


def no_capabilities() -> None:
    capset([], [], [])


# ---- processes -----------------------------------------------------------------------------------

def use_fork() -> None:
    pid = fork()
    if pid == 0:
        os._exit(5)
    assert waitpid(pid) == (pid, 5)


def use_clone3() -> None:
    pid = clone3(CLONE_NEWUSER | CLONE_NEWPID)
    if pid == 0:
        os._exit(os.getpid())
    assert waitpid(pid) == (pid, 1)
    refused("clone3", errno.EINVAL, (CLONE(1 << 40),), clone3, 1 << 40)


def use_unshare() -> None:
    before = namespace("uts")
    unshare(CLONE_NEWUTS)
    assert namespace("uts") != before
    refused("unshare", errno.EINVAL, (CLONE_PIDFD,), unshare, CLONE_PIDFD)


def use_setns() -> None:
    before, fd = namespace("uts"), os.open("/proc/self/ns/uts", os.O_RDONLY)
    unshare(CLONE_NEWUTS)
    refused("setns", errno.EINVAL, (fd, CLONE_NEWNET), setns, fd, CLONE_NEWNET)
    setns(fd, CLONE_NEWUTS)
    assert namespace("uts") == before


def use_waitpid() -> None:
    refused("waitpid", errno.ECHILD, (-1, 0), waitpid, -1)
    pid = child(signal.pause)
    assert waitpid(pid, os.WNOHANG) == (0, 0)
    kill(pid, signal.SIGKILL)
    assert waitpid(pid) == (pid, -signal.SIGKILL)


def use_execve() -> None:
    assert apart(lambda: execve("/bin/sh", ["sh", "-c", "exit $N"], {"N": "9"})) == 9
    refused("execve", errno.ENOENT, ("/no", ["no"], {}), execve, "/no", ["no"], {})


def use_kill() -> None:
    pid = child(signal.pause)
    kill(pid, signal.SIGTERM)
    assert waitpid(pid) == (pid, -signal.SIGTERM)
    refused("kill", errno.ESRCH, (NOBODY, 0), kill, NOBODY, 0)


def use_pidfd_open() -> None:
    pid = child(lambda: None)
    pidfd = pidfd_open(pid)
    assert select.select([pidfd], [], [], 10)[0] == [pidfd]
    refused("pidfd_open", errno.ESRCH, (NOBODY, 0), pidfd_open, NOBODY)


def use_pidfd_send_signal() -> None:
    pid = child(signal.pause)
    pidfd = pidfd_open(pid)
    pidfd_send_signal(pidfd, signal.SIGKILL)
    assert waitpid(pid) == (pid, -signal.SIGKILL)
    refused("pidfd_send_signal", errno.ESRCH, (pidfd, 9), pidfd_send_signal, pidfd, 9)


def use_setsid() -> None:
    def leads() -> None:
        assert setsid() == os.getpid() == os.getsid(0)
        refused("setsid", errno.EPERM, (), setsid)
    assert apart(leads) == 0


def use_setresuid() -> None:
    setresuid(0, 0, 0)
    assert os.getresuid() == (0, 0, 0)
    refused("setresuid", errno.EINVAL, (1, 1, 1), setresuid, 1, 1, 1)


def use_setresgid() -> None:
    setresgid(0, 0, 0)
    assert os.getresgid() == (0, 0, 0)
    refused("setresgid", errno.EINVAL, (1, 1, 1), setresgid, 1, 1, 1)


def use_setgroups() -> None:
    refused("setgroups", errno.EPERM, (0, []), setgroups, [])       # as /proc/self/setgroups says


def use_sethostname() -> None:
    sethostname("by-hand")
    assert os.uname().nodename == "by-hand"
    refused("sethostname", errno.EINVAL, ("x" * 65, 65), sethostname, "x" * 65)


def use_prlimit() -> None:
    prlimit(resource.RLIMIT_NOFILE, 60, 64)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (60, 64)
    refused("prlimit64", errno.EINVAL, (0, resource.RLIMIT_NOFILE, [9, 8], None),
            prlimit, resource.RLIMIT_NOFILE, 9, 8)
    refused("prlimit64", errno.EPERM, (0, resource.RLIMIT_NOFILE, [9, 65], None),
            prlimit, resource.RLIMIT_NOFILE, 9, 65)


def use_sched_setaffinity() -> None:
    one = min(os.sched_getaffinity(0))
    sched_setaffinity([one])
    assert os.sched_getaffinity(0) == {one}
    refused("sched_setaffinity", errno.EINVAL, (0, [8000]), sched_setaffinity, [8000])


def use_write_id_map() -> None:
    unshare(CLONE_NEWUSER)
    write_id_map("self", [(7, 0, 1)], [(8, 0, 1)])
    assert (os.getuid(), os.getgid()) == (7, 8)
    refused("write", errno.EPERM, ("/proc/self/uid_map", "7 0 1\n"),
            write_id_map, "self", [(7, 0, 1)], [(8, 0, 1)], deny_setgroups=False)
    refused("open", errno.ENOENT, (f"/proc/{NOBODY}/setgroups", "O_WRONLY"),
            write_id_map, NOBODY, [], [])


# ---- mounts --------------------------------------------------------------------------------------

def use_mount() -> None:
    os.mkdir("here")
    mount("tmpfs", "here", "tmpfs", MS_NOSUID, "size=64k")
    assert os.path.ismount("here")
    refused("mount", errno.ENODEV, (None, "here", "nofs", MS_RDONLY | MS_NOSUID, None),
            mount, None, "here", "nofs", MS_RDONLY | MS_NOSUID)


def use_umount2() -> None:
    os.mkdir("here")
    mount("tmpfs", "here", "tmpfs")
    umount2("here", MNT_DETACH)
    assert not os.path.ismount("here")
    refused("umount2", errno.EINVAL, ("here", MNT_DETACH), umount2, "here", MNT_DETACH)


def use_pivot_root() -> None:
    os.makedirs("new/old")
    refused("pivot_root", errno.EINVAL, ("new", "new/old"), pivot_root, "new", "new/old")
    mount("tmpfs", "new", "tmpfs")
    os.mkdir("new/old")
    pivot_root("new", "new/old")
    assert os.listdir("/") == ["old"] and os.path.isdir("/old/usr")


def use_chroot() -> None:
    os.makedirs("jail/only")
    refused("chroot", errno.ENOENT, ("no",), chroot, "no")
    chroot("jail")
    assert os.listdir("/") == ["only"]


def use_chdir() -> None:
    chdir("/usr")
    assert os.getcwd() == "/usr"
    refused("chdir", errno.ENOENT, ("no",), chdir, "no")


def use_open_tree() -> None:
    os.makedirs("from/inner")
    tree = open_tree(AT_FDCWD, "from", OPEN_TREE_CLONE | AT_RECURSIVE)
    assert os.listdir(f"/proc/self/fd/{tree}") == ["inner"]
    refused("open_tree", errno.ENOENT, (AT_FDCWD, "no", OPEN_TREE_CLONE),
            open_tree, AT_FDCWD, "no", OPEN_TREE_CLONE)


def use_move_mount() -> None:
    os.makedirs("from/inner")
    os.mkdir("to")
    tree = open_tree(AT_FDCWD, "from", OPEN_TREE_CLONE)
    refused("move_mount", errno.ENOENT, (tree, "", AT_FDCWD, "no", MOVE_MOUNT_F_EMPTY_PATH),
            move_mount, tree, AT_FDCWD, "no")
    move_mount(tree, AT_FDCWD, "to")
    assert os.listdir("to") == ["inner"]


def use_mount_setattr() -> None:
    os.mkdir("here")
    mount("tmpfs", "here", "tmpfs")
    mount_setattr(AT_FDCWD, "here", 0, set=MOUNT_ATTR_RDONLY, propagation=MS_PRIVATE)
    assert os.statvfs("here").f_flag & os.ST_RDONLY
    os.mkdir("no-mount")
    refused("mount_setattr", errno.EINVAL,
            (AT_FDCWD, "no-mount", 0, [MOUNT_ATTR_NODEV, 0, MS(0), -1]),
            mount_setattr, AT_FDCWD, "no-mount", 0, set=MOUNT_ATTR_NODEV)


def use_fsopen() -> None:
    assert not os.get_inheritable(fsopen("tmpfs"))
    refused("fsopen", errno.ENODEV, ("nofs",), fsopen, "nofs")


def use_fsconfig() -> None:
    fs = fsopen("tmpfs")
    fsconfig(fs, FSCONFIG_SET_STRING, "size", "64k")
    refused("fsconfig", errno.EINVAL, (fs, FSCONFIG_SET_STRING, "no-such", "1", 0),
            fsconfig, fs, FSCONFIG_SET_STRING, "no-such", "1")
    fsconfig(fs, FSCONFIG_CMD_CREATE)


def use_fsmount() -> None:
    fs = fsopen("tmpfs")
    refused("fsmount", errno.EINVAL, (fs, 0, MOUNT_ATTR_NOSUID), fsmount, fs, MOUNT_ATTR_NOSUID)
    fsconfig(fs, FSCONFIG_CMD_CREATE)
    os.mkdir("here")
    move_mount(fsmount(fs, MOUNT_ATTR_NOSUID), AT_FDCWD, "here")
    assert os.path.ismount("here") and os.statvfs("here").f_flag & os.ST_NOSUID


def use_openat2() -> None:
    os.symlink("/etc", "out")
    here = os.open(".", os.O_PATH)
    os.close(openat2(here, "new", os.O_CREAT | os.O_WRONLY, RESOLVE_BENEATH, 0o600))
    assert os.path.exists("new")
    refused("openat2", errno.EXDEV, (here, "out/passwd", [os.O_RDONLY, 0, RESOLVE.RESOLVE_BENEATH]),
            openat2, here, "out/passwd", os.O_RDONLY, RESOLVE_BENEATH)


def use_dup3() -> None:
    readable, writable = os.pipe()
    dup3(writable, 77)
    os.write(77, b"x")
    assert os.read(readable, 1) == b"x" and os.get_inheritable(77)
    refused("dup3", errno.EINVAL, (77, 77, 0), dup3, 77, 77)


def use_close_range() -> None:
    kept, lost = os.dup(2), os.dup2(2, 90)
    close_range(80, 99)
    os.fstat(kept)
    refused("close_range", errno.EINVAL, (9, 8, 0), close_range, 9, 8)
    try:
        os.fstat(lost)
    except OSError as error:
        assert error.errno == errno.EBADF
    else:
        raise AssertionError("a descriptor in the range is open")


def use_memfd_create() -> None:
    fd = memfd_create("plan")
    os.write(fd, b"x")
    assert os.readlink(f"/proc/self/fd/{fd}").startswith("/memfd:plan")
    refused("memfd_create", errno.EINVAL, ("x" * 250,), memfd_create, "x" * 250)


def use_umask() -> None:
    umask(0o077)
    assert umask(0o022) == 0o077


# ---- privileges ----------------------------------------------------------------------------------

def use_prctl() -> None:
    prctl(PR_SET_DUMPABLE, 0)
    assert prctl(PR_GET_DUMPABLE) == 0
    refused("prctl", errno.EINVAL, (PR_SET_DUMPABLE, 7, 0, 0), prctl, PR_SET_DUMPABLE, 7)


def use_no_new_privs() -> None:
    assert prctl(PR_GET_NO_NEW_PRIVS) == 0
    no_new_privs()
    assert prctl(PR_GET_NO_NEW_PRIVS) == 1


def use_die_with_parent() -> None:
    """A parent that waits until its child is ready, and then ends."""
    refused("prctl", errno.EINVAL, (PR_SET_PDEATHSIG, 99, 0, 0), die_with_parent, 99)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    ready, is_ready = os.pipe()

    def waits() -> None:
        die_with_parent(signal.SIGKILL)
        os.write(is_ready, str(os.getpid()).encode())
        signal.pause()

    parent = child(lambda: (child(waits), select.select([ready], [], [])))
    assert waitpid(parent) == (parent, 0)
    orphan = int(os.read(ready, 9))
    assert waitpid(orphan) == (orphan, -signal.SIGKILL)


def use_set_dumpable() -> None:
    set_dumpable(False)
    assert prctl(PR_GET_DUMPABLE) == 0
    set_dumpable(True)
    assert prctl(PR_GET_DUMPABLE) == 1


def use_set_child_subreaper() -> None:
    """The child of a child that has ended becomes ours."""
    set_child_subreaper(True)
    assert apart(lambda: child(lambda: None)) == 0
    assert waitpid(-1)[1] == 0
    refused("waitpid", errno.ECHILD, (-1, 0), waitpid, -1)


def use_set_keepcaps() -> None:
    set_keepcaps(True)
    assert prctl(PR_GET_KEEPCAPS) == 1
    set_securebits(SECBIT_KEEP_CAPS_LOCKED)
    refused("prctl", errno.EPERM, (PR_SET_KEEPCAPS, 1, 0, 0), set_keepcaps, True)


def use_set_securebits() -> None:
    set_securebits(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED)
    assert prctl(PR_GET_SECUREBITS) == SECBIT_NOROOT | SECBIT_NOROOT_LOCKED
    no_capabilities()
    refused("prctl", errno.EPERM, (PR_SET_SECUREBITS, SECBIT_NOROOT), set_securebits, SECBIT_NOROOT)


def use_drop_bounding() -> None:
    assert prctl(PR_CAPBSET_READ, CAP_NET_RAW) == 1
    drop_bounding(CAP_NET_RAW)
    assert prctl(PR_CAPBSET_READ, CAP_NET_RAW) == 0
    refused("prctl", errno.EINVAL, (PR_CAPBSET_DROP, 63), drop_bounding, 63)
    no_capabilities()
    refused("prctl", errno.EPERM, (PR_CAPBSET_DROP, CAP_KILL), drop_bounding, CAP_KILL)


def is_ambient(capability: int) -> bool:
    return bool(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability))


def use_raise_ambient() -> None:
    refused("prctl", errno.EPERM, (PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0),
            raise_ambient, CAP_NET_RAW)                             # it is not inheritable
    capset([], [CAP_NET_RAW], [CAP_NET_RAW])
    raise_ambient(CAP_NET_RAW)
    assert is_ambient(CAP_NET_RAW)


def use_clear_ambient() -> None:
    capset([], [CAP_NET_RAW], [CAP_NET_RAW])
    raise_ambient(CAP_NET_RAW)
    clear_ambient()
    assert not is_ambient(CAP_NET_RAW)


def use_capget() -> None:
    effective, permitted, inheritable = capget()
    assert effective == permitted and effective >= set(CAP) and inheritable == set()


def use_capset() -> None:
    capset([], [CAP_NET_RAW, CAP_CHECKPOINT_RESTORE], [])
    assert capget() == (set(), {CAP_NET_RAW, CAP_CHECKPOINT_RESTORE}, set())
    refused("capset", errno.EPERM, ([CAP_KILL], [CAP_KILL], []), capset, [CAP_KILL], [CAP_KILL], [])


def answer(name: str, program: Sequence[tuple[int, int, int, int]]) -> int:
    """The errno of sethostname(name) under this program; 0: it worked; minus a signal: killed."""
    def names() -> None:
        no_new_privs()
        seccomp(program)
        try:
            sethostname(name)
        except SyscallError as error:
            os._exit(error.errno or 0)
    return apart(names)


def ask(*test: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    """Answer 77 to calls of sethostname for which *test* skips nothing, and allow all else."""
    return [load(0), jump_if_equal(syscall_number("sethostname"), 0, len(test) + 1), *test,
            ret(SECCOMP_RET_ERRNO, 77), ret(SECCOMP_RET_ALLOW)]


LENGTH = 16 + 8
"""Where the second argument of sethostname lies."""


def use_load() -> None:
    assert answer("four", ask(load(LENGTH), jump_if_equal(4, 0, 1))) == 77
    assert answer("seven77", ask(load(LENGTH), jump_if_equal(4, 0, 1))) == 0


def use_mask() -> None:
    odd = ask(load(LENGTH), mask(1), jump_if_equal(1, 0, 1))
    assert (answer("one", odd), answer("four", odd)) == (77, 0)


def use_jump_if_equal() -> None:
    other = ask(load(LENGTH), jump_if_equal(4, 1, 0))
    assert (answer("four", other), answer("three", other)) == (0, 77)


def use_jump_if_at_least() -> None:
    long = ask(load(LENGTH), jump_if_at_least(4, 0, 1))
    assert [answer("x" * length, long) for length in (3, 4, 5)] == [0, 77, 77]


def use_ret() -> None:
    assert answer("x", ask()) == 77
    assert answer("x", [*ask()[:2], ret(SECCOMP_RET_KILL_PROCESS), ret(SECCOMP_RET_ALLOW)]) \
        == -signal.SIGSYS


def use_syscall_number() -> None:
    assert ctypes.CDLL(None).syscall(syscall_number("getpid")) == os.getpid()
    try:
        syscall_number("nocall")
    except KeyError as error:
        assert error.args == ("nocall",)
    else:
        raise AssertionError("a call that there is not has a number")


def use_audit_arch() -> None:
    def only(arch: int) -> list[tuple[int, int, int, int]]:
        return ask(load(4), jump_if_equal(arch, 0, 1))
    assert (answer("x", only(audit_arch())), answer("x", only(AUDIT_ARCH_I386))) == (77, 0)


def use_seccomp() -> None:
    refused("seccomp", errno.EINVAL, ("SECCOMP_SET_MODE_FILTER", 0, "1 instructions"),
            seccomp, [load(0)])
    no_capabilities()
    refused("seccomp", errno.EACCES, ("SECCOMP_SET_MODE_FILTER", 0, "1 instructions"),
            seccomp, [ret(SECCOMP_RET_ALLOW)])
    no_new_privs()
    seccomp([ret(SECCOMP_RET_ALLOW)])


def use_landlock_abi() -> None:
    assert landlock_abi() >= 1


def use_landlock_create_ruleset() -> None:
    assert not os.get_inheritable(landlock_create_ruleset(LANDLOCK_ACCESS_FS_WRITE_FILE))
    refused("landlock_create_ruleset", errno.EINVAL,
            ([LANDLOCK_ACCESS_FS(1 << 62), LANDLOCK_ACCESS_NET(0), 0],),
            landlock_create_ruleset, 1 << 62)


def use_landlock_add_rule() -> None:
    rules, here = landlock_create_ruleset(LANDLOCK_ACCESS_FS_MAKE_REG), os.open(".", os.O_PATH)
    landlock_add_rule(rules, here, LANDLOCK_ACCESS_FS_MAKE_REG)
    refused("landlock_add_rule", errno.EINVAL,
            (rules, "LANDLOCK_RULE_PATH_BENEATH", [LANDLOCK_ACCESS_FS_MAKE_DIR, here], 0),
            landlock_add_rule, rules, here, LANDLOCK_ACCESS_FS_MAKE_DIR)


def use_landlock_add_port() -> None:
    rules = landlock_create_ruleset(network=LANDLOCK_ACCESS_NET_BIND_TCP)
    landlock_add_port(rules, 80, LANDLOCK_ACCESS_NET_BIND_TCP)
    refused("landlock_add_rule", errno.EINVAL,
            (rules, "LANDLOCK_RULE_NET_PORT", [LANDLOCK_ACCESS_NET_CONNECT_TCP, 80], 0),
            landlock_add_port, rules, 80, LANDLOCK_ACCESS_NET_CONNECT_TCP)


def use_landlock_restrict_self() -> None:
    os.mkdir("allowed")
    rules = landlock_create_ruleset(LANDLOCK_ACCESS_FS_MAKE_REG)
    landlock_add_rule(rules, os.open("allowed", os.O_PATH), LANDLOCK_ACCESS_FS_MAKE_REG)
    no_capabilities()
    refused("landlock_restrict_self", errno.EPERM, (rules, 0), landlock_restrict_self, rules)
    no_new_privs()
    landlock_restrict_self(rules)
    open("allowed/new", "x").close()
    try:
        open("new", "x").close()
    except PermissionError:
        return
    raise AssertionError("a file was made where Landlock allows none")


def use_join_session_keyring() -> None:
    first, second = join_session_keyring(), join_session_keyring()
    assert first > 0 and second > 0 and first != second


def main() -> None:
    uid, gid = os.getuid(), os.getgid()
    unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWUTS)
    write_id_map("self", [(0, uid, 1)], [(0, gid, 1)])
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    mount("tmpfs", "/tmp", "tmpfs")
    chdir("/tmp")
    globals()[f"use_{sys.argv[1]}"]()


if __name__ == "__main__":
    main()
