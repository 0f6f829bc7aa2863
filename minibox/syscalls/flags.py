"""The kernel's own names for what calls take, as enums: so an error can say them again."""

from __future__ import annotations

import enum


class CLONE(enum.IntFlag):
    """Kinds of namespace, and what a new process shares. Source: clone(2), namespaces(7)."""

    CLONE_PIDFD = 0x1000
    CLONE_NEWTIME = 0x80
    CLONE_NEWNS = 0x20000
    CLONE_NEWCGROUP = 0x2000000
    CLONE_NEWUTS = 0x4000000
    CLONE_NEWIPC = 0x8000000
    CLONE_NEWUSER = 0x10000000
    CLONE_NEWPID = 0x20000000
    CLONE_NEWNET = 0x40000000
    CLONE_INTO_CGROUP = 0x200000000


class MS(enum.IntFlag):
    """Flags of mount(2)."""

    MS_RDONLY = 1
    MS_NOSUID = 2
    MS_NODEV = 4
    MS_NOEXEC = 8
    MS_REMOUNT = 32
    MS_NOSYMFOLLOW = 256
    MS_NOATIME = 1024
    MS_NODIRATIME = 2048
    MS_BIND = 4096
    MS_MOVE = 8192
    MS_REC = 16384
    MS_UNBINDABLE = 1 << 17
    MS_PRIVATE = 1 << 18
    MS_SLAVE = 1 << 19
    MS_SHARED = 1 << 20
    MS_RELATIME = 1 << 21
    MS_STRICTATIME = 1 << 24


class MNT(enum.IntFlag):
    """Flags of umount2(2)."""

    MNT_FORCE = 1
    MNT_DETACH = 2
    MNT_EXPIRE = 4
    UMOUNT_NOFOLLOW = 8


class MOUNT_ATTR(enum.IntFlag):                                                     # noqa: N801
    """Properties of a mount. Source: mount_setattr(2); Linux 5.12."""

    MOUNT_ATTR_RDONLY = 1
    MOUNT_ATTR_NOSUID = 2
    MOUNT_ATTR_NODEV = 4
    MOUNT_ATTR_NOEXEC = 8
    MOUNT_ATTR_NOATIME = 16
    MOUNT_ATTR_STRICTATIME = 32
    MOUNT_ATTR_NODIRATIME = 128
    MOUNT_ATTR_NOSYMFOLLOW = 0x200000
    MOUNT_ATTR_IDMAP = 0x100000


class AT(enum.IntFlag):
    """How a path is looked up beside a directory's descriptor. Source: open_tree(2)."""

    OPEN_TREE_CLONE = 1
    AT_SYMLINK_NOFOLLOW = 0x100
    AT_EMPTY_PATH = 0x1000
    AT_RECURSIVE = 0x8000


class MOVE_MOUNT(enum.IntFlag):                                                     # noqa: N801
    """Flags of move_mount(2)."""

    MOVE_MOUNT_F_EMPTY_PATH = 4
    MOVE_MOUNT_T_EMPTY_PATH = 0x40


class FSCONFIG(enum.IntEnum):
    """Commands of fsconfig(2)."""

    FSCONFIG_SET_FLAG = 0
    FSCONFIG_SET_STRING = 1
    FSCONFIG_SET_FD = 5
    FSCONFIG_CMD_CREATE = 6


class RESOLVE(enum.IntFlag):
    """How far a path may lead. Source: openat2(2); Linux 5.6."""

    RESOLVE_NO_XDEV = 1
    RESOLVE_NO_MAGICLINKS = 2
    RESOLVE_NO_SYMLINKS = 4
    RESOLVE_BENEATH = 8
    RESOLVE_IN_ROOT = 16


