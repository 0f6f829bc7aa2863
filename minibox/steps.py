"""Every kind of step that a plan is made of, once: its fields, its sentence, its sources.

A step is one act of the engine, of the box's init or of the application's own process, complete
in itself.  Its docstring is its definition: the first line is the sentence that people read
(`{field}` is filled in), then why, what leaks or breaks without it, which privilege it needs,
units, errors and source.  `csrc/generate.py` makes the C structures and the dispatch from these
classes, so the order here is the numbering in the plan's binary form; `csrc/steps_*.c`, a file for
each mechanism, have a function of its name for each.

Fields are int, bool, str, tuple[str, ...] or tuple[int, ...].  Registers: a step names a cgroup
or a detached mount tree that another step opened by a small number (`cgroup`, `tree`).
Paths called `target` lie in the box and are walked beneath the new root's own descriptor
(openat2 with RESOLVE_IN_ROOT and RESOLVE_NO_MAGICLINKS); paths called `source` lie on the host.
"""

from __future__ import annotations

from minibox.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

PREPARE, ENTER, APP, FINISH = PARTS = ("prepare", "enter", "app", "finish")
"""Who acts: the engine before the box runs, init inside it, the application's own process, the
engine after the last process is dead."""

GATE_IDS, GATE_CGROUP = 1, 2
"""What init waits for: its ids (and mount trees opened for it), and its place in the cgroups."""

MAX_TREES, MAX_CGROUPS = 64, 8
"""Registers for detached mount trees (limits the volumes of one box) and for cgroups."""

FIGURES = ("cpu_ns", "cpu_user_ns", "cpu_system_ns", "throttled_ns", "memory_peak_bytes",
           "oom_kills", "pids_peak", "pids_refused", "io_read_bytes", "io_write_bytes",
           "swap_peak_bytes", "cpu_pressure_ns", "memory_pressure_ns", "io_pressure_ns")
"""What a cgroup can tell at the end; the place in this tuple is the number in the report."""


class Step(Record):
    """Base of all steps."""

    parts: ClassVar[tuple[str, ...]] = ()
    mechanism: ClassVar[str] = ""
    """The module of minibox/compiler/ that decides on it."""


# ---- prepare: the engine, on the host, with the caller's own privileges ------------------------

class Watch(Step):
    """Watch {walltime_ns} ns, {cputime_ns} CPU ns, {output_bytes} B output, {rss_bytes} B resident.

    Why:    what no kernel limit caps for a whole box, the engine measures and ends.
    Leaks:  what never ends runs until somebody notices, and output fills the caller's disk; with no
            memory cgroup, nothing else sees how much is resident.
    Needs:  none.
    Units:  ns and bytes; 0 is no limit. Wall time counts from the application's exec.
    Errors: none.
    Source: clock_gettime(2), ppoll(2); Linux 2.6.16.
    """

    parts = (PREPARE,)
    mechanism = "process"
    walltime_ns: int = 0
    cputime_ns: int = 0
    output_bytes: int = 0
    rss_bytes: int = 0


class StopWith(Step):
    """Stop the box by signal {signal}, and by SIGKILL {timeout_ns} ns later.

    Why:    an application may tidy up when it is asked to end, but it may not refuse to.
    Leaks:  a program that ignores the signal is never stopped, and one that is killed at once loses
            what it had not yet written.
    Needs:  none beyond what made the box: its user namespace is the engine's own to signal into.
    Units:  ns.
    Errors: none.
    Source: signal(7).
    """

    parts = (PREPARE,)
    mechanism = "process"
    signal: int
    timeout_ns: int


class OpenStreams(Step):
    """Make the box's standard streams (stdin: {stdin}, terminal: {terminal}).

    Why:    a box never holds a host file or the caller's terminal; the engine relays those through
            pipes or a terminal of the box's own. Pipes and /dev/null pass straight through,
            unless output is counted ({relay}). Pipes are given to the application's user, or it
            could not open /dev/stdout. With {direct} set all goes straight through, to show what
            the relays hold.
    Leaks:  the application holds the caller's own file or terminal. It can open it again by
            /proc/self/fd, with rights that the stream does not give, and cut a file short.
    Needs:  none; to give a pipe to a leased user, CAP_CHOWN on the host, which root has.
    Units:  stdin "null" or "caller"; owner, for a box of root, is that user's place in the leased
            range, -1: the pipes are the application's own already.
    Errors: EMFILE; EBADF is never an error: a closed stream becomes /dev/null.
    Source: pipe(2), splice(2), pty(7).
    """

    parts = (PREPARE,)
    mechanism = "process"
    stdin: str
    terminal: bool
    relay: bool
    owner: int = -1
    direct: bool = False


class LeaseIds(Step):
    """Lease {size} user and group ids for this box from {first} on, under a lock in {path}.

    Why:    a box that root starts gets ids that no other box and no host user has.
    Leaks:  two boxes of root are the same users on the host: only namespaces keep one from the
            other's files and processes, and their limits for each user are counted as one.
    Needs:  to be the owner of the file and of its directory, for boxes of root the host's root.
    Units:  one of {count} ranges, the first whose byte in the file is not locked; the kernel ends
            the lease when the engine ends.
    Errors: EUSERS when all are leased; EPERM when the file is not root's own.
    Source: fcntl(2) open file description locks; Linux 3.15.
    """

    parts = (PREPARE,)
    mechanism = "ids"
    path: str
    first: int
    size: int
    count: int


class SweepCgroups(Step):
    """Remove what dead boxes left of cgroups under {parent}.

    Why:    an engine that was killed cannot tidy up; its lock on the directory is gone, though.
    Leaks:  each box whose engine was killed leaves a cgroup for good, with memory of the kernel's,
            until the kernel makes no more of them.
    Needs:  write permission on the parent's directory, as for making one.
    Errors: none: what cannot be removed stays.
    Source: flock(2), cgroups(7).
    """

    parts = (PREPARE,)
    mechanism = "cgroups"
    parent: str


