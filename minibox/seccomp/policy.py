"""The default policy: which system calls a box may make, in groups, each with its reason.

What is in no group is unknown, and answered ENOSYS, as by a kernel that has not got it: libc then
falls back.  What is forbidden is answered EPERM.  Rules on arguments mind what the kernel reads: of
an int 32 bits, while a filter compares 64.  So a rule allows by equality of all 64, and denies by
the lower 32 alone; none says "not equal" or "greater".
"""

from __future__ import annotations

from minibox.record import Record

EPERM, ENOSYS = 1, 38

NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET."""
NEW_TIME = 0x80
"""CLONE_NEWTIME, which unshare knows; of clone's flags these are the signal."""

TIOCSTI, TIOCLINUX, TIOCSETD = 0x5412, 0x541C, 0x5423
SET_ID = 0o6000
UNIX, INET, INET6, NETLINK, PACKET = 1, 2, 10, 16, 17
STREAM, DGRAM, RAW = (tuple(kind | flags for flags in (0, 0o2000000, 0o4000, 0o2004000))
                      for kind in (1, 2, 3))
"""With SOCK_CLOEXEC and SOCK_NONBLOCK, or without."""
TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
ROUTE = 0
WHICH, LINUX = 0xFFFFFFFF, 0


class Equal(Record):
    """Argument number *argument* is one of *values*, in all its 64 bits."""

    argument: int
    values: tuple[int, ...]


class Masked(Record):
    """Of the lower half of argument number *argument*, the bits of *mask* are one of *values*."""

    argument: int
    mask: int
    values: tuple[int, ...]


class Bits(Record):
    """The lower half of argument number *argument* has one of the bits of *mask*."""

    argument: int
    mask: int


class Group(Record):
    """Calls with one verdict and one reason. needs: capabilities each of which allows them."""

    name: str
    why: str
    calls: str
    allowed: bool = True
    needs: tuple[str, ...] = ()


class Rule(Record):
    """A call that depends on its arguments. allow: where all of one alternative holds; deny: where
    one holds; one of the two is given. needs: capabilities each of which lifts the rule."""

    call: str
    why: str
    allow: tuple[tuple[Equal, ...], ...] = ()
    deny: tuple[Masked | Bits, ...] = ()
    needs: tuple[str, ...] = ()


