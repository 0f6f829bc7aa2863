"""The explanation of a plan as data: what each step does, why, and what it is made of."""

from __future__ import annotations

from minibox.compiler import cgroups
from minibox.errors import EngineError, SpecError
from minibox.explain.calls import calls_of, silence
from minibox.record import Record, as_dict
from minibox.steps import (
    FIGURES,
    GATE_CGROUP,
    KINDS,
    PARTS,
    RANGES,
    CloneApp,
    EnterCgroup,
    Exec,
    MakeCgroup,
    ReadCgroup,
    RemoveCgroup,
    SweepCgroups,
    WatchOom,
    WriteCgroup,
    name_of,
    sentence,
    show,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from minibox.explain.calls.notation import Call
    from minibox.plan import Plan
    from minibox.steps import Step

ACTORS = {"prepare": "engine", "enter": "init", "app": "app", "finish": "engine"}
"""Who takes the steps of a part; without an init of its own, init is the application."""

SECTIONS = ("Why", "Leaks", "Needs", "Units", "Errors", "Source")


class Explained(Record):
    """One step of a plan. number: its place; part: of the plan; by: "engine", "init" or "app";
    mechanism: the module of minibox/compiler/ that decided on it; fields: as `minibox plan` shows
    them; sentence, why, leaks, needs, units, errors, source: from its docstring; man_pages: those
    of the source; v1, v2: files of cgroups on either version, empty for other steps; calls: the
    system calls that it is made of; silent: why it makes none."""

    number: int
    name: str
    part: str
    by: str
    mechanism: str
    fields: dict[str, str]
    sentence: str
    why: str
    leaks: str
    needs: str
    units: str
    errors: str
    source: str
    man_pages: tuple[str, ...]
    v1: str
    v2: str
    calls: tuple[Call, ...]
    silent: str


class Explanation(Record):
    """A plan in words. args: the program; whole: how many steps the plan has."""

    args: tuple[str, ...]
    whole: int
    steps: tuple[Explained, ...]

    def groups(self) -> Iterator[tuple[Explained, ...]]:
        """Steps that follow each other, are taken by one and belong to one mechanism."""
        from itertools import groupby

        for _, steps in groupby(self.steps, lambda one: (one.part, one.by, one.mechanism)):
            yield tuple(steps)

    def to_dict(self) -> dict[str, Any]:
        return {"args": self.args, "whole": self.whole,
                "steps": [as_dict(one) | {"calls": [as_dict(each) for each in one.calls]}
                          for one in self.steps]}


def explain(plan: Plan, only: Iterable[str] = ()) -> Explanation:
    """*plan* in words. only: names of mechanisms and of steps, all by default.

    Errors: SpecError for a name that is neither.
    """
    wanted = set(only)
    _check(wanted)
    alone = not any(isinstance(step, CloneApp) for step in plan)
    args = next((step.argv for step in plan if isinstance(step, Exec)), ())
    found, number, calls = [], 0, calls_of(plan)
    for part in PARTS:
        for step in getattr(plan, part):
            by = "init" if alone and part == "app" else ACTORS[part]
            if not wanted or wanted & {mechanism_of(step), name_of(type(step))}:
                found.append(_explained(step, number, part, by, calls[number]))
            number += 1
    return Explanation(args=args, whole=len(plan), steps=tuple(found))


def mechanism_of(step: Step) -> str:
    """The module of minibox/compiler/ that decided on it: some kinds are of several, told apart by
    what they are for."""
    if getattr(step, "gate", 0) == GATE_CGROUP:
        return "cgroups"
    if f"{getattr(step, 'target', '')}/".startswith("/dev/"):
        return "devices"
    return step.mechanism


def _check(names: set[str]) -> None:
    mechanisms = sorted({kind.mechanism for kind in KINDS})
    known = [*mechanisms, *map(name_of, KINDS)]
    for name in sorted(names):
        if name not in known:
            from difflib import get_close_matches

            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise SpecError("only", name, f"{hint}it is no step, and the mechanisms are "
                            + ", ".join(mechanisms))


def written(kind: type[Step]) -> dict[str, str]:
    """The parts of the docstring of a kind of step, each in one line, as they are written."""
    rest = (kind.__doc__ or "").partition("\n")[2]
    found: dict[str, str] = {}
    word = ""
    for line in rest.splitlines():
        first, colon, text = line.strip().partition(":")
        if colon and first in SECTIONS:
            word, line = first, text
        if word:
            found[word] = f"{found.get(word, '')} {line.strip()}".strip()
    return found


def sections(step: Step) -> dict[str, str]:
    """The same of one step, with its values filled in."""
    values = {field: _mentioned(field, getattr(step, field)) for field in step.__fields__}
    return {word: text.format_map(values) for word, text in written(type(step)).items()}


def _mentioned(field: str, value: object) -> str:
    """A field within a sentence about all steps of the kind."""
    if isinstance(value, bool):
        return f"{field} (here: {show(field, value)})"
    return show(field, value) if isinstance(value, int) else field


def _explained(step: Step, number: int, part: str, by: str, calls: tuple[Call, ...]) -> Explained:
    import re

    said = sections(step)
    v1, v2 = sides(step)
    return Explained(
        number=number, name=name_of(type(step)), part=part, by=by, mechanism=mechanism_of(step),
        fields={field: show(field, getattr(step, field)) for field in step.__fields__},
        sentence=sentence(step), why=said["Why"], leaks=said["Leaks"], needs=said["Needs"],
        units=said.get("Units", ""), errors=said["Errors"], source=said["Source"],
        man_pages=tuple(re.findall(r"[a-z_][a-z0-9_]*\([1-8]\)", said["Source"])), v1=v1, v2=v2,
        calls=calls, silent=silence(step))


# ---- a plan from a file may hold anything --------------------------------------------------------

def check(plan: Plan) -> None:
    """Each step is where its kind may be, and holds what RANGES allows: as csrc/plan.c checks it,
    which is not built everywhere.

    Errors: EngineError.
    """
    for part in PARTS:
        for step in getattr(plan, part):
            name = name_of(type(step))
            if part not in step.parts:
                raise EngineError(f"this is not a plan: {name} in {part}")
            for field, of in step.__fields__.items():
                value = getattr(step, field)
                if of in ("int", "tuple[int, ...]") and not _allowed(step, field, value):
                    raise EngineError(f"this is not a plan: {field} of {name} is {value}")


def _allowed(step: Step, field: str, value: int | tuple[int, ...]) -> bool:
    low, high = RANGES[field]
    if step.__defaults__.get(field) == -1:
        low = -1
    values = value if isinstance(value, tuple) else (value,)
    triples = field not in ("uids", "gids") or len(values) % 3 == 0
    return triples and all(low <= one <= high for one in values)


# ---- cgroups: what is done on either version -----------------------------------------------------

SIDES: dict[type[Step], tuple[str, str]] = {
    SweepCgroups: ("rmdir of each directory, in each hierarchy",
                   "cgroup.kill, then rmdir, in the one hierarchy"),
    MakeCgroup: ("mkdir in each controller's own hierarchy", "mkdir in the one hierarchy"),
    WatchOom: ("memory.oom_control, cgroup.event_control", "none: memory.oom.group does it"),
    EnterCgroup: ("cgroup.procs", "cgroup.procs, or none: clone-init starts it inside"),
    RemoveCgroup: ("rmdir", "rmdir"),
}
"""What steps without a file of their own do, on v1 and on v2."""


def sides(step: Step) -> tuple[str, str]:
    """The files that a step on cgroups reads or writes, on v1 and on v2."""
    if isinstance(step, WriteCgroup):
        return _side(step, 1), _side(step, 2)
    if isinstance(step, ReadCgroup):
        figure = FIGURES[step.figure]
        first, second = (", ".join(f"{file} {key}".rstrip() for file, key, name, _
                                   in cgroups.readings(version) if name == figure)
                         for version in (1, 2))
        return first or "none has it", second or "none has it"
    return SIDES.get(type(step), ("", ""))


def _side(step: WriteCgroup, version: int) -> str:
    """The files of this version for what the step writes: with its value where it is one."""
    for files in cgroups.FILES.values():
        if step.file in (*files[1], *files[2]):
            of_cap = files[version]
            return (f"{step.file} = {step.value}" if step.file in of_cap else ", ".join(of_cap))
    return f"{step.file} = {step.value}"
