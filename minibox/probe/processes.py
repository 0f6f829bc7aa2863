"""Other processes: the host's, PID 1 of the box, and what a process inherits from who starts it."""

from __future__ import annotations

from minibox.probe.record import Probe

REFUSED = ("held", "EPERM", "EACCES", "ENOSYS", "SIGSYS")
HIDDEN = (*REFUSED, "ENOENT", "ESRCH")
"""Not allowed, or not even there: a /proc of its own, or one that hides."""

HOST_PIDS = (("pid=host", ("open", "EFAULT")),)


def _host(name: str, question: str, why: str, layers: tuple[str, ...] = ()) -> Probe:
    """About a process of the host: the PID namespace hides it; where that is shared, ids, user
    namespaces and Landlock still hold most."""
    return Probe(id=f"processes.host-process-{name}", question=question, held=HIDDEN, why=why,
                 layers=layers, profiles=HOST_PIDS)


def _init(name: str, question: str, why: str, layers: tuple[str, ...] = (), cve: str = "") -> Probe:
    """About PID 1; that is the host's where nothing is boxed, and then may have more capabilities
    than even root has, so that only a box shows the probe open."""
    return Probe(id=f"processes.init-{name}", question=question, held=HIDDEN, why=why,
                 layers=layers, cve=cve)


