"""The calls of csrc/steps_cgroups.c."""

from __future__ import annotations

from minibox import steps
from minibox.explain.calls.notation import Call, Scene, call, quote, write_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from minibox.explain.calls.notation import Maker

OWN = '"minibox-<name>"'
FILE = "O_RDONLY|O_NOCTTY|O_CLOEXEC"
INSIDE = "O_RDONLY|O_NOFOLLOW|O_CLOEXEC|O_DIRECTORY"


def _remove(each: str) -> Iterator[Call]:
    """What is still in a cgroup goes first."""
    yield call("openat", "<parent>", "...", INSIDE, result="<inner>", each=each)
    yield call("getdents64", "<inner>", "...", 2048, result="<size>", each=each)
    yield call("unlinkat", "<parent>", "...", "AT_REMOVEDIR", each=each)


def sweep_cgroups(scene: Scene, step: steps.SweepCgroups) -> Iterator[Call]:
    yield call("openat", "AT_FDCWD", quote(step.parent), "O_RDONLY|O_CLOEXEC|O_DIRECTORY",
               result="<parent>")
    each = "for each cgroup that a box may have left"
    yield call("getdents64", "<parent>", "...", 4096, result="<size>", each=each)
    yield call("openat", "<parent>", OWN, INSIDE, result="<left>", each=each)
    yield call("flock", "<left>", "LOCK_EX|LOCK_NB", result="0 or -1 EAGAIN", each=each)
    yield call("openat", "<left>", '"cgroup.kill"', "O_WRONLY|O_NOCTTY|O_CLOEXEC",
               result="<file> or -1 ENOENT", each=each)
    yield call("write", "<file>", '"1"', 1, result="1", each=each)
    yield from _remove(each)


def make_cgroup(scene: Scene, step: steps.MakeCgroup) -> Iterator[Call]:
    own = f"<cgroup {step.cgroup}>"
    yield call("openat", "AT_FDCWD", quote(step.parent), "O_RDONLY|O_CLOEXEC|O_PATH|O_DIRECTORY",
               result="<parent>")
    yield call("mkdirat", "<parent>", OWN, "0755")
    yield call("openat", "<parent>", OWN, INSIDE, result=own)
    yield call("flock", own, "LOCK_EX")
    yield call("fstat", own, "{...}")
    yield call("newfstatat", "<parent>", OWN, "{...}", "AT_SYMLINK_NOFOLLOW")


def write_cgroup(scene: Scene, step: steps.WriteCgroup) -> Iterator[Call]:
    yield from write_file(f"<cgroup {step.cgroup}>", step.file, step.value,
                          when="where there is such a file" if step.optional else "")


def watch_oom(scene: Scene, step: steps.WatchOom) -> Iterator[Call]:
    own = f"<cgroup {step.cgroup}>"
    yield call("openat", own, '"memory.oom_control"', "O_RDONLY|O_CLOEXEC", result="<control>")
    yield call("eventfd2", 0, "EFD_CLOEXEC|EFD_NONBLOCK", result="<event>")
    yield call("openat", own, '"cgroup.event_control"', "O_WRONLY|O_NOCTTY|O_CLOEXEC",
               result="<file>")
    yield call("write", "<file>", '"<event> <control>"', "<size>", result="<size>")


def enter_cgroup(scene: Scene, step: steps.EnterCgroup) -> Iterator[Call]:
    yield call("openat", f"<cgroup {step.cgroup}>", '"cgroup.procs"', "O_WRONLY|O_NOCTTY|O_CLOEXEC",
               result="<file>")
    yield call("write", "<file>", '"<pid>"', "<size>", result="<size>")


def unshare_cgroup(scene: Scene, step: steps.UnshareCgroup) -> Iterator[Call]:
    yield call("unshare", "CLONE_NEWCGROUP")


def read_cgroup(scene: Scene, step: steps.ReadCgroup) -> Iterator[Call]:
    yield call("openat", f"<cgroup {step.cgroup}>", quote(step.file), FILE,
               result="<file> or -1 ENOENT")
    yield call("read", "<file>", "...", "<size>", result="<size>",
               each="until its end, where it is there")


def remove_cgroup(scene: Scene, step: steps.RemoveCgroup) -> Iterator[Call]:
    yield call("unlinkat", "<parent>", OWN, "AT_REMOVEDIR", result="0 or -1 EBUSY")
    yield from _remove("where there are others in it")


CALLS: dict[type[steps.Step], Maker] = {
    steps.SweepCgroups: sweep_cgroups, steps.MakeCgroup: make_cgroup,
    steps.WriteCgroup: write_cgroup, steps.WatchOom: watch_oom, steps.EnterCgroup: enter_cgroup,
    steps.UnshareCgroup: unshare_cgroup, steps.ReadCgroup: read_cgroup,
    steps.RemoveCgroup: remove_cgroup,
}
