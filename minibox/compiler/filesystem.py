"""The new root: what lies below, what may be written, /proc, volumes; how it becomes the root."""

from __future__ import annotations

from minibox.compiler.draft import Draft
from minibox.compiler.process import home
from minibox.spec import HOST_VIEW, Mount
from minibox.steps import (
    AttachTree,
    ChangeRoot,
    CopyFile,
    HideBootId,
    MakeDir,
    MakeFile,
    MakeLink,
    MaskPaths,
    MountOverlay,
    MountProc,
    MountStage,
    MountTmpfs,
    PivotRoot,
    ReadOnlyPaths,
    RemountReadOnly,
    StopPropagation,
    UseRoot,
)

LOCKED = ("ro", "nosuid", "nodev")
OPEN = ("nosuid", "nodev")

MASKED = ("/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
          "/proc/key-users", "/proc/kallsyms", "/proc/kmsg", "/proc/kpagecount", "/proc/kpageflags",
          "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/sysrq-trigger",
          "/proc/timer_list", "/proc/timer_stats", "/proc/vmallocinfo")
BOOT_ID = "/proc/sys/kernel/random/boot_id"
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys")

SKELETON = (("/etc", 0o755), ("/home", 0o755), ("/mnt", 0o755), ("/opt", 0o755), ("/run", 0o755),
            ("/srv", 0o755), ("/tmp", 0o1777), ("/var", 0o755), ("/var/lib", 0o755),
            ("/var/tmp", 0o1777))
"""What a program may expect beside the host's own directories; all empty."""

NAME_SERVICE = ("/etc/hosts", "/etc/resolv.conf")
"""What goes with the host's network. A root that is not ours to write keeps its own."""

LAYERS_MAPPED = (5, 19)
"""The kernel from which the layers of an overlay may be ID-mapped."""


def lay_root(draft: Draft) -> None:
    """Put the new root together in the stage."""
    spec, limits = draft.spec, draft.spec.limits
    draft.enter += [StopPropagation(),
                    MountStage(size_bytes=limits.tmpfs_bytes, inodes=limits.tmpfs_inodes),
                    UseRoot(path=".")]
    draft.receipt("tmpfs-size", limits.tmpfs_bytes, limits.tmpfs_bytes, "tmpfs, size and inodes")
    overlaid = spec.keep is not None or not (
        spec.rootfs == HOST_VIEW or spec.read_only or spec.writable)
    if overlaid:
        draft.need("overlay")
    if spec.rootfs == HOST_VIEW:
        _host_view(draft)
    elif overlaid:
        _below(draft, "lower", LOCKED, id_mapped=_layers_mapped(draft))
        _overlay(draft)
        if "net" in spec.share:
            draft.enter += [CopyFile(source=path, target=path) for path in NAME_SERVICE]
    else:
        _below(draft, "root", LOCKED if spec.read_only else OPEN)
        draft.enter.append(UseRoot(path="root"))
    writes = ("are refused" if spec.read_only else "go through" if spec.writable else
              f"are kept in {spec.keep}" if spec.keep else "are forgotten")
    draft.receipt("rootfs", spec.rootfs or "host", spec.rootfs or "host view",
                  "overlay" if overlaid else "tmpfs" if spec.rootfs == HOST_VIEW else "bind",
                  f"writes {writes}")


def _below(draft: Draft, place: str, options: tuple[str, ...], *, id_mapped: bool = True) -> None:
    """The directory that was given as root, at a place of the stage."""
    tree = draft.tree(draft.spec.rootfs, id_mapped=id_mapped)
    draft.enter.append(AttachTree(tree=tree, target=place, options=options, at_stage=True))


def _layers_mapped(draft: Draft) -> bool:
    """May the layers of an overlay be ID-mapped here?"""
    return draft.host.kernel >= LAYERS_MAPPED


def _overlay(draft: Draft) -> None:
    """The stage's "lower" below; on top a part of the stage, or the directory that keeps."""
    top = ""
    if draft.spec.keep is not None:
        tree = draft.tree(draft.spec.keep, id_mapped=_layers_mapped(draft))
        draft.enter += [AttachTree(tree=tree, target="keep", options=OPEN, at_stage=True),
                        UseRoot(path="keep")]
        top = "keep/"
    draft.enter += [MakeDir(target="/upper"), MakeDir(target="/work", mode=0o700),
                    UseRoot(path="."), MakeDir(target="/root"),
                    MountOverlay(lower="lower", upper=top + "upper", work=top + "work",
                                 target="root"),
                    UseRoot(path="root")]


