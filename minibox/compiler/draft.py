"""A plan while it is being decided."""

from __future__ import annotations

from minibox.compiler.cgroups import Groups
from minibox.compiler.ids import Ids
from minibox.errors import HostError, SpecError
from minibox.facts import Host
from minibox.notes import dumps
from minibox.plan import MAX_STEPS, Plan
from minibox.spec import BoxSpec
from minibox.steps import MAX_TREES, OpenTree, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Draft:
    """Four lists that the mechanisms add to, in the order in which `compile` calls them.

    spec, host: what was asked, and of which machine; ids, groups: what was chosen of its ids and
    cgroups, on which many mechanisms hang.  prepare, enter, app, finish: the plan's parts.
    """

    def __init__(self, spec: BoxSpec, host: Host, ids: Ids, groups: Groups) -> None:
        self.spec, self.host, self.ids, self.groups = spec, host, ids, groups
        self.prepare: list[Step] = []
        self.enter: list[Step] = []
        self.app: list[Step] = []
        self.finish: list[Step] = []
        self.receipts: list[dict[str, Any]] = []
        self.trees = 0

    def has(self, layer: str) -> bool:
        """Is this layer to be there?  For each that is left out `plan` makes the receipt."""
        return layer not in self.spec.without

    def need(self, feature: str) -> None:
        """Refuse the box if this host lacks *feature*, which is none of its caps."""
        if feature not in self.host.features:
            raise HostError(feature, *self.host.mend(feature))

    def tree(self, source: str, *, id_mapped: bool = True) -> int:
        """A register that will hold a clone of the host's mount tree at *source*.

        Where ids are leased the engine opens it: only root may shift the owners, and init could not
        reach what is root's own. Elsewhere init does, in its copy of the host's mounts.
        """
        tree, self.trees = self.trees, self.trees + 1
        if tree >= MAX_TREES:
            raise SpecError("mounts", source, f"a box shows at most {MAX_TREES} places of the host")
        if self.ids.leased:
            self.prepare.append(OpenTree(tree=tree, source=source, id_mapped=id_mapped))
        else:
            self.enter.append(OpenTree(tree=tree, source=source))
        return tree

    def options(self, *names: str) -> tuple[str, ...]:
        """Options of a mount, but for those that are left out."""
        return tuple(name for name in names if name not in self.spec.without)

    def room(self, size_bytes: int | None = None, inodes: int | None = None) -> tuple[int, int]:
        """Bytes and inodes of a tmpfs, by default as the box's limits say; 0 is no limit."""
        limits = self.spec.limits
        if not self.has("tmpfs-caps"):
            return 0, 0
        return size_bytes or limits.tmpfs_bytes, inodes or limits.tmpfs_inodes

    def receipt(self, cap: str, asked: object, in_force: object, mechanism: str,
                note: str = "") -> None:
        """Say what became of one cap or layer. in_force None: it is not."""
        self.receipts.append({"cap": cap, "asked": asked, "in_force": in_force,
                              "mechanism": mechanism, "note": note})

    def refuse(self, cap: str, asked: object, feature: str, instead: str = "none") -> None:
        """A cap that cannot be enforced here: an error; or with best effort a receipt that says so,
        and what is done *instead*."""
        reason, mend = self.host.mend(feature)
        if self.spec.cgroups == "disabled":
            reason, mend = "it needs a cgroup", "leave --cgroups disabled out"
        if not self.spec.best_effort:
            raise HostError(cap, reason, f"{mend}; or add --best-effort to run without it")
        self.receipt(cap, asked, None, instead, reason)

    def plan(self) -> Plan:
        for layer in self.spec.without:
            self.receipt(layer, None, None, "none", "left out")
        made = Plan(prepare=tuple(self.prepare), enter=tuple(self.enter), app=tuple(self.app),
                    finish=tuple(self.finish), notes=dumps({"receipts": self.receipts}))
        if len(made) > MAX_STEPS:
            raise SpecError("mounts", len(self.spec.mounts), "these are too many for one box")
        return made
