"""The calls of csrc/steps_filesystem.c."""

from __future__ import annotations

from minibox import steps
from minibox.explain.calls import files
from minibox.explain.calls.files import DIRECTORY, PATH, Proc, beneath, make_target, on_stage
from minibox.explain.calls.notation import (
    Call,
    Scene,
    attach,
    attributes,
    call,
    octal,
    quote,
    set_attributes,
    write,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from minibox.explain.calls.notation import Maker

TREE = "|AT_RECURSIVE"
NOT_MAPPED = "where that file system cannot shift owners (EINVAL)"


def fsopen(kind: str) -> Call:
    return call("fsopen", quote(kind), "FSOPEN_CLOEXEC", result="<fs>")


def option(key: str, value: str, **more: str) -> Call:
    return call("fsconfig", "<fs>", "FSCONFIG_SET_STRING", quote(key), quote(value), 0, **more)


def flag(key: str) -> Call:
    return call("fsconfig", "<fs>", "FSCONFIG_SET_FLAG", quote(key), "NULL", 0)


def make_mount(*options: str) -> Iterator[Call]:
    """As mb_make_mount: the file system as it was configured becomes a detached mount."""
    yield call("fsconfig", "<fs>", "FSCONFIG_CMD_CREATE", "NULL", "NULL", 0)
    yield call("fsmount", "<fs>", "FSMOUNT_CLOEXEC", attributes(options), result="<mount>")


def open_tree(scene: Scene, step: steps.OpenTree) -> Iterator[Call]:
    yield call("open_tree", "AT_FDCWD", quote(step.source),
               "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_RECURSIVE", result=f"<tree {step.tree}>")
    private, tree = "MS_PRIVATE", f"<tree {step.tree}>"
    if step.id_mapped:
        yield call("openat", "AT_FDCWD", '"/proc/<pid>/ns/user"', "O_RDONLY|O_CLOEXEC",
                   result="<ids>")
        yield set_attributes(tree, TREE, "MOUNT_ATTR_IDMAP", propagation=private, userns="<ids>",
                             result="0 or -1 EINVAL")
        yield set_attributes(tree, TREE, propagation=private, userns="<ids>", when=NOT_MAPPED)
    else:
        yield set_attributes(tree, TREE, propagation=private)


def stop_propagation(scene: Scene, step: steps.StopPropagation) -> Iterator[Call]:
    yield call("mount", "NULL", '"/"', "NULL", "MS_REC|MS_PRIVATE", "NULL")


def mount_stage(scene: Scene, step: steps.MountStage) -> Iterator[Call]:
    yield fsopen("tmpfs")
    yield option("size", str(step.size_bytes))
    yield option("nr_inodes", str(step.inodes))
    yield option("mode", "755")
    yield from make_mount("nosuid", "nodev")
    yield call("move_mount", "<mount>", '""', "AT_FDCWD", '"/"', "MOVE_MOUNT_F_EMPTY_PATH")


def mount_overlay(scene: Scene, step: steps.MountOverlay) -> Iterator[Call]:
    layers = {"lower": step.lower, "upper": step.upper, "work": step.work}
    for name, path in (*layers.items(), ("target", step.target)):
        yield on_stage(path, f"<{name}>")
    yield fsopen("overlay")
    for name in layers:
        yield option(f"{name}dir", f"/proc/self/fd/<{name}>")
    yield flag("userxattr")
    yield from make_mount("nosuid", "nodev")
    yield call("fstatfs", "<mount>", "{...}")
    yield attach("<mount>")
    scene.cover(step.target, on_stage=True)


def use_root(scene: Scene, step: steps.UseRoot) -> Iterator[Call]:
    yield on_stage(step.path, "<root>")
    scene.root = scene.parts(step.path, on_stage=True)


def make_dir(scene: Scene, step: steps.MakeDir) -> Iterator[Call]:
    there = scene.there(step.target)
    yield beneath("<root>", step.target, DIRECTORY, there, "<directory>")
    if there:
        return
    when = "" if there is False else files.MISSING
    name = quote(files.split(step.target)[1])
    yield from files.make_parent(scene, step.target, when=when)
    yield call("mkdirat", "<parent>", name, octal(step.mode), when=when)
    if step.uid >= 0 or step.gid >= 0:
        yield call("openat", "<parent>", name, "O_RDONLY|O_NOFOLLOW|O_CLOEXEC|O_PATH|O_DIRECTORY",
                   result="<made>", when=when)
        yield call("fchownat", "<made>", '""', step.uid, step.gid, "AT_EMPTY_PATH", when=when)
    scene.make(step.target)


def make_link(scene: Scene, step: steps.MakeLink) -> Iterator[Call]:
    yield from files.make_parent(scene, step.target)
    there = scene.there(step.target)
    result = {True: "-1 EEXIST", False: "0", None: "0 or -1 EEXIST"}[there]
    yield call("symlinkat", quote(step.to), "<parent>", quote(files.split(step.target)[1]),
               result=result)
    scene.link(step.target)


def make_file(scene: Scene, step: steps.MakeFile) -> Iterator[Call]:
    yield from files.create(scene, step.target, step.mode)
    if step.content:
        yield write("<file>", step.content)


def copy_file(scene: Scene, step: steps.CopyFile) -> Iterator[Call]:
    when, each = "where there is one to be read", "until all is copied, at most 4 MiB"
    yield call("openat", "AT_FDCWD", quote(step.source), "O_RDONLY|O_NOCTTY|O_NONBLOCK|O_CLOEXEC",
               result="<source> or -1 ENOENT")
    yield call("fstat", "<source>", "{...}", when=when)
    there = scene.there(step.target)
    yield from files.create(scene, step.target, step.mode, when=when)
    if not there:
        scene.unsure(step.target)
    yield call("sendfile", "<file>", "<source>", "NULL", "<size>", result="<size>", each=each)


def attach_tree(scene: Scene, step: steps.AttachTree) -> Iterator[Call]:
    tree = f"<tree {step.tree}>"
    yield call("fstat", tree, "{...}")
    yield set_attributes(tree, TREE, attributes(step.options))
    yield from make_target(scene, step.target, None, step.at_stage)
    yield attach(tree)
    scene.cover(step.target, on_stage=step.at_stage)


def mount_tmpfs(scene: Scene, step: steps.MountTmpfs) -> Iterator[Call]:
    yield fsopen("tmpfs")
    yield option("size", str(step.size_bytes))
    yield option("nr_inodes", str(step.inodes))
    yield option("mode", f"{step.mode:o}")
    for key in ("uid", "gid"):
        if getattr(step, key) >= 0:
            yield option(key, str(getattr(step, key)))
    yield from make_mount(*step.options)
    yield from make_target(scene, step.target, True)
    yield attach("<mount>")
    scene.cover(step.target, empty=True)


def mount_proc(scene: Scene, step: steps.MountProc) -> Iterator[Call]:
    yield fsopen("proc")
    if step.hide_others:
        yield option("hidepid", "ptraceable", result="0 or -1 EINVAL")
        yield option("hidepid", "2", when="before Linux 5.8")
    yield from make_mount("nosuid", "nodev", "noexec")
    yield from make_target(scene, step.target, True)
    yield attach("<mount>")
    scene.cover(step.target)
    scene.own_proc = True


def mount_sysfs(scene: Scene, step: steps.MountSysfs) -> Iterator[Call]:
    yield fsopen("sysfs")
    yield from make_mount("ro", "nosuid", "nodev", "noexec")
    yield from make_target(scene, step.target, True)
    yield attach("<mount>")
    scene.cover(step.target)


def read_only_paths(scene: Scene, step: steps.ReadOnlyPaths) -> Iterator[Call]:
    proc, when = Proc(), "where it is there"
    for path in step.targets:
        yield from proc.find(path, of=path)
        yield call("open_tree", "<target>", '""',
                   "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_EMPTY_PATH|AT_RECURSIVE",
                   result="<tree>", when=when, of=path)
        yield set_attributes("<tree>", TREE, "MOUNT_ATTR_RDONLY", when=when, of=path)
        yield attach("<tree>", when=when, of=path)


def remount_read_only(scene: Scene, step: steps.RemountReadOnly) -> Iterator[Call]:
    yield beneath("<root>", step.target, PATH, True, "<target>")
    yield set_attributes("<target>", "", "MOUNT_ATTR_RDONLY")


def pivot_root(scene: Scene, step: steps.PivotRoot) -> Iterator[Call]:
    yield call("fstat", "<stage>", "{...}")
    yield call("fstat", "<root>", "{...}")
    apart = bool(scene.root)            # then the stage is put below the old root, and goes with it
    if apart:
        yield call("move_mount", "<stage>", '""', "AT_FDCWD", '"/proc"', "MOVE_MOUNT_F_EMPTY_PATH",
                   result="0 or -1 EINVAL")
    yield call("fchdir", "<root>")
    yield call("pivot_root", '"."', '"."')
    if apart:
        yield call("umount2", '"."', "MNT_DETACH", when="where the stage could not be moved")
    yield call("umount2", '"."', "MNT_DETACH")
    yield call("chdir", '"/"')


def change_root(scene: Scene, step: steps.ChangeRoot) -> Iterator[Call]:
    yield call("fstat", "<stage>", "{...}")
    yield call("fstat", "<root>", "{...}")
    if scene.root:
        yield attach("<root>", "<stage>")
    yield call("fchdir", "<root>")
    yield call("chroot", '"."')


CALLS: dict[type[steps.Step], Maker] = {
    steps.OpenTree: open_tree, steps.StopPropagation: stop_propagation,
    steps.MountStage: mount_stage, steps.MountOverlay: mount_overlay, steps.UseRoot: use_root,
    steps.MakeDir: make_dir, steps.MakeLink: make_link, steps.MakeFile: make_file,
    steps.CopyFile: copy_file, steps.AttachTree: attach_tree, steps.MountTmpfs: mount_tmpfs,
    steps.MountProc: mount_proc, steps.MountSysfs: mount_sysfs,
    steps.ReadOnlyPaths: read_only_paths, steps.RemountReadOnly: remount_read_only,
    steps.PivotRoot: pivot_root, steps.ChangeRoot: change_root,
}
