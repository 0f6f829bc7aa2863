"""A trace as a page: a waterfall, of which each step opens to what it did and why."""

from __future__ import annotations

import re
import time
from html import escape

from minibox.errors import visible
from minibox.explain.record import written
from minibox.pages import beside, page, shared_style
from minibox.steps import KINDS, name_of
from minibox.trace import words
from minibox.trace.text import duration, failure, placed, summary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from minibox.trace.record import Trace, Traced

SECTIONS = {"Why": "why", "Leaks": "without it", "Needs": "privilege",
            "Errors": "what may go wrong", "Source": "source"}
"""Of a step's docstring, what the page shows."""


def of_trace(trace: Trace) -> str:
    """The page."""
    who = "root" if trace.uid == 0 else f"user {trace.uid}"
    when = time.strftime("%d %B %Y, %H:%M", time.localtime(trace.started_s))
    about = f"Linux {trace.kernel}, as {who}; minibox {trace.minibox}; {when}"
    return page(f"How a box was made: {visible(' '.join(trace.args))}", _body(trace), about=about,
                style=shared_style() + beside(__file__, "page.css"),
                script=beside(__file__, "page.js"))


def _body(trace: Trace) -> Iterator[str]:
    yield f"<p>{escape(visible(summary(trace)))}.</p>"
    yield ('<p class="faint">Times are each step\'s own. The time line stands still while all '
           "processes wait for the tracer; a dotted bar is one that waits for another.</p>")
    yield '<form id="controls"><label><input type="checkbox" id="changed"> only steps that changed '
    yield 'something to be seen</label> <button type="button" id="all">open all</button> '
    yield '<span id="shown" class="faint" role="status"></span></form>'
    taken = [step for step in trace.steps if step.state != "not_reached"]
    before = [step for step in taken if step.part != "finish"]
    yield from _waterfall("Making the box", before)
    yield from _waterfall("After its end", [step for step in taken if step.part == "finish"])
    if missed := [step for step in trace.steps if step.state == "not_reached"]:
        yield f"<h2>Not reached</h2><ul>{''.join(map(_item, missed))}</ul>"


def _item(step: Traced) -> str:
    return f"<li><code>{step.number} {step.name}</code> {escape(visible(step.sentence))}</li>"


def _waterfall(title: str, steps: Sequence[Traced]) -> Iterator[str]:
    if not steps:
        return
    yield f'<h2>{title}</h2><div class="waterfall">'
    places = placed(steps)
    first = min((begin for begin, _ in places.values()), default=0)
    whole = max((end for _, end in places.values()), default=first) - first or 1
    for step in steps:
        begin, end = ((moment - first) / whole * 100 for moment in places.get(step.number, (0, 0)))
        yield from _step(step, begin, end - begin if step.number in places else 0)
    yield "</div>"


def _step(step: Traced, left: float, width: float) -> Iterator[str]:
    """left, width: of its bar, in percent."""
    lines = [*words.lines(step)]
    bar = f'<i style="left:{left:.3f}%;width:{width:.3f}%"></i>' if width else ""
    waits = " waits" if step.waits else ""
    yield (f'<details id="step-{step.number}" class="{step.by}{waits} {step.state}" '
           f'data-changed="{"yes" if lines else "no"}"><summary><span class="number">{step.number}'
           f'</span><span class="who">{step.by}</span><span class="number">{duration(step.ns)}'
           f'</span><span class="bar">{bar}</span><span class="what">'
           f"{escape(visible(step.sentence))}<b>{escape(failure(step))}</b></span></summary>")
    if lines:
        yield "<ul>"
        for line in lines:
            gloss = f" <small>{escape(line.gloss)}</small>" if line.gloss else ""
            yield (f'<li class="{NAMES[line.sign]}"><code>{line.sign} {escape(line.text)}</code>'
                   f"{gloss}</li>")
        yield "</ul>"
    if remark := words.remark(step):
        yield f'<p class="faint">{escape(remark)}</p>'
    yield f"<dl><dt>step</dt><dd><code>{step.name}</code>{_mechanism(step)}</dd>"
    told = sections(step.name)
    yield from (f"<dt>{label}</dt><dd>{escape(told[name])}</dd>"
                for name, label in SECTIONS.items() if name in told)
    yield "</dl></details>"


NAMES = {"+": "more", "-": "less", "~": "other"}


def _mechanism(step: Traced) -> str:
    return f", of <code>{escape(step.mechanism)}</code>" if step.mechanism else ""


def sections(name: str) -> dict[str, str]:
    """Why the kind of step called *name* is taken, and so on; a saved trace has not its fields."""
    kind = next((kind for kind in KINDS if name_of(kind) == name), None)
    return {} if kind is None else {
        head: re.sub(r"\{(\w+)\}", r"\1", text) for head, text in written(kind).items()}
