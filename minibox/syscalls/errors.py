"""A system call that failed: which, with which arguments, and what its errno means there."""

from __future__ import annotations

import codecs
import enum
import os
from errno import errorcode

from minibox.syscalls.flags import text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


codecs.lookup("unicode_escape")         # loads it now: an error may be said where /usr is not


class SyscallError(OSError):
    """The kernel refused a call.

    call: its name; arguments: as they were given; errno: a number as in `errno`; meaning: of this
    errno for this call, "" where there is nothing to add to its usual text.
    """

    def __init__(self, call: str, arguments: tuple[Any, ...], number: int) -> None:
        super().__init__(number, os.strerror(number))
        self.call, self.arguments = call, arguments

    @property
    def meaning(self) -> str:
        return MEANINGS.get((self.call, errorcode.get(self.errno or 0, "")), "")

    def __str__(self) -> str:
        name = errorcode.get(self.errno or 0, str(self.errno))
        said = f"{self.call}({', '.join(map(shown, self.arguments))}) = -1 {name}: {self.strerror}."
        return f"{said} {self.meaning}" if self.meaning else said

    def __reduce__(self) -> tuple[Any, ...]:
        return SyscallError, (self.call, self.arguments, self.errno)


def shown(argument: object) -> str:
    """One argument as strace writes it."""
    if argument is None:
        return "NULL"
    if isinstance(argument, (enum.IntFlag, enum.IntEnum)):
        return text(argument)
    if isinstance(argument, (list, tuple)):
        return f"[{', '.join(map(shown, argument))}]"
    if isinstance(argument, (str, bytes, os.PathLike)):
        name = os.fsdecode(argument)
        name = name if len(name) <= 80 else name[:77] + "..."
        return '"' + name.encode("unicode_escape").decode().replace('"', '\\"') + '"'
    return str(argument)


