"""Mounts, roots, and paths that stay where they should."""

from __future__ import annotations

import os

from minibox.core import ffi
from minibox.syscalls.flags import (
    AT,
    FSCONFIG,
    MNT,
    MOUNT_ATTR,
    MOVE_MOUNT,
    MS,
    RESOLVE,
)
from minibox.syscalls.raw import Path, by_python, call

__all__ = [
    "mount", "umount2", "pivot_root", "chroot", "chdir", "open_tree", "move_mount", "mount_setattr",
    "fsopen", "fsconfig", "fsmount", "openat2", "dup3", "close_range", "memfd_create", "umask"]


def mount(source: Path | None, target: Path, type: str | None = None, flags: int = 0,
          data: str | None = None) -> None:
    """Mount a file system, bind a directory, or change a mount: by *flags*, MS_...

    Errors: EPERM without CAP_SYS_ADMIN over the mount namespace; ENOENT, ENOTDIR, EINVAL, EBUSY,
    ENODEV; ENOSPC is the limit on mounts.
    Source: mount(2), mount_namespaces(7).
    Example: `mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)`
    """
    call("mount", source, target, type, int(flags), data,
         given=(source, target, type, MS(flags), data))


def umount2(target: Path, flags: int = 0) -> None:
    """Unmount what is mounted last on *target*. MNT_DETACH: now, even if it is in use.

    Errors: EINVAL: nothing is mounted there, or it is locked; EBUSY; EPERM.
    Source: umount(2), mount_namespaces(7).
    Example: `umount2("/old", MNT_DETACH)`
    """
    call("umount2", target, int(flags), given=(target, MNT(flags)))


def pivot_root(new_root: Path, put_old: Path) -> None:
    """Make *new_root* the root of this mount namespace, and put the old one at *put_old* below it.

    Errors: EINVAL: the new root is no mount point, or something is shared; EBUSY; EPERM.
    Source: pivot_root(2).
    Example: `pivot_root("/mnt", "/mnt/old"); chdir("/"); umount2("/old", MNT_DETACH)`
    """
    call("pivot_root", new_root, put_old)


def chroot(path: Path) -> None:
    """Have paths that begin with / begin at *path*; the working directory stays where it is.

    Errors: EPERM without CAP_SYS_CHROOT; ENOENT.
    Source: chroot(2).
    Example: `chroot("/jail"); chdir("/")`
    """
    call("chroot", path)


def chdir(path: Path) -> None:
    """Change the working directory.

    Errors: ENOENT, ENOTDIR, EACCES.
    Source: chdir(2).
    Example: `chdir("/")`
    """
    by_python("chdir", os.chdir, path)


def open_tree(dir: int, path: Path, flags: int = 0) -> int:
    """A descriptor of a mount; with OPEN_TREE_CLONE, of a detached copy of it.

    Errors: EPERM without CAP_SYS_ADMIN; ENOENT; EINVAL: locked mounts without AT_RECURSIVE.
    Source: open_tree(2); Linux 5.2.
    Example: `tree = open_tree(AT_FDCWD, "/usr", OPEN_TREE_CLONE | AT_RECURSIVE)`
    """
    return call("open_tree", dir, path, int(flags), given=(dir, path, AT(flags)))


def move_mount(fd: int, dir: int, target: Path) -> None:
    """Attach the mount that descriptor *fd* stands for at *target* below *dir*.

    Errors: EPERM, EINVAL, ENOENT.
    Source: move_mount(2); Linux 5.2.
    Example: `move_mount(tree, AT_FDCWD, "/mnt/usr")`
    """
    flags = MOVE_MOUNT.MOVE_MOUNT_F_EMPTY_PATH
    call("move_mount", fd, b"", dir, target, int(flags), given=(fd, "", dir, target, flags))