class MakeCgroup(Step):
    """Make a cgroup for the box in {parent} (register {cgroup}).

    Why:    the kernel counts and caps what a cgroup uses, however many processes share it.
            The name is random, created and never adopted.
    Leaks:  a cap holds for each process by itself, so whoever forks has it once more; and nobody
            counts what ended without being waited for.
    Needs:  write permission on the parent's directory: root has it, a user in a subtree that was
            delegated.
    Errors: EACCES, EROFS, ENOENT: the parent is not ours to use; EAGAIN, ENOSPC: its limits.
    Source: cgroups(7).
    """

    parts = (PREPARE,)
    mechanism = "cgroups"
    cgroup: int
    parent: str


class WriteCgroup(Step):
    """Write {value} to {file} of cgroup {cgroup}.

    Why:    this is the cap.
    Leaks:  the box takes what its parent cgroup has of memory, CPUs, processes or disk, and others
            wait or are killed for want of it.
    Needs:  to own the cgroup, as whoever made it does; its controller must be enabled there.
    Errors: EINVAL: the kernel does not take the value; EBUSY: already in use; ENOENT: the
            controller is not enabled here. With {optional} set, an absent file is no error.
    Source: cgroups(7), Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/.
    """

    parts = (PREPARE,)
    mechanism = "cgroups"
    cgroup: int
    file: str
    value: str
    optional: bool = False


class WatchOom(Step):
    """Have the kernel tell when cgroup {cgroup} is out of memory.

    Why:    cgroup v1 kills one process at a time; the box is to end as a whole, as on v2.
    Leaks:  the kernel kills one process, and the others of the box go on without it.
    Needs:  to own the cgroup; read permission on memory.oom_control, write permission on
            cgroup.event_control.
    Errors: ENOENT on a kernel without v1 memory events.
    Source: Documentation/admin-guide/cgroup-v1/memory.rst, eventfd(2).
    """

    parts = (PREPARE,)
    mechanism = "cgroups"
    cgroup: int


class CloneInit(Step):
    """Start the box's init in new namespaces: {namespaces}.

    Why:    each namespace gives the box its own view of one global thing, and the user namespace
            makes the others possible without root. On cgroup v2 it starts inside the box's own
            ({cgroup}).
    Leaks:  without pid all processes of the host are seen, and what stands on their command lines;
            without net whatever listens for the host alone answers; without ipc its shared memory
            is in reach, without uts its name; without mnt set-up would change the host's own
            mounts; without user, root in the box is root.
    Needs:  for a user namespace none, where this host lets users make them; it is made first and
            owns the others, each of which takes CAP_SYS_ADMIN otherwise. For the cgroup, write
            permission on its cgroup.procs.
    Units:  namespaces by their names in /proc/PID/ns; cgroup -1 is none.
    Errors: EPERM: user namespaces are switched off; ENOSPC: max_user_namespaces; EAGAIN: the
            caller's process limit; EBUSY, EACCES: the cgroup may not be entered.
    Source: clone(2), namespaces(7); clone3 Linux 5.3, CLONE_INTO_CGROUP 5.7.
    """

    parts = (PREPARE,)
    mechanism = "namespaces"
    namespaces: tuple[str, ...]
    cgroup: int = -1


class MapIds(Step):
    """Map the box's user ids {uids} and group ids {gids} to the host's.

    Why:    inside, ids mean what the box says; outside, they are these and nothing more. Root
            inside is never root outside.
    Leaks:  without a map, the box has no ids but the overflow id, 65534, and set-up fails. With the
            host's ids mapped to themselves, uid 0 of the box is the host's root to every file and
            to /proc/sys.
    Needs:  none for the caller's own id alone, its group only with setgroups denied; for any other
            id CAP_SETUID and CAP_SETGID in the user namespace above, the host's.
    Units:  triples (inside, outside, count); with {leased} set, outside counts from the leased
            range. With {deny_setgroups} set, groups can never be dropped or set.
    Errors: EPERM: an outside id that is not the caller's; EINVAL: overlapping ranges.
    Source: user_namespaces(7); Linux 3.8, setgroups 3.19.
    """

    parts = (PREPARE,)
    mechanism = "ids"
    uids: tuple[int, ...]
    gids: tuple[int, ...]
    deny_setgroups: bool
    leased: bool = False


class MapIdsWithHelpers(Step):
    """Map user ids {uids} by {uid_helper} and group ids {gids} by {gid_helper}.

    Why:    an unprivileged user may map more than the own id only through these set-uid helpers,
            which check /etc/subuid and /etc/subgid.
    Leaks:  the box has one id: files of several owners are nobody's in it, and a service that
            leaves root for another user cannot.
    Needs:  none of the caller's own: the helpers have CAP_SETUID and CAP_SETGID, and map what
            /etc/subuid and /etc/subgid grant.
    Units:  triples (inside, outside, count).
    Errors: EPERM: the helper refused (what it said is in the detail); ENOENT: it is not there.
    Source: newuidmap(1), subuid(5).
    """

    parts = (PREPARE,)
    mechanism = "ids"
    uids: tuple[int, ...]
    gids: tuple[int, ...]
    uid_helper: str
    gid_helper: str


class OpenTree(Step):
    """Clone the mount tree at {source} (register {tree}).

    Why:    a detached copy can be changed (read-only, nosuid, other ids) before the box sees it.
            With {id_mapped} set, owners are shifted into the box's ids, which only root may do;
            where the file system cannot (an overlay), all its files are nobody's in the box.
    Leaks:  there is nothing of the host's to show. Were it not private, what is mounted there later
            on the host would appear in the box; were owners not shifted, files of a box of root's
            would be nobody's.
    Needs:  CAP_SYS_ADMIN in the user namespace that owns the mount namespace, and in the one that
            owns the file system to shift owners, so the host's.
    Errors: ENOENT, EACCES: the source cannot be reached; EPERM outside our own user namespace.
    Source: open_tree(2) Linux 5.2, mount_setattr(2) 5.12.
    """

    parts = (PREPARE, ENTER)
    mechanism = "filesystem"
    tree: int
    source: str
    id_mapped: bool = False