MEANINGS: dict[tuple[str, str], str] = {
    # clone(2), unshare(2), setns(2), namespaces(7), user_namespaces(7)
    ("unshare", "EPERM"): "Other namespaces than CLONE_NEWUSER take CAP_SYS_ADMIN: make a user "
                          "namespace together with them. If you asked for one, user namespaces are "
                          "switched off here, or you are in a chroot.",
    ("unshare", "EINVAL"): "A flag that this kernel does not know; or CLONE_NEWUSER by a process "
                           "with several threads.",
    ("unshare", "ENOSPC"): "There are as many namespaces of that kind as may be "
                           "(/proc/sys/user/max_*_namespaces), or 32 nested ones.",
    ("unshare", "EUSERS"): "User namespaces are nested too deeply, or too many (before Linux 4.9).",
    ("clone3", "EPERM"): "Other namespaces than CLONE_NEWUSER take CAP_SYS_ADMIN: ask for both.",
    ("clone3", "ENOSYS"): "The kernel is older than 5.3, or a filter of system calls hides clone3.",
    ("clone3", "EINVAL"): "Flags that exclude each other, or that this kernel does not know.",
    ("clone3", "EAGAIN"): "You have as many processes as you may have (RLIMIT_NPROC, pids.max).",
    ("clone3", "ENOSPC"): "There are as many namespaces of that kind as may be.",
    ("clone3", "EBUSY"): "The cgroup has controllers switched on for its children, so no process "
                         "may be in it.",
    ("fork", "EAGAIN"): "You have as many processes as you may have (RLIMIT_NPROC, pids.max).",
    ("fork", "ENOMEM"): "There is no memory; or process 1 of this PID namespace is dead, and then "
                        "nobody can be born there.",
    ("setns", "EPERM"): "You lack CAP_SYS_ADMIN in the user namespace that owns it, or your own.",
    ("setns", "EINVAL"): "The descriptor is of another kind of namespace; or you are in that user "
                         "namespace already, or have several threads.",
    ("setns", "EBADF"): "That is no descriptor of a namespace: open /proc/PID/ns/KIND.",
    ("sethostname", "EPERM"): "You lack CAP_SYS_ADMIN in the user namespace that owns this UTS "
                              "namespace: it is still the one outside.",
    ("sethostname", "EINVAL"): "A host name has at most 64 bytes.",
    ("write", "EPERM"): "A map is written once; an ordinary user may map the own id alone, in one "
                        "line, and groups only after /proc/PID/setgroups says deny.",
    ("write", "EINVAL"): "Each line of a map is: first id inside, first id outside, how many; no "
                         "two may overlap, and ids outside must be mapped there.",
    ("open", "EACCES"): "That process is another user's, or is not dumpable.",
    ("open", "ENOENT"): "There is no such process in this PID namespace.",
    # mount(2), umount2(2), pivot_root(2), mount_namespaces(7)
    ("mount", "EPERM"): "You lack CAP_SYS_ADMIN in the user namespace that owns this mount "
                        "namespace; or the file system may not be mounted there; for proc: parts "
                        "of the one outside are hidden, or you have no PID namespace of your own.",
    ("mount", "EACCES"): "A part of the path may not be searched; or the source is read-only and "
                         "MS_RDONLY was not given.",
    ("mount", "ENOENT"): "The source or the target is not there: make the mount point first.",
    ("mount", "ENOTDIR"): "The target is no directory; a file can only be bound onto a file.",
    ("mount", "EINVAL"): "The options are wrong, or the source to bind lies in another mount "
                         "namespace, or has locked mounts in it and MS_REC was not given.",
    ("mount", "EBUSY"): "It is mounted there already, or is in use and cannot become read-only.",
    ("mount", "ENODEV"): "The kernel does not know this type of file system.",
    ("mount", "ENOSPC"): "There are as many mounts as may be (/proc/sys/fs/mount-max); it is not "
                         "the disk.",
    ("mount", "ELOOP"): "Too many symbolic links, or the move would put a mount below itself.",
    ("umount2", "EPERM"): "You lack CAP_SYS_ADMIN in the user namespace that owns this mount "
                          "namespace.",
    ("umount2", "EINVAL"): "Nothing is mounted there; or the mount came from a more privileged "
                           "mount namespace, and is locked.",
    ("umount2", "EBUSY"): "Somebody uses it. MNT_DETACH takes it out of the tree now, and lets go "
                          "when it is not in use any more.",
    ("umount2", "ENOENT"): "There is no such path.",
    ("pivot_root", "EINVAL"): "The new root is no mount point (bind it onto itself), or the old "
                              "one's place is not below it, or a mount there is shared (make / "
                              "private), or the current root is the initial ramfs.",
    ("pivot_root", "EBUSY"): "The new root, or the old one's place, is on the current root mount.",
    ("pivot_root", "EPERM"): "You lack CAP_SYS_ADMIN in the user namespace that owns this mount "
                             "namespace.",
    ("pivot_root", "ENOTDIR"): "The new root, or the old one's place, is no directory.",
    ("pivot_root", "ENOENT"): "The new root, or the old one's place, is not there.",
    ("chroot", "EPERM"): "You lack CAP_SYS_CHROOT in your user namespace.",
    ("chroot", "ENOENT"): "There is no such directory.",
    ("chroot", "ENOTDIR"): "The new root must be a directory.",
    ("chroot", "EACCES"): "A directory on the way may not be searched by this user.",
    ("chdir", "ENOENT"): "There is no such directory, in this process's root.",
    ("chdir", "ENOTDIR"): "It, or a part of the way to it, is no directory.",
    ("chdir", "EACCES"): "It, or a directory on the way, may not be searched by this user.",
    ("open_tree", "EPERM"): "OPEN_TREE_CLONE takes CAP_SYS_ADMIN over this mount namespace.",
    ("open_tree", "EINVAL"): "The mount has locked ones in it: give AT_RECURSIVE.",
    ("open_tree", "ENOENT"): "There is no such path.",
    ("open_tree", "EBADF"): "The path is relative, and what it is relative to no descriptor.",
    ("move_mount", "ENOENT"): "There is no such target: make the mount point first.",
    ("move_mount", "ENOTDIR"): "A directory can only be attached to a directory, a file to a file.",
    ("move_mount", "EPERM"): "You lack CAP_SYS_ADMIN over this mount namespace.",
    ("move_mount", "EINVAL"): "The source is no mount, or the target is below it, or a parent is "
                              "shared.",
    ("mount_setattr", "EPERM"): "You lack CAP_SYS_ADMIN over the mount namespace; or the attribute "
                                "was locked by a more privileged one.",
    ("mount_setattr", "EINVAL"): "An attribute that this kernel does not know; or an ID-mapped "
                                 "mount of a file system that cannot be one.",
    ("fsopen", "ENODEV"): "The kernel does not know this type of file system.",
    ("fsopen", "EPERM"): "You lack CAP_SYS_ADMIN over this mount namespace.",
    ("fsconfig", "EBUSY"): "It was made already, or a call before failed: begin with fsopen again.",
    ("fsmount", "EINVAL"): "It is not made yet: FSCONFIG_CMD_CREATE comes first.",
    ("fsmount", "EBUSY"): "It was mounted already, or could not be made.",
    ("fsconfig", "EINVAL"): "There is no such option, or its value is wrong.",
    ("fsconfig", "EPERM"): "The file system may not be mounted in this user namespace.",
    ("fsmount", "EPERM"): "You lack CAP_SYS_ADMIN; for proc: parts of the one outside are hidden.",
    ("openat2", "EXDEV"): "The path leads out of the directory, or onto another mount.",
    ("openat2", "ELOOP"): "There is a symbolic link in it, and those were not to be followed.",
    ("openat2", "EINVAL"): "Flags or RESOLVE_... that this kernel does not know, or a mode without "
                           "O_CREAT or O_TMPFILE.",
    ("openat2", "EAGAIN"): "Something was renamed or mounted meanwhile, so it is not sure that the "
                           "path stays within: try again.",
    ("openat2", "ENOENT"): "There is no such path below that directory.",
    # credentials(7), capabilities(7), setgroups(2)
    ("setresuid", "EPERM"): "An ordinary process may only take ids that it has; others take "
                            "CAP_SETUID in this user namespace.",
    ("setresuid", "EINVAL"): "This user namespace does not map that id (see /proc/self/uid_map).",
    ("setresgid", "EPERM"): "Other groups than your own take CAP_SETGID in this user namespace.",
    ("setresgid", "EINVAL"): "This user namespace does not map that id (see /proc/self/gid_map).",
    ("setgroups", "EPERM"): "You lack CAP_SETGID; or gid_map is not written yet; or "
                            "/proc/self/setgroups says deny, which nobody can take back.",
    ("setgroups", "EINVAL"): "A group that this user namespace does not map, or too many.",
    ("capset", "EPERM"): "Permitted can only shrink; effective and inheritable must be within it "
                         "(inheritable also within the bounding set).",
    ("capset", "EINVAL"): "A version of the interface that this kernel does not know.",
    ("prctl", "EPERM"): "PR_CAPBSET_DROP and PR_SET_SECUREBITS take CAP_SETPCAP; a capability can "
                        "only be raised to ambient if it is permitted and inheritable.",
    ("prctl", "EINVAL"): "An operation or argument that this kernel does not know.",
    ("setsid", "EPERM"): "This process leads a process group already: fork first.",
    # seccomp(2), landlock(7)
    ("seccomp", "EACCES"): "Set no_new_privs first; only CAP_SYS_ADMIN may load a filter without.",
    ("seccomp", "EINVAL"): "The program is none: every jump must stay in it, and its last "
                           "instruction must return.",
    ("seccomp", "EFAULT"): "The program cannot be read at that address.",
    ("landlock_create_ruleset", "EOPNOTSUPP"): "Landlock is built in, but switched off at boot.",
    ("landlock_create_ruleset", "ENOSYS"): "The kernel has no Landlock (5.13).",
    ("landlock_create_ruleset", "EINVAL"): "An access right that this kernel does not know.",
    ("landlock_create_ruleset", "E2BIG"): "This kernel's structure is shorter: give it no rights "
                                          "on the network or scopes.",
    ("landlock_create_ruleset", "ENOMSG"): "It handles nothing.",
    ("landlock_add_rule", "EINVAL"): "The rule allows what the ruleset does not handle.",
    ("landlock_add_rule", "EAFNOSUPPORT"): "This kernel has no TCP.",
    ("landlock_add_rule", "EBADF"): "One of them is no descriptor; the first must be a ruleset.",
    ("landlock_add_rule", "EBADFD"): "That descriptor is no file or directory.",
    ("landlock_restrict_self", "EPERM"): "Set no_new_privs first, or have CAP_SYS_ADMIN.",
    ("landlock_restrict_self", "E2BIG"): "At most 16 rulesets can be stacked.",
    # the rest
    ("dup3", "EBADF"): "The first is no open descriptor, or the second is above RLIMIT_NOFILE.",
    ("dup3", "EINVAL"): "Both are the same descriptor.",
    ("close_range", "EINVAL"): "The last is below the first.",
    ("memfd_create", "EINVAL"): "A name has at most 249 bytes.",
    ("memfd_create", "EMFILE"): "This process has as many descriptors as it may (RLIMIT_NOFILE).",
    ("keyctl", "EDQUOT"): "This user has as many keys as may be (/proc/sys/kernel/keys).",
    ("prlimit64", "EPERM"): "A hard limit can only be raised with CAP_SYS_RESOURCE on the host.",
    ("prlimit64", "EINVAL"): "The soft limit is above the hard one, or there is no such resource.",
    ("sched_setaffinity", "EINVAL"): "None of those CPUs is there, or may be used by this cgroup.",
    ("pidfd_open", "ESRCH"): "There is no such process in this PID namespace.",
    ("pidfd_send_signal", "EPERM"): "You may signal only processes of your own user id, or below "
                                    "your user namespace.",
    ("pidfd_send_signal", "ESRCH"): "It has ended, and was waited for.",
    ("kill", "ESRCH"): "There is no such process in this PID namespace.",
    ("kill", "EPERM"): "You may signal only processes of your own user id.",
    ("waitpid", "ECHILD"): "It is no child of this process, or was waited for already.",
    ("execve", "ENOENT"): "There is no such program, or not the interpreter that it names, on "
                          "either side of a new root.",
    ("execve", "EACCES"): "It is not executable, or lies on a mount with noexec.",
    ("execve", "ENOEXEC"): "It is no program: its first bytes are not those of ELF, nor #!.",
    ("execve", "E2BIG"): "Arguments and environment are too long together.",
}
"""What an errno means for a call, from the man pages that the comments name, in our words."""
