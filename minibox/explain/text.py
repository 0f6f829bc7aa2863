"""An explanation for people: by mechanism, by step, or by system call."""

from __future__ import annotations

from itertools import groupby

from minibox.errors import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

    from minibox.explain.calls.notation import Call
    from minibox.explain.record import Explained, Explanation

    Line = tuple[str, str]      # a style of rich's, "" for none, and the text

ZOOMS = ("mechanisms", "steps", "calls")
WIDEST, NARROWEST = 100, 40

WHO = {"prepare": "the engine, on the host", "enter": "init, inside the new namespaces",
       "app": "the application's own process, before it is the program",
       "finish": "the engine, after the last process is dead"}
ALONE = "PID 1, which will be the program"

LEGEND = ("Of system calls, in strace's notation. What differs from run to run (descriptors, "
          "process ids, addresses) is a word in <>; what the kernel fills in is \"...\". Left out: "
          "close(2) of what no later step needs, and clock_gettime(2) between steps.")
LONGEST = 60
"""Of a string in a call, in characters; strace cuts at 32."""

LABELS = ("why", "leaks", "needs", "units", "source", "v1", "v2")
"""What is said of a kind of step. Errors stand in docs/steps.md, and in the JSON."""


def show(explanation: Explanation, zoom: str, file: TextIO) -> None:
    """Write *explanation* as *file* can show it: with colours on a terminal."""
    if not file.isatty():
        file.writelines(text + "\n" for _, text in lines(explanation, zoom, WIDEST))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=file, highlight=False)
    for style, text in lines(explanation, zoom, max(NARROWEST, min(console.width, WIDEST))):
        console.print(Text(text, style), soft_wrap=True)


def lines(explanation: Explanation, zoom: str, width: int) -> Iterator[Line]:
    """Each line with its style; what one kind of step is about is said at its first one."""
    from shlex import join

    steps = explanation.steps
    count = (f"{explanation.whole} steps" if len(steps) == explanation.whole
             else f"{len(steps)} of {explanation.whole} steps")
    yield from _wrapped("bold", visible(f"A box for {join(explanation.args)}: {count}."), "", width)
    if zoom == "calls":
        yield from _wrapped("", LEGEND, "", width, 0)
    said: set[str] = set()
    for group in explanation.groups():
        yield "", ""
        yield from _head(group[0], group[0].mechanism not in said, width)
        said.add(group[0].mechanism)
        if zoom == "mechanisms":
            yield from _briefly(group, said, width)
            said.update(one.name for one in group)
            continue
        for step in group:
            new = step.name not in said
            if new or step is group[0] or zoom == "calls":
                yield "", ""
            yield from _step(step, width)
            if zoom == "calls":
                yield from _calls(step, width)
            elif new:
                yield from _about(step, width)
            said.add(step.name)


def _head(step: Explained, first: bool, width: int) -> Iterator[Line]:
    """A mechanism, and who acts; at its first place what it is for, in its own module's words."""
    who = ALONE if step.part == "app" and step.by == "init" else WHO[step.part]
    yield from _wrapped("bold cyan", f"{step.mechanism.upper()}, by {who}", "", width)
    if first:
        yield from _wrapped("cyan", about(step.mechanism), "", width, 0)


def about(mechanism: str) -> str:
    """The sentence that the module of the compiler begins with."""
    module = __import__(f"minibox.compiler.{mechanism}", fromlist=["__doc__"])
    return (module.__doc__ or "").partition("\n")[0]


def _briefly(group: tuple[Explained, ...], said: set[str], width: int) -> Iterator[Line]:
    """The numbers of the steps, and their names, those that are the same together."""
    names = []
    for name, same in groupby(group, lambda one: one.name):
        count = sum(1 for _ in same)
        names.append(name if count == 1 else f"{name} ({count})")
    first, last = group[0].number, group[-1].number
    numbers = f"step {first}" if first == last else f"steps {first} to {last}"
    yield from _wrapped("", f"{numbers}: {', '.join(names)}", "  ", width)
    leaks = dict.fromkeys((one.name, one.leaks) for one in group
                          if not one.leaks.startswith("nothing") and one.name not in said)
    for name, text in leaks:
        yield from _wrapped("yellow", f"without {name}: {text}", "    ", width)


def _step(step: Explained, width: int) -> Iterator[Line]:
    sentence = step.sentence.replace(",/", ", /")           # a list of paths can be broken then
    yield from _wrapped("bold", f"{step.number:3} {step.name}: {sentence}", "    ", width, -4)


def _calls(step: Explained, width: int) -> Iterator[Line]:
    """The calls of a step; those for one target stand for all others."""
    if step.silent:
        yield from _wrapped("", f"no call: {step.silent}", "    ", width)
    targets = list(dict.fromkeys(one.of for one in step.calls if one.of))
    for target, calls in groupby(step.calls, lambda one: one.of):
        if target not in targets[1:]:
            yield from _noted(calls, width)
        elif target == targets[1]:
            yield from _wrapped("cyan", f"and so for {', '.join(targets[1:])}", "    ", width)


def _noted(calls: Iterable[Call], width: int) -> Iterator[Line]:
    """Calls, below what they hang on."""
    for note, some in groupby(calls, _note):
        if note:
            yield from _wrapped("cyan", f"{note}:", "    ", width)
        for one in some:
            yield from _wrapped("", _cut(str(one)), " " * (6 if note else 4), width)


def _note(one: Call) -> str:
    by = f"in the new process, {one.by}" if one.by else ""
    return ", ".join(filter(None, (by, one.when, one.each)))


def _cut(text: str) -> str:
    """With strings that are no longer than LONGEST, as strace cuts them."""
    import re

    def shorter(found: re.Match[str]) -> str:
        units = re.findall(r"\\[0-7]{1,3}|\\.|.", found[1])
        return found[0] if len(units) <= LONGEST else f'"{"".join(units[:LONGEST])}"...'

    return re.sub(r'"((?:[^"\\]|\\.)*)"', shorter, text)


def _about(step: Explained, width: int) -> Iterator[Line]:
    for label in LABELS:
        text = str(getattr(step, label))
        if text:
            style = "yellow" if label == "leaks" else ""
            yield from _wrapped(style, f"{label:8}{text}", " " * 4, width, 8)


def _wrapped(style: str, text: str, indent: str, width: int, hang: int = 2) -> Iterator[Line]:
    """*text* in lines; those after the first are *hang* further in, or the first less far if that
    is negative."""
    from textwrap import wrap

    first = indent[:len(indent) + min(hang, 0)]
    rest = indent + " " * max(hang, 0)
    for line in wrap(visible(text), width, initial_indent=first, subsequent_indent=rest,
                     break_on_hyphens=False, break_long_words=False) or [first]:
        yield style, line
