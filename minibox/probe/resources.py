"""What bounds a box, and whether it can move the bound or take more than its share."""

from __future__ import annotations

from minibox.probe.record import Probe

REFUSED = ("held", "EPERM", "EACCES", "ENOSYS", "SIGSYS")
NO_CGROUP = (*REFUSED, "ENOENT", "ENOTDIR", "EROFS")
NO_MORE = (*REFUSED, "ENOMEM", "EAGAIN")


def _cgroup(name: str, question: str, why: str) -> Probe:
    return Probe(id=f"resources.cgroup-{name}", question=question, held=NO_CGROUP, why=why)


PROBES: tuple[Probe, ...] = (
    Probe(id="resources.core-dumps", question="can it dump core?", held=("held",),
          why="a dump goes where the host says, by a program of the host's", layers=("rlimits",),
          cve="CVE-2025-4598"),
    Probe(id="resources.processes", question="can it have processes without number?",
          held=("held",), layers=("pids",),
          why="a fork bomb ends the machine; a cgroup that it cannot see may still bound them"),
    Probe(id="resources.open-files", question="can it open thousands of files?", held=("held",),
          why="memory of the kernel's, and the machine's table of open files",
          layers=("rlimits",)),
    Probe(id="resources.hard-limit-raised", question="can it raise a hard limit?", held=REFUSED,
          why="no other limit is one then; on the host it takes CAP_SYS_RESOURCE"),
    Probe(id="resources.locked-memory", question="can it lock memory?", held=NO_MORE,
          why="what is locked cannot be taken back when memory is short", layers=("rlimits",)),
    Probe(id="resources.oom-score", question="can it have others die first when memory is short?",
          held=(*REFUSED, "EROFS"), why="the kernel then ends what it should keep; on the host it "
          "takes CAP_SYS_RESOURCE", layers=("landlock", "view")),
    Probe(id="resources.oom-preference", question="is it as safe as others when memory is short?",
          held=("held",), why="the kernel ends the largest, which may be the host's",
          layers=("oom-score",)),
    Probe(id="resources.priority", question="can it raise its priority?", held=REFUSED,
          why="others run later"),
    Probe(id="resources.real-time", question="can it run before all others?", held=REFUSED,
          why="one loop takes a processor for good"),
    Probe(id="resources.deadline", question="can it reserve time of a processor?", held=REFUSED,
          why="others run when it leaves them time"),
    Probe(id="resources.disk-priority", question="can its reads and writes go before all others'?",
          held=REFUSED, why="others wait for their disks"),
    Probe(id="resources.pipe-size", question="can it have pipes without bound?", held=REFUSED,
          why="memory of the kernel's; on the host it takes CAP_SYS_RESOURCE"),
    _cgroup("limits", "can it set limits of a cgroup?", "its own limit, or another's, is gone"),
    _cgroup("entered", "can it enter another cgroup?", "it leaves its limits behind"),
    _cgroup("devices", "can it allow itself devices?", "any device of the machine; cgroup v2 has "
            "no such file"),
    Probe(id="resources.file-bytes", question="can its files fill memory or a disk?",
          held=("held",), why="others cannot write, or are ended for want of memory",
          layers=("dev", "tmpfs-caps", "view")),
    Probe(id="resources.file-count", question="can it make files without number?", held=("held",),
          why="memory of the kernel's, or a disk that has room and takes no file",
          layers=("dev", "tmpfs-caps", "view")),
)
