"""The page of a report: one file, that fetches nothing and needs no script."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from html import escape
from typing import TYPE_CHECKING, Any

from minibox import pages
from minibox.result import seconds, size
from minibox.testing.assertions import KILLED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from minibox.testing.book import Told

STYLE = """\
pre { margin: .25rem 0; padding: .5rem; overflow-x: auto; max-height: 24rem;
  background: var(--band); }
td.number { white-space: nowrap; }
"""

CLASSES = {"failed": "open", "error": "open", "passed": "held", "skipped": "unproven"}


def page(told: Told) -> str:
    """All boxes of a session, test by test."""
    tests: dict[str, list[dict[str, Any]]] = {}
    for box in told.boxes:
        tests.setdefault(box["test"], []).append(box)
    return pages.page(f"{len(told.boxes)} boxes of {len(tests)} tests", _body(told, tests),
                      style=pages.shared_style() + STYLE, about=_about(told))


def _about(told: Told) -> str:
    head = told.head
    who = "root" if head.get("uid") == 0 else f"user {head.get('uid')}"
    when = time.strftime("%d %B %Y, %H:%M", time.localtime(head.get("started_s", 0)))
    return (f"Linux {head.get('kernel')} {head.get('machine')}, as {who}; minibox "
            f"{head.get('version')}; {when}")


def _body(told: Told, tests: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    reasons = Counter(box["result"]["reason"] for box in told.boxes)
    outcomes = Counter(told.outcomes.get(test, "never ended") for test in tests)
    yield f"<p>tests: {_counts(outcomes)}; boxes: {_counts(reasons)}</p>"
    if told.torn:
        yield f"<p>{told.torn} lines of the file make no sense, and are left out.</p>"
    yield ('<div class="wide"><table><thead><tr><th>box</th><th>verdict</th>'
           '<th class="number">wall</th><th class="number">CPU</th><th class="number">memory</th>'
           '<th class="number">processes</th></tr></thead>')
    for test, boxes in tests.items():
        outcome = told.outcomes.get(test, "never ended")
        yield (f'<tbody><tr class="group"><th colspan="5">{escape(test)}</th>'
               f'<td class="{CLASSES.get(outcome, "loosened")}">{outcome}</td></tr>')
        for box in boxes:
            yield from _row(box)
        yield "</tbody>"
    yield "</table></div>"


def _counts(counted: Counter[str]) -> str:
    return escape(", ".join(f"{count} {name}" for name, count in counted.most_common()) or "none")


def _row(box: dict[str, Any]) -> Iterator[str]:
    result, usage = box["result"], box["result"]["usage"]
    doubts = "".join(f"<small>not reliable: {escape(one)}</small>"
                     for one in result.get("doubts") or ())
    figures = (_shown(seconds, usage["wall_s"]), _shown(seconds, usage["cpu_s"]),
               _shown(size, usage["memory_peak_bytes"]), _shown(str, usage["pids_peak"]))
    kind = "" if box["kind"] == "box" else f"<small>{escape(box['kind'])}</small>"
    yield (f"<tr><td><code>{escape(shlex.join(result['args']))}</code>{kind}{_streams(result)}</td>"
           f'<td class="{"open" if result["reason"] in KILLED else "held"}">'
           f"{escape(result['summary'])}{doubts}</td>"
           + "".join(f'<td class="number">{one}</td>' for one in figures) + "</tr>")


def _streams(result: dict[str, Any]) -> str:
    return "".join(f"<details><summary>{name}</summary><pre>{escape(result[name])}</pre></details>"
                   for name in ("stdout", "stderr") if result.get(name))


def _shown(form: Any, value: float | None) -> str:
    return "" if value is None else escape(form(value))
