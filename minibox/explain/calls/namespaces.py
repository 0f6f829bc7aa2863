"""The calls of csrc/steps_namespaces.c."""

from __future__ import annotations

from minibox import steps
from minibox.explain.calls.files import DIRECTORY, Proc, beneath, write_self
from minibox.explain.calls.ids import write_maps
from minibox.explain.calls.notation import Call, Scene, call, write_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from minibox.explain.calls.notation import Maker

FLAGS = {"mnt": "CLONE_NEWNS", "cgroup": "CLONE_NEWCGROUP", "uts": "CLONE_NEWUTS",
         "ipc": "CLONE_NEWIPC", "user": "CLONE_NEWUSER", "pid": "CLONE_NEWPID",
         "net": "CLONE_NEWNET", "time": "CLONE_NEWTIME"}

LIMITED = ("cgroup", "ipc", "mnt", "net", "pid", "time", "uts")
"""Kinds of namespaces of which there are to be no more, but for user namespaces."""


def clone3(*flags: str, cgroup: int = -1, result: str = "<pid>") -> Call:
    more = ", cgroup=<cgroup>" if cgroup >= 0 else ""
    return call("clone3", f"{{flags={'|'.join(flags)}, pidfd=<address>, exit_signal=SIGCHLD, "
                f"stack=NULL, stack_size=0{more}}}", 88, result=result)


def clone_init(scene: Scene, step: steps.CloneInit) -> Iterator[Call]:
    yield call("socketpair", "AF_UNIX", "SOCK_SEQPACKET|SOCK_CLOEXEC", 0, "[<link>, <link>]")
    into = ("CLONE_INTO_CGROUP",) if step.cgroup >= 0 else ()
    yield clone3("CLONE_PIDFD", *(flag for kind, flag in FLAGS.items() if kind in step.namespaces),
                 *into, cgroup=step.cgroup)
    yield call("getpid", result="<pid>", by="init")
    if scene.shares_pids:
        yield call("openat", "AT_FDCWD", '"/proc"', "O_RDONLY|O_CLOEXEC|O_PATH|O_DIRECTORY",
                   result="<proc>", by="init")
    yield call("umask", "000", result="<mask>", by="init")
    if scene.shares_pids:
        yield call("prctl", "PR_SET_CHILD_SUBREAPER", 1, by="init")


def release(scene: Scene, step: steps.Release) -> Iterator[Call]:
    yield call("sendmsg", "<link>", "{msg_name=NULL, ...}", "MSG_NOSIGNAL", result="32")


def await_(scene: Scene, step: steps.Await) -> Iterator[Call]:
    yield call("recvmsg", "<link>", "{msg_name=NULL, ...}", "MSG_CMSG_CLOEXEC", result="32")


def bring_up_loopback(scene: Scene, step: steps.BringUpLoopback) -> Iterator[Call]:
    yield call("socket", "AF_UNIX", "SOCK_DGRAM|SOCK_CLOEXEC", 0, result="<socket>")
    yield call("ioctl", "<socket>", "SIOCGIFFLAGS", '{ifr_name="lo", ifr_flags=IFF_LOOPBACK}')
    yield call("ioctl", "<socket>", "SIOCSIFFLAGS",
               '{ifr_name="lo", ifr_flags=IFF_UP|IFF_LOOPBACK}')


def set_hostname(scene: Scene, step: steps.SetHostname) -> Iterator[Call]:
    from minibox.explain.calls.notation import length, quote

    yield call("sethostname", quote(step.name), length(step.name))


def offset_clocks(scene: Scene, step: steps.OffsetClocks) -> Iterator[Call]:
    yield call("unshare", "CLONE_NEWTIME")
    yield from write_self(scene, "timens_offsets", "".join(
        f"{clock} {ns // 10**9} {ns % 10**9}\n"
        for clock, ns in (("monotonic", step.monotonic_ns), ("boottime", step.boottime_ns))))


def open_limits(scene: Scene, step: steps.OpenLimits) -> Iterator[Call]:
    yield from Proc().find("/proc/sys/user", DIRECTORY, True, "<limits>")


def limit_namespaces(scene: Scene, step: steps.LimitNamespaces) -> Iterator[Call]:
    yield from write_file("<limits>", "max_user_namespaces", "1" if step.more_user else "0")
    for kind in LIMITED:
        yield from write_file("<limits>", f"max_{kind}_namespaces", "0",
                              when="where the kernel has such" if kind == "time" else "")


def clone_app(scene: Scene, step: steps.CloneApp) -> Iterator[Call]:
    yield call("pipe2", "[<gate>, <gate>]", "O_CLOEXEC")
    yield call("prctl", "PR_SET_DUMPABLE", "SUID_DUMP_USER")
    yield clone3("CLONE_PIDFD", *(["CLONE_NEWUSER"] if step.nested else []))
    yield call("prctl", "PR_SET_DUMPABLE", "SUID_DUMP_DISABLE")
    if step.nested:
        if not scene.holds_proc:
            yield beneath("<root>", "proc", DIRECTORY, True, "<proc>")
        yield from write_maps("<proc>", "", step.uids, step.gids, step.deny_setgroups)
    yield call("write", "<gate>", r'"\0"', 1, result="1")
    yield call("read", "<gate>", r'"\0"', 1, result="1", by="app")


CALLS: dict[type[steps.Step], Maker] = {
    steps.CloneInit: clone_init, steps.Release: release, steps.Await: await_,
    steps.BringUpLoopback: bring_up_loopback, steps.SetHostname: set_hostname,
    steps.OffsetClocks: offset_clocks, steps.OpenLimits: open_limits,
    steps.LimitNamespaces: limit_namespaces, steps.CloneApp: clone_app,
}

NONE: dict[type[steps.Step], str] = {
    steps.Watch: "the engine keeps these figures, and looks at them while it waits in ppoll(2)",
    steps.StopWith: "the engine keeps the signal and the time until it is asked to stop the box",
}
"""Why a step makes no call."""
