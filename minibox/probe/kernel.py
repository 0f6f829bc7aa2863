"""Parts of the kernel that an application does not need, and that have been its way out."""

from __future__ import annotations

from minibox.probe.record import Probe

REFUSED = ("held", "EPERM", "EACCES", "ENOSYS", "SIGSYS")
NO_NAMESPACE = (*REFUSED, "ENOSPC", "EUSERS")
"""Not allowed, or none is left of those that may be made."""

FILTER = ("seccomp",)


def _probe(name: str, question: str, why: str, layers: tuple[str, ...] = (), cve: str = "",
           held: tuple[str, ...] = REFUSED) -> Probe:
    return Probe(id=f"kernel.{name}", question=question, why=why, layers=layers, cve=cve, held=held)


def _host(kind: str, layer: tuple[str, ...], why: str) -> Probe:
    return Probe(id=f"kernel.host-{kind}-namespace",
                 question=f"is it in the host's {kind} namespace?", held=("held",), why=why,
                 layers=layer,
                 profiles=tuple((f"{name}=host", ("open",)) for name in layer))


def _new(kind: str, why: str, cve: str = "") -> Probe:
    return _probe(f"new-{kind}-namespace", f"can it make a {kind} namespace?", why, (), cve,
                  NO_NAMESPACE)


def _call(name: str, why: str, cve: str = "") -> Probe:
    """A call that any process may make, unless a filter holds it."""
    return _probe(name, f"can it reach {name.replace('-', '_')}?", why, FILTER, cve)


def _root_call(name: str, why: str, cve: str = "") -> Probe:
    """A call that asks for a capability of the host's, and is told nothing of the box's."""
    return _probe(name, f"can it reach {name.replace('-', '_')} past its check of capabilities?",
                  why, (), cve)


def _gone(name: str, why: str) -> Probe:
    """A call that newer kernels have no more: there the host itself says ENOSYS, which proves
    nothing."""
    return _call(name, f"{why}; newer kernels have it no more")