class EnterCgroup(Step):
    """Move init into cgroup {cgroup}, where all its children will be born.

    Why:    on v1 a process joins after it was made; the application is not started before.
    Leaks:  the box stays in the caller's cgroup: no cap holds for it, and its use counts as the
            caller's.
    Needs:  write permission on cgroup.procs, on v2 of the common ancestor's too; on v1 to be root,
            or the user whose process it is.
    Errors: EACCES: not our subtree; EINVAL: cpuset without cpus or mems.
    Source: cgroups(7).
    """

    parts = (PREPARE,)
    mechanism = "cgroups"
    cgroup: int


class Release(Step):
    """Let init pass gate {gate}.

    Why:    init must not act before its ids are mapped (1), nor start the application before it is
            in its cgroups (2). Mount trees opened so far go with it.
    Leaks:  init would mount before it has ids, which fails, or start the application outside its
            cgroups, where what it starts first escapes every cap.
    Needs:  none.
    Errors: EPIPE: init is dead, its own step says why.
    Source: unix(7), SCM_RIGHTS.
    """

    parts = (PREPARE,)
    mechanism = "ids"
    gate: int


# ---- enter: init, inside the new namespaces ----------------------------------------------------

class Await(Step):
    """Wait for the engine to open gate {gate}.

    Why:    see the engine's own step of that gate.
    Leaks:  init would act with ids that nobody mapped, or start the application before its caps
            hold.
    Needs:  none.
    Errors: EPIPE: the engine is dead, so the box ends.
    Source: unix(7).
    """

    parts = (ENTER,)
    mechanism = "ids"
    gate: int


class SetIds(Step):
    """Become user {uid}, group {gid}, with the groups {groups}.

    Why:    files are made and checks are done under these ids from here on.
    Leaks:  the ids of whoever made the box stay: unmapped they own nothing here, and the caller's
            other groups (docker, disk) go on opening what they open on the host.
    Needs:  CAP_SETUID and CAP_SETGID in the box's user namespace, which the first process in it
            has.
    Units:  ids as the box sees them. With {keep_groups} set, supplementary groups are left alone,
            because this map forbids setgroups.
    Errors: EINVAL: an id that the box's map does not have; EPERM without CAP_SETUID.
    Source: setresuid(2), setgroups(2), user_namespaces(7).
    """

    parts = (ENTER, APP)
    mechanism = "ids"
    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    keep_groups: bool = False


class StopPropagation(Step):
    """Make every mount private.

    Why:    a mount made in the box must not appear on the host, nor the other way round.
    Leaks:  where the host's mounts are shared, as systemd has them, what it mounts later appears in
            the box; only the user namespace, which makes shared mounts slaves, keeps the box's from
            it.
    Needs:  CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Errors: none in a mount namespace of our own.
    Source: mount_namespaces(7), MS_REC|MS_PRIVATE; Linux 2.6.15.
    """

    parts = (ENTER,)
    mechanism = "filesystem"


class MountStage(Step):
    """Mount the box's own tmpfs of at most {size_bytes} bytes and {inodes} inodes.

    Why:    it holds what the box writes and the places to put the new root together; it has no
            name on the host and ends with the box.
    Leaks:  the root would be put together in a directory of the host, where others could meddle
            with it, and what the box writes would stay on the disk and fill it.
    Needs:  CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Units:  bytes; inodes as a count.
    Errors: EPERM outside our own user namespace.
    Source: tmpfs(5), fsopen(2); Linux 5.2.
    """

    parts = (ENTER,)
    mechanism = "filesystem"
    size_bytes: int
    inodes: int


class MountOverlay(Step):
    """Lay {upper} over the read-only {lower}, as {target} of the stage (work directory: {work}).

    Why:    the box may change any file, and the file system below stays as it is.
    Leaks:  each write goes to the root file system itself: the next box runs what this one left
            there.
    Needs:  CAP_SYS_ADMIN in the user namespace that owns the mount namespace; before Linux 5.11, in
            the host's.
    Units:  paths relative to the stage.
    Errors: EPERM before Linux 5.11 without root; EINVAL: the file system below or above cannot
            carry an overlay.
    Source: Documentation/filesystems/overlayfs.rst.
    """

    parts = (ENTER,)
    mechanism = "filesystem"
    lower: str
    upper: str
    work: str
    target: str


class UseRoot(Step):
    """Take {path} of the stage as the box's new root.

    Why:    every later path of the box is walked beneath this directory's descriptor.
    Leaks:  set-up would walk the box's paths from the host's root, and a link in a hostile root
            file system (/etc -> /root/.ssh) would lead it there.
    Needs:  none.
    Errors: ENOENT, ENOTDIR.
    Source: openat2(2), Linux 5.6.
    """

    parts = (ENTER,)
    mechanism = "filesystem"
    path: str


class MakeDir(Step):
    """Make the directory {target} with mode {mode}, owned by {uid}:{gid}.

    Why:    a place that programs expect, or a place to mount on. One that exists is left alone.
    Leaks:  nothing; a mount has no place, or a program that expects the directory fails.
    Needs:  write permission on the directory above; for another owner CAP_CHOWN in the box's user
            namespace.
    Units:  ids as the box sees them; -1 is whoever makes it.
    Errors: EROFS: the root file system is read-only and lacks it; ENOTDIR.
    Source: mkdir(2).
    """

    parts = (ENTER,)
    mechanism = "filesystem"
    target: str
    mode: int = 0o755
    uid: int = -1
    gid: int = -1


class MakeLink(Step):
    """Make {target} a symbolic link to {to}.

    Why:    as on the host (/bin -> usr/bin), or a name that programs expect (/dev/stdin).
    Leaks:  nothing; a program that expects the name fails.
    Needs:  write permission on the directory above.
    Errors: none if it exists already; EROFS.
    Source: symlink(2).
    """

    parts = (ENTER,)
    mechanism = "filesystem"
    target: str
    to: str