class PR(enum.IntEnum):
    """Operations of prctl(2)."""

    PR_SET_PDEATHSIG = 1
    PR_GET_DUMPABLE = 3
    PR_SET_DUMPABLE = 4
    PR_GET_KEEPCAPS = 7
    PR_SET_KEEPCAPS = 8
    PR_SET_NAME = 15
    PR_CAPBSET_READ = 23
    PR_CAPBSET_DROP = 24
    PR_GET_SECUREBITS = 27
    PR_SET_SECUREBITS = 28
    PR_SET_CHILD_SUBREAPER = 36
    PR_SET_NO_NEW_PRIVS = 38
    PR_GET_NO_NEW_PRIVS = 39
    PR_CAP_AMBIENT = 47


class AMBIENT(enum.IntEnum):
    """What PR_CAP_AMBIENT is to do. Source: prctl(2)."""

    PR_CAP_AMBIENT_IS_SET = 1
    PR_CAP_AMBIENT_RAISE = 2
    PR_CAP_AMBIENT_LOWER = 3
    PR_CAP_AMBIENT_CLEAR_ALL = 4


class SECBIT(enum.IntFlag):
    """What is special about user 0. Source: capabilities(7)."""

    SECBIT_NOROOT = 1
    SECBIT_NOROOT_LOCKED = 2
    SECBIT_NO_SETUID_FIXUP = 4
    SECBIT_NO_SETUID_FIXUP_LOCKED = 8
    SECBIT_KEEP_CAPS = 16
    SECBIT_KEEP_CAPS_LOCKED = 32
    SECBIT_NO_CAP_AMBIENT_RAISE = 64
    SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED = 128


class SECCOMP_RET(enum.IntEnum):                                                    # noqa: N801
    """What a filter answers; an errno goes into the lower 16 bits. Source: seccomp(2)."""

    SECCOMP_RET_KILL_PROCESS = 0x80000000
    SECCOMP_RET_KILL_THREAD = 0
    SECCOMP_RET_TRAP = 0x30000
    SECCOMP_RET_ERRNO = 0x50000
    SECCOMP_RET_USER_NOTIF = 0x7fc00000
    SECCOMP_RET_TRACE = 0x7ff00000
    SECCOMP_RET_LOG = 0x7ffc0000
    SECCOMP_RET_ALLOW = 0x7fff0000


class AUDIT_ARCH(enum.IntEnum):                                                     # noqa: N801
    """What a filter finds at offset 4 of its data. Source: seccomp(2), linux/audit.h."""

    AUDIT_ARCH_I386 = 0x40000003
    AUDIT_ARCH_X86_64 = 0xc000003e
    AUDIT_ARCH_ARM = 0x40000028
    AUDIT_ARCH_AARCH64 = 0xc00000b7


class LANDLOCK_ACCESS_FS(enum.IntFlag):                                             # noqa: N801
    """What may be done to files. Source: landlock(7); REFER 5.19, TRUNCATE 6.2, IOCTL_DEV 6.10."""

    LANDLOCK_ACCESS_FS_EXECUTE = 1 << 0
    LANDLOCK_ACCESS_FS_WRITE_FILE = 1 << 1
    LANDLOCK_ACCESS_FS_READ_FILE = 1 << 2
    LANDLOCK_ACCESS_FS_READ_DIR = 1 << 3
    LANDLOCK_ACCESS_FS_REMOVE_DIR = 1 << 4
    LANDLOCK_ACCESS_FS_REMOVE_FILE = 1 << 5
    LANDLOCK_ACCESS_FS_MAKE_CHAR = 1 << 6
    LANDLOCK_ACCESS_FS_MAKE_DIR = 1 << 7
    LANDLOCK_ACCESS_FS_MAKE_REG = 1 << 8
    LANDLOCK_ACCESS_FS_MAKE_SOCK = 1 << 9
    LANDLOCK_ACCESS_FS_MAKE_FIFO = 1 << 10
    LANDLOCK_ACCESS_FS_MAKE_BLOCK = 1 << 11
    LANDLOCK_ACCESS_FS_MAKE_SYM = 1 << 12
    LANDLOCK_ACCESS_FS_REFER = 1 << 13
    LANDLOCK_ACCESS_FS_TRUNCATE = 1 << 14
    LANDLOCK_ACCESS_FS_IOCTL_DEV = 1 << 15


