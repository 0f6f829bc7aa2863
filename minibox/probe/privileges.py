"""What a process may do by its ids, capabilities and flags, and what more it can get."""

from __future__ import annotations

from minibox.probe.record import Probe

REFUSED = ("held", "EPERM", "EACCES", "ENOSYS", "SIGSYS")
NO_SUCH_ID = (*REFUSED, "EINVAL")
"""Not allowed, or the user namespace has no other id."""


def _probe(name: str, question: str, why: str, layers: tuple[str, ...] = (), cve: str = "",
           held: tuple[str, ...] = REFUSED) -> Probe:
    return Probe(id=f"privileges.{name}", question=question, why=why, layers=layers, cve=cve,
                 held=held)


def _set(name: str, why: str, layers: tuple[str, ...] = (), cve: str = "") -> Probe:
    return _probe(f"{name}-set", f"does it have {name} capabilities?", why, layers, cve)


PROBES: tuple[Probe, ...] = (
    _probe("host-root-mapped", "does the host's root have an id in the box?",
           "files of the host's root are then somebody's here; one way to that id is enough"),
    _probe("host-root", "is it the host's root?",
           "files and /proc obey the user id alone, whatever the capabilities"),
    _probe("host-user-namespace", "is it in the host's user namespace?",
           "a capability gained is one on the host"),
    _probe("init-user-namespace", "is PID 1 in its user namespace?",
           "then PID 1 can be traced, read and written",
           held=(*REFUSED, "ENOENT")),
    _probe("owned-namespaces", "does its user namespace own its other namespaces?",
           "a capability gained rules mounts, network and names of the box", ("nested-user",)),
    _probe("other-user", "can it become another user?", "the other user's files are then its own",
           ("capabilities",), held=NO_SUCH_ID),
    _probe("other-group", "can it become another group?",
           "the other group's files are then its own", ("capabilities",), held=NO_SUCH_ID),
    _probe("other-file-user", "can it open files as another user?",
           "the other user's files are then its own", ("capabilities",)),
    _probe("set-groups", "can it leave its groups?",
           "a group that a file refuses is left, and the file is open", ("capabilities",),
           "CVE-2018-7169"),
    _probe("supplementary-groups", "does it have groups of the caller's?",
           "the caller's groups open files and devices of the host", (), "CVE-2022-36109"),
    _probe("file-given-away", "can it give a file to another user?",
           "quotas and trust go by owner", ("capabilities",), held=NO_SUCH_ID),
    _probe("sender-forged", "can it send in another's name over a local socket?",
           "services go by the sender's ids", (), "CVE-2013-1979", NO_SUCH_ID),
    _set("effective", "each is a piece of root, within the namespaces at least", ("capabilities",)),
    _set("permitted", "each can be made effective at any time", ("capabilities",)),
    _set("inheritable", "a program with file capabilities gets them back at exec",
         cve="CVE-2022-24769"),
    _set("bounding", "a set-user-ID or file-capability program can give those back",
         ("capabilities",)),
    _set("ambient", "each program that it runs has them"),
    _probe("capability-raised", "can it give itself a capability?", "each is a piece of root",
           ("capabilities",)),
    _probe("inheritable-raised", "can it make a capability inheritable?",
           "a program with file capabilities then gets it at exec", ("capabilities",)),
    _probe("ambient-raised", "can it make a capability ambient?",
           "each program that it runs then has it", ("capabilities",)),
    _probe("securebits-unlocked", "can uid 0 or exec give it capabilities?",
           "uid 0 of a box is then more than another id", ("capabilities",)),
    _probe("capabilities-kept", "can it keep capabilities over a change of user?",
           "the flag has no honest use without capabilities", ("capabilities",)),
    _probe("file-capability", "can it give a file capabilities?",
           "a file that leaves the box so is a way to root", ("capabilities",)),
    _probe("new-privileges", "can exec give it privileges?",
           "set-user-ID programs and file capabilities are then ways up", ("no-new-privs",)),
    _probe("unfiltered", "does it have every system call?",
           "each call is a piece of the kernel to be attacked", ("seccomp",)),
    _probe("memory-map", "can it forge what /proc tells of its memory?",
           "a process that looks like another"),
    _probe("executable-name", "can it forge what program it runs?",
           "a process that looks like another; what is trusted by /proc/PID/exe"),
    _probe("host-name", "can it change the host name?", "a machine that looks like another",),
    _probe("domain-name", "can it change the NIS domain name?",
           "a machine that looks like another"),
    _probe("root-changed", "can it chroot?",
           "programs then trust an /etc that is the attacker's; the classical way out of chroot"),
)
