"""Cause and mend of what the kernel refuses: an errno alone tells neither.

`of()` looks up (step, errno); the texts may name the step's own fields and the report's {detail}.
`program()` says why a program could not be executed, of which the kernel says ENOENT for half.
"""

from __future__ import annotations

from errno import errorcode

from minibox.errors import visible
from minibox.report import CAUSES
from minibox.steps import Exec, Step, name_of

_NO_CGROUP = ("the cgroup {parent} is not this user's to use: `sudo minibox delegate USER` makes "
              "one that is; `minibox doctor` shows which there are")
_OUTER = ("an outer container or a security module forbids it: run `minibox doctor`, which tells "
          "which and what to change")
_NO_ROOM = ("the root file system is read-only and lacks {target}: make it there, or leave "
            "--read-only out")
_FOREIGN = ("the root file system is another user's, so {target} cannot be made in it: make it "
            "there, or use a copy of your own")
_CIRCLE = ("links of the root file system lead from {target} to its very root, or into /proc: put "
           "a directory there")
_MOVED = ("links of the root file system lead from /proc to another mount, or somebody has just "
          "put something else there: put a directory there, and let nobody change it meanwhile")
_DEEP = "the kernel's limit on mounts is reached (/proc/sys/fs/mount-max), not the disk's"
_OURS = "this is a bug of minibox: please report it with the output of `minibox plan`"

