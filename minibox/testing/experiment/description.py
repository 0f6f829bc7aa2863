"""What an experiment asks: a TOML file of a screenful, read strictly."""

from __future__ import annotations

import difflib
import hashlib
import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minibox.errors import MiniboxError, SpecError
from minibox.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable

SHIPPED = Path(__file__).parents[1] / "experiments"
CALLERS = ("same", "user")
TAKES = ("median", "mean", "p95", "max")


class Level(Record):
    """A level of a factor. options: words of `minibox run`, for the box that is measured; beside:
    the same for its neighbour; neighbour: which neighbour runs, None for none; caller: "user" runs
    it as an unprivileged user; runtime: another one, of minibox.testing.elsewhere or, for probes,
    of `minibox probe`; value: the number that was asked for, if it is one."""

    name: str
    options: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    neighbour: str | None = None
    caller: str = "same"
    runtime: str = "minibox"
    value: float | None = None


class Factor(Record):
    name: str
    levels: tuple[Level, ...]


class Metric(Record):
    """A figure of each run. source: "usage.KEY" (docs/result.md), "stdout" or "stdout.KEY" of what
    the workload printed (a number, or JSON), "open" (of probes), or two of these with " / "
    between; per: the factor whose level's value it is divided by; series: the workload prints
    lines of "SECONDS NUMBER", and the figure is what *take* says of the numbers."""

    name: str
    source: str
    unit: str = ""
    scale: float = 1.0
    per: str | None = None
    series: bool = False
    take: str = "median"


class Experiment(Record):
    """text: the file as it was; digest: of it; sample: so many combinations, None for all."""

    title: str
    question: str
    factors: tuple[Factor, ...]
    metrics: tuple[Metric, ...]
    repetitions: int
    seed: int
    sample: int | None
    command: tuple[str, ...]
    probes: tuple[str, ...]
    neighbours: dict[str, tuple[str, ...]]
    text: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    def __hash__(self) -> int:
        return hash(self.text)


def shipped() -> dict[str, Path]:
    """The experiments that come with minibox, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}


def load(where: str | os.PathLike[str]) -> Experiment:
    """Read a file, or one that comes with minibox by its name. Errors: SpecError."""
    text = os.fspath(where)
    path = shipped().get(text, Path(text))
    try:
        return parse(path.read_text(encoding="utf-8"), text)
    except OSError as error:
        raise SpecError("experiment", text, f"{error.strerror}; these come with minibox: "
                        f"{', '.join(shipped())}") from error
    except UnicodeDecodeError as error:
        raise SpecError("experiment", text, "it is no text") from error


def parse(text: str, name: str = "") -> Experiment:
    """An experiment from its TOML, of the file *name*. Errors: SpecError names the key, and what
    would do."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError("experiment", name, str(error)) from error
    known(table, "", ("title", "question", "repetitions", "seed", "sample", "workload", "factor",
                      "neighbour", "measure"))
    workload = of_kind(table, "workload", dict)
    known(workload, "workload", ("command", "probes"))
    command, probes = words(workload, "workload", "command"), words(workload, "workload", "probes")
    if bool(command) == bool(probes):
        raise SpecError("workload", str(workload), "give either a command or probes")
    if probes:
        from minibox.probe import catalogue

        catalogue(probes)
    beside = of_kind(table, "neighbour", dict, {})
    neighbours = {name: words(beside, "neighbour", name) for name in beside}
    factors = tuple(factor(one, neighbours, bool(probes)) for one in of_kind(table, "factor", list))
    names = [one.name for one in factors]
    if len(set(names)) < len(names):
        raise SpecError("factor", ", ".join(names), "give each a name of its own")
    found = Experiment(
        title=of_kind(table, "title", str), question=of_kind(table, "question", str),
        repetitions=whole(table, "repetitions", 1), seed=whole(table, "seed", 0, 1),
        sample=whole(table, "sample", 1) if "sample" in table else None, factors=factors,
        metrics=tuple(metric(name, one, names, bool(probes)) for name, one
                      in of_kind(table, "measure", dict, {"open": {"from": "open"}} if probes
                                 else None).items()),
        command=command, probes=probes, neighbours=neighbours, text=text)
    check_options(found)
    return found


def check_options(asked: Experiment) -> None:
    """Levels that contradict: each combination must be a box that can be asked for."""
    from minibox.cli import run
    from minibox.cli.options import parse as parse_options
    from minibox.request import box_spec
    from minibox.testing.experiment.design import cells

    for cell in cells(asked):
        where = ", ".join(f"{factor} {level.name}" for factor, level in cell.items())
        if len({level.runtime for level in cell.values()} - {"minibox"}) > 1:
            raise SpecError("factor", where, "a run has one runtime: these levels name several")
        if len([level for level in cell.values() if level.neighbour is not None]) > 1:
            raise SpecError("factor", where, "a run has one neighbour: these levels name several")
        for option_words in (options(cell), beside(cell)):
            try:
                values, rest = parse_options(run.PAGE, option_words)
                if rest:
                    raise SpecError("options", rest[0], "this is no option of `minibox run`")
                box_spec(["true"], **run.arguments(values))
            except MiniboxError as error:
                raise SpecError("factor", where, f"this cannot be asked for: {error}") from error


