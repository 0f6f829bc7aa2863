"""Each wall left out in turn: what opens then is what that wall alone holds."""

from __future__ import annotations

from functools import cache

from minibox.errors import SpecError
from minibox.probe import TIMEOUT_S, catalogue, program
from minibox.probe.canaries import canaries
from minibox.probe.trial import trial
from minibox.record import Record, replace
from minibox.spec import LAYERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
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
    "propagation": "where the host's mounts are shared, as systemd has them, later ones would "
                   "appear in the box; where they are private nothing is to be seen",
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
    "streams": "Landlock keeps a file of the host from being opened again by /proc/self/fd, but "
               "not from being cut short through the descriptor itself",
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
    """A box without some layers. opened: the probes that hold with all walls, and are open now;
    together: other layers, and what opens only if they are left out as well."""

    layers: tuple[str, ...]
    trial: Trial
    opened: tuple[Probe, ...]
    together: tuple[tuple[str, tuple[Probe, ...]], ...] = ()

    @property
    def name(self) -> str:
        return "+".join(self.layers)

    @property
    def redundant(self) -> bool:
        return not self.opened and not self.trial.reason

    @property
    def keep(self) -> str:
        """Why these layers are kept although nothing opens without them."""
        return "; ".join(KEEP[layer] for layer in self.layers)

    def as_json(self) -> dict[str, Any]:
        return {"layers": self.layers, "reason": self.trial.reason, "opened": _ids(self.opened),
                "redundant": self.redundant, "keep": self.keep if self.redundant else "",
                "together": {layer: _ids(opened) for layer, opened in self.together}}


class Ablations(Record):
    """whole: a box with all its walls; without: the same with some left out."""

    whole: Trial
    without: tuple[Ablation, ...]


def _ids(probes: Iterable[Probe]) -> list[str]:
    return [probe.id for probe in probes]


def ablate(combinations: Iterable[str] = (), *, pairs: bool = False, options: Sequence[str] = (),
           only: Iterable[str] = (), timeout: float = TIMEOUT_S,
           tell: Callable[[str], None] = lambda name: None) -> Ablations:
    """A box without each of *combinations*, such as "masks" or "masks+hidepid"; by default one
    without each of LAYERS.

    pairs: see with which other layers together a redundant one opens something. tell: is called
    with each box's name before it runs; the rest is as for minibox.probe.run.

    Errors: SpecError.
    """
    wanted = [tuple(one.split("+")) for one in combinations] or [(layer,) for layer in LAYERS]
    for layer in (layer for layers in wanted for layer in layers):
        if layer not in LAYERS:
            raise SpecError("layers", layer, f"the layers are {', '.join(LAYERS)}")
    probes, path = catalogue(only), program()
    with canaries() as made:
        @cache
        def without(*layers: str) -> Trial:
            tell("+".join(layers) or "all walls")
            more = [word for layer in layers for word in ("--without", layer)]
            return trial("minibox", probes, made, path, (*options, *more), timeout)

        whole = without()
        if whole.reason:
            return Ablations(whole=whole, without=())
        found = [Ablation(layers=layers, trial=one, opened=_opened(one, whole))
                 for layers, one in ((layers, without(*layers)) for layers in wanted)]
        if pairs:
            found = [replace(one, together=tuple(_together(one, whole, without)))
                     if one.redundant else one for one in found]
    return Ablations(whole=whole, without=tuple(found))


def _opened(trial: Trial, *others: Trial) -> tuple[Probe, ...]:
    """What is open in *trial* and in none of the *others*."""
    before = {one.probe.id for other in others for one in other.open}
    return tuple(one.probe for one in trial.open if one.probe.id not in before)


def _together(one: Ablation, whole: Trial, without: Callable[..., Trial]
              ) -> Iterator[tuple[str, tuple[Probe, ...]]]:
    """Each layer without which *one* does hold something, and what that is."""
    for layer in LAYERS:
        if layer in one.layers:
            continue
        alone, both = without(layer), without(*sorted((*one.layers, layer)))
        if opened := _opened(both, whole, alone):
            yield layer, opened
