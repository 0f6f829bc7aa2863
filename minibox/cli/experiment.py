"""minibox experiment: factors and levels, many runs, a report."""

from __future__ import annotations

import sys
from pathlib import Path

from minibox.cli.options import UsageError, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

PAGE = """\
usage: minibox experiment list
       minibox experiment show NAME|FILE.toml
       minibox experiment run NAME|FILE.toml [OPTION]...
       minibox experiment report SAMPLES... [OPTION]...

Run all combinations of the levels of some factors, in random order, and tell what each changes.
NAME is one that comes with minibox. A run that was interrupted goes on when it is called again.

      --samples FILE      where raw samples go, as they come [NAME.jsonl]
      --html FILE         the report, one file that stands alone [NAME.html]
      --quiet             show no progress
  -h, --help              show this

minibox experiment run caps
"""


def main(argv: Sequence[str]) -> int:
    options, rest = parse(PAGE, argv)
    words: list[str] = []
    while rest:                                             # options may stand anywhere
        words.append(rest[0])
        more, rest = parse(PAGE, rest[1:])
        options |= more
    if options.get("help"):
        print(PAGE, end="")
        return 0
    verb, *names = words or [""]
    if verb == "list" and not names:
        return list_shipped()
    if verb == "show" and len(names) == 1:
        return show(names[0])
    if verb == "run" and len(names) == 1:
        return run(options, names[0])
    if verb == "report" and names:
        return report(options, names)
    raise UsageError("say list, show NAME, run NAME or report SAMPLES: see minibox experiment "
                     "--help")


def list_shipped() -> int:
    from minibox.testing.experiment import load, shipped

    for name in shipped():
        asked = load(name)
        print(f"{name:12}{asked.title}\n{'':12}{asked.question}")
    return 0


def show(name: str) -> int:
    from minibox.testing.experiment import load
    from minibox.testing.experiment.design import cells

    asked = load(name)
    count = len(cells(asked))
    print(asked.text, end="")
    print(f"\n# {count} combinations, {asked.repetitions} times each: "
          f"{count * asked.repetitions} runs")
    return 0


def run(options: dict[str, Any], name: str) -> int:
    from minibox.testing.experiment import load, shipped
    from minibox.testing.experiment import run as run_experiment

    asked = load(name)
    stem = name if name in shipped() else Path(name).stem
    samples = options.get("samples", f"{stem}.jsonl")
    try:
        if "quiet" in options:
            made = run_experiment(asked, samples)
        else:
            made = with_progress(asked, samples)
    except KeyboardInterrupt:
        print(f"minibox: interrupted: the samples are in {samples}, and the same command goes on",
              file=sys.stderr)
        raise
    print(f"minibox: {made} runs; the samples are in {samples}", file=sys.stderr)
    tell_failures(samples)
    return report({"html": f"{stem}.html"} | options, [samples])


def tell_failures(samples: str) -> None:
    """A line for each reason why runs are not what was meant: the report has the cells."""
    from collections import Counter

    from minibox.errors import visible
    from minibox.testing.experiment.samples import lines

    found = [*lines(samples)]
    for what, reasons in (("could not be made", Counter(one.error for one in found)),
                          ("did not exit with 0", Counter(one.ended for one in found))):
        for reason, count in reasons.most_common():
            if reason:
                print(f"minibox: {count} runs {what}: {visible(reason)}", file=sys.stderr)


def with_progress(asked: Any, samples: str) -> int:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from minibox.testing.experiment import run as run_experiment

    with Progress(TextColumn(asked.title), BarColumn(), MofNCompleteColumn(), TextColumn("left"),
                  TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None)
        return run_experiment(asked, samples, progress=lambda done, all_of_them: bar.update(
            task, completed=done, total=all_of_them))


def report(options: dict[str, Any], samples: list[str]) -> int:
    from minibox.testing.experiment import write_page

    page = options.get("html", f"{Path(samples[0]).stem}.html")
    write_page(samples, page)
    print(page)
    return 0