def _host_view(draft: Draft) -> None:
    """A skeleton of our own, with the host's system directories in it."""
    keeping = draft.spec.keep is not None
    if keeping:
        draft.enter += [MakeDir(target="/lower"), UseRoot(path="lower")]
    _skeleton(draft)
    if keeping:
        draft.enter.append(UseRoot(path="."))
        _overlay(draft)
    for one in draft.host.system_paths:
        if one.kind == "dir":
            tree = draft.tree(one.path)
            draft.enter.append(AttachTree(tree=tree, target=one.path, options=LOCKED))


def _skeleton(draft: Draft) -> None:
    spec, enter, (uid, gid) = draft.spec, draft.enter, (draft.ids.uid, draft.ids.gid)
    enter += [MakeDir(target=path, mode=mode) for path, mode in SKELETON]
    enter.append(MakeDir(target="/root", mode=0o700))
    if uid:
        enter.append(MakeDir(target=home(draft), mode=0o700, uid=uid, gid=gid))
    for one in draft.host.system_paths:
        if one.kind == "link":
            enter.append(MakeLink(target=one.path, to=one.to))
        elif one.kind == "file":
            enter.append(CopyFile(source=one.path, target=one.path))
    person = f"box:x:{uid}:{gid}:box:{home(draft)}:/bin/sh\n" if uid else ""
    crowd = f"box:x:{gid}:\n" if gid else ""
    enter += [
        MakeFile(target="/etc/passwd", content="root:x:0:0:root:/root:/bin/sh\n" + person
                 + "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"),
        MakeFile(target="/etc/group", content="root:x:0:\n" + crowd + "nogroup:x:65534:\n")]
    if "uts" not in spec.share:
        enter.append(MakeFile(target="/etc/hostname", content=spec.hostname + "\n"))
    if "net" in spec.share:
        enter += [CopyFile(source=path, target=path) for path in NAME_SERVICE]
    else:
        enter.append(MakeFile(target="/etc/hosts", content="127.0.0.1 localhost\n::1 localhost\n"
                              f"127.0.1.1 {spec.hostname}\n"))


def mount_proc(draft: Draft) -> None:
    if "pid" in draft.spec.share:
        tree = draft.tree("/proc", id_mapped=False)
        draft.enter.append(AttachTree(tree=tree, target="/proc", options=(*OPEN, "noexec")))
        draft.receipt("proc", "host", "host", "bind mount")
    else:
        draft.need("proc")
        draft.enter.append(MountProc(target="/proc", hide_others=True))
        draft.receipt("proc", None, "new", "proc, hidepid=ptraceable")
    draft.enter += [ReadOnlyPaths(targets=READ_ONLY), MaskPaths(targets=MASKED),
                    HideBootId(target=BOOT_ID)]
    draft.receipt("masks", None, MASKED, "a null device or an empty directory on each")
    draft.receipt("boot id", None, "random", "bind mount")
    draft.receipt("read-only paths", None, READ_ONLY, "bind mounts")


def mount_volumes(draft: Draft) -> None:
    """Volumes and tmpfs mounts, outer ones first."""
    for mount in sorted(draft.spec.mounts, key=lambda one: one.target.rstrip("/").count("/")):
        if mount.type == "bind":
            tree = draft.tree(mount.source)
            draft.enter.append(AttachTree(tree=tree, target=mount.target,
                                          options=LOCKED if mount.read_only else OPEN))
        else:
            _tmpfs(draft, mount)
        draft.receipt(f"mount {mount.target}", mount.source or "tmpfs",
                      "read-only" if mount.read_only else "writable", mount.type)


def _tmpfs(draft: Draft, mount: Mount) -> None:
    limits = draft.spec.limits
    options = (*OPEN, "ro") if mount.read_only else OPEN
    draft.enter += [
        MakeDir(target=mount.target),
        MountTmpfs(target=mount.target, size_bytes=mount.size_bytes or limits.tmpfs_bytes,
                   inodes=mount.inodes or limits.tmpfs_inodes, mode=mount.mode, options=options)]


def finish_root(draft: Draft) -> None:
    """The working directory, if it can be made; then nothing more is written to the root."""
    spec = draft.spec
    top = spec.workdir.strip("/").split("/")[0]
    if top and not spec.read_only and top not in ("proc", "dev"):
        draft.enter.append(MakeDir(target=spec.workdir, uid=draft.ids.uid, gid=draft.ids.gid))
    if spec.read_only and spec.rootfs == HOST_VIEW:
        draft.enter.append(RemountReadOnly(target="/"))


def enter_root(draft: Draft) -> None:
    """From here on paths begin at the new root."""
    how = draft.spec.root_by
    draft.enter.append(PivotRoot() if how == "pivot_root" else ChangeRoot())
    draft.receipt("root", how, how, how, "" if how == "pivot_root" else
                  "the host's mounts stay in the box's mount namespace")
