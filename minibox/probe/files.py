"""Files of the host, and the kernel's own in /proc and /sys, by which it is told what to do."""

from __future__ import annotations

from minibox.probe.record import Probe

REFUSED = ("held", "EPERM", "EACCES", "ENOSYS", "SIGSYS")
NOT_THERE = (*REFUSED, "ENOENT", "ENOTDIR", "EROFS")
"""Not allowed, not to be written, or not even there."""

HANDLE = (*REFUSED, "EOPNOTSUPP")
VIEW = ("view",)
FILTER = ("seccomp",)

# What only the host's root may read or write is held by the ids of the box as well as by its view
# and by Landlock: no layer opens it alone.


def _canary(name: str, question: str, why: str, layers: tuple[str, ...] = (),
            cve: str = "") -> Probe:
    """About one file that only the host has."""
    return Probe(id=f"files.host-canary{name}", question=question, held=NOT_THERE, why=why,
                 layers=layers, cve=cve)


def _host(name: str, question: str, why: str, layers: tuple[str, ...] = ()) -> Probe:
    """About files that most hosts have. A root file system in memory or in an overlay is the box's
    own, and what lies there proves nothing about the host."""
    return Probe(id=f"files.{name}", question=question, held=NOT_THERE, why=why, layers=layers)


def _mount(name: str, call: str, why: str, layers: tuple[str, ...] = (), cve: str = "") -> Probe:
    return Probe(id=f"files.{name}", question=f"can it reach {call}?", held=REFUSED, why=why,
                 layers=layers, cve=cve)


def _setting(name: str, what: str, why: str, layers: tuple[str, ...] = (), cve: str = "") -> Probe:
    """About a file of the kernel's. Owned by the host's root: as another id nobody may write it,
    and the mount's being read-only is a second wall."""
    return Probe(id=f"files.{name}", question=f"can it write {what}?", held=NOT_THERE, why=why,
                 layers=layers, cve=cve)


