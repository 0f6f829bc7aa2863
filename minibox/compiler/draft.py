"""A plan while it is being decided."""

from __future__ import annotations

from minibox.errors import HostError, SpecError
from minibox.facts import Host
from minibox.notes import dumps
from minibox.plan import Plan
from minibox.spec import BoxSpec
from minibox.steps import MAX_TREES, OpenTree, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Draft:
    """Four lists that the mechanisms add to, in the order in which `compile` calls them.

    spec, host: what was asked, and of which machine.  prepare, enter, app, finish: the plan's parts.
    """

    def __init__(self, spec: BoxSpec, host: Host) -> None:
        self.spec, self.host = spec, host
        self.prepare: list[Step] = []
        self.enter: list[Step] = []
        self.app: list[Step] = []
        self.finish: list[Step] = []
        self.receipts: list[dict[str, Any]] = []
        self.trees = 0

    @property
    def by_root(self) -> bool:
        """Root starts the box: ids are leased, and the engine opens what the box may not."""
        return self.host.uid == 0

    def tree(self, source: str, *, id_mapped: bool = True) -> int:
        """A register that will hold a clone of the host's mount tree at *source*.

        The engine opens it for root (only root may shift the owners, and init could not reach what
        is root's own); for a user it is init, in its copy of the host's mounts.
        """
        tree, self.trees = self.trees, self.trees + 1
        if tree >= MAX_TREES:
            raise SpecError("mounts", tree, f"one box can show at most {MAX_TREES} places of the host")
        if self.by_root and id_mapped:
            self.prepare.append(OpenTree(tree=tree, source=source, id_mapped=self.host.id_mapped_mounts))
        else:
            self.enter.append(OpenTree(tree=tree, source=source))
        return tree

    def receipt(self, cap: str, asked: object, in_force: object, mechanism: str, note: str = "") -> None:
        """Say what became of one cap or layer. in_force None: it is not."""
        self.receipts.append({"cap": cap, "asked": asked, "in_force": in_force,
                              "mechanism": mechanism, "note": note})

    def refuse(self, cap: str, asked: object, feature: str) -> None:
        """A cap that this host cannot enforce: an error, or a receipt that says so."""
        reason, mend = self.host.mend(feature)
        if not self.spec.best_effort:
            raise HostError(cap, reason, f"{mend}; or --best-effort to run without")
        self.receipt(cap, asked, None, "none", reason)

    def plan(self) -> Plan:
        return Plan(prepare=tuple(self.prepare), enter=tuple(self.enter), app=tuple(self.app),
                    finish=tuple(self.finish), notes=dumps({"receipts": self.receipts}))
