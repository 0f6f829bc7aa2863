"""What a box can know of its host: which machine it is, who uses it, where its weak places are."""

from __future__ import annotations

from minibox.probe.record import Probe

REFUSED = ("held", "EPERM", "EACCES", "ENOSYS", "SIGSYS")
HIDDEN = (*REFUSED, "ENOENT", "ENOTDIR")
"""Not allowed, not even there, or masked, which is an empty file."""

MASKED = (*HIDDEN, "EIO", "EINVAL")
VIEW = ("view",)
MASKS = ("masks",)


def _probe(name: str, question: str, why: str, layers: tuple[str, ...] = (), cve: str = "",
           profiles: tuple[tuple[str, tuple[str, ...]], ...] = ()) -> Probe:
    return Probe(id=f"leaks.{name}", question=question, held=HIDDEN, why=why, layers=layers,
                 cve=cve, profiles=profiles)


def _kernel(name: str, what: str, why: str, layers: tuple[str, ...] = MASKS,
            cve: str = "") -> Probe:
    """About a file of the kernel's in /proc."""
    return Probe(id=f"leaks.{name}", question=f"can it read {what}?", held=MASKED, why=why,
                 layers=layers, cve=cve)


def _sysfs(name: str, what: str, why: str, cve: str = "") -> Probe:
    """About /sys, which a box has only if someone asks for it."""
    return Probe(id=f"leaks.{name}", question=f"can it see {what}?", held=MASKED, why=why,
                 layers=VIEW, cve=cve)


HOST_IPC = (("ipc=host", ("open",)),)

PROBES: tuple[Probe, ...] = (
    _probe("hostname", "does it know the host's name?", "it tells which machine this is", ("uts",),
           profiles=(("uts=host", ("open",)),)),
    _probe("hostname-in-file", "is the host's name in a file?", "it tells which machine this is",
           ("uts", "view"), profiles=(("uts=host", ("open",)),)),
    _probe("machine-id", "does it know the host's machine id?",
           "it tells which machine this is, for as long as it is installed", VIEW),
    _probe("boot-id", "does it know the host's boot id?",
           "two boxes that see the same one know that they share a machine", ("boot-id",)),
    _probe("environment", "does it have a variable of the caller's environment?",
           "tokens and passwords are passed that way", ("environment",)),
    _probe("environment-of-others", "can it read the environment of other processes?",
           "tokens and passwords are passed that way; the launcher has the caller's"),
    _probe("accounts", "does it know the accounts of the host?",
           "names to try; root's is everywhere, so that as root this shows nothing"),
    Probe(id="leaks.key", question="can it find a key of the caller's session?",
          held=(*REFUSED, "ENOKEY"), why="keys for disks and networks; no namespace has keyrings"),
    _kernel("keys-listed", "which keys there are", "names of the host's keys and their owners"),
    _probe("shared-memory", "can it find shared memory of the host by its number?",
           "databases keep their pages there", ("ipc",), profiles=HOST_IPC),
    _probe("shared-memory-listed", "can it list shared memory and queues of the host?",
           "the numbers by which they are found", ("ipc",), profiles=HOST_IPC),
    _probe("shared-file", "can it read a file in the host's /dev/shm?",
           "browsers and databases share their memory there", ("dev",), profiles=HOST_IPC),
    _probe("shared-files-listed", "are there files in /dev/shm that it has not made?",
           "they are of the host's, or of another box", ("dev",), profiles=HOST_IPC),
    _probe("home", "can it list the caller's home?", "documents, keys, histories"),
    _probe("homes", "can it list the homes of users?", "names to try", VIEW),
    _probe("runtime-directories", "can it see what runs on the host?",
           "sockets and locks of services and sessions", VIEW),
    _probe("service-sockets", "can it reach a service of the host?",
           "docker.sock is root; others start programs for whoever asks. A bare host may have none",
           VIEW),
    _probe("services", "can it list the services of the host?", "it tells what to attack", VIEW),
    _probe("packages", "can it list the packages of the host?",
           "versions, and so known weak places", VIEW),
    _probe("logins", "can it see who logged in?",
           "names, addresses and times; a host that nobody logged in to has none", VIEW),
    _kernel("kernel-log", "the kernel's log", "addresses and devices, and lines lost to others",
            ()),
    _kernel("kernel-image", "the kernel's memory", "all of the machine is in it", ()),
    _kernel("kernel-symbols", "the kernel's symbols",
            "where its code lies, which makes a bug of it usable"),
    _sysfs("kernel-notes", "notes of the kernel's build", "where the kernel lies in memory",
           "CVE-2024-26816"),
    _kernel("command-line", "the command line of the kernel",
            "what protects this machine and what does not; sometimes a password"),
    _kernel("modules", "which modules the kernel has",
            "it tells what to attack; kernels without modules have no list"),
    _sysfs("modules-in-sysfs", "parts of the kernel and their parameters",
           "it tells what to attack"),
    _kernel("timers", "timers of all processes", "what others do and when; addresses", ()),
    _kernel("interrupts", "counts of interrupts", "keystrokes and packets of others can be timed"),
    _kernel("locks", "which files are locked", "what others work on; their pids are hidden, their "
            "files are not"),
    _kernel("scheduler", "what the scheduler does", "names and times of all processes"),
    _kernel("allocations", "where the kernel has its memory", "addresses of the kernel", ()),
    _kernel("slabs", "counts of the kernel's objects",
            "an attack on its memory can see how it goes", ()),
    _kernel("page-types", "which kinds of memory are free",
            "an attack on its memory can see how it goes", ()),
    _kernel("page-counts", "who uses which page of memory",
            "what others do; where a page lies", ()),
    _kernel("page-frames", "where its own memory lies in the machine's",
            "neighbouring rows of a memory chip can be flipped", (), "CVE-2015-0565"),
    _kernel("own-stack", "the kernel's stack of its own process", "addresses of the kernel", ()),
    _kernel("memory-map", "the machine's map of memory", "where the kernel lies", ()),
    _kernel("port-map", "the machine's map of ports", "which hardware there is", ()),
    _kernel("disks", "the list of disks and what they do", "what others read and write, and when"),
    _sysfs("disks-in-sysfs", "disks in /sys", "names, sizes and serial numbers"),
    _kernel("swap-areas", "where the host swaps to",
            "paths of the host; one that has none shows nothing"),
    _kernel("file-systems", "how the host's file systems are laid out",
            "names of disks, and how their room comes and goes"),
    _kernel("hardware-in-proc", "the list of keyboards and cards",
            "which machine this is, and what sits in it"),
    _sysfs("hardware", "devices in /sys", "which machine this is, by its serial numbers"),
    _sysfs("product", "maker and number of the machine", "which machine this is"),
    _kernel("firmware", "tables of the machine's firmware", "addresses and serial numbers",
            VIEW),
    _sysfs("debugging", "what the kernel is debugged by",
           "traces of all processes; it may not be mounted"),
    _sysfs("control-groups", "cgroups of others", "names of services and containers"),
)