PROBES: tuple[Probe, ...] = (
    _canary("", "can it read a file of the host?", "secrets of the host are in files",
            VIEW),
    _canary("-written", "can it write a file of the host?", "what the host reads or runs next"),
    _canary("-by-dots", "can it read a file of the host by .. from the root directory?",
            "a root directory that was changed too late has something above it", VIEW),
    _canary("-by-working-directory", "can it read a file of the host by .. from where it starts?",
            "a working directory outside the root has no end above it", VIEW, "CVE-2024-21626"),
    _canary("-by-descriptor", "can it read a file of the host by an inherited descriptor?",
            "one directory that was left open is a way to all others", ("descriptors",),
            "CVE-2024-21626"),
    _canary("-by-process-root", "can it read a file of the host by any process's root?",
            "/proc shows each process's root; one that kept the host's is a door", VIEW),
    _canary("-by-process-directory", "can it read a host file by any process's working directory?",
            "/proc shows where each process is; one that was left outside is a door", VIEW,
            "CVE-2024-21626"),
    _canary("-by-process-descriptor", "can it read a host file by any process's descriptors?",
            "/proc shows what each process has open, the runtime's as well",
            ("descriptors", "view")),
    _canary("-by-second-root", "can it leave by changing the root directory once more?",
            "chroot forgets what lies above it; the way out of every chroot jail"),
    Probe(id="files.open-by-handle", question="can it open files by their number?", held=HANDLE,
          why="a handle needs no path: it reaches every file of the host's disk, masked or not",
          cve="CVE-2014-3519"),
    Probe(id="files.streams-reopened", question="can it open again what its streams lead to?",
          held=NOT_THERE, why="the caller's file or terminal, with rights that the stream has not",
          layers=("streams",)),
    _host("passwords", "can it read the passwords of the host?", "they are guessed elsewhere"),
    _host("server-keys", "can it read the keys of the host's servers?",
          "whoever has them is the host, to others"),
    _host("administration", "can it read how the host is administered?",
          "it tells who may become root, and what runs when", VIEW),
    _host("logs", "can it read the host's logs?", "names, addresses and mistyped passwords",
          VIEW),
    _host("boot", "can it read what the host boots?",
          "the very kernel, to look for its weak places", VIEW),
    _host("programs-written", "can it write a program of the host's?",
          "the host's root runs it next"),
    _host("accounts-written", "can it write the host's list of accounts?",
          "a line more is a root more"),
    _host("loader-written", "can it write what the host's loader reads?",
          "a library of its own in each program of the host"),
    Probe(id="files.own-program-written", question="can it write the program that it runs?",
          held=NOT_THERE, why="it may be the runtime's own: the next start is then the attacker's",
          cve="CVE-2019-5736"),
    _host("made-in-root", "can it make files in / that outlive it?",
          "what is there is trusted, whoever made it"),
    _host("made-in-etc", "can it make files in /etc that outlive it?",
          "the host reads its orders there"),
    _host("made-in-usr", "can it make files in /usr/bin that outlive it?",
          "the host's users run what is there"),
    _host("made-in-libraries", "can it make files in /usr/lib that outlive it?",
          "the host's programs load what is there"),
    _host("made-in-var", "can it make files in /var/lib that outlive it?",
          "the host's services keep their state there"),
    _host("made-in-start-up", "can it make files that start services?",
          "root runs what is there"),
    _host("made-in-home", "can it make files in the caller's home?",
          "a shell's profile there is run at the next login"),
    Probe(id="files.made-in-host-directory", question="can it make files in a host directory?",
          held=NOT_THERE, why="a file for someone else to trip over"),
    _mount("mount", "mount", "it covers a mask, or shows what was hidden"),
    _mount("bind-mount", "mount of one directory on another", "it shows what a mask covers",
           (), "CVE-2021-30465"),
    _mount("remount", "mount with other options", "read-only and nosuid are taken back"),
    _mount("mount-propagation-changed", "mount that changes propagation",
           "its mounts are then the host's too"),
    _mount("umount", "umount", "what is under a mask is there again"),
    _mount("pivot-root", "pivot_root", "another root, and the old one in it"),
    _mount("fsopen", "fsopen", "file systems' parsers of options, as root of a namespace", (),
           "CVE-2022-0185"),
    _mount("fspick", "fspick", "options of a mount that is there are changed"),
    _mount("fsconfig", "fsconfig", "a file system's descriptor that leaks in is set up further",
           FILTER, "CVE-2022-0185"),
    _mount("fsmount", "fsmount", "a file system's descriptor that leaks in is mounted"),
    _mount("move-mount", "move_mount", "a mount is taken off what it masks"),
    _mount("mount-setattr", "mount_setattr", "read-only and nosuid are taken back"),
    _mount("open-tree", "open_tree with a copy of its mounts",
           "a copy of the mounts, without what has been mounted on them"),
    Probe(id="files.propagation", question="do mounts spread to it or from it?", held=("held",),
          why="what the host mounts later appears in the box, or the other way; a runtime may also "
          "share mounts among its own only, which looks the same from here"),
    Probe(id="files.set-user-id-mounts", question="is there a mount that has set-user-ID files?",
          held=("held",), why="a program that runs as its owner is a way to more rights",
          layers=("nosuid",), cve="CVE-2021-4034"),
    Probe(id="files.set-user-id", question="does a set-user-ID program run as its owner?",
          held=("held",), why="a file that someone else left there gives their rights; without "
          "root no program of another owner can be put there to try it"),
    _setting("core-pattern", "what the kernel runs when a program crashes",
             "the host's root runs it, outside the box", (), "CVE-2025-52881"),
    _setting("modprobe", "what the kernel runs to load a module",
             "the host's root runs it, outside the box; kernels without modules have none"),
    _setting("power-off-command", "what the kernel runs to power off", "the host's root runs it"),
    _setting("helper-capabilities", "which capabilities the kernel's helpers have",
             "helpers of the host's root lose or gain rights"),
    _setting("sysrq", "the kernel's emergency keys",
             "one letter reboots the machine; not every kernel has them", (), "CVE-2025-31133"),
    _setting("overcommit", "how much memory the kernel promises",
             "all others are refused memory, or killed"),
    _setting("drop-caches", "the kernel's caches away", "the machine crawls as often as one likes"),
    _setting("last-pid", "which pid comes next",
             "pids are used again when the attacker likes; the file is for all to write"),
    _setting("lowest-address", "the lowest address that can be mapped",
             "the kernel's null pointers then point to the attacker's memory"),
    _setting("randomization", "whether addresses are random",
             "every program on the machine is easier to attack"),
    _setting("namespace-limits", "how many namespaces there may be",
             "namespaces reach kernel code that is otherwise root's; root needs CAP_SYS_RESOURCE "
             "for it on the host"),
    _setting("link-protection", "whether links in /tmp are followed",
             "old tricks with links work again on the host"),
    _setting("interrupt-affinity", "which processors get interrupts",
             "others' processors are kept busy"),
    _setting("memory-types", "how memory is cached", "the machine crawls or crashes"),
    _setting("uevent-helper", "what the kernel runs for a new device",
             "the host's root runs it, outside the box; few kernels still have it"),
    _setting("power-state", "the machine to sleep", "it stops for all"),
    _setting("sysfs-settings", "settings in /sys",
             "processors go off, memory is merged: side channels"),
    _setting("module-parameters", "parameters of the kernel's modules",
             "checks of modules are switched off"),
    _setting("release-agent", "what a cgroup runs at its end",
             "the host's root runs it, outside the box; cgroup v2 has none", (), "CVE-2022-0492"),
    _setting("any-kernel-setting", "anything at all in /proc/sys",
             "hundreds of settings for the whole machine, some of them for all to write"),
    _setting("any-proc-file", "anything at all in /proc but its own",
             "triggers and settings for the whole machine, some of them for all to write",
             ("landlock", "view")),
    _setting("any-cgroup-file", "anything at all in /sys/fs/cgroup",
             "its own limits, or those of others"),
)