HINTS: dict[tuple[str, str], str] = {
    ("lease-ids", "EUSERS"): "all {count} id ranges are leased: wait until a box ends",
    ("lease-ids", "EPERM"): "{path} is not root's own file: remove it, and find out who made it",
    ("make-cgroup", "EACCES"): _NO_CGROUP,
    ("make-cgroup", "EPERM"): _NO_CGROUP,
    ("make-cgroup", "EROFS"):
        "cgroups are mounted read-only here, as an outer container does it: start that one with a "
        "writable /sys/fs/cgroup",
    ("make-cgroup", "ENOENT"):
        "the cgroup {parent} is gone; `minibox doctor` shows which there are",
    ("make-cgroup", "EAGAIN"):
        "the cgroup {parent} may have no more below it: see its cgroup.max.descendants",
    ("make-cgroup", "ENOSPC"): "the kernel has no more ids for cgroups: remove dead ones",
    ("write-cgroup", "EINVAL"):
        "the kernel does not take {value} for {file}: it lies outside of what this machine, or "
        "the cgroup above, allows",
    ("write-cgroup", "ERANGE"): "{value} is out of the range of {file}",
    ("write-cgroup", "ENOENT"):
        "{file} is not there: its controller is not enabled for this cgroup",
    ("write-cgroup", "EACCES"):
        "{file} is not this user's to write: the controller is not delegated",
    ("write-cgroup", "ENODEV"): "there is no such block device",
    ("write-cgroup", "EBUSY"):
        "the cgroup above has processes of its own, so it cannot hand on its controllers",
    ("enter-cgroup", "EACCES"):
        "moving a process needs write access to the cgroup that both places have in common: "
        "delegate the whole subtree",
    ("clone-init", "ENOSPC"):
        "the limit on namespaces is reached: raise /proc/sys/user/max_user_namespaces and its "
        "neighbours",
    ("clone-init", "EUSERS"): "namespaces are nested too deep (32 levels)",
    ("clone-init", "EPERM"):
        "user namespaces are switched off for this user: on Debian set sysctl "
        "kernel.unprivileged_userns_clone=1; on Ubuntu 24.04 an AppArmor profile for "
        "minibox-engine is needed, or sysctl kernel.apparmor_restrict_unprivileged_userns=0; in a "
        "container let seccomp allow clone3",
    ("clone-init", "EINVAL"): "this kernel lacks one of these namespaces: see `minibox doctor`",
    ("clone-init", "ENOSYS"):
        "clone3 is missing or filtered: Linux 5.3 has it, and a container's seccomp profile must "
        "allow it",
    ("clone-init", "EAGAIN"):
        "this user has as many processes as `ulimit -u` or a cgroup's pids.max allows",
    ("clone-init", "EBUSY"): "the box's cgroup hands on controllers, so no process may be in it",
    ("map-ids", "EPERM"):
        "an id outside is not the caller's, or the file system of /proc forbids it; in a "
        "container without CAP_SETUID try --ids one",
    ("map-ids-with-helpers", "EPERM"):
        "{uid_helper} refused: {detail}. Check /etc/subuid and /etc/subgid, or use --ids one",
    ("map-ids-with-helpers", "ENOENT"): "install the package uidmap, or use --ids one",
    ("open-tree", "ENOENT"): "{source} does not exist on the host: make it, or mend the path",
    ("open-tree", "EACCES"):
        "the box's user cannot reach {source}: a directory above it is closed to others (chmod "
        "o+x), or it is another user's",
    ("open-tree", "ENOTDIR"): "a part of {source} is a file, not a directory",
    ("open-tree", "ELOOP"): "the symbolic links of {source} go round in circles",
    ("open-tree", "EINVAL"):
        "the file system of {source} cannot be given other owners (ID-mapped): put it on ext4, "
        "xfs, btrfs or tmpfs",
    ("open-tree", "EPERM"): _OUTER,
    ("await", "EPIPE"): "the engine was killed",
    ("set-ids", "EINVAL"):
        "the box has no user {uid} or group {gid}: it has one id only, or the range in "
        "/etc/subuid is shorter",
    ("set-ids", "EPERM"):
        "this map lets no process change its id: ask for user 0, or for a range of ids (package "
        "uidmap, a line in /etc/subuid)",
    ("join-keyring", "EDQUOT"):
        "this user has as many keys as it may, one for each box: wait until a box ends, or raise "
        "/proc/sys/kernel/keys/maxkeys",
    ("open-limits", "ENOENT"):
        "this kernel has no limits on namespaces (Linux 4.9, CONFIG_SYSCTL): --without "
        "namespace-limit runs without them",
    ("limit-namespaces", "EACCES"): _OUTER,
    ("limit-namespaces", "EPERM"): _OUTER,
    ("limit-namespaces", "EROFS"): _OUTER,
    ("open-limits", "ESTALE"): _MOVED,
    ("read-only-paths", "ESTALE"): _MOVED,
    ("mask-paths", "ESTALE"): _MOVED,
    ("hide-boot-id", "ESTALE"): _MOVED,
    ("filter-calls", "EACCES"):
        "the profile forbids sendmsg, by which the engine hears of what is refused or killed: "
        "allow it",
    ("filter-calls", "EBUSY"):
        "a filter that this box was started under has a listener already: leave --seccomp-log out",
    ("filter-calls", "EINVAL"): "the profile is too long for the kernel (4096 instructions)",
    ("mount-stage", "EPERM"): _OUTER,
    ("mount-stage", "ENOSPC"): _DEEP,
    ("mount-overlay", "EACCES"):
        "what --keep names is not this user's to write: it is another user's, or was kept for a "
        "box with other ids",
    ("mount-overlay", "EPERM"):
        "overlays without root need Linux 5.11: use --read-only, or --rw on a copy of the root "
        "file system",
    ("mount-overlay", "EINVAL"):
        "the file system below, or that of --keep, cannot carry an overlay (it is one itself, or "
        "has no extended attributes): copy the root file system to another disk, or use "
        "--read-only",
    ("mount-overlay", "ENODEV"):
        "this kernel has no overlay file system: modprobe overlay, or use --read-only",
    ("mount-overlay", "ELOOP"):
        "in the directory of --keep, upper or work is a link: take it away",
    ("use-root", "ENOTDIR"): "the root file system is not a directory",
    ("make-dir", "EROFS"): _NO_ROOM,
    ("make-dir", "ENOTDIR"): "{target} is there already, and is no directory",
    ("make-dir", "EEXIST"): "{target} is there already, and is no directory",
    ("make-dir", "EACCES"): "the box's user may not write where {target} belongs: make it there",
    ("make-dir", "ELOOP"):
        "the root file system has a link at {target}, and links that lead on are not followed "
        "there",
    ("make-dir", "EXDEV"):
        "the root file system has a link on the way to {target} that leads out of it",
    ("make-link", "EROFS"): _NO_ROOM,
    ("make-file", "EROFS"): _NO_ROOM,
    ("make-file", "ENOSPC"): "the box's tmpfs is full: raise --tmpfs-size",
    ("make-file", "ELOOP"):
        "the root file system has a symbolic link at {target}: put a file there",
    ("copy-file", "EROFS"): _NO_ROOM,
    ("copy-file", "EFBIG"): "{source} is larger than 4 MiB; mount it with -v",
    ("copy-file", "ENOSPC"): "the box's tmpfs is full: raise --tmpfs-size",
    ("copy-file", "ENOTDIR"): "a part of {target} in the root file system is no directory",
    ("copy-file", "ENOENT"):
        "a link of the root file system, on the way to {target}, leads nowhere",
    ("attach-tree", "EBUSY"): _CIRCLE,
    ("attach-tree", "ENOENT"):
        "there is no {target} in the root file system, and nowhere to make it",
    ("attach-tree", "ENOTDIR"):
        "the source is a directory and {target} is none, or the other way round, or a part of "
        "{target} is a file",
    ("attach-tree", "EISDIR"): "the source is a file and {target} is a directory",
    ("attach-tree", "EROFS"): _NO_ROOM,
    ("attach-tree", "EACCES"): _FOREIGN,
    ("attach-tree", "ELOOP"):
        "the root file system has a link at {target}, and links are not followed there",
    ("attach-tree", "EXDEV"):
        "the root file system has a link on the way to {target} that leads out of it",
    ("attach-tree", "EPERM"): "the source's mount is locked with flags that this would take away",
    ("attach-tree", "ENOSPC"): _DEEP,
    ("mount-tmpfs", "EBUSY"): _CIRCLE,
    ("mount-tmpfs", "EPERM"): _OUTER,
    ("mount-tmpfs", "ENOSPC"): _DEEP,
    ("mount-tmpfs", "ENOENT"): "the read-only root file system lacks {target}: make it there",
    ("mount-tmpfs", "ENOTDIR"): "{target} of the root file system is not a directory",
    ("mount-tmpfs", "EROFS"): _NO_ROOM,
    ("mount-tmpfs", "EACCES"): _FOREIGN,
    ("mount-tmpfs", "ELOOP"):
        "the root file system has a link at {target}, and links are not followed there",
    ("mount-proc", "EACCES"): _FOREIGN,
    ("mount-proc", "EBUSY"): _CIRCLE,
    ("mount-proc", "EROFS"): _NO_ROOM,
    ("mount-proc", "EPERM"):
        "this host hides parts of /proc, so a new one is refused: start the outer container with "
        "/proc unmasked, or see `minibox doctor`",
    ("mount-proc", "ENOENT"): "the read-only root file system lacks {target}: make it there",
    ("mount-proc", "ENOTDIR"): "{target} of the root file system is not a directory",
    ("mount-proc", "ELOOP"):
        "the root file system has a link at {target}, and links are not followed there",
    ("mount-sysfs", "EPERM"): "sysfs belongs to a network namespace: leave --network host out",
    ("mount-devpts", "EBUSY"): _CIRCLE,
    ("bind-device", "EBUSY"): _CIRCLE,
    ("bind-device", "EROFS"): _NO_ROOM,
    ("bind-device", "ENXIO"): "{source} is not device {major}:{minor} on this host, or no device",
    ("bind-device", "ENOENT"): "{source} does not exist on the host",
    ("bind-device", "EACCES"): "this user may not reach {source}",
    ("open-terminal", "ENOSPC"): "all terminals are in use: raise /proc/sys/kernel/pty/max",
    ("offset-clocks", "ERANGE"): "the shifted clock would be before the start of time: give less",
    ("pivot-root", "EINVAL"):
        "the host's root is its initial ramfs, which cannot be moved: use --root-by chroot",
    ("clone-app", "ENOSPC"):
        "the limit on user namespaces is reached: raise /proc/sys/user/max_user_namespaces",
    ("clone-app", "EAGAIN"):
        "the box may have no process at all by its own limit, or this user has as many as "
        "allowed: raise --pids-limit or `ulimit -u`",
    ("clone-app", "EPERM"):
        "a process that is chrooted may not make user namespaces: use pivot_root, or --no-init",
    ("clone-app", "EUSERS"): "user namespaces are nested too deep (32 levels)",
    ("set-rlimit", "EPERM"): "this user's own hard limit is lower (`ulimit -H -a`): ask for less",
    ("set-oom-score", "EACCES"):
        "only root may go below its own score: use --oom-score-adj 0 or more",
    ("change-dir", "ENOENT"): "there is no {path} in the box: make it, or choose another --workdir",
    ("change-dir", "ENOTDIR"): "{path} is not a directory in the box",
    ("change-dir", "EACCES"): "the box's user may not enter {path}",
    ("change-dir", "ELOOP"):
        "the symbolic links of {path} go round in circles, or lead out of the box through /proc",
    ("use-streams", "EBADF"): _OURS,
    ("drop-capabilities", "EPERM"): _OURS,
}