def options(cell: dict[str, Level]) -> tuple[str, ...]:
    return tuple(word for level in cell.values() for word in level.options)


def beside(cell: dict[str, Level]) -> tuple[str, ...]:
    return tuple(word for level in cell.values() for word in level.beside)


def factor(table: Any, neighbours: dict[str, Any], probes: bool) -> Factor:
    if not isinstance(table, dict):
        raise SpecError("factor", str(table), "write [[factor]], then its name and its levels")
    known(table, "factor", ("name", "levels"))
    name = of_kind(table, "name", str)
    levels = of_kind(table, "levels", dict)
    if len(levels) < 1:
        raise SpecError(name, "", "give it levels")
    return Factor(name=name, levels=tuple(level(name, one, given, neighbours, probes)
                                          for one, given in levels.items()))


def level(factor_name: str, name: str, given: Any, neighbours: dict[str, Any],
          probes: bool) -> Level:
    where = f"{factor_name}.{name}"
    table = {"options": given} if isinstance(given, list) else given
    if not isinstance(table, dict):
        raise SpecError(where, str(given), "give a list of options of `minibox run`")
    known(table, where, ("options", "beside", "neighbour", "caller", "runtime", "value"))
    neighbour, caller, value = (table.get(key) for key in ("neighbour", "caller", "value"))
    runtime = of_kind(table, "runtime", str, "minibox")
    check_runtime(where, runtime, probes)
    if neighbour is not None and neighbour not in neighbours:
        raise SpecError(where, str(neighbour), f"[neighbour] has {', '.join(neighbours) or 'none'}")
    if caller is not None and caller not in CALLERS:
        raise SpecError(where, str(caller), f"a caller is one of {', '.join(CALLERS)}")
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise SpecError(where, str(value), "a value is a number")
    return Level(name=name, options=words(table, where, "options"), neighbour=neighbour,
                 beside=words(table, where, "beside"), caller=caller or "same", runtime=runtime,
                 value=None if value is None else float(value))


def check_runtime(where: str, runtime: str, probes: bool) -> None:
    if probes:
        from minibox.probe.runtimes import check

        check(runtime)
        return
    from minibox.testing.elsewhere import NAMES

    if runtime not in NAMES:
        raise SpecError(where, runtime, f"a runtime is one of {', '.join(NAMES)}")


def runtime_of(cell: dict[str, Level]) -> str:
    """The runtime that a cell asks for: minibox, if no level names another."""
    return next((level.runtime for level in cell.values() if level.runtime != "minibox"),
                "minibox")


def metric(name: str, given: Any, factors: list[str], probes: bool) -> Metric:
    where = f"measure.{name}"
    if not isinstance(given, dict):
        raise SpecError(where, str(given), 'write {from = "usage.wall_s", unit = "s"}')
    known(given, where, ("from", "unit", "scale", "per", "series", "take"))
    source = of_kind(given, "from", str)
    from minibox.result import Usage

    for part in source.split(" / "):
        kind, _, key = part.partition(".")
        if kind == "usage" and key not in Usage.__fields__:
            near = difflib.get_close_matches(key, Usage.__fields__, 1)
            raise SpecError(where, part, f"did you mean usage.{near[0]}?" if near
                            else "docs/result.md has the keys of usage")
        if kind not in ("usage", "stdout", "open") or (kind == "open") != probes:
            raise SpecError(where, part, 'probes have "open"' if probes else
                            'use "usage.KEY", "stdout" or "stdout.KEY"')
    per = given.get("per")
    if per is not None and per not in factors:
        raise SpecError(where, str(per), f"per names one of the factors {', '.join(factors)}")
    scale = given.get("scale", 1.0)
    if isinstance(scale, bool) or not isinstance(scale, (int, float)):
        raise SpecError(where, str(scale), "a scale is a number")
    take = of_kind(given, "take", str, "median")
    if take not in TAKES:
        raise SpecError(where, take, f"take one of {', '.join(TAKES)}")
    return Metric(name=name, source=source, per=per, scale=float(scale), take=take,
                  unit=of_kind(given, "unit", str, ""),
                  series=of_kind(given, "series", bool, False))


# ---- what a table may have ----

def known(table: dict[str, Any], where: str, keys: Iterable[str]) -> None:
    for key in table:
        if key not in keys:
            near = difflib.get_close_matches(key, list(keys), 1)
            raise SpecError(where or "experiment", key, f"did you mean {near[0]}?" if near
                            else f"it has {', '.join(keys)}")


def of_kind(table: dict[str, Any], key: str, kind: type, default: Any = None) -> Any:
    if key not in table and default is not None:
        return default
    found = table.get(key)
    if not isinstance(found, kind):
        raise SpecError(key, "" if found is None else str(found),
                        "it is missing" if found is None else f"it has to be a {kind.__name__}")
    return found


def whole(table: dict[str, Any], key: str, least: int, default: int | None = None) -> int:
    found = table.get(key, default)
    if isinstance(found, bool) or not isinstance(found, int) or found < least:
        raise SpecError(key, str(found), f"give a whole number from {least}")
    return found


def words(table: dict[str, Any], where: str, key: str) -> tuple[str, ...]:
    found = table.get(key, [])
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        raise SpecError(f"{where}.{key}", str(found), "give a list of words")
    return tuple(found)