PROBES: tuple[Probe, ...] = (
    _host("mount", (), "mounts of the host are seen, and some can be undone"),
    _host("ipc", ("ipc",), "shared memory and queues of the host are in reach by number"),
    _host("uts", ("uts",), "it tells the host's name, and may change it"),
    _host("cgroup", ("cgroup",), "paths in /proc/self/cgroup tell how the host is set up"),
    _new("user", "in it a process has every capability, and reaches code of the kernel that only "
         "root could before", "CVE-2022-0492"),
    _probe("new-user-and-network", "can it be root of a network of its own?",
           "firewall and queueing code have been the most frequent way to root", (),
           "CVE-2024-1086", NO_NAMESPACE),
    _probe("new-user-and-mount", "can it be root of mounts of its own?",
           "mount code parses what it is given", (), "CVE-2022-0185", NO_NAMESPACE),
    _new("mount", "it moves mounts away that cover what is masked"),
    _new("network", "it is nobody's; and code of the kernel comes into reach"),
    _new("pid", "processes in it hide from the box's supervision"),
    _new("ipc", "memory in it counts for nobody until it is used"),
    _new("uts", "names in it are its own"),
    _new("cgroup", "it takes the path of its cgroup for the root"),
    _new("time", "clocks in it are its own"),
    _probe("clone-user-namespace", "can it make a user namespace by clone?",
           "the same as by unshare; a filter that forgets one forgets all", (), "", NO_NAMESPACE),
    _probe("clone-user-high-bits", "can it make a user namespace by clone with flags of 33 bits?",
           "the kernel looks at 32 of them, a careless filter at 64", (), "", NO_NAMESPACE),
    _probe("clone3-user-namespace", "can it make a user namespace by clone3?",
           "the flags are in memory, where a filter cannot see them", (), "", NO_NAMESPACE),
    _call("clone3", "a filter cannot see its flags, so it cannot refuse namespaces only"),
    _call("setns", "any descriptor of a namespace that leaks is a way in"),
    _call("bpf", "programs in the kernel, behind a verifier that has been wrong", "CVE-2021-3490"),
    _probe("bpf-program", "can it load a BPF program?",
           "a program in the kernel, behind a verifier that has been wrong", (), "CVE-2020-8835"),
    _probe("perf-event", "can it count hardware and software events?",
           "a side channel to other processes, and a large interface", FILTER, "CVE-2013-2094"),
    _call("userfaultfd", "it stops the kernel in the middle of a copy, which makes races certain"),
    _probe("io-uring", "can it set up an io_uring?",
           "a second system call interface, that no filter sees", FILTER, "CVE-2022-29582"),
    _call("io-uring-enter", "an io_uring that leaks in is used past the filter"),
    _call("io-uring-register", "an io_uring that leaks in is used past the filter",
          "CVE-2023-2598"),
    _probe("cachestat", "can it see which pages of the host's programs are in memory?",
           "it tells what others run, and when; CVE-2019-5489 was this by mincore"),
    _probe("lease", "can it take a lease on one of the host's programs?",
           "whoever opens the file to write it then waits for three quarters of a minute"),
    _call("migrate-pages", "it moves the memory of processes between nodes"),
    _call("mbind", "placing memory on nodes, by a list that has leaked the kernel's own",
          "CVE-2017-7616"),
    _probe("memory-policy", "can it say on which nodes its memory lies?",
           "it takes memory that others were to have", FILTER),
    _probe("fanotify", "can it watch whole file systems?",
           "it sees what others open, and can hold them up", FILTER),
    _call("add-key", "keys outlive processes, and are counted for the user of the host"),
    _call("request-key", "it has the kernel start a helper of the host's",),
    _call("keyctl", "keyrings are in no namespace, and their counts have wrapped",
          "CVE-2016-0728"),
    _root_call("init-module", "a module is the kernel"),
    _root_call("finit-module", "a module is the kernel"),
    _root_call("delete-module", "the kernel loses what others use"),
    _root_call("kexec-load", "another kernel takes the machine"),
    _root_call("kexec-file-load", "another kernel takes the machine"),
    _root_call("reboot", "the machine stops"),
    _root_call("swapon", "the kernel writes its memory to a file of the attacker's"),
    _root_call("swapoff", "the machine runs out of memory"),
    _root_call("syslog", "messages of the kernel tell its addresses and are lost to others"),
    _root_call("settimeofday", "certificates, logs and tickets go by the clock"),
    _root_call("adjtimex", "certificates, logs and tickets go by the clock"),
    _root_call("clock-adjtime", "certificates, logs and tickets go by the clock"),
    _root_call("acct", "the kernel writes a file of the attacker's choice"),
    _call("quotactl", "quotas of the host's file systems are told and set by device"),
    _root_call("vhangup", "it takes the terminal from those who use it"),
    _root_call("iopl", "ports of the hardware, past the kernel"),
    _root_call("ioperm", "ports of the hardware, past the kernel"),
    _probe("personality-no-random", "can it switch address randomization off?",
           "what it runs next is easier to attack", FILTER),
    _probe("personality-high-bits", "can it switch randomization off by a number of 33 bits?",
           "the kernel looks at 32 of them, a careless filter at 64", FILTER),
    _probe("personality-exec", "can it make all that it reads executable?",
           "data becomes code in what it runs next", FILTER),
    _call("modify-ldt", "segments of 16 bits, a corner of the processor", "CVE-2017-17053"),
    _gone("uselib", "a loader of libraries of the 1990s"),
    _call("ustat", "it tells of file systems by device, mounted here or not"),
    _call("sysfs", "it tells the kernel's file systems"),
    _gone("sysctl", "settings of the kernel, past the masks of /proc"),
    _gone("nfsservctl", "the kernel's own file server"),
    _gone("lookup-dcookie", "it tells paths of the host by number"),
    _probe("unknown-call", "is an unknown call refused as one that there is not?",
           "EPERM keeps programs from falling back; kernels older and newer than the filter say "
           "ENOSYS, so this can never be open", (), "", ("held", "ENOSYS")),
    _probe("entry-32-bit", "can it enter the kernel as a program of 32 bits?",
           "other numbers for the same calls, past a filter; code that few look at", FILTER,
           "CVE-2010-3301", (*REFUSED, "SIGSEGV")),
    _probe("entry-x32", "can it enter the kernel by the x32 ABI?",
           "other numbers for the same calls, past a filter; most kernels have none", FILTER,
           "CVE-2014-0038"),
)