EVERYWHERE = {
    "EMFILE": "too many files are open: raise `ulimit -n`",
    "ENFILE": "too many files are open on this machine: raise /proc/sys/fs/file-max",
    "ENOMEM": "the machine, or the cgroup minibox runs in, is out of memory",
    "EAGAIN": "a limit of this user or this machine is reached: try again when less runs",
    "ENOSYS": "this kernel lacks the call, or a filter hides it: see `minibox doctor`",
    "EIO": "the machine's storage failed: see dmesg",
}

PROGRAM = {
    "not_in_path":
        "{program}: no such program in the box's PATH ({path}): install it in the root file "
        "system, or give its full path",
    "missing":
        "{program}: no such file in the box: what the host has is not there unless it is mounted "
        "with -v",
    "directory": "{file}: is a directory, not a program",
    "not_executable": "{file}: is not executable by the box's user: chmod +x",
    "noexec": "{file}: lies on a mount that forbids execution (noexec): put it elsewhere",
    "interpreter_missing":
        "{program}: is a script, and its interpreter {file} is not in the box: mend its first "
        "line, or install that interpreter",
    "interpreter_crlf":
        "{program}: its first line ends in CR LF, as on Windows, so the kernel looks for an "
        "interpreter whose name ends in CR: mend it with sed -i 's/\\r$//'",
    "loader_missing":
        "{program}: needs the loader {file}, which is not in the box: install the libraries it "
        "was linked with, or link it statically",
    "wrong_architecture": "{file}: is made for another kind of machine: build it for this one",
    "not_a_program": "{file}: is neither a program nor a script that begins with #!",
    "unreachable": "{file}: the box's user may not search a directory on the way: chmod o+x",
    "dangling_link": "{program}: is a symbolic link to {file}, which is not in the box",
    "link_loop": "{program}: its symbolic links go round in circles",
    "too_long":
        "{program}: arguments and environment are together longer than the kernel takes: pass "
        "them by a file or by stdin",
    "busy": "{file}: is open for writing, so it cannot be executed: close it first",
}


def of(step: Step, errno: int, detail: str = "") -> str:
    """Cause and mend of *step* having failed with *errno*; "" if there is nothing to add."""
    name = errorcode.get(errno, "")
    text = HINTS.get((name_of(type(step)), name)) or EVERYWHERE.get(name, "")
    fields = {field: getattr(step, field) for field in step.__fields__}
    return text.format_map(fields | {"detail": visible(detail) or "it does not say why"})


def program(step: Exec, errno: int, cause: int, detail: str = "") -> str:
    """Why the program of *step* could not be executed, and what to do about it, in one sentence."""
    text = PROGRAM.get(CAUSES[cause], "{program}: cannot be executed: {error}")
    name = visible(step.argv[0])
    from os import strerror

    return text.format(program=name, file=visible(detail) or name, path=visible(step.path),
                       error=strerror(errno))