def mount_setattr(dir: int, path: Path, flags: int, *, set: int = 0, clear: int = 0,
                  propagation: int = 0, userns: int = -1) -> None:
    """Change a mount, with AT_RECURSIVE all below it: MOUNT_ATTR_..., MS_PRIVATE and so on.

    userns: a descriptor of the user namespace whose map MOUNT_ATTR_IDMAP is to use.
    Errors: EPERM: also where the attribute is locked; EINVAL.
    Source: mount_setattr(2); Linux 5.12.
    Example: `mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, set=MOUNT_ATTR_RDONLY)`
    """
    how = ffi.new("struct mount_attr *", {
        "attr_set": int(set), "attr_clr": int(clear), "propagation": int(propagation),
        "userns_fd": max(userns, 0)})
    call("mount_setattr", dir, path, int(flags), how, given=(
        dir, path, AT(flags), [MOUNT_ATTR(set), MOUNT_ATTR(clear), MS(propagation), userns]))


def fsopen(type: str) -> int:
    """A descriptor of a file system of that type which is yet to be made.

    Errors: ENODEV: the kernel has none; EPERM.
    Source: fsopen(2); Linux 5.2.
    Example: `fs = fsopen("tmpfs")`
    """
    return call("fsopen", type)


def fsconfig(fd: int, command: int, key: str | None = None, value: str | None = None) -> None:
    """Set an option of it (FSCONFIG_SET_STRING), or make it (FSCONFIG_CMD_CREATE).

    Errors: EINVAL: no such option or value; EPERM.
    Source: fsconfig(2); Linux 5.2.
    Example: `fsconfig(fs, FSCONFIG_SET_STRING, "size", "16m")`
    """
    call("fsconfig", fd, int(command), key, value if value is None else os.fsencode(value), 0,
         given=(fd, FSCONFIG(command), key, value, 0))


def fsmount(fd: int, attributes: int = 0) -> int:
    """A detached mount of the file system that was made: a descriptor for move_mount.

    Errors: EPERM.
    Source: fsmount(2); Linux 5.2.
    Example: `move_mount(fsmount(fs, MOUNT_ATTR_NOSUID), AT_FDCWD, "/mnt")`
    """
    return call("fsmount", fd, int(attributes), given=(fd, 0, MOUNT_ATTR(attributes)))


def openat2(dir: int, path: Path, flags: int, resolve: int = 0, mode: int = 0) -> int:
    """Open a path that may lead no further than RESOLVE_... says.

    Errors: EXDEV: it leads out; ELOOP: a link that was not to be followed; ENOENT.
    Source: openat2(2); Linux 5.6.
    Example: `openat2(root, "etc/passwd", os.O_RDONLY, RESOLVE_IN_ROOT)`
    """
    how = ffi.new("struct open_how *", {"flags": int(flags) | os.O_CLOEXEC, "mode": mode,
                                        "resolve": int(resolve)})
    return call("openat2", dir, path, how, given=(dir, path, [flags, mode, RESOLVE(resolve)]))


def dup3(fd: int, target: int) -> int:
    """Have descriptor *target* be what *fd* is, and survive exec.

    Errors: EBADF; EINVAL: they are the same.
    Source: dup(2).
    Example: `dup3(pipe, 1)`
    """
    return call("dup3", fd, target, 0)


def close_range(first: int, last: int = 2**32 - 1) -> None:
    """Close all descriptors from *first* to *last*.

    Errors: EINVAL: last below first.
    Source: close_range(2); Linux 5.9.
    Example: `close_range(3)`
    """
    call("close_range", first, last, 0)


def memfd_create(name: str) -> int:
    """An unnamed file in memory; the name is shown in /proc/PID/fd only.

    Errors: EINVAL: a name of more than 249 bytes.
    Source: memfd_create(2); Linux 3.17.
    Example: `fd = memfd_create("plan")`
    """
    return call("memfd_create", name, 1, given=(name,))


def umask(mask: int) -> int:
    """Which bits of the mode a new file does not get; the mask that was there before.

    Errors: none.
    Source: umask(2).
    Example: `umask(0o022)`
    """
    return call("umask", mask)