class MakeFile(Step):
    """Write the small file {target} with mode {mode}.

    Why:    the box's own /etc/passwd, /etc/hosts and so on, instead of the host's.
    Leaks:  nothing, if no file is there: programs then find no name for their user. The host's own
            would tell names to try, and of its neighbours.
    Needs:  write permission on the directory above.
    Errors: EROFS, ENOSPC; a link at that place is not followed.
    Source: open(2).
    """

    parts = (ENTER,)
    mechanism = "filesystem"
    target: str
    content: str
    mode: int = 0o644


class CopyFile(Step):
    """Copy the host's {source} to {target} with mode {mode}.

    Why:    a copy costs a fifth of a mount, and shows no owner, inode or later change of the host.
    Leaks:  nothing; programs go without it. Were it mounted instead, its owner, inode and later
            changes would show.
    Needs:  read permission on the source, which init has only as the user it is on the host, or as
            nobody.
    Units:  at most 4 MiB.
    Errors: EFBIG; ENOENT and EACCES of the source are no error: the box goes without.
    Source: sendfile(2).
    """

    parts = (ENTER,)
    mechanism = "filesystem"
    source: str
    target: str
    mode: int = 0o644


class AttachTree(Step):
    """Attach mount tree {tree} at {target} with {options}.

    Why:    the box gets this part of the host, and no more rights on it than it needs.
    Leaks:  nothing of it is in the box. Without ro the box writes to the host's files; without
            nosuid a set-user-ID program in it gives its owner's rights (CVE-2021-4034); without
            nodev a device node in it opens the device.
    Needs:  CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Units:  options of ro, nosuid, nodev, noexec; they hold for all mounts of the tree.
            With {at_stage} set the target lies in the stage; a missing target is made, a file
            for a file, a directory for a directory.
    Errors: ENOTDIR, EISDIR: source and target are not of one kind; EROFS: nowhere to make it;
            EBUSY: links lead the target to the root itself, or into /proc.
    Source: move_mount(2) Linux 5.2, mount_setattr(2) 5.12.
    """

    parts = (ENTER,)
    mechanism = "filesystem"
    tree: int
    target: str
    options: tuple[str, ...]
    at_stage: bool = False


class MountTmpfs(Step):
    """Mount a tmpfs of {size_bytes} bytes, {inodes} inodes on {target} (mode {mode}, {options}).

    Why:    a private place to write, that ends with the box and cannot fill the host.
    Leaks:  writes go to what lies below, or fail. Without sizes it takes the machine's memory, and
            without a number of inodes the kernel's, until others are killed for want of it.
    Needs:  CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Units:  bytes; mode an int such as 0o1777; ids as the box sees them.
    Errors: EPERM outside our own user namespace; ENOSPC is the mount limit, not the disk; EBUSY:
            links lead the target to the root itself, or into /proc.
    Source: mount(2), tmpfs(5), user_namespaces(7); Linux 3.9 for user namespaces.
    """

    parts = (ENTER,)
    mechanism = "filesystem"
    target: str
    size_bytes: int
    inodes: int
    mode: int
    options: tuple[str, ...]
    uid: int = -1
    gid: int = -1


class MountProc(Step):
    """Mount a new proc on {target}.

    Why:    it shows the box's own processes and no others. With {hide_others} set, a process sees
            only those it could trace, so init stays hidden from the application.
    Leaks:  the host's proc shows every process with its command line, where passwords stand.
            Without hide_others, PID 1's is seen, which names paths of the host.
    Needs:  CAP_SYS_ADMIN in the user namespaces that own the mount and the PID namespace, and a
            proc in sight already that nothing covers.
    Errors: EPERM: this host hides parts of its /proc (an outer container does), so a new one is
            refused.
    Source: proc(5), pid_namespaces(7), mount_namespaces(7).
    """

    parts = (ENTER,)
    mechanism = "filesystem"
    target: str
    hide_others: bool


class MountSysfs(Step):
    """Mount sysfs read-only on {target}.

    Why:    some programs look for devices and network interfaces there.
    Leaks:  nothing; the host's own, writable, would show its disks, modules and serial numbers, and
            take settings.
    Needs:  CAP_SYS_ADMIN in the user namespaces that own the mount and the network namespace.
    Errors: EPERM: without a network namespace of its own a box may not mount one.
    Source: sysfs(5).
    """

    parts = (ENTER,)
    mechanism = "filesystem"
    target: str


class BindDevice(Step):
    """Show the host's device {source} ({major}:{minor}) as {target}.

    Why:    a user namespace cannot make device nodes; this one is verified to be that device.
    Leaks:  nothing; programs find no /dev/null. Were it not verified, another device could be in
            its place: a disk, with every file on it.
    Needs:  CAP_SYS_ADMIN in the user namespace that owns the mount namespace; to make a node
            instead, CAP_MKNOD on the host.
    Errors: ENXIO: the host's file is another device, or none.
    Source: mknod(2), null(4).
    """

    parts = (ENTER,)
    mechanism = "devices"
    source: str
    target: str
    major: int
    minor: int


class MountDevpts(Step):
    """Mount a new devpts on {target}.

    Why:    terminals of the box's own; the host's cannot be named.
    Leaks:  programs find no terminal. The host's own would show all of its terminals by name: one
            of the same user could be opened, to see what is typed there.
    Needs:  CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Errors: EINVAL before Linux 4.7.
    Source: pts(4), Documentation/filesystems/devpts.rst.
    """

    parts = (ENTER,)
    mechanism = "devices"
    target: str


class OpenTerminal(Step):
    """Open a terminal in the box, owned by user {uid}, and hand its master to the engine.

    Why:    the box gets a terminal of its own, so it cannot type into or read from the caller's.
    Leaks:  the application gets the caller's terminal or none. There it reads what is typed, and
            the caller's shell runs what it types (TIOCSTI, CVE-2017-5226).
    Needs:  none; for the owner CAP_CHOWN in the box's user namespace.
    Units:  the id as the box sees it; -1 leaves the owner alone.
    Errors: ENOSPC: /proc/sys/kernel/pty/max.
    Source: pty(7), TIOCGPTPEER Linux 4.13.
    """

    parts = (ENTER,)
    mechanism = "devices"
    uid: int = -1


