"""What the probes found, as tables for people: coloured at a terminal, plain elsewhere."""

from __future__ import annotations

import os
import sys

from minibox.probe.trial import VERDICTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console, RenderableType
    from rich.table import Table

    from minibox.probe.ablation import Ablation
    from minibox.probe.record import Probe
    from minibox.probe.trial import Finding, Trial

STYLES = {"open": "bold red", "loosened": "yellow", "held": "green", "unproven": "dim",
          "unprovable": "dim"}
WORDS = {"open": "OPEN", "loosened": "loosened", "held": "held", "unproven": "unproven",
         "unprovable": "-"}
MEANING = {
    "open": "the boundary can be crossed",
    "loosened": "it can be crossed, as was asked for",
    "held": "it cannot be crossed, but can be where there is no box",
    "unproven": "it cannot be crossed, but neither can it on this host without a box, by this user",
    "unprovable": "it cannot be tried here"}
WIDTH = 140
"""Columns where there is no terminal."""


def show(parts: Iterator[RenderableType]) -> None:
    """Print *parts* on stdout."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    console: Console = Console(width=None if terminal else WIDTH, highlight=False, markup=False,
                               emoji=False, no_color=not terminal or "NO_COLOR" in os.environ)
    with console.capture() as text:             # else rich ends the process with 1 if nobody reads
        for part in parts:
            console.print(part, soft_wrap=isinstance(part, str))
    sys.stdout.write(text.get())


def _table(*headings: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _painted(verdict: str, text: str = "") -> RenderableType:
    from rich.text import Text

    return Text(text or WORDS[verdict], style=STYLES[verdict])


def counts(trial: Trial, group: str = "") -> str:
    """"0 open, 58 held, 3 unproven"."""
    return ", ".join(f"{trial.count(one, group)} {one}" for one in VERDICTS
                     if trial.count(one, group) or one in ("open", "held"))


def columns(trials: Sequence[Trial]) -> tuple[str, ...]:
    """The verdicts to show: "loosened" only where something is."""
    return tuple(one for one in VERDICTS
                 if one != "loosened" or any(trial.count(one) for trial in trials))


def groups(findings: Sequence[Finding]) -> list[str]:
    return list(dict.fromkeys(one.group for one in findings))


def outcome(finding: Finding) -> str:
    """What came of it, with what the program says about that."""
    said = finding.outcome if finding.outcome not in WORDS else ""
    return ": ".join(filter(None, (said, finding.detail)))


def header(uid: int) -> str:
    about = os.uname()
    who = "root" if uid == 0 else f"user {uid}"
    return f"Linux {about.release} {about.machine}, as {who}"


def of_trial(trial: Trial, uid: int) -> Iterator[RenderableType]:
    """One runtime: what is open and why that matters, then every group, then the sum."""
    name = f"{trial.runtime} ({trial.version})" if trial.version else trial.runtime
    if trial.reason:
        yield f"{name} cannot run here: {trial.reason}"
        return
    yield f"{header(uid)}: {trial.command}\n"
    if trial.open:
        yield f"Open: {len(trial.open)}"
        for one in trial.open:
            yield explanation(one)
        yield ""
    table = _table("", "probe", "question", "outcome")
    for group in groups(trial.findings):
        table.add_row("", _heading(group), counts(trial, group), "")
        found = [one for one in trial.findings if one.group == group]
        for one in sorted(found, key=lambda one: one.verdict != "open"):
            table.add_row(_painted(one.verdict), one.probe.id, one.probe.question, outcome(one))
    yield table
    yield ""
    yield f"{len(trial.findings)} probes: {counts(trial)}"
    yield from legend({one.verdict for one in trial.findings})


def legend(verdicts: set[str]) -> Iterator[str]:
    for verdict in VERDICTS:
        if verdict in verdicts and verdict != "held":
            yield f"  {WORDS[verdict]:10}{MEANING[verdict]}"


def explanation(finding: Finding) -> str:
    """An open probe: what was asked, what came of it, what that is good for."""
    probe = finding.probe
    known = f" ({probe.cve})" if probe.cve else ""
    return (f"  {probe.id}: {probe.question} {finding.outcome}"
            + (f": {finding.detail}" if finding.detail else "")
            + f"\n      what an attacker gains: {probe.why}{known}")


def _heading(text: str) -> RenderableType:
    from rich.text import Text

    return Text(text, style="bold")


def of_comparison(trials: Sequence[Trial], uid: int) -> Iterator[RenderableType]:
    """Runtimes side by side: each probe, then the sums, and who could not run."""
    ran = [trial for trial in trials if not trial.reason]
    yield header(uid) + "\n"
    if ran:
        table = _table("probe", *(trial.runtime for trial in ran), "question")
        for group in groups(ran[0].findings):
            table.add_row(_heading(group), *(_open_and_held(one, group) for one in ran), "")
            for row in zip(*(trial.findings for trial in ran), strict=True):
                if row[0].group == group:
                    table.add_row(row[0].probe.id, *(_painted(one.verdict) for one in row),
                                  row[0].probe.question)
        yield table
        yield ""
        yield from legend({one.verdict for trial in ran for one in trial.findings})
        yield ""
    yield sums(ran)
    for trial in trials:
        if trial.reason:
            yield f"{trial.runtime} cannot run here: {trial.reason}"


def _open_and_held(trial: Trial, group: str) -> str:
    provable = trial.count("open", group) + trial.count("held", group)
    return f"{trial.count('held', group)}/{provable}"


def sums(trials: Sequence[Trial]) -> Table:
    verdicts = columns(trials)
    table = _table("runtime", *verdicts, "called by")
    for trial in trials:
        name = f"{trial.runtime} ({trial.version})" if trial.version else trial.runtime
        table.add_row(name, *(_painted(one, str(trial.count(one))) for one in verdicts),
                      trial.command)
    return table


def of_catalogue(probes: Sequence[Probe]) -> Iterator[RenderableType]:
    """What is tried, and why."""
    table = _table("probe", "question", "what an attacker gains")
    for probe in probes:
        table.add_row(probe.id, probe.question,
                      f"{probe.why} ({probe.cve})" if probe.cve else probe.why)
    yield table


def of_ablation(ablations: Sequence[Ablation], uid: int) -> Iterator[RenderableType]:
    """The matrix of layers and groups, then what each layer alone holds."""
    yield header(uid) + "\n"
    names = groups([one for found in ablations for one in found.trial.findings])
    table = _table("without", *names, "opens")
    for one in ablations:
        opened = [probe.id.partition(".")[0] for probe in one.opened]
        if one.trial.reason:
            table.add_row(one.name, *([""] * len(names)), "cannot be left out here")
            continue
        table.add_row(one.name, *(_count(opened.count(name)) for name in names),
                      str(len(opened)) if opened else "nothing: redundant here")
    yield table
    for one in ablations:
        yield ""
        if one.trial.reason:
            yield f"{one.name} cannot be left out here: {one.trial.reason}"
        elif one.opened:
            yield f"{one.name} alone holds:"
            yield from (f"  {probe.id}: {probe.question}" for probe in one.opened)
        else:
            yield f"{one.name} opens nothing when it is left out. Kept because {one.keep}"
            for layer, probes in one.together:
                yield f"  opens without {layer} too: {' '.join(probe.id for probe in probes)}"


def _count(number: int) -> RenderableType:
    return _painted("open", str(number)) if number else _painted("unprovable", "·")
