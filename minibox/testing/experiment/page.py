"""The report: one HTML file that stands alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from minibox.errors import HostError, SpecError
from minibox.pages import page
from minibox.testing.experiment.design import cells
from minibox.testing.experiment.samples import header, read

if TYPE_CHECKING:
    from minibox.testing.experiment.description import Experiment, Metric
    from minibox.testing.experiment.samples import Sample

    Groups = dict[tuple[tuple[str, str], ...], list[Sample]]

HOST = "host"
CURVES = 12
"""More in one picture nobody can tell apart."""

STYLE = """\
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.15rem .7rem;text-align:left;
border-bottom:1px solid #ddd}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.faint{color:#666}.sure{font-weight:600}pre{background:#f6f4ef;padding:1rem;overflow-x:auto}
svg{max-width:100%;height:auto}.wide{overflow-x:auto}
"""


def write(paths: Sequence[str], target: str) -> None:
    """See `minibox.testing.experiment.write_page`."""
    try:
        import minibox.testing.experiment.pictures
        import minibox.testing.experiment.statistics  # noqa: F401
    except ImportError as error:
        raise HostError("report", f"{error.name} is not installed",
                        "python3 -m pip install 'minibox[experiments]'") from error
    asked, samples, hosts = gather(paths)
    text = page(asked.title, parts(asked, samples, hosts), style=STYLE)
    fresh = f"{target}.{os.getpid()}"
    try:
        with open(fresh, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(fresh, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(fresh)
        raise HostError("html", f"{target}: {error.strerror}",
                        "name a file that can be written") from error


def gather(paths: Sequence[str]) -> tuple[Experiment, list[Sample], list[dict[str, str]]]:
    """The samples of all files; with several, the host is a factor as well."""
    if not paths:
        raise SpecError("samples", "", "name one file of samples, or several")
    hosts = [header(path)["host"] for path in paths]
    asked, samples = read(paths[0])
    if len(paths) == 1:
        return asked, samples, hosts
    from minibox.record import replace

    found = []
    for path, about in zip(paths, hosts, strict=True):
        other, theirs = read(path)
        if other.digest != asked.digest:
            raise SpecError("samples", path, f"it belongs to another experiment than {paths[0]}")
        name = f"{about['kernel']} {about['cgroups']} uid {about['uid']}"
        found += [replace(one, cell={HOST: name} | one.cell) for one in theirs]
    return asked, found, hosts


def parts(asked: Experiment, samples: list[Sample], hosts: list[dict[str, str]]) -> Iterator[str]:
    ran = [one for one in samples if not one.error]
    wanted = len(cells(asked)) * asked.repetitions * len(hosts)
    yield f"<p>{escape(asked.question)}</p>"
    for about in hosts:
        yield (f'<p class="faint">Linux {escape(about["kernel"])} {escape(about["machine"])}, '
               f'{about["cpus"]} CPUs, cgroups {escape(about["cgroups"])}, uid {about["uid"]}, '
               f'minibox {escape(about["minibox"])}</p>')
    doubtful = sum(bool(one.doubts) for one in ran)
    yield (f"<p>{len(ran)} of {wanted} runs, in random order. {doubtful} of them are doubted: "
           "something else may have changed their times.</p>")
    yield from failures(samples)
    groups = by_cell(asked, ran)
    if asked.probes:
        yield from boundaries(groups)
    elif groups:
        for metric in asked.metrics:
            yield from of_metric(asked, metric, groups)
    yield f"<h2>What was asked</h2><pre>{escape(asked.text)}</pre>"


def by_cell(asked: Experiment, samples: list[Sample]) -> Groups:
    """The samples of each cell, in the order of the file and not of the runs."""
    known = [tuple(level.name for level in cell.values()) for cell in cells(asked)]
    place = {names: number for number, names in enumerate(known)}
    found: Groups = {}
    for one in sorted(samples, key=lambda one: (one.cell.get(HOST, ""), place[
            tuple(level for name, level in one.cell.items() if name != HOST)], one.repetition)):
        found.setdefault(tuple(one.cell.items()), []).append(one)
    return found


def named(cell: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(f"{factor} {level}" for factor, level in cell) or "all"


def failures(samples: list[Sample]) -> Iterator[str]:
    for title, field in (("What could not run here", "error"),
                         ("Measured, but it did not exit with 0", "ended")):
        reasons: dict[str, list[str]] = {}
        for one in samples:
            if reason := getattr(one, field):
                reasons.setdefault(reason, []).append(named(tuple(one.cell.items())))
        if reasons:
            yield (f'<h2>{title}</h2><table><tr><th>cell</th><th class="n">runs</th><th>why</th>'
                   "</tr>")
            for reason, where in reasons.items():
                yield (f'<tr><td>{escape("; ".join(sorted(set(where))))}</td>'
                       f'<td class="n">{len(where)}</td><td>{escape(reason)}</td></tr>')
            yield "</table>"


# ---- probes ----

def boundaries(groups: Groups) -> Iterator[str]:
    """Mechanism by boundary: in how many ways each cell is open, by groups of probes."""
    from minibox.testing.experiment.pictures import heat

    opened = {cell: set().union(*(one.open for one in samples)) for cell, samples in groups.items()}
    always = set.intersection(*opened.values()) if opened else set()
    columns = sorted({name.partition(".")[0] for names in opened.values() for name in names})
    rows = [named(cell) for cell in opened]
    if not columns:
        yield "<p>No probe is open in any cell.</p>"
        return
    yield "<h2>What is open</h2>"
    yield "<p>In each row a box; the numbers are probes that are open in it.</p>"
    yield heat(rows, columns, [[sum(name.startswith(f"{column}.") for name in names)
                                for column in columns] for names in opened.values()])
    yield '<div class="wide"><table><tr><th>box</th><th class="n">open</th><th>which</th></tr>'
    for row, names in zip(rows, opened.values(), strict=True):
        own = sorted(names - always)
        yield (f'<tr><td>{escape(row)}</td><td class="n">{len(names)}</td>'
               f"<td>{escape(', '.join(own))}</td></tr>")
    yield "</table></div>"
    if always:
        yield f'<p class="faint">open in all: {escape(", ".join(sorted(always)))}</p>'


# ---- figures ----

def of_metric(asked: Experiment, metric: Metric, groups: Groups) -> Iterator[str]:
    from minibox.testing.experiment.pictures import ecdf, intervals
    from minibox.testing.experiment.statistics import effects, summary

    values = {cell: [value for one in samples if (value := one.figures[metric.name]) is not None]
              for cell, samples in groups.items()}
    label = metric.name + (f" ({metric.unit})" if metric.unit else "")
    yield f"<h2>{escape(label)}</h2>"
    measured = {cell: found for cell, found in values.items() if found}
    if not measured:
        yield "<p>It was not measured in any run.</p>"
        return
    found = {cell: summary(one, asked.seed) for cell, one in measured.items()}
    yield ('<table><tr><th>cell</th><th class="n">runs</th><th class="n">median</th>'
           '<th class="n">95 % interval</th><th class="n">least</th><th class="n">most</th></tr>')
    for cell, one in found.items():
        yield (f'<tr><td>{escape(named(cell))}</td><td class="n">{one.runs}</td>'
               f'<td class="n">{one.median:.4g}</td><td class="n">{one.low:.4g} to {one.high:.4g}'
               f'</td><td class="n">{one.least:.4g}</td><td class="n">{one.most:.4g}</td></tr>')
    yield "</table>"
    yield intervals([named(cell) for cell in found],
                    [(one.low, one.median, one.high) for one in found.values()], label)
    if len(measured) <= CURVES and max(map(len, measured.values())) > 2:
        yield ecdf({named(cell): one for cell, one in measured.items()}, label)
    yield from series(metric, groups, label)
    factors = [(factor, list(dict.fromkeys(dict(cell)[factor] for cell in groups)))
               for factor in dict(next(iter(groups)))]
    yield from table_of(effects(measured, [(name, [*ordered(asked, name, levels)])
                                           for name, levels in factors], asked.seed))


def ordered(asked: Experiment, name: str, levels: Sequence[str]) -> list[str]:
    """*levels* as the file has them: the first is what the others are compared with."""
    known = [level.name for factor in asked.factors if factor.name == name
             for level in factor.levels]
    return [one for one in known if one in levels] or sorted(levels)


def table_of(found: Sequence[object]) -> Iterator[str]:
    from minibox.testing.experiment.statistics import Effect

    rows = [one for one in found if isinstance(one, Effect)]
    if not rows:
        return
    yield ("<h3>Effect of each factor</h3><table><tr><th>factor</th><th>level</th>"
           '<th>beside</th><th class="n">changes by</th><th class="n">95 % interval</th>'
           '<th class="n">of it</th></tr>')
    for one in sorted(rows, key=lambda one: -abs(one.median)):
        sure = ' class="sure"' if one.low > 0 or one.high < 0 else ' class="faint"'
        relative = "" if one.relative is None else f"{one.relative:+.1%}"
        yield (f'<tr{sure}><td>{escape(one.factor)}</td><td>{escape(one.level)}</td>'
               f'<td>{escape(one.base)}</td><td class="n">{one.median:+.4g}</td>'
               f'<td class="n">{one.low:+.4g} to {one.high:+.4g}</td>'
               f'<td class="n">{relative}</td></tr>')
    yield '</table><p class="faint">Faint: the interval includes no effect at all.</p>'


def series(metric: Metric, groups: Groups, label: str) -> Iterator[str]:
    from minibox.testing.experiment.pictures import lines

    curves = {named(cell): samples[0].series[metric.name] for cell, samples in groups.items()
              if samples[0].series.get(metric.name)}
    if curves:
        yield f"<h3>One run of each</h3>{lines(dict(list(curves.items())[:CURVES]), label)}"