class LANDLOCK_ACCESS_NET(enum.IntFlag):                                            # noqa: N801
    """What may be done with TCP. Source: landlock(7); Linux 6.7."""

    LANDLOCK_ACCESS_NET_BIND_TCP = 1
    LANDLOCK_ACCESS_NET_CONNECT_TCP = 2


class LANDLOCK_SCOPE(enum.IntFlag):                                                 # noqa: N801
    """What reaches nobody outside of the restricted. Source: landlock(7); Linux 6.12."""

    LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET = 1
    LANDLOCK_SCOPE_SIGNAL = 2


class CAP(enum.IntEnum):
    """All capabilities, by their numbers. Source: capabilities(7); Linux 5.9."""

    CAP_CHOWN = 0
    CAP_DAC_OVERRIDE = 1
    CAP_DAC_READ_SEARCH = 2
    CAP_FOWNER = 3
    CAP_FSETID = 4
    CAP_KILL = 5
    CAP_SETGID = 6
    CAP_SETUID = 7
    CAP_SETPCAP = 8
    CAP_LINUX_IMMUTABLE = 9
    CAP_NET_BIND_SERVICE = 10
    CAP_NET_BROADCAST = 11
    CAP_NET_ADMIN = 12
    CAP_NET_RAW = 13
    CAP_IPC_LOCK = 14
    CAP_IPC_OWNER = 15
    CAP_SYS_MODULE = 16
    CAP_SYS_RAWIO = 17
    CAP_SYS_CHROOT = 18
    CAP_SYS_PTRACE = 19
    CAP_SYS_PACCT = 20
    CAP_SYS_ADMIN = 21
    CAP_SYS_BOOT = 22
    CAP_SYS_NICE = 23
    CAP_SYS_RESOURCE = 24
    CAP_SYS_TIME = 25
    CAP_SYS_TTY_CONFIG = 26
    CAP_MKNOD = 27
    CAP_LEASE = 28
    CAP_AUDIT_WRITE = 29
    CAP_AUDIT_CONTROL = 30
    CAP_SETFCAP = 31
    CAP_MAC_OVERRIDE = 32
    CAP_MAC_ADMIN = 33
    CAP_SYSLOG = 34
    CAP_WAKE_ALARM = 35
    CAP_BLOCK_SUSPEND = 36
    CAP_AUDIT_READ = 37
    CAP_PERFMON = 38
    CAP_BPF = 39
    CAP_CHECKPOINT_RESTORE = 40


FAMILIES = (CLONE, MS, MNT, MOUNT_ATTR, AT, MOVE_MOUNT, FSCONFIG, RESOLVE, PR, AMBIENT,
            SECBIT, SECCOMP_RET, AUDIT_ARCH, LANDLOCK_ACCESS_FS, LANDLOCK_ACCESS_NET,
            LANDLOCK_SCOPE, CAP)

AT_FDCWD = -100
"""In the place of a directory's descriptor: the working directory."""


def text(flags: enum.IntFlag | enum.IntEnum) -> str:
    """As C would write it: MS_NOSUID|MS_NODEV."""
    if isinstance(flags, enum.IntEnum):
        return flags.name
    known = [one for one in type(flags) if one & flags == one]
    rest = int(flags) & ~sum(int(one) for one in known)
    return "|".join([*(str(one.name) for one in known), *([hex(rest)] if rest else [])]) or "0"


CONSTANTS = tuple(name for family in FAMILIES for name in family.__members__)
"""Their names, which are had from this module as well: CLONE_NEWUSER is CLONE.CLONE_NEWUSER."""

globals().update({name: one for family in FAMILIES for name, one in family.__members__.items()})

__all__ = ["AT_FDCWD", *CONSTANTS]                                                  # noqa: PLE0604