GROUPS: tuple[Group, ...] = (
    Group(name="files", why="to open, read, write and look at what the box's view and owners allow",
          calls="""
        open openat creat close close_range read write pread64 pwrite64 readv writev preadv pwritev
        preadv2 pwritev2 lseek dup dup2 dup3 fcntl flock fsync fdatasync sync syncfs sync_file_range
        truncate ftruncate fallocate fadvise64 readahead copy_file_range sendfile splice tee
        vmsplice pipe pipe2 stat lstat fstat newfstatat statx statfs fstatfs access faccessat
        faccessat2 readlink readlinkat getdents getdents64 getcwd chdir fchdir umask"""),
    Group(name="names", why="to make, move and remove files, and set who may use them", calls="""
        mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat
      chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes utimensat futimesat
        setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
        removexattr lremovexattr fremovexattr setxattrat getxattrat listxattrat removexattrat"""),
    Group(name="memory", why="to have memory, and say how it is used", calls="""
        brk mmap munmap mremap mprotect madvise msync mincore mlock mlock2 munlock
        mlockall munlockall memfd_create memfd_secret mseal membarrier remap_file_pages pkey_alloc
        pkey_free pkey_mprotect map_shadow_stack get_mempolicy shmget shmat shmdt shmctl"""),
    Group(name="processes", why="to start, watch and end processes of the box", calls="""
      fork vfork execve execveat exit exit_group wait4 waitid getpid getppid gettid set_tid_address
        getpgid setpgid getpgrp getsid setsid prctl arch_prctl set_thread_area get_thread_area
        set_robust_list get_robust_list rseq pidfd_open pidfd_send_signal process_mrelease"""),
    Group(name="debugging", why="gdb and strace of the box's own; init is out of their reach in a "
          "user namespace above", calls="""
        ptrace process_vm_readv process_vm_writev pidfd_getfd kcmp"""),
    Group(name="identities", why="to ask who one is; a change takes capabilities", calls="""
        getuid geteuid getgid getegid getresuid getresgid getgroups setuid setgid setreuid setregid
        setresuid setresgid setgroups setfsuid setfsgid capget capset"""),
    Group(name="signals", why="to send and handle signals within the box", calls="""
        rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigqueueinfo
        rt_tgsigqueueinfo rt_sigsuspend sigaltstack kill tkill tgkill pause signalfd signalfd4
        restart_syscall"""),
    Group(name="waiting", why="to wait for descriptors, events and each other", calls="""
        poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait
        epoll_pwait2 eventfd eventfd2 inotify_init inotify_init1 inotify_add_watch inotify_rm_watch
        futex futex_waitv futex_wake futex_wait futex_requeue sched_yield semget semop semctl
        semtimedop msgget msgsnd msgrcv msgctl mq_open mq_unlink mq_timedsend mq_timedreceive
        mq_notify mq_getsetattr io_setup io_destroy io_getevents io_pgetevents io_submit
        io_cancel"""),
    Group(name="time", why="to read clocks and set timers", calls="""
        time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep alarm getitimer
        setitimer timer_create timer_settime timer_gettime timer_getoverrun timer_delete
        timerfd_create timerfd_settime timerfd_gettime times"""),
    Group(name="scheduling", why="to yield, choose among its CPUs, and be nicer", calls="""
        sched_getaffinity sched_setaffinity sched_getparam sched_setparam sched_getscheduler
        sched_setscheduler sched_getattr sched_setattr sched_get_priority_max
        sched_get_priority_min sched_rr_get_interval getpriority setpriority ioprio_get ioprio_set
        getcpu"""),
    Group(name="limits", why="to ask what one may use and has used, and to lower it", calls="""
        getrlimit setrlimit prlimit64 getrusage sysinfo uname"""),
    Group(name="sockets", why="what is done with a socket; which there can be is a rule", calls="""
        connect accept accept4 bind listen getsockname getpeername getsockopt setsockopt sendto
        recvfrom sendmsg recvmsg sendmmsg recvmmsg shutdown"""),
    Group(name="randomness", why="keys and hashes need it", calls="getrandom"),
    Group(name="own walls", why="a program may confine itself further", calls="""
        seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self"""),
    Group(name="uprobes", why="the way on from a probe that a tracer of the host has set; for "
          "all others the kernel refuses it", calls="uretprobe uprobe"),

    Group(name="mounts", why="a mount can uncover what is masked; its parsers are large", calls="""
        mount umount2 pivot_root fsopen fsconfig fsmount fspick open_tree open_tree_attr move_mount
        mount_setattr""", allowed=False, needs=("SYS_ADMIN",)),
    Group(name="namespaces", why="a namespace of its own is privilege over kernel code",
          calls="setns", allowed=False, needs=("SYS_ADMIN",)),
    Group(name="chroot", why="a step out of a chroot begins with another one", calls="chroot",
          allowed=False, needs=("SYS_CHROOT",)),
    Group(name="handles", why="a file handle is a name that no mount confines (CVE-2015-3629)",
          calls="open_by_handle_at name_to_handle_at", allowed=False, needs=("DAC_READ_SEARCH",)),
    Group(name="keys", why="keys have no namespace: a box could find those of others", calls="""
        add_key request_key keyctl""", allowed=False),
    Group(name="bpf", why="programs in the kernel; their checker has had many bugs", calls="bpf",
          allowed=False, needs=("SYS_ADMIN", "BPF")),
    Group(name="perf", why="the processor's counters tell what others do; many bugs",
          calls="perf_event_open", allowed=False, needs=("SYS_ADMIN", "PERFMON")),
    Group(name="io_uring", why="a second way to make system calls, which no filter sees", calls="""
        io_uring_setup io_uring_enter io_uring_register""", allowed=False),
    Group(name="userfaultfd", why="it holds the kernel still in the middle of a copy, which "
          "exploits of races want", calls="userfaultfd", allowed=False),
    Group(name="modules", why="code for the kernel", calls="init_module finit_module delete_module",
          allowed=False, needs=("SYS_MODULE",)),
    Group(name="reboot", why="another kernel, or none", calls="kexec_load kexec_file_load reboot",
          allowed=False, needs=("SYS_BOOT",)),
    Group(name="swap and quotas", why="the host's disks", calls="""
        swapon swapoff quotactl quotactl_fd""", allowed=False, needs=("SYS_ADMIN",)),
    Group(name="clock", why="there is one for all", calls="""
        settimeofday clock_settime clock_adjtime adjtimex""", allowed=False, needs=("SYS_TIME",)),
    Group(name="kernel log", why="it tells addresses and what others do", calls="syslog",
          allowed=False, needs=("SYSLOG",)),
    Group(name="accounting", why="it writes a file for all processes of the host", calls="acct",
          allowed=False, needs=("SYS_PACCT",)),
    Group(name="ports", why="the hardware's own", calls="iopl ioperm", allowed=False,
          needs=("SYS_RAWIO",)),
    Group(name="terminals of others", why="it hangs up the caller's terminal", calls="vhangup",
          allowed=False, needs=("SYS_TTY_CONFIG",)),
    Group(name="fanotify", why="it watches whole file systems", calls="fanotify_init fanotify_mark",
          allowed=False, needs=("SYS_ADMIN",)),
    Group(name="placement", why="it moves memory between nodes and out of RAM, that of other "
          "processes too", calls="""
        move_pages migrate_pages mbind set_mempolicy set_mempolicy_home_node process_madvise""",
          allowed=False, needs=("SYS_NICE",)),
    Group(name="host name", why="set-up gave it", calls="sethostname setdomainname", allowed=False,
          needs=("SYS_ADMIN",)),
    Group(name="old segments", why="16-bit code: bugs, and no use but for wine", calls="modify_ldt",
          allowed=False),
    Group(name="page cache", why="it tells which pages of a file anybody has read of late",
          calls="cachestat", allowed=False),
    Group(name="obsolete", why="no program of this century calls it; bugs have been found in it",
          calls="lookup_dcookie nfsservctl _sysctl sysfs uselib ustat", allowed=False),
)