class MaskPaths(Step):
    """Cover {targets} with nothing.

    Why:    they tell about, or control, the host. A file is covered by a null device, a directory
            by an empty read-only tmpfs. What is not there needs no cover.
    Leaks:  of the whole machine: the kernel's command line, modules and symbols, which make a bug
            of it usable; names of keys; locks, timers, disks and interrupts, by which the work and
            the keystrokes of others are timed.
    Needs:  CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Errors: EPERM outside our own user namespace; ESTALE: what stands at /proc is no proc.
    Source: mount_namespaces(7).
    """

    parts = (ENTER,)
    mechanism = "filesystem"
    targets: tuple[str, ...]


class HideBootId(Step):
    """Show a random boot id at {target}.

    Why:    the host's own tells which machine this is, and which other boxes run on it.
    Leaks:  two boxes that read the same id know that they share a machine, and which.
    Needs:  CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Errors: none if it is not there; EPERM outside our own user namespace.
    Source: random(4).
    """

    parts = (ENTER,)
    mechanism = "filesystem"
    target: str


class ReadOnlyPaths(Step):
    """Make {targets} read-only.

    Why:    they control the kernel; reading them is harmless. What is not there is passed over.
    Leaks:  settings of the whole machine, some of them for all to write. User ids hold the rest,
            and Landlock, where the kernel has it.
    Needs:  CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Errors: EPERM outside our own user namespace; ESTALE: what stands at /proc is no proc.
    Source: mount_setattr(2).
    """

    parts = (ENTER,)
    mechanism = "filesystem"
    targets: tuple[str, ...]


class RemountReadOnly(Step):
    """Make the mount at {target} read-only, now that it is complete.

    Why:    set-up had to write there, the application need not.
    Leaks:  the application puts files of its own there: a /dev/null that keeps what it is given, a
            /dev/random that is known.
    Needs:  CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Errors: EINVAL: not a mount.
    Source: mount_setattr(2) Linux 5.12.
    """

    parts = (ENTER,)
    mechanism = "filesystem"
    target: str


class BringUpLoopback(Step):
    """Bring up the loopback interface.

    Why:    a new network namespace has one, but down; with it, 127.0.0.1 is the box itself.
    Leaks:  nothing; programs that talk to themselves by 127.0.0.1 fail. The host's own would lead
            to whatever trusts who is local.
    Needs:  CAP_NET_ADMIN in the user namespace that owns the network namespace.
    Errors: EPERM outside our own user namespace.
    Source: netdevice(7), network_namespaces(7).
    """

    parts = (ENTER,)
    mechanism = "network"


class SetHostname(Step):
    """Set the host name to {name}.

    Why:    the box does not learn what the host is called.
    Leaks:  a new UTS namespace begins with the host's name: it tells which machine this is.
    Needs:  CAP_SYS_ADMIN in the user namespace that owns the UTS namespace.
    Errors: EPERM outside our own UTS namespace.
    Source: sethostname(2), uts_namespaces(7).
    """

    parts = (ENTER,)
    mechanism = "namespaces"
    name: str


class OffsetClocks(Step):
    """Shift the box's monotonic clock by {monotonic_ns} ns and its boot time by {boottime_ns} ns.

    Why:    the box sees another uptime: for tests of long-running programs, and to hide the host's.
    Leaks:  the box sees for how long the host has been up, and what was moved here from elsewhere
            sees its clocks jump.
    Needs:  CAP_SYS_ADMIN in the box's user namespace for the new one, and CAP_SYS_TIME for its
            clocks.
    Units:  ns, negative is earlier.
    Errors: ERANGE: the clock would be negative or too large; EPERM.
    Source: time_namespaces(7); Linux 5.6.
    """

    parts = (ENTER,)
    mechanism = "namespaces"
    monotonic_ns: int
    boottime_ns: int


class UnshareCgroup(Step):
    """Make a cgroup namespace, rooted where the box now is.

    Why:    the box sees its own cgroup as "/" and does not learn the host's names.
    Leaks:  /proc/self/cgroup shows the whole path on the host, which tells how it is set up; with
            the files in sight, a way to its neighbours.
    Needs:  CAP_SYS_ADMIN in the box's user namespace.
    Errors: EPERM outside our own user namespace.
    Source: cgroup_namespaces(7); Linux 4.6.
    """

    parts = (ENTER,)
    mechanism = "cgroups"


class OpenLimits(Step):
    """Open /proc/sys/user, before it is made read-only.

    Why:    set-up itself needs namespaces of mounts (a detached tree is one), so the limits on them
            come last.
    Leaks:  nothing by itself: without this descriptor limit-namespaces has no way to write.
    Needs:  none.
    Errors: ENOENT before Linux 4.9.
    Source: namespaces(7).
    """

    parts = (ENTER,)
    mechanism = "namespaces"


class LimitNamespaces(Step):
    """Allow {more_user} more user namespaces, and none of any other kind.

    Why:    each kind of namespace is kernel code that an application can reach with privileges of
            its own making. The application's own user namespace is yet to be made.
    Leaks:  in a user namespace of its own the application has every capability, and reaches code of
            the kernel that is root's otherwise: mounts and firewalls have been the most frequent
            ways to root (CVE-2022-0185, CVE-2024-1086). The filter of system calls refuses the
            same, unless it is left out.
    Needs:  CAP_SYS_RESOURCE in the user namespace whose limits they are.
    Units:  how many more there may be, in this user namespace and those below it.
    Errors: EACCES without CAP_SYS_RESOURCE in our own user namespace.
    Source: namespaces(7), /proc/sys/user; Linux 4.9.
    """

    parts = (ENTER,)
    mechanism = "namespaces"
    more_user: int