PROBES: tuple[Probe, ...] = (
    _host("visible", "can it see a process of the host?",
          "command lines hold passwords, and what runs tells what to attack", ("pid",)),
    Probe(id="processes.others-visible", question="can it see processes that are not the box's?",
          held=HIDDEN, why="the same, for every user of the machine", layers=("pid",),
          profiles=(("pid=host", ("open",)),)),
    _host("signal", "can it signal a process of the host?",
          "it stops or ends what runs beside it under the same user id"),
    _host("pidfd", "can it hold a process of the host by a descriptor?",
          "a pidfd reaches signals, namespaces and descriptors", ("pid",)),
    _host("trace", "can it trace a process of the host?",
          "the traced process then does what the tracer wants, outside the box"),
    _host("memory", "can it read the memory of a process of the host?",
          "keys and passwords lie there"),
    _host("priority", "can it renice a process of the host?", "it starves what runs beside it"),
    _host("affinity", "can it move a process of the host to other processors?",
          "it starves what runs beside it, or puts it where a side channel reaches"),
    _host("limits", "can it read the limits of a process of the host?",
          "whoever reads them may lower them, and end that process"),
    Probe(id="processes.host-namespace", question="is it in the host's PID namespace?",
          held=("held",), why="all processes of the machine are in reach of a mistake in ids",
          layers=("pid",), profiles=(("pid=host", ("open",)),)),
    Probe(id="processes.launcher-memory", question="can it read the memory of who started it?",
          held=HIDDEN, why="the launcher is outside the box, or holds it together"),
    _init("signal", "can it signal PID 1?",
          "PID 1 acts on signals as its program says; the box ends with it"),
    _init("environ", "can it read the environment of PID 1?",
          "a launcher that stays as PID 1 still has the caller's secrets there"),
    _init("cmdline", "can it read the command line of PID 1?",
          "the launcher's arguments name paths and secrets of the host",
          ("hidepid", "pid")),
    _init("exe", "can it open the program that PID 1 runs?",
          "that file is the host's runtime: written to, the next start is the attacker's",
          cve="CVE-2019-5736"),
    _init("maps", "can it read where PID 1 has its memory?", "it undoes address randomization"),
    _init("memory-file", "can it open the memory of PID 1 for writing?",
          "code put there runs with the rights of the set-up"),
    _init("auxv", "can it read the auxiliary vector of PID 1?",
          "it has the stack protector's random bytes and addresses"),
    _init("stack", "can it read the kernel stack of PID 1?", "it shows addresses of the kernel"),
    _init("root", "can it enter the root directory of PID 1?",
          "where PID 1 has kept the host's root, this is the way out"),
    _init("working-directory", "can it enter the working directory of PID 1?",
          "where PID 1 was started from a directory of the host, this is the way out",
          cve="CVE-2024-21626"),
    _init("descriptors", "can it list the descriptors of PID 1?",
          "one that leads to the host can be opened again through this list"),
    _init("oom-score", "can it say when PID 1 is killed for memory?",
          "it can have the keeper of the box die in its place"),
    _init("memory-read", "can it read the memory of PID 1?", "PID 1 has seen the host"),
    _init("memory-write", "can it write the memory of PID 1?",
          "code put there runs with the rights of the set-up"),
    _init("descriptor-taken", "can it take a descriptor out of PID 1?",
          "among them is the line to the engine, by which results are told"),
    _init("compared", "can it compare itself with PID 1?", "kcmp shows what the two share"),
    _init("limits", "can it set the limits of PID 1?",
          "without CPU time or descriptors PID 1 cannot keep the box; the kernel looks at the user "
          "id alone, so only a filter holds this", ("seccomp",)),
    _init("priority", "can it renice PID 1?", "PID 1 then reaps and stops late",
          ("capabilities",)),
    _init("affinity", "can it move PID 1 to other processors?",
          "PID 1 then reaps and stops late", ("capabilities",)),
    _init("pages", "can it see where PID 1 has its pages?", "it undoes address randomization",
          cve="CVE-2017-14140"),
    _init("paged-out", "can it say which pages PID 1 needs no more?",
          "PID 1 then waits for the disk, which it can be timed by"),
    _init("namespaces", "can it join a namespace of PID 1?",
          "the namespaces of the set-up have rights that the application has not",
          cve="CVE-2016-9962"),
    Probe(id="processes.inherited-descriptors", question="does it have descriptors above 2?",
          held=("held",), why="one that leads to the host is a way out of any box",
          cve="CVE-2024-21626", layers=("descriptors",)),
    Probe(id="processes.blocked-signals", question="does it start with blocked signals?",
          held=("held",), why="a program that cannot be asked to stop; it tells of the launcher",
          layers=("signals",)),
    Probe(id="processes.ignored-signals", question="does it start with ignored signals?",
          held=("held",), why="a program that cannot be asked to stop; it tells of the launcher"),
    Probe(id="processes.parent-outlived", question="does it live on when its parent dies?",
          held=("held",), why="what nobody watches any more computes and holds memory for ever",
          layers=("parent-death",)),
    Probe(id="processes.umask", question="can others write the files that it makes?",
          held=("held",), why="another user puts into them what this one then trusts",
          layers=("umask",)),
    Probe(id="processes.session-shared", question="is it in a session that others lead?",
          held=("held",), why="a session has a terminal, which all its members can type into",
          cve="CVE-2017-5226", layers=("session",)),
    Probe(id="processes.controlling-terminal", question="does it have a terminal of others?",
          held=(*REFUSED, "ENXIO", "ENOENT"), why="what it reads there is the caller's, and what "
          "it types there the caller's shell runs", cve="CVE-2017-5226", layers=("session",)),
    Probe(id="processes.terminal-input-inherited",
          question="can it type into the terminal that it was given?", held=(*REFUSED, "EIO"),
          why="the caller's shell runs what is typed (TIOCSTI)", cve="CVE-2017-5226"),
    Probe(id="processes.terminal-input", question="can it type into any terminal?",
          held=(*REFUSED, "EIO"), why="where TIOCSTI is left, one terminal that leaks is enough",
          cve="CVE-2017-5226", layers=("seccomp",)),
    Probe(id="processes.terminal-input-high-bits",
          question="can it type into any terminal by a request of 33 bits?", held=(*REFUSED, "EIO"),
          why="the kernel looks at 32 bits of the request, and flatpak's filter looked at 64",
          cve="CVE-2019-10063", layers=("seccomp",)),
    Probe(id="processes.terminal-console", question="can it use the console's own ioctl?",
          held=REFUSED, why="TIOCLINUX pastes into the console that the box was started from",
          cve="CVE-2023-28100", layers=("seccomp",)),
)