DEVICES = (0o020000, 0o060000)
NO_DEVICES = (
    Rule(call="mknod", why="no device", needs=("MKNOD",),
         deny=(Masked(argument=1, mask=0o170000, values=DEVICES),)),
    Rule(call="mknodat", why="no device", needs=("MKNOD",),
         deny=(Masked(argument=2, mask=0o170000, values=DEVICES),)))
RULES: tuple[Rule, ...] = (
    Rule(call="clone", why="a new process or thread, but no new namespace",
         deny=(Bits(argument=0, mask=NEW_NAMESPACES),), needs=("SYS_ADMIN",)),
    Rule(call="unshare", why="to part with open files or a working directory: no new namespace",
         deny=(Bits(argument=0, mask=NEW_NAMESPACES | NEW_TIME),), needs=("SYS_ADMIN",)),
    Rule(call="ioctl", why="what a descriptor offers, but to type into a terminal (CVE-2017-5226), "
         "paste into it, or change its line discipline (CVE-2017-2636)",
         deny=(Masked(argument=1, mask=0xFFFFFFFF, values=(TIOCSTI, TIOCLINUX, TIOCSETD)),)),
    Rule(call="personality", why="to ask which it is, or have the usual one; others weaken memory",
         allow=((Equal(argument=0, values=(LINUX, WHICH)),),)),
    Rule(call="socketpair", why="local ones only",
         allow=((Equal(argument=0, values=(UNIX,)),),)),
    *NO_DEVICES,
)