class PivotRoot(Step):
    """Make the new root the root of this mount namespace, and unmount the old one.

    Why:    after this no path leads to the host's files, for any privilege.
    Leaks:  the host's root stays, with every file that the box's user may reach on it. After a
            chroot alone its mounts are still in the namespace, to be come back to by an open
            directory or a capability.
    Needs:  CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Errors: EINVAL: the host's root is its initial ramfs, which cannot be moved (--root-by chroot).
    Source: pivot_root(2).
    """

    parts = (ENTER,)
    mechanism = "filesystem"


class ChangeRoot(Step):
    """Only chroot into the new root; the host's mounts stay in this mount namespace.

    Why:    to show the difference: chroot changes where paths start, and nothing else. The new root
            is laid on top of all other mounts first: who is chrooted below it may not make a user
            namespace, and the application gets one.
    Leaks:  paths begin at the host's root, and all its files are in sight.
    Needs:  CAP_SYS_CHROOT in the box's user namespace; to lay the root on top, CAP_SYS_ADMIN there.
    Errors: EPERM without CAP_SYS_CHROOT.
    Source: chroot(2), user_namespaces(7).
    """

    parts = (ENTER,)
    mechanism = "filesystem"


class CloneApp(Step):
    """Start the application's process, in a user namespace of its own: {nested}.

    Why:    init stays in the user namespace above, so the application holds no privilege over it;
            ids {uids} and {gids} are the same inside and outside.
    Leaks:  the application is PID 1, which must reap and which signals pass by; or, not nested, it
            shares the user namespace that owns the box's mounts, so that a capability which it
            gains lifts masks and rules PID 1.
    Needs:  none for a user namespace; for its maps CAP_SETUID and CAP_SETGID in the one above,
            which init has.
    Units:  triples (inside, outside, count).
    Errors: ENOSPC: max_user_namespaces; EAGAIN: the process limit.
    Source: clone(2), user_namespaces(7).
    """

    parts = (ENTER,)
    mechanism = "process"
    nested: bool
    uids: tuple[int, ...]
    gids: tuple[int, ...]
    deny_setgroups: bool


# ---- app: what the application's own process does last -----------------------------------------

class NewSession(Step):
    """Start a new session, with the box's terminal: {terminal}.

    Why:    the application leaves the caller's session, so it cannot reach the caller's terminal.
    Leaks:  the application stays in the caller's session: /dev/tty is the caller's terminal, where
            it reads what is typed, and the caller's shell runs what it types (CVE-2017-5226).
    Needs:  none.
    Errors: EPERM: already a session leader.
    Source: setsid(2), ioctl_tty(2) TIOCSCTTY.
    """

    parts = (APP,)
    mechanism = "process"
    terminal: bool


class UseStreams(Step):
    """Put the box's streams in place as descriptors 0, 1 and 2.

    Why:    nothing else that the caller had open gets into the box.
    Leaks:  descriptors 0 to 2 are still those that the engine was started with: the caller's own
            files or terminal.
    Needs:  none.
    Errors: EBADF is our bug.
    Source: dup3(2).
    """

    parts = (APP,)
    mechanism = "process"


class JoinKeyring(Step):
    """Join a new, empty session keyring.

    Why:    the caller's may hold tickets and passwords, and is inherited by all that it starts.
    Leaks:  keys for disks and networks are in reach: no namespace has keyrings. The filter of
            system calls refuses keyctl as well, unless it is left out.
    Needs:  none.
    Errors: EDQUOT: this user has too many keys (/proc/sys/kernel/keys/maxkeys).
    Source: session-keyring(7), keyctl(2).
    """

    parts = (APP,)
    mechanism = "keyring"


class SetRlimit(Step):
    """Limit resource {resource} to {soft} (hard limit {hard}).

    Why:    what the kernel counts for each process, or for each user of this user namespace.
    Leaks:  one process takes files, locked memory or processes until the machine has none left (a
            fork bomb), or has its core dumped by a program that the host's root runs
            (CVE-2025-4598).
    Needs:  none to lower a limit; to raise a hard one CAP_SYS_RESOURCE on the host.
    Units:  as in getrlimit(2); -1 is unlimited. With {or_less} set, the caller's own stays where it
            is lower.
    Errors: EPERM: raising a hard limit needs CAP_SYS_RESOURCE on the host.
    Source: prlimit(2); per user namespace since Linux 5.14.
    """

    parts = (APP,)
    mechanism = "rlimits"
    resource: int
    soft: int
    hard: int
    or_less: bool = False


class SetAffinity(Step):
    """Run on the CPUs {cpus} only.

    Why:    the next best where no cpuset can hold the box.
    Leaks:  the box runs on every CPU that the caller may use, and slows others there.
    Needs:  none.
    Errors: EINVAL: none of them is there, or the caller's own cpuset has none of them.
    Source: sched_setaffinity(2).
    """

    parts = (APP,)
    mechanism = "cgroups"
    cpus: tuple[int, ...]


class SetOomScore(Step):
    """Set the out-of-memory score adjustment to {adjustment}.

    Why:    when the whole machine runs out of memory, the box goes before other work.
    Leaks:  the kernel ends the largest process of the machine, which may be the host's.
    Needs:  none to raise it; to go below what it was raised from, CAP_SYS_RESOURCE on the host.
    Units:  -1000 to 1000. One that is higher already, and that may not be lowered, stays.
    Errors: EACCES: a negative one needs CAP_SYS_RESOURCE on the host.
    Source: proc(5).
    """

    parts = (APP,)
    mechanism = "rlimits"
    adjustment: int


class SetUmask(Step):
    """Set the umask to {mask}.

    Why:    the caller's own must not decide who may read what the box writes.
    Leaks:  set-up had none, so what the box writes would be for all to write, and another user puts
            into it what this one then trusts.
    Needs:  none.
    Errors: none.
    Source: umask(2).
    """

    parts = (APP,)
    mechanism = "process"
    mask: int


