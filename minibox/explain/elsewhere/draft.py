"""A box in another tool's words, while they are written."""

from __future__ import annotations

import shlex

from minibox.compiler.landlock import PLACES
from minibox.compiler.process import home
from minibox.errors import shown
from minibox.record import Record, as_dict
from minibox.spec import HOST_VIEW, SHAREABLE, BoxSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minibox.facts import Host
    from minibox.spec import Mount

LACKS = {
    "seccomp": "there is no filter of system calls",
    "landlock": "there is no Landlock",
    "capabilities": "the program keeps the capabilities that it has in its user namespace",
    "no-new-privs": "set-user-ID programs have their effect",
    "rlimits": "resource limits are the caller's, core dumps too",
    "pids": "no number of processes is too many, but the caller's own limit",
    "oom-score": "the kernel does not choose the box before others when memory runs out",
    "keyring": "the caller's session keyring is in reach",
    "masks": "what tells of the host in /proc is not covered",
    "read-only-paths": "settings of the kernel in /proc/sys are not read-only",
    "hidepid": "all processes of the PID namespace are seen, PID 1 too",
    "boot-id": "the host's boot id is seen",
    "nested-user": "the program is in the user namespace that owns its mounts",
    "namespace-limit": "the program may make namespaces of its own",
    "streams": "stdin, stdout and stderr are the caller's own, a terminal and files too",
    "descriptors": "what the caller left open above descriptor 2 is passed on",
    "environment": "the environment is the caller's",
    "umask": "the umask is the caller's",
    "session": "the session is the caller's, and so is its terminal",
    "signals": "signals that the caller ignores stay ignored",
    "tmpfs-caps": "what it may write to memory has no cap",
    "dev": "/dev is the host's", "view": "the root is the host's",
    "pivot-root": "the root is the host's",
    "pid": "the PID namespace is the host's", "net": "the network namespace is the host's",
    "ipc": "the IPC namespace is the host's", "uts": "the host's name is seen",
    "cgroup": "the host's paths of cgroups are seen",
    "propagation": "mounts of the host go on to appear", "nosuid": "set-user-ID files have effect",
    "nodev": "device nodes have effect",
    "parent-death": "the box may outlive who started it",
}
"""What it means that a tool has not got a layer that minibox has."""

NO_VERDICT = "nothing is told but an exit status: no verdict, no usage, no receipts"


class Beyond(Record):
    """A field of the request that the tool has no word for, with its value, and why."""

    field: str
    value: str
    why: str


class Translation(Record):
    """A box in the words of *tool*. groups: the words of its command line, an option with its
    values in each; config: what runc reads, in JSON, "" for others; beyond: what was asked for and
    is not expressed; taken: what is; differs: what is done otherwise than minibox does it."""

    tool: str
    groups: tuple[tuple[str, ...], ...]
    config: str
    taken: tuple[str, ...]
    beyond: tuple[Beyond, ...]
    differs: tuple[str, ...]

    @property
    def argv(self) -> tuple[str, ...]:
        return tuple(word for group in self.groups for word in group)

    def shell(self) -> str:
        """The command line for a shell, an option in each line."""
        return " \\\n    ".join(map(shlex.join, self.groups)) + "\n"


def asked(spec: BoxSpec) -> dict[str, Any]:
    """The fields that are not as they are by default; those of the limits as limits.NAME."""
    defaults: tuple[tuple[str, Record], ...] = (("", spec), ("limits.", spec.limits))
    return {prefix + field: value for prefix, record in defaults
            for field, value in as_dict(record).items()
            if field not in ("limits",) and value != record.__defaults__.get(field)}


def _value(value: object) -> str:
    """A field's value, briefly: of mounts, devices and limits what they are called."""
    if isinstance(value, tuple) and value and isinstance(value[0], Record):
        return " ".join(str(getattr(one, name)) for one in value
                        for name in ("target", "path", "name") if hasattr(one, name))
    return shown(value)


class Draft:
    """The words so far. spec: with its namespaces and view as the compiler takes them.

    Whatever is not taken, by name, counts as beyond the tool: so nothing is dropped in silence.
    """

    def __init__(self, spec: BoxSpec, host: Host) -> None:
        self.spec, self.host = spec, host
        self.groups: list[tuple[str, ...]] = []
        self.config: dict[str, Any] = {}
        self.fields: set[str] = set()
        self.reasons: dict[str, str] = {}
        self.differs: list[str] = []
        self.layers: set[str] = set()

    @property
    def gid(self) -> int:
        user = self.spec.user
        return user.uid if user.gid is None else user.gid

    @property
    def own_view(self) -> bool:
        """Is the root a view of the host's programs?"""
        return self.spec.rootfs == HOST_VIEW

    def has(self, layer: str) -> bool:
        """Is this layer to be there?  It can be left out, then."""
        self.layers.add(layer)
        return layer not in self.spec.without

    def add(self, *words: str) -> None:
        self.groups.append(words)

    def take(self, *fields: str) -> None:
        """The tool does as these fields say."""
        self.fields.update(fields)

    def cannot(self, field: str, why: str) -> None:
        """It does not, or not wholly; of no matter where the field is as by default."""
        self.reasons[field] = why

    def differ(self, text: str) -> None:
        self.differs.append(text)

    def lack(self, *layers: str) -> None:
        """The tool does not have these layers."""
        spec = self.spec
        gone = {"seccomp": spec.seccomp == "unconfined", "landlock": not spec.landlock,
                "masks": spec.unmask == ("ALL",), "read-only-paths": spec.unmask == ("ALL",),
                "nested-user": not spec.init}
        for layer in layers:
            if self.has(layer) and not gone.get(layer) and layer not in spec.share:
                self.differ(LACKS[layer])

    def kinds(self) -> tuple[str, ...]:
        """Namespaces of the box's own, beside those for users and mounts."""
        self.take("share")
        self.layers.update(SHAREABLE)                       # they are in spec.share already
        own = tuple(kind for kind in SHAREABLE if kind not in self.spec.share)
        return (*own, "cgroup") if self.has("cgroup") else own

    def places(self) -> tuple[str, ...]:
        """Where the box may write in a view of the host's programs; it is forgotten."""
        spec = self.spec
        if not self.own_view or spec.read_only:
            return ()
        wanted = dict.fromkeys((*PLACES, home(spec)))
        return tuple(place for place in wanted if place != "/dev" and not any(
            place.startswith(f"{other}/") for other in wanted))

    def mounts(self) -> list[Mount]:
        """Volumes, outer ones first."""
        return sorted(self.spec.mounts, key=lambda one: one.target.rstrip("/").count("/"))

    def translation(self, tool: str, spec: BoxSpec) -> Translation:
        """The whole. spec: as it was asked for."""
        if extra := [layer for layer in spec.without if layer not in self.layers]:
            self.cannot("without", f"{tool} cannot leave out {', '.join(extra)}")
        self.take("without")
        self.differ(NO_VERDICT)
        beyond = tuple(Beyond(field=field, value=_value(value),
                              why=self.reasons.get(field, f"{tool} has no word for it"))
                       for field, value in asked(spec).items()
                       if field in self.reasons or field not in self.fields)
        config = ""
        if self.config:
            import json

            config = json.dumps(self.config, indent=2) + "\n"
        return Translation(tool=tool, groups=tuple(self.groups), config=config,
                           taken=tuple(sorted(self.fields - self.reasons.keys())), beyond=beyond,
                           differs=tuple(self.differs))


