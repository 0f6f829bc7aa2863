"""The calls of csrc/steps_devices.c."""

from __future__ import annotations

from minibox import steps
from minibox.explain.calls.files import Proc, beneath, make_target
from minibox.explain.calls.filesystem import flag, fsopen, make_mount, option
from minibox.explain.calls.notation import (
    Call,
    Scene,
    attach,
    attributes,
    call,
    quote,
    set_attributes,
)
from minibox.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from minibox.explain.calls.notation import Maker

MESSAGE = "{msg_name=NULL, ...}"


def _open_device(path: str, name: str) -> Iterator[Call]:
    yield call("openat", "AT_FDCWD", quote(path), "O_RDONLY|O_CLOEXEC|O_PATH", result=name)
    yield call("fstat", name, "{...}")


def _bind_file(source: str, *options: str) -> Iterator[Call]:
    yield call("open_tree", source, '""', "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_EMPTY_PATH",
               result="<tree>")
    yield set_attributes("<tree>", "", attributes(options), propagation="MS_PRIVATE")
    yield attach("<tree>")


def bind_device(scene: Scene, step: steps.BindDevice) -> Iterator[Call]:
    yield from _open_device(step.source, "<source>")
    yield from make_target(scene, step.target, False)
    yield from _bind_file("<source>", "nosuid", "noexec")


def mount_devpts(scene: Scene, step: steps.MountDevpts) -> Iterator[Call]:
    yield fsopen("devpts")
    yield flag("newinstance")
    yield option("ptmxmode", "0666")
    yield option("mode", "0620")
    yield from make_mount("nosuid", "noexec")
    yield from make_target(scene, step.target, True)
    yield attach("<mount>")
    scene.cover(step.target)


def open_terminal(scene: Scene, step: steps.OpenTerminal) -> Iterator[Call]:
    yield beneath("<root>", "dev/pts/ptmx", "O_RDWR|O_NOCTTY|O_CLOEXEC", True, "<master>")
    yield call("ioctl", "<master>", "TIOCSPTLCK", "[0]")
    yield call("ioctl", "<master>", "TIOCGPTPEER", "0x80102 /* O_RDWR|O_NOCTTY|O_CLOEXEC */",
               result="<terminal>")
    if step.uid >= 0:
        yield call("fchownat", "<terminal>", '""', step.uid, -1, "AT_EMPTY_PATH")
    yield call("ioctl", "<stream>", "TIOCGWINSZ", "...", result="",
               each="for 0, 1 and 2, until one is a terminal")
    yield call("ioctl", "<master>", "TIOCSWINSZ", "{...}", when="where one is a terminal")
    yield call("sendmsg", "<link>", MESSAGE, "MSG_NOSIGNAL", result="32")


def mask_paths(scene: Scene, step: steps.MaskPaths) -> Iterator[Call]:
    proc = Proc()

    def for_one(calls: Iterable[Call], when: str, path: str) -> Iterator[Call]:
        return (replace(one, when=when, of=path) for one in calls)

    for path in step.targets:
        yield from proc.find(path, of=path)
        yield call("fstat", "<target>", "{...}", when="where it is there", of=path)
        empty = (fsopen("tmpfs"), option("nr_inodes", "1"), option("mode", "0555"),
                 *make_mount("ro", "nosuid", "nodev", "noexec"), attach("<mount>"))
        yield from for_one(empty, "where it is a directory", path)
        yield from for_one(_open_device("/dev/null", "<null>"), "for the first file", path)
        yield from for_one(_bind_file("<null>", "nosuid", "noexec"), "where it is a file", path)


def hide_boot_id(scene: Scene, step: steps.HideBootId) -> Iterator[Call]:
    yield from Proc().find(step.target, there=True)
    yield call("getrandom", "...", 16, 0, result="16")
    yield call("openat", "<stage>", '".boot_id"', "O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC",
               "0444", result="<file>")
    yield call("write", "<file>", "...", 37, result="37")
    yield from _bind_file("<file>", "ro", "nosuid", "noexec")
    yield call("unlinkat", "<stage>", '".boot_id"', 0)


CALLS: dict[type[steps.Step], Maker] = {
    steps.BindDevice: bind_device, steps.MountDevpts: mount_devpts,
    steps.OpenTerminal: open_terminal, steps.MaskPaths: mask_paths, steps.HideBootId: hide_boot_id,
}