class ChangeDir(Step):
    """Change to the working directory {path}.

    Why:    the caller's own is outside the box.
    Leaks:  the program starts in / of the box. A working directory that was left outside has no end
            above it: by .. all of the host's files (CVE-2024-21626).
    Needs:  search permission on the path, as the application's user.
    Errors: ENOENT, ENOTDIR, EACCES.
    Source: chdir(2).
    """

    parts = (APP,)
    mechanism = "process"
    path: str


class DropCapabilities(Step):
    """Drop all capabilities but {keep}, and lock the securebits.

    Why:    user id 0 of the box is then an ordinary user, in its own namespace too.
    Leaks:  uid 0 of the box has every capability in its user namespace: to become any of its ids,
            take over their files, hold PID 1 up, and reach code that any namespace's root may.
    Needs:  CAP_SETPCAP in the application's user namespace, which the first process in it has.
    Units:  keep is a bit mask as in /proc/PID/status.
    Errors: EPERM is our bug.
    Source: capabilities(7).
    """

    parts = (APP,)
    mechanism = "capabilities"
    keep: int


class NoNewPrivileges(Step):
    """Forbid gaining privileges by exec.

    Why:    set-uid and file capabilities have no effect from here on, for all descendants.
    Leaks:  a set-user-ID program or a file capability is a way back to what was given up.
    Needs:  none.
    Errors: none.
    Source: prctl(2) PR_SET_NO_NEW_PRIVS; Linux 3.5.
    """

    parts = (APP,)
    mechanism = "capabilities"


class RestrictLandlock(Step):
    """By Landlock, refuse writes {writes} but below {writable}; TCP {tcp}, reach {scopes}.

    Why:    a second wall, which does not hang on mounts, namespaces or the user's identity.
    Leaks:  a mount that is writable by mistake is written to, and files of /proc that are for all
            to write, some of them settings of the whole machine; in a network that is the host's,
            abstract sockets, which have no permissions (CVE-2020-15257).
    Needs:  no_new_privs, or CAP_SYS_ADMIN in the application's user namespace.
    Units:  bit masks as in <linux/landlock.h>: of access to files, of access to the network, and of
            what is out of reach (abstract sockets, signals) outside the box. What is not there, or
            not to be reached by this user, needs no rule.
    Errors: EOPNOTSUPP: switched off in this kernel.
    Source: landlock(7); Linux 5.13, and later for some of the rights.
    """

    parts = (APP,)
    mechanism = "landlock"
    writes: int
    tcp: int
    scopes: int
    writable: tuple[str, ...]


class FilterCalls(Step):
    """Filter system calls by a program of {program}, telling what it refuses: {log}.

    Why:    what the application does not need of the kernel, it cannot attack.
    Leaks:  every system call is code of the kernel to be attacked: io_uring, bpf, keyctl, netfilter
            (CVE-2022-29582, CVE-2021-3490, CVE-2016-0728), a socket of a rare family, whose module
            is loaded for whoever asks; TIOCSTI on a terminal that leaks in.
    Needs:  no_new_privs, or CAP_SYS_ADMIN in the application's user namespace.
    Units:  program: each int is one struct sock_filter; a kill is always told, so that the verdict
            can name the call.
    Errors: EINVAL: it is no program; EACCES: it forbids sendmsg, by which the engine gets to hear
            of refusals and kills; without no_new_privs also: it takes CAP_SYS_ADMIN.
    Source: seccomp(2), seccomp_unotify(2); Linux 4.14, 5.0 for what is told.
    """

    parts = (APP,)
    mechanism = "seccomp"
    program: tuple[int, ...]
    log: bool = False


class CloseFiles(Step):
    """Close every descriptor above 2 at exec.

    Why:    an inherited descriptor is a hole through every wall.
    Leaks:  one directory that the caller left open is a way to all others (CVE-2024-21626).
    Needs:  none.
    Errors: none.
    Source: close_range(2) CLOSE_RANGE_CLOEXEC; Linux 5.11.
    """

    parts = (APP,)
    mechanism = "process"


class DieWithParent(Step):
    """Be killed when the parent dies.

    Why:    the box must not outlive its engine. It comes after the last change of ids, which
            clears it.
    Leaks:  what nobody watches any more computes and holds memory for ever, should PID 1 not end
            it.
    Needs:  none.
    Errors: ESRCH: the parent is dead already.
    Source: prctl(2) PR_SET_PDEATHSIG.
    """

    parts = (ENTER, APP)
    mechanism = "process"


class Exec(Step):
    """Run {argv}.

    Why:    from here on the box runs the application's own code, with no signal blocked or ignored
            unless {inherit_signals}.
    Leaks:  no program runs. With the caller's environment in place of this one, tokens and
            passwords that are passed that way are read; with signals ignored, a program cannot be
            asked to stop.
    Needs:  execute permission on the file, as the application's user.
    Units:  a name without a slash is looked for in {path}, a list as in PATH; {environment} holds
            NAME=VALUE and is the whole environment.
    Errors: ENOENT, EACCES, ENOEXEC, ELOOP, E2BIG: told apart by looking at the file; EACCES also
            for a link to /proc/self/exe, which is the engine.
    Source: execve(2).
    """

    parts = (APP,)
    mechanism = "process"
    argv: tuple[str, ...]
    environment: tuple[str, ...]
    path: str
    inherit_signals: bool = False


# ---- finish: the engine, after the last process is dead ----------------------------------------

class ReadCgroup(Step):
    """Read figure {figure} from {file} of cgroup {cgroup}, times {scale}.

    Why:    the kernel's own count, exact, for all processes that ever were in the box.
    Leaks:  nothing; the figure is not measured, or is that of wait4(2), which misses whom nobody
            waited for.
    Needs:  read permission on the file.
    Units:  figure is a place in FIGURES; with a {key}, the file has lines "key value"; of two words
            the first is the line's own ("some total" of "some avg10=0.00 total=5"). With
            {per_device} set it has lines for each device that was used, so none of them is 0.
    Errors: none: an absent file leaves the figure unmeasured.
    Source: cgroups(7); Documentation/accounting/psi.rst of Linux.
    """

    parts = (FINISH,)
    mechanism = "cgroups"
    cgroup: int
    file: str
    key: str
    figure: int
    scale: int = 1
    per_device: bool = False


