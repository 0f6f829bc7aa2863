"""The new root: what lies below, what may be written, /proc, volumes; how it becomes the root."""

from __future__ import annotations

from minibox.compiler.draft import Draft
from minibox.compiler.process import home
from minibox.errors import SpecError
from minibox.record import replace
from minibox.spec import HOST_VIEW, BoxSpec, Mount
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

OPEN = ("nosuid", "nodev")
LOCKED = ("ro", *OPEN)

MASKED = ("/proc/acpi", "/proc/asound", "/proc/bus", "/proc/cmdline", "/proc/diskstats", "/proc/fs",
          "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/key-users", "/proc/kallsyms",
          "/proc/kmsg", "/proc/kpagecount", "/proc/kpageflags", "/proc/latency_stats",
          "/proc/locks", "/proc/modules", "/proc/partitions", "/proc/sched_debug", "/proc/scsi",
          "/proc/softirqs", "/proc/swaps", "/proc/sysrq-trigger", "/proc/timer_list",
          "/proc/timer_stats", "/proc/vmallocinfo")
BOOT_ID = "/proc/sys/kernel/random/boot_id"
READ_ONLY = ("/proc/irq", "/proc/sys")

SKELETON = (("/etc", 0o755), ("/home", 0o755), ("/mnt", 0o755), ("/opt", 0o755), ("/run", 0o755),
            ("/srv", 0o755), ("/tmp", 0o1777), ("/var", 0o755), ("/var/lib", 0o755),
            ("/var/tmp", 0o1777))
"""What a program may expect beside the host's own directories; all empty."""

NAME_SERVICE = ("/etc/gai.conf", "/etc/host.conf", "/etc/hosts", "/etc/resolv.conf")
"""What goes with the host's network. A root that is not ours to write keeps its own."""

LAYERS_MAPPED = (5, 19)
"""The kernel from which the layers of an overlay may be ID-mapped."""


def view(spec: BoxSpec) -> BoxSpec:
    """To leave out the view of its own is to show the host's root, as its user may write it."""
    if "view" not in spec.without or spec.rootfs != HOST_VIEW:
        return spec
    return replace(spec, rootfs="/", writable=not spec.read_only and spec.keep is None)


def lay_root(draft: Draft) -> None:
    """Put the new root together in the stage."""
    spec, limits = draft.spec, draft.spec.limits
    if draft.has("propagation"):
        draft.enter.append(StopPropagation())
        draft.receipt("propagation", None, "private", "mount_setattr")
    size, inodes = draft.room()
    draft.enter += [MountStage(size_bytes=size, inodes=inodes), UseRoot(path=".")]
    draft.receipt("tmpfs-size", limits.tmpfs_bytes, size or None, "tmpfs, size and inodes")
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
    draft.enter.append(AttachTree(tree=tree, target=place, options=draft.options(*options),
                                  at_stage=True))


def _layers_mapped(draft: Draft) -> bool:
    """May the layers of an overlay be ID-mapped here?"""
    return draft.host.kernel >= LAYERS_MAPPED


def _overlay(draft: Draft) -> None:
    """The stage's "lower" below; on top a part of the stage, or the directory that keeps."""
    top = ""
    if draft.spec.keep is not None:
        tree = draft.tree(draft.spec.keep, id_mapped=_layers_mapped(draft))
        draft.enter += [AttachTree(tree=tree, target="keep", options=draft.options(*OPEN),
                                   at_stage=True),
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
            # not ID-mapped: as its owner the box could lease the host's files, and see their pages
            tree = draft.tree(one.path, id_mapped=False)
            draft.enter.append(AttachTree(tree=tree, target=one.path,
                                          options=draft.options(*LOCKED)))


def _skeleton(draft: Draft) -> None:
    spec, enter, (uid, gid) = draft.spec, draft.enter, (draft.ids.uid, draft.ids.gid)
    enter += [MakeDir(target=path, mode=mode) for path, mode in SKELETON]
    enter.append(MakeDir(target="/root", mode=0o700))
    if uid:
        enter.append(MakeDir(target=home(spec), mode=0o700, uid=uid, gid=gid))
    for one in draft.host.system_paths:
        if one.kind == "link":
            enter.append(MakeLink(target=one.path, to=one.to))
        elif one.kind == "file":
            enter.append(CopyFile(source=one.path, target=one.path))
    person = f"box:x:{uid}:{gid}:box:{home(spec)}:/bin/sh\n" if uid else ""
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
        draft.enter.append(AttachTree(tree=tree, target="/proc",
                                      options=draft.options(*OPEN, "noexec")))
        draft.receipt("proc", "host", "host", "bind mount")
    else:
        draft.need("proc")
        hide = draft.has("hidepid")
        draft.enter.append(MountProc(target="/proc", hide_others=hide))
        draft.receipt("proc", None, "new", "proc, hidepid=ptraceable" if hide else "proc")


def close_proc(draft: Draft) -> None:
    """Cover or lock what of /proc tells about, or controls, the host."""
    read_only, masked = (_less(draft, paths) for paths in (READ_ONLY, MASKED))
    for path in draft.spec.unmask:
        if path not in ("ALL", *READ_ONLY, *MASKED):
            raise SpecError("security-opt unmask", path, "it has no mask; masked or read-only are "
                            + ", ".join((*READ_ONLY, *MASKED)))
    if read_only and draft.has("read-only-paths"):
        draft.enter.append(ReadOnlyPaths(targets=read_only))
        draft.receipt("read-only-paths", None, read_only, "bind mounts")
    if masked and draft.has("masks"):
        draft.enter.append(MaskPaths(targets=masked))
        draft.receipt("masks", None, masked, "a null device or an empty directory on each")
    if draft.has("boot-id"):
        draft.enter.append(HideBootId(target=BOOT_ID))
        draft.receipt("boot-id", None, "random", "bind mount")


def _less(draft: Draft, paths: tuple[str, ...]) -> tuple[str, ...]:
    """Without those that were asked to be as they are."""
    return tuple(path for path in paths if not {path, "ALL"} & set(draft.spec.unmask))


def mount_volumes(draft: Draft) -> None:
    """Volumes and tmpfs mounts, outer ones first."""
    for mount in sorted(draft.spec.mounts, key=lambda one: one.target.rstrip("/").count("/")):
        if mount.type == "bind":
            tree = draft.tree(mount.source)
            draft.enter.append(AttachTree(tree=tree, target=mount.target,
                                          options=draft.options(
                                              *(LOCKED if mount.read_only else OPEN))))
        else:
            _tmpfs(draft, mount)
        draft.receipt(f"mount {mount.target}", mount.source or "tmpfs",
                      "read-only" if mount.read_only else "writable", mount.type)


def _tmpfs(draft: Draft, mount: Mount) -> None:
    size, inodes = draft.room(mount.size_bytes, mount.inodes)
    draft.enter += [
        MakeDir(target=mount.target),
        MountTmpfs(target=mount.target, size_bytes=size, inodes=inodes, mode=mount.mode,
                   options=draft.options(*(LOCKED if mount.read_only else OPEN)))]


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
    how = draft.spec.root_by if draft.has("pivot-root") else "chroot"
    draft.enter.append(PivotRoot() if how == "pivot_root" else ChangeRoot())
    draft.receipt("root", how, how, how, "" if how == "pivot_root" else
                  "the host's mounts stay in the box's mount namespace")
