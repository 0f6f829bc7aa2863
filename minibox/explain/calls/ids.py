"""The calls of csrc/steps_ids.c."""

from __future__ import annotations

from minibox import steps
from minibox.explain.calls.notation import Call, Scene, call, quote, write_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from minibox.explain.calls.notation import Maker

CAPABILITIES = "{version=_LINUX_CAPABILITY_VERSION_3, pid=0}"


def lease_ids(scene: Scene, step: steps.LeaseIds) -> Iterator[Call]:
    parent, _, name = step.path.rpartition("/")
    yield call("mkdirat", "AT_FDCWD", quote(parent), "0700", result="0 or -1 EEXIST")
    yield call("openat", "AT_FDCWD", quote(parent), "O_RDONLY|O_NOFOLLOW|O_CLOEXEC|O_DIRECTORY",
               result="<directory>")
    yield call("fstat", "<directory>", "{...}")
    yield call("geteuid", result="<uid>")
    yield call("openat", "<directory>", quote(name),
               "O_RDWR|O_CREAT|O_NOCTTY|O_NONBLOCK|O_NOFOLLOW|O_CLOEXEC", "0600", result="<lease>")
    yield call("fstat", "<lease>", "{...}")
    yield call("geteuid", result="<uid>")
    yield call("fcntl", "<lease>", "F_OFD_SETLK",
               "{l_type=F_WRLCK, l_whence=SEEK_SET, l_start=<range>, l_len=1}",
               result="0 or -1 EAGAIN", each="for each range, until one is free")


def write_maps(directory: str, prefix: str, uids: tuple[int, ...], gids: tuple[int, ...],
               deny_setgroups: bool, leased: bool = False) -> Iterator[Call]:
    """As mb_map_ids: the maps of process <pid>."""
    path = f"{prefix}<pid>/"
    if deny_setgroups:
        yield from write_file(directory, path + "setgroups", "deny")
    for file, ids in (("gid_map", gids), ("uid_map", uids)):
        yield call("openat", directory, quote(path + file), "O_WRONLY|O_NOCTTY|O_CLOEXEC",
                   result="<file>")
        text = "".join(f"{ids[n]} {'<id>' if leased else ids[n + 1]} {ids[n + 2]}\n"
                       for n in range(0, len(ids), 3))
        size = "<size>" if leased else str(len(text))
        yield call("write", "<file>", quote(text), size, result=size)


def map_ids(scene: Scene, step: steps.MapIds) -> Iterator[Call]:
    yield from write_maps("-1", "/proc/", step.uids, step.gids, step.deny_setgroups, step.leased)


def map_ids_with_helpers(scene: Scene, step: steps.MapIdsWithHelpers) -> Iterator[Call]:
    both = ((step.gid_helper, step.gids), (step.uid_helper, step.uids))
    for helper, ids in both:
        yield call("faccessat2", "AT_FDCWD", quote(helper), "X_OK", 0)
        yield call("pipe2", "[<said>, <theirs>]", "O_CLOEXEC")
        yield call("clone3", "{flags=0, exit_signal=SIGCHLD, stack=NULL, stack_size=0}", 88,
                   result="<helper>")
        yield call("rt_sigprocmask", "SIG_SETMASK", "[]", "NULL", 8, by="helper")
        for stream in (1, 2):
            yield call("dup3", "<theirs>", stream, 0, result=str(stream), by="helper")
        words = ", ".join(quote(word) for word in (helper, "<pid>", *map(str, ids)))
        yield call("execve", quote(helper), f"[{words}]", "[]", by="helper")
    for _ in both:
        yield call("read", "<said>", "...", "<size>", result="<size>", each="until its end")
        yield call("waitid", "P_PID", "<helper>", "{...}", "WEXITED", "NULL")


def set_ids(scene: Scene, step: steps.SetIds) -> Iterator[Call]:
    yield call("prctl", "PR_SET_KEEPCAPS", 1)
    if not step.keep_groups:
        yield call("setgroups", len(step.groups), f"[{', '.join(map(str, step.groups))}]")
    yield call("setresgid", *[step.gid] * 3)
    yield call("setresuid", *[step.uid] * 3)
    yield call("capget", CAPABILITIES, "{...}")
    yield call("capset", CAPABILITIES, "{...}")


CALLS: dict[type[steps.Step], Maker] = {
    steps.LeaseIds: lease_ids, steps.MapIds: map_ids,
    steps.MapIdsWithHelpers: map_ids_with_helpers, steps.SetIds: set_ids,
}