class RemoveCgroup(Step):
    """Remove cgroup {cgroup}.

    Why:    nothing is left behind.
    Leaks:  nothing of the box; an empty cgroup for each run, until the next start sweeps it.
    Needs:  write permission on the parent's directory.
    Errors: EBUSY: something is still in it, which the next start sweeps.
    Source: cgroups(7).
    """

    parts = (FINISH,)
    mechanism = "cgroups"
    cgroup: int


class Fail(Step):
    """Fail with errno {errno}.

    Why:    in the place of any other step it shows, and tests, that a failure there leaves nothing.
    Leaks:  nothing: it is there for tests.
    Needs:  none.
    Units:  an errno number.
    Errors: the one asked for.
    Source: none.
    """

    parts = PARTS
    mechanism = "process"
    errno: int


KINDS: tuple[type[Step], ...] = (
    Watch, StopWith, OpenStreams, LeaseIds, SweepCgroups, MakeCgroup, WriteCgroup, WatchOom,
    CloneInit, MapIds, MapIdsWithHelpers, OpenTree, EnterCgroup, Release,
    Await, SetIds, StopPropagation, MountStage, MountOverlay, UseRoot, MakeDir, MakeLink, MakeFile,
    CopyFile, AttachTree, MountTmpfs, MountProc, MountSysfs, BindDevice, MountDevpts, OpenTerminal,
    MaskPaths, HideBootId, ReadOnlyPaths, RemountReadOnly, BringUpLoopback, SetHostname,
    OffsetClocks, OpenLimits, UnshareCgroup, PivotRoot, ChangeRoot, LimitNamespaces, CloneApp,
    NewSession, UseStreams, JoinKeyring, SetRlimit, SetAffinity, SetOomScore, SetUmask,
    ChangeDir, DropCapabilities, NoNewPrivileges, RestrictLandlock, CloseFiles, DieWithParent,
    FilterCalls, Exec, ReadCgroup, RemoveCgroup, Fail,
)
"""All kinds; the place in this tuple, from 1, is the kind's number in the binary form."""

RANGES = {
    "tree": (0, MAX_TREES - 1), "cgroup": (0, MAX_CGROUPS - 1), "gate": (GATE_IDS, GATE_CGROUP),
    "figure": (0, len(FIGURES) - 1), "scale": (1, 10**9), "first": (1, 2**32 - 2),
    "size": (1, 2**31), "count": (1, 2**16), "uid": (0, 2**32 - 2), "gid": (0, 2**32 - 2),
    "groups": (0, 2**32 - 2), "uids": (0, 2**32 - 1), "gids": (0, 2**32 - 1), "cpus": (0, 8191),
    "mode": (0, 0o7777), "mask": (0, 0o777), "signal": (1, 64), "errno": (1, 4095),
    "resource": (0, 15), "soft": (-1, 2**62), "hard": (-1, 2**62), "adjustment": (-1000, 1000),
    "major": (0, 2**12 - 1), "minor": (0, 2**20 - 1), "size_bytes": (0, 2**62),
    "inodes": (0, 2**31), "walltime_ns": (0, 2**62), "cputime_ns": (0, 2**62),
    "timeout_ns": (0, 2**62), "output_bytes": (0, 2**62), "rss_bytes": (0, 2**62),
    "keep": (0, 2**63 - 1), "owner": (0, 2**31), "more_user": (0, 1),
    "program": (1 - 2**63, 2**63 - 1), "writes": (0, 2**63 - 1), "tcp": (0, 2**63 - 1),
    "scopes": (0, 2**63 - 1),
    "monotonic_ns": (-2**62, 2**62), "boottime_ns": (-2**62, 2**62),
}
"""What an int field, by its name, may hold; -1 as well, where that is its default. The engine's
checker refuses a plan with any other value, so that no step has to look."""

CALLS = (
    "none", "open", "openat2", "close", "read", "write", "mkdirat", "symlinkat", "fchownat",
    "fchmod", "unlinkat", "flock", "fcntl", "fstat", "statx", "getdents64", "sendfile", "pipe2",
    "socketpair", "sendmsg", "recvmsg", "eventfd2", "timerfd_create", "timerfd_settime",
    "signalfd4", "epoll_create1", "epoll_ctl", "clone3", "pidfd_open", "pidfd_send_signal",
    "waitid", "unshare", "setns", "open_tree", "move_mount", "mount_setattr", "fsopen", "fsconfig",
    "fsmount", "mount", "umount2", "pivot_root", "chroot", "fchdir", "chdir", "setresuid",
    "setresgid", "setgroups", "setsid", "ioctl", "dup3", "prlimit64", "umask", "prctl", "capset",
    "close_range", "execve", "socket", "sethostname", "getrandom", "mmap", "memfd_create",
    "vfork", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "seccomp",
    "keyctl", "readlinkat", "faccessat2", "sched_setaffinity",
)
"""System calls that a step may report as the one that failed, by their places here."""


def name_of(kind: type[Step]) -> str:
    """The step's name in text and in C: `MountTmpfs` -> "mount-tmpfs" (C: mount_tmpfs)."""
    name = kind.__name__
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-")


def sentence(step: Step) -> str:
    """What the step does, in one line, with its values filled in."""
    first = (type(step).__doc__ or "").split("\n", 1)[0]
    return first.format_map({field: show(field, getattr(step, field)) or "none"
                             for field in step.__fields__})


def show(field: str, value: object) -> str:
    """A field's value as people read it: modes octal, masks hexadecimal, lists with commas."""
    if field == "program" and isinstance(value, tuple):
        return f"{len(value)} instructions"
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and field in ("mode", "mask"):
        return f"0{value:o}"
    if isinstance(value, int) and field in ("keep", "writes", "tcp", "scopes"):
        return f"0x{value:x}"
    return str(value)
