"""The findings as a page that stands alone: one file, that fetches nothing and needs no script."""

from __future__ import annotations

import os
import time
from html import escape
from math import log

from minibox import __version__
from minibox.pages import beside, page, shared_style
from minibox.probe.tables import MEANING, columns, counts, groups, header, outcome
from minibox.probe.trial import VERDICTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from minibox.probe.ablation import Ablation
    from minibox.probe.trial import Finding, Trial

def of_trials(trials: Sequence[Trial]) -> str:
    """One runtime, or several side by side."""
    ran = [trial for trial in trials if not trial.reason]
    body = [*_sums(trials), *_legend(columns(ran)), *_search(columns(ran), len(ran) > 1)]
    if ran:
        body += ['<div class="wide"><table id="findings">', *_head(ran), *_findings(ran),
                 "</table></div>"]
    return _page(f"What holds in {_listed(trial.runtime for trial in trials)}", body)


def of_ablations(ablations: Sequence[Ablation]) -> str:
    """The matrix of layers and groups as a heat map, then what each layer alone holds."""
    names = groups([one for found in ablations for one in found.trial.findings])
    counted = [[sum(probe.id.partition(".")[0] == group for probe in one.opened) for group in names]
               for one in ablations]
    most = max((max(row, default=0) for row in counted), default=0)
    body = ["<p>Each row is a box in which that wall alone is missing; the numbers are probes that "
            "are open then, and hold in a box with all its walls.</p>", *_plain_search(),
            '<div class="wide"><table id="findings"><thead><tr><th>without</th>',
            *(f'<th class="number">{name}</th>' for name in names),
            '<th class="number">opens</th></tr></thead><tbody>',
            *map(_heat, ablations, counted, [most] * len(counted)), "</tbody></table></div>"]
    for one in ablations:
        body += _alone(one)
    return _page("What each wall holds", body)


def _page(title: str, body: Iterable[str]) -> str:
    about = f"{header(os.getuid())}; minibox {__version__}; {time.strftime('%d %B %Y, %H:%M')}"
    return page(title, body, style=shared_style(), about=about,
                script=beside(__file__, "page.js"))


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _sums(trials: Sequence[Trial]) -> Iterator[str]:
    verdicts = columns(trials)
    yield '<div class="wide"><table><thead><tr><th>runtime</th>'
    yield "".join(f'<th class="number">{verdict}</th>' for verdict in verdicts)
    yield "<th>called by</th></tr></thead><tbody>"
    for trial in trials:
        name = f"{escape(trial.runtime)}<small>{escape(trial.version)}</small>"
        if trial.reason:
            yield (f'<tr><td>{name}</td><td colspan="{len(verdicts) + 1}">cannot run here: '
                   f"{escape(trial.reason)}</td></tr>")
            continue
        cells = "".join(f'<td class="number {verdict if trial.count(verdict) else ""}">'
                        f"{trial.count(verdict)}</td>" for verdict in verdicts)
        yield f"<tr><td>{name}</td>{cells}<td><code>{escape(trial.command)}</code></td></tr>"
    yield "</tbody></table></div>"


def _legend(verdicts: Sequence[str]) -> Iterator[str]:
    yield "<dl>"
    yield from (f"<dt>{verdict}</dt><dd>{MEANING[verdict]}</dd>" for verdict in verdicts)
    yield "</dl>"


def _search(verdicts: Sequence[str], several: bool) -> Iterator[str]:
    yield '<form id="search" role="search"><input type="search" placeholder="search" '
    yield 'aria-label="search">'
    for verdict in verdicts:
        yield (f'<label><input type="checkbox" name="verdict" value="{verdict}" checked> '
               f"{verdict}</label>")
    if several:
        yield '<label><input type="checkbox" id="differ"> only where they differ</label>'
    yield '<span id="shown" class="faint" role="status"></span></form>'


def _plain_search() -> Iterator[str]:
    yield '<form id="search" role="search"><input type="search" placeholder="search" '
    yield 'aria-label="search"><span id="shown" class="faint" role="status"></span></form>'


def _head(trials: Sequence[Trial]) -> Iterator[str]:
    yield "<thead><tr><th>probe</th><th>question</th>"
    yield "".join(f"<th>{escape(trial.runtime)}</th>" for trial in trials)
    yield "</tr></thead>"


def _findings(trials: Sequence[Trial]) -> Iterator[str]:
    """A body of the table for each group; where there is one runtime, what is open comes first."""
    rows = list(zip(*(trial.findings for trial in trials), strict=True))
    for group in groups(trials[0].findings):
        sums = "".join(f"<th><small>{counts(trial, group)}</small></th>" for trial in trials)
        yield f'<tbody><tr class="group"><th colspan="2" scope="rowgroup">{group}</th>{sums}</tr>'
        own = [row for row in rows if row[0].group == group]
        for row in sorted(own, key=lambda row: len(row) == 1 and row[0].verdict != "open"):
            yield _row(row)
        yield "</tbody>"


def _row(row: Sequence[Finding]) -> str:
    probe = row[0].probe
    why = f"{probe.why} ({probe.cve})" if probe.cve else probe.why
    return (f"<tr><td><code>{probe.id}</code></td><td>{escape(probe.question)}"
            f"<small>{escape(why)}</small></td>{''.join(map(_cell, row))}</tr>")


def _cell(finding: Finding) -> str:
    said = outcome(finding)
    if finding.verdict == "unproven":
        said = f"{said}; without a box: {finding.control}".lstrip("; ")
    order = VERDICTS.index(finding.verdict)
    return (f'<td class="{finding.verdict}" data-verdict="{finding.verdict}" data-key="{order}">'
            f"{finding.verdict}<small>{escape(said)}</small></td>")


def _heat(one: Ablation, counted: Sequence[int], most: int) -> str:
    """A row of the matrix, coloured by the logarithm of each count."""
    name = f'<td><a href="#{one.name}"><code>{one.name}</code></a></td>'
    if one.trial.reason:
        return f'<tr>{name}<td colspan="{len(counted) + 1}">cannot be left out here</td></tr>'
    cells = "".join(
        f'<td class="number heat" style="--share:{log(1 + count) / log(1 + most):.2f}">{count}</td>'
        if count else '<td data-key="0"></td>' for count in counted)
    return f'<tr>{name}{cells}<td class="number">{sum(counted)}</td></tr>'


def _alone(one: Ablation) -> Iterator[str]:
    yield f'<h2 id="{one.name}"><code>{one.name}</code></h2>'
    if one.trial.reason:
        yield f"<p>It cannot be left out here: {escape(one.trial.reason)}</p>"
    elif one.opened:
        yield "<p>It alone holds:</p><ul>"
        yield from (f"<li><code>{probe.id}</code> {escape(probe.question)}"
                    f"<small>{escape(probe.why)}</small></li>" for probe in one.opened)
        yield "</ul>"
    else:
        yield f"<p>Nothing opens without it. It is kept because {escape(one.keep)}.</p>"
        for layer, opened in one.together:
            names = " ".join(f"<code>{probe.id}</code>" for probe in opened)
            yield f"<p>Opens where <code>{layer}</code> is missing too: {names}</p>"
