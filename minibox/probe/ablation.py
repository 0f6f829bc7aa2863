"""Each wall left out in turn: what opens then is what that wall alone holds."""

from __future__ import annotations

from minibox.errors import SpecError
from minibox.record import Record
from minibox.spec import LAYERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from minibox.probe.record import Probe
    from minibox.probe.trial import Trial

KEEP = {
    "pid": "only user ids would keep signals from the host's processes",
    "net": "the filter of system calls alone would keep sockets from the host's network",
    "ipc": "only user ids would keep System V IPC and message queues of the host",
    "uts": "capabilities hold that the host's name is not changed, but it could be read",
    "cgroup": "the view has no /sys/fs/cgroup; this hides the host's names where a volume has",
    "nested-user": "hidepid and dumpable keep init from the application; this is who may override",
    "namespace-limit": "the filter refuses new namespaces too, and --security-opt takes it away",
    "pivot-root": "chroot holds as well while there are no capabilities and no directory is open; "
                  "pivot-root leaves no mount of the host to come back to",
    "view": "Landlock holds writes, but nothing else would hide the host's files",
    "propagation": "without CAP_SYS_ADMIN nothing is mounted from within, but the host's own later "
                   "mounts would appear",
    "masks": "user ids guard the same files, where the kernel asks for ids of the host",
    "read-only-paths": "user ids and Landlock hold /proc/sys; the first fails for files of a "
                       "namespace that is the box's, the second where the kernel lacks it",
    "hidepid": "the nested user namespace keeps PID 1 from being traced, and this from being seen",
    "boot-id": "nothing else hides which boot of which machine this is",
    "dev": "no capability to make devices, and user ids on those that are there",
    "nosuid": "no-new-privs has the same effect on exec, and mount flags hold for what is mounted "
              "into other namespaces too",
    "nodev": "a mount that belongs to a user namespace has nodev in any case; a volume of the host "
             "that root shows has not",
    "tmpfs-caps": "a memory cap holds sizes where one is asked for, and nothing else holds inodes",
    "keyring": "the filter refuses keyctl; this is what is left when it is taken away",
    "capabilities": "the filter refuses most of what they allow, the user namespace bounds it",
    "no-new-privs": "nosuid and a user namespace without other ids leave nothing to gain by exec; "
                    "the filter cannot be set up without it",
    "landlock": "read-only mounts and namespaces hold the same; this holds if one of them is "
                "opened by mistake or by a bug",
    "seccomp": "the other walls refuse by right; this keeps the kernel's code from being reached",
    "rlimits": "a memory and a pids cap hold more exactly, where they are asked for",
    "pids": "RLIMIT_NPROC holds where no cgroup does",
    "oom-score": "the kernel counts memory first; this decides when the host itself has none",
    "session": "TIOCSTI is refused by the filter, and the caller's terminal is not passed on",
    "streams": "Landlock does not reach open descriptors: nothing else keeps a file of the host "
               "from being opened again by /proc/self/fd",
    "descriptors": "minibox's own descriptors are closed on exec; this closes what its caller left "
                   "open",
    "environment": "nothing else keeps the caller's variables from the box",
    "umask": "nobody else shares the box's files; on volumes the caller's umask would decide",
    "signals": "a program that is started with signals ignored only harms itself",
    "parent-death": "PID 1 ends the box when the engine dies; this holds if PID 1 cannot",
}
"""Why a wall stays that opens nothing when it alone is left out: what else holds the same, or what
no probe shows."""


class Ablation(Record):
    """A box without some layers. opened: the probes that hold with all walls, and are open now."""

    layers: tuple[str, ...]
    trial: Trial
    opened: tuple[Probe, ...]

    @property
    def name(self) -> str:
        return "+".join(self.layers)

    @property
    def keep(self) -> str:
        """Why these layers are kept although nothing opens without them."""
        return "; ".join(KEEP[layer] for layer in self.layers)

    def as_json(self) -> dict[str, Any]:
        return {"layers": self.layers, "reason": self.trial.reason,
                "opened": [probe.id for probe in self.opened],
                "keep": "" if self.opened or self.trial.reason else self.keep}


def ablate(combinations: Iterable[str] = (), *, options: tuple[str, ...] = (),
           only: Iterable[str] = (), timeout: float = 120.0) -> Iterator[Ablation]:
    """A box with all walls, first, and one without each of *combinations*, such as "masks" or
    "masks+hidepid"; by default one without each of LAYERS.

    Errors: SpecError.
    """
    from minibox.probe import catalogue, program
    from minibox.probe.canaries import canaries
    from minibox.probe.trial import trials

    wanted = [tuple(one.split("+")) for one in combinations] or [(layer,) for layer in LAYERS]
    for layer in (layer for layers in wanted for layer in layers):
        if layer not in LAYERS:
            raise SpecError("layers", layer, f"the layers are {', '.join(LAYERS)}")
    probes, path, whole = catalogue(only), program(), None
    with canaries() as made:
        for layers in ((), *wanted):
            without = tuple(word for layer in layers for word in ("--without", layer))
            trial = next(trials(("minibox",), probes, made, path, (*options, *without),
                                frozenset(), False, timeout))
            whole = whole or trial
            before = {one.probe.id for one in whole.open}
            yield Ablation(layers=layers, trial=trial, opened=tuple(
                one.probe for one in trial.open if one.probe.id not in before))
