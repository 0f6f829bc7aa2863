"""The mounts of a box as a plan makes them: a tree, in lines, from the root down."""

from __future__ import annotations

from minibox.explain.frames import Line
from minibox.explain.record import mechanism_of
from minibox.result import size
from minibox.steps import (
    AttachTree,
    BindDevice,
    ChangeRoot,
    CopyFile,
    HideBootId,
    MakeFile,
    MaskPaths,
    MountDevpts,
    MountOverlay,
    MountProc,
    MountStage,
    MountSysfs,
    MountTmpfs,
    OpenTree,
    ReadOnlyPaths,
    RemountReadOnly,
    UseRoot,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from minibox.plan import Plan
    from minibox.steps import Step

FILES = "filesystem"


def lines(plan: Plan) -> tuple[Line, ...]:
    """The root, then each mount, deeper than what it is mounted on."""
    sources = {step.tree: step for step in plan if isinstance(step, OpenTree)}
    found = [("/", min(at, 1), text, FILES) for at, text in enumerate(_root(plan, sources))]
    for step in plan.enter:
        found += ((*row, mechanism_of(step)) for row in _mount(step, sources))
    if names := [step.target for step in plan.enter if isinstance(step, BindDevice)]:
        shown = " ".join(name.removeprefix("/dev/") for name in names)
        found.append(("/dev", 1, f"the host's devices: {shown}", "devices"))
    places = sorted({row[0] for row in found}, key=lambda target: target.split("/"))
    return tuple(Line(text=text, mechanism=mechanism, depth=_depth(target, places) + detail)
                 for place in places for target, detail, text, mechanism in found
                 if target == place)


def _depth(target: str, places: Sequence[str]) -> int:
    """How many mounts *target* lies in."""
    return sum(target != place and f"{target}/".startswith(place.rstrip("/") + "/")
               for place in places)


def _root(plan: Plan, sources: dict[int, OpenTree]) -> Iterator[str]:
    """What the root is, and of what."""
    staged = {step.target: step for step in plan.enter
              if isinstance(step, AttachTree) and step.at_stage}
    own = _sized("tmpfs of the box's own", next(
        (step for step in plan.enter if isinstance(step, MountStage)), None))
    overlay = next((step for step in plan.enter if isinstance(step, MountOverlay)), None)
    roots = [step.path for step in plan.enter if isinstance(step, UseRoot)]
    if overlay:
        yield "/: overlay of two layers"
        kept = staged.get(overlay.upper.partition("/")[0])
        yield (f"upper: {_bind(kept, sources)}: what is written is kept there" if kept else
               f"upper: {own}: what is written is forgotten")
        lower = staged.get(overlay.lower)
        yield f"lower: {_bind(lower, sources)}" if lower else "lower: a skeleton of the box's own"
    elif roots and roots[-1] in staged:
        yield f"/: {_bind(staged[roots[-1]], sources)}"
    else:
        yield f"/: {own}"
    if any(isinstance(step, RemountReadOnly) and step.target == "/" for step in plan.enter):
        yield "read-only, once it is complete"
    if any(isinstance(step, ChangeRoot) for step in plan.enter):
        yield "entered by chroot: the host's mounts are still in this namespace"
    for kind, what in ((MakeFile, "files of its own"), (CopyFile, "copies of the host's")):
        names = [step.target for step in plan.enter if isinstance(step, kind)]
        if names:
            yield f"{what}: {' '.join(names)}"


def _mount(step: Step, sources: dict[int, OpenTree]) -> Iterator[tuple[str, int, str]]:
    """Where a step mounts or covers something, whether that is a detail, and what it is."""
    if isinstance(step, AttachTree) and not step.at_stage:
        yield step.target, 0, f"{step.target}: {_bind(step, sources)}"
    elif isinstance(step, MountTmpfs):
        yield step.target, 0, f"{step.target}: {_sized('tmpfs', step)}{_options(step.options)}"
    elif isinstance(step, MountProc):
        yield step.target, 0, f"{step.target}: new proc: the box's processes alone"
        if step.hide_others:
            yield step.target, 1, "each process sees only what it could trace (hidepid)"
    elif isinstance(step, MountSysfs):
        yield step.target, 0, f"{step.target}: sysfs, read-only"
    elif isinstance(step, MountDevpts):
        yield step.target, 0, f"{step.target}: new devpts: terminals of its own"
    elif isinstance(step, (MaskPaths, ReadOnlyPaths)):
        how = "covered" if isinstance(step, MaskPaths) else "read-only"
        for place in dict.fromkeys(f"/{path.split('/')[1]}" for path in step.targets):
            names = [path.removeprefix(f"{place}/") for path in step.targets
                     if path.startswith(f"{place}/")]
            yield place, 1, f"{how}, {len(names)} paths: {' '.join(names)}"
    elif isinstance(step, HideBootId):
        yield "/proc", 1, "boot_id: a random one"
    elif isinstance(step, RemountReadOnly) and step.target != "/":
        yield step.target, 1, "read-only, once it is complete"


def _bind(step: AttachTree, sources: dict[int, OpenTree]) -> str:
    opened = sources.get(step.tree)
    mapped = ", owners shifted to the box's ids" if opened and opened.id_mapped else ""
    source = opened.source if opened else "(not opened)"
    return f"the host's {source}{_options(step.options)}{mapped}"


def _options(options: tuple[str, ...]) -> str:
    return "".join(f", {option}" for option in options)


def _sized(what: str, step: MountStage | MountTmpfs | None) -> str:
    """0 is no limit."""
    if step is None:
        return what
    room = f"at most {size(step.size_bytes)}" if step.size_bytes else "as large as memory is"
    inodes = f" and {step.inodes} inodes" if step.inodes else ""
    return f"{what}, {room}{inodes}"