NO_NETWORK = Rule(
    call="socket", why="local ones, and netlink's route, which tells the interfaces; there is no "
    "network for others", allow=((Equal(argument=0, values=(UNIX,)),),
                                 (Equal(argument=0, values=(NETLINK,)),
                                  Equal(argument=2, values=(ROUTE,)))))
NETWORK = Rule(
    call="socket", why="local ones, netlink's route, and of the internet TCP, UDP and ping: rarer "
    "protocols have been a way into the kernel, and protocol 0 means some of them by their type "
    "(DCCP: CVE-2017-6074)",
    allow=(*NO_NETWORK.allow, (Equal(argument=0, values=(INET, INET6)),
                               Equal(argument=1, values=STREAM + DGRAM),
                               Equal(argument=2, values=(0, TCP, UDP, ICMP, ICMP6)))))
WITH = {"NET_RAW": ((Equal(argument=0, values=(INET, INET6)), Equal(argument=1, values=RAW)),
                    (Equal(argument=0, values=(PACKET,)),)),
        "NET_ADMIN": ((Equal(argument=0, values=(NETLINK,)),),)}
"""The sockets that a capability is for."""

WHY_SET_ID = ("no set-user-ID file: on the host it would be the caller's own, and so root's where "
              "root is that")
SET_IDS = tuple(
    Rule(call=call, why=WHY_SET_ID, deny=(*also, Bits(argument=argument, mask=SET_ID)))
    for call, argument, also in (
        ("chmod", 1, ()), ("fchmod", 1, ()), ("fchmodat", 2, ()), ("fchmodat2", 2, ()),
        ("creat", 1, ()), ("open", 2, ()), ("openat", 3, ()),
        ("mknod", 1, NO_DEVICES[0].deny), ("mknodat", 2, NO_DEVICES[1].deny)))
"""Where the box may write to files of the host, in place of other rules on these calls. (openat2
passes its mode in memory, and is unknown; mkdir makes no use of these bits.)"""
FILE_CAPABILITIES = tuple(
    Rule(call=call, why="no file capabilities: on the host they would count as the caller's gift",
         deny=(Masked(argument=0, mask=0, values=(0,)),))
    for call in ("setxattr", "lsetxattr", "fsetxattr", "setxattrat"))
"""Likewise there, with SETFCAP: no attribute at all, as its name lies in memory."""


SPARE_INIT = tuple(
    Rule(call=call, why="any process but init, which has the same user id, and which only Landlock "
         "of Linux 6.12 spares", deny=(Masked(argument=0, mask=0xFFFFFFFF, values=(1,)),))
    for call in ("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_open",
                 "prlimit64"))
"""Where PID 1 is not the application itself."""


def groups(capabilities: tuple[str, ...]) -> tuple[Group, ...]:
    """The groups, with those allowed that one of *capabilities* is for."""
    from minibox.record import replace

    return tuple(replace(group, allowed=True) if set(group.needs) & set(capabilities) else group
                 for group in GROUPS)


def rules(network: bool, capabilities: tuple[str, ...], set_id: bool,
          init: bool) -> tuple[Rule, ...]:
    """The rules on arguments. set_id: may it give files set-user-ID bits and the like? init: is
    PID 1 minibox's own?"""
    from minibox.record import replace

    socket = NETWORK if network else NO_NETWORK
    more = (one for name, those in WITH.items() if name in capabilities for one in those)
    found = {rule.call: replace(rule, deny=()) if set(rule.needs) & set(capabilities) else rule
             for rule in RULES}
    if init:
        found |= {rule.call: rule for rule in SPARE_INIT}
    found["socket"] = replace(socket, allow=(*socket.allow, *more))
    if not set_id:
        found |= {rule.call: rule for rule in SET_IDS}
    if not set_id and "SETFCAP" in capabilities:
        found |= {rule.call: rule for rule in FILE_CAPABILITIES}
    return tuple(found.values())
