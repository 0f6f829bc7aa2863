"""What strace(1) saw of a box, held against the calls that `minibox explain` tells of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from minibox.explain.calls.notation import Call

LINE = re.compile(r"(\w+)\((.*)\)\s+= (.*)")
CLOCK = "CLOCK"
"""Each step begins and ends with a look at the clock."""


class Seen:
    """The calls of one process, in order, with a CLOCK for each look at the clock."""

    def __init__(self, text: str) -> None:
        self.lines = list(_lines(text))
        self.at = 0

    def until(self, name: str) -> None:
        """Go to what follows the first call of this name."""
        self.at = next(n for n, line in enumerate(self.lines) if line.startswith(f"{name}(")) + 1

    def before_clock(self) -> str:
        """The calls up to the next look at the clock, which is passed."""
        start, self.at = self.at, self.lines.index(CLOCK, self.at) + 1
        return _text(self.lines[start:self.at - 1])

    def step(self) -> str:
        """The calls of the next step."""
        assert self.before_clock() == ""
        return self.before_clock()

    def exec(self) -> str:
        """The calls of the last step, up to the exec that succeeds."""
        assert self.before_clock() == ""
        end = next(n for n, line in enumerate(self.lines)
                   if n > self.at and line.startswith("execve(") and line.endswith(" = ok"))
        return _text(line for line in self.lines[self.at:end + 1] if line != CLOCK)

    def rest(self) -> str:
        return _text(self.lines[self.at:])


def _text(lines: Sequence[str] | Iterator[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if not (found := LINE.fullmatch(line)):
            continue
        name, arguments, result = found.groups()
        if name == "clock_gettime" and arguments.startswith("CLOCK_MONOTONIC"):
            yield CLOCK
        elif name not in ("clock_gettime", "close"):
            outcome = result.split()[1] if result.startswith("-1 ") else "ok"
            yield f"{name}({normal(arguments)}) = {outcome}"


def normal(arguments: str) -> str:
    """Without remarks, and with flags in one order."""
    arguments = re.sub(r" ?/\* .*? \*/", "", arguments)
    arguments = re.sub(r" => \{pidfd=\[\d+\]\}", "", arguments)
    return re.sub(r"[A-Z][A-Z0-9_]+(?:\|[A-Z][A-Z0-9_]+)+",
                  lambda found: "|".join(sorted(found[0].split("|"))), arguments)


def pattern(calls: Sequence[Call]) -> str:
    """What the lines of these calls look like."""
    found = []
    for note, group in groupby(calls, lambda one: one.each):
        lines = [_line(one) for one in group]
        if note:
            found.append(f"(?:{'|'.join(lines)})*")
        else:
            found += lines
    return "".join(found)


def _line(one: Call) -> str:
    shown = re.escape(normal(", ".join(one.args)))
    shown = re.sub(r"<[\w\\ ]+?>", r"[\\w-]+", shown)
    shown = shown.replace(re.escape("{...}"), r"(?:\{.*\}|0x[0-9a-f]+)")    # after a failure
    shown = shown.replace(re.escape("..."), ".*")
    loose = one.when or one.each or not one.result or " or " in one.result
    outcome = r"\w+" if loose else one.result[3:] if one.result.startswith("-1 ") else "ok"
    line = rf"{one.name}\({shown}\) = {outcome}\n"
    return f"({line})?" if one.when and not one.each else line


def met(calls: Sequence[Call], seen: str) -> set[tuple[str, str]]:
    """The conditions that held, each with its call, of what matches the pattern."""
    found = re.fullmatch(pattern(calls), seen)
    assert found
    loose = [one for one in calls if one.when and not one.each]
    return {(one.when, one.name) for one, line in zip(loose, found.groups(), strict=True) if line}


def processes(prefix: Path) -> tuple[Seen, Seen, Seen | None]:
    """Engine, init and app, of the files that `strace -ff` wrote."""
    texts = {int(path.suffix[1:]): path.read_text(errors="surrogateescape")
             for path in prefix.parent.glob(f"{prefix.name}.*")}
    engine = next(pid for pid, text in texts.items() if text.startswith("execve("))
    init = next(pid for pid, text in sorted(texts.items()) if re.search(
        rf"^clone3\(.* = {pid}$", texts[engine], re.MULTILINE) and "umask(000)" in text)
    app = next((pid for pid, text in sorted(texts.items()) if pid not in (engine, init)
                and re.match(r"(close\(.*\n)*read\(\d+, \"\\0\", 1\)", text)), None)
    return Seen(texts[engine]), Seen(texts[init]), Seen(texts[app]) if app else None
