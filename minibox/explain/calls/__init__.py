"""Which system calls the engine makes for each step: a module for each csrc/steps_*.c.

Left out, for all steps alike: close(2), by which each descriptor that no later step needs goes, and
clock_gettime(2), before and after each step, for the report.
"""

from __future__ import annotations

from minibox.explain.calls import (
    cgroups,
    devices,
    filesystem,
    ids,
    namespaces,
    process,
    seccomp,
    streams,
)
from minibox.explain.calls.notation import Call, Scene
from minibox.steps import PARTS, Fail, OpenStreams, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minibox.explain.calls.notation import Maker
    from minibox.plan import Plan

CALLS: dict[type[Step], Maker] = {
    kind: maker for module in (cgroups, devices, filesystem, ids, namespaces, process, seccomp,
                               streams)
    for kind, maker in module.CALLS.items()}

NONE: dict[type[Step], str] = {
    **namespaces.NONE, Fail: "it fails as if a call had, and is there for tests"}
"""Why a kind of step never makes a call."""


def silence(step: Step) -> str:
    """Why this step makes no call; "" if it makes some."""
    if isinstance(step, OpenStreams) and step.terminal:
        return "the box's terminal is opened by init, in the step open-terminal"
    return NONE.get(type(step), "")


def calls_of(plan: Plan) -> tuple[tuple[Call, ...], ...]:
    """The calls of each step of *plan*, in order."""
    scene, found = Scene(plan), []
    for part in PARTS:
        scene.in_app = part == "app"
        for step in getattr(plan, part):
            maker = CALLS.get(type(step))
            found.append(tuple(maker(scene, step)) if maker else ())
    return tuple(found)
