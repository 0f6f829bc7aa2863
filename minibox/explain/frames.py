"""Frames within frames, with lines of text, as one SVG: where each goes and how it looks.

Nothing is measured: a line has as many letters as its frame is wide, and each letter the same
width (textLength holds whatever font is there to it), so no text leaves its frame or meets another.
"""

from __future__ import annotations

from html import escape

from minibox.errors import visible
from minibox.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WIDTH, LETTER, LINE, PAD, GAP, INDENT = 1120.0, 7.2, 17.0, 10.0, 10.0, 2
"""In pixels, but INDENT, which is in letters; a letter of 12 pixels is 7.2 wide."""

KINDS = ("host", "own", "process", "wall", "open", "cgroup", "mounts")
"""What a frame stands for: the host or what is the host's, a namespace of the box's own, a process,
a wall that is up, one that is down, a cgroup, the mounts."""

STYLE = """\
.minibox-picture { max-width: 100%; height: auto; }
.minibox-picture text { font: 12px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  fill: #1c2024; }
.minibox-picture text.title { font-weight: bold; }
.minibox-picture rect { stroke-width: 1.2; fill-opacity: .09; }
.minibox-picture rect.paper { fill: #fff; fill-opacity: 1; }
.minibox-picture rect.host { fill: #5d666f; stroke: #5d666f; }
.minibox-picture rect.own { fill: #1f6feb; stroke: #1f6feb; }
.minibox-picture rect.process { fill: #fff; fill-opacity: .8; stroke: #1c2024; }
.minibox-picture rect.wall { fill: #156a36; stroke: #156a36; }
.minibox-picture rect.open { fill: #b3121d; stroke: #b3121d; stroke-dasharray: 6 4; }
.minibox-picture rect.cgroup { fill: #8a5a00; stroke: #8a5a00; }
.minibox-picture rect.mounts { fill: #7040c0; stroke: #7040c0; }
.minibox-picture .dim { opacity: .5; }
.minibox-picture rect.lit { stroke-width: 3.5; }
.minibox-picture text.lit { font-weight: bold; }
@media (prefers-color-scheme: dark) {
  .minibox-picture text { fill: #e4e8eb; }
  .minibox-picture rect { fill-opacity: .16; }
  .minibox-picture rect.paper { fill: #14171a; }
  .minibox-picture rect.host { fill: #98a2ab; stroke: #98a2ab; }
  .minibox-picture rect.own { fill: #58a6ff; stroke: #58a6ff; }
  .minibox-picture rect.process { fill: #14171a; stroke: #e4e8eb; }
  .minibox-picture rect.wall { fill: #7bd69b; stroke: #7bd69b; }
  .minibox-picture rect.open { fill: #ff8f95; stroke: #ff8f95; }
  .minibox-picture rect.cgroup { fill: #f0c060; stroke: #f0c060; }
  .minibox-picture rect.mounts { fill: #b794f6; stroke: #b794f6; }
}
"""
"""Without variables, so that what draws SVG and is no browser understands it; on paper of its own,
so that it can be read on any page."""


class Line(Record):
    """mechanism: the module of minibox/compiler/ that decided on it; depth: how far it is in."""

    text: str
    mechanism: str = ""
    depth: int = 0


class Frame(Record):
    """title: above the lines; kind: of KINDS; mechanism: as of a line; rows: of the frames in it,
    each row from left to right."""

    title: str
    kind: str
    mechanism: str = ""
    lines: tuple[Line, ...] = ()
    rows: tuple[tuple[Frame, ...], ...] = ()

    def frames(self) -> Iterator[Frame]:
        """This one and all within, from the outer to the inner and as they are read."""
        yield self
        for row in self.rows:
            for frame in row:
                yield from frame.frames()

    def mechanisms(self) -> set[str]:
        """Of all that is within."""
        return {name for frame in self.frames()
                for name in (frame.mechanism, *(line.mechanism for line in frame.lines))}


def draw(frame: Frame, title: str, lit: Iterable[str]) -> str:
    """*frame* as SVG. title: of the picture; lit: mechanisms that stand out, all alike if none."""
    drawing = _Drawing(frozenset(lit))
    height = drawing.height(frame, WIDTH)
    drawing.place(frame, GAP, GAP, WIDTH, height)
    width, height = WIDTH + 2 * GAP, height + 2 * GAP
    return "\n".join((
        f'<svg xmlns="http://www.w3.org/2000/svg" class="minibox-picture" role="img" '
        f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}">',
        f"<title>{_plain(title)}</title>", f"<desc>{_plain(told(frame))}</desc>",
        f"<style>\n{STYLE}</style>",
        f'<rect class="paper" width="{width:g}" height="{height:g}" rx="6"/>',
        *drawing.parts, "</svg>\n"))


def told(frame: Frame) -> str:
    """What is drawn, for who hears it instead: a sentence for each frame."""
    return " ".join(f"{one.title}{': ' if one.lines else ''}"
                    f"{'; '.join(line.text for line in one.lines)}." for one in frame.frames())


def _plain(text: str) -> str:
    return escape(visible(text))


def columns(text: str) -> int:
    """How many letters wide *text* is: those of other scripts are as wide as two."""
    return sum(1 if ord(letter) < 0x250 or letter in "–→…" else 2 for letter in text)


def wrapped(text: str, width: int) -> list[str]:
    """*text* in lines of at most *width*, parted between words, and within those that are wider."""
    lines = [""]
    for word in visible(text).split(" "):
        while word:
            space = " " if lines[-1] else ""
            if columns(lines[-1] + space + word) <= width:
                lines[-1] += space + word
                break
            if columns(word) <= width:
                lines.append(word)
                break
            cut = _fitting(word, width - columns(lines[-1] + space))
            lines[-1] += space + word[:cut] if cut else ""
            word = word[cut:]
            lines.append("")
    return lines


def _fitting(word: str, width: int) -> int:
    """How many letters of *word* fit."""
    return max((cut for cut in range(len(word)) if columns(word[:cut]) <= width), default=0)


class _Drawing:
    """Elements of SVG while they are placed."""

    def __init__(self, lit: frozenset[str]) -> None:
        self.lit = lit
        self.parts: list[str] = []

    def text(self, frame: Frame, width: float) -> list[tuple[str, int, str]]:
        """The lines of a frame so wide: text, letters to its left, class."""
        most = int((width - 2 * PAD) / LETTER)
        found = [(text, 0, "title" + self.shade(frame)) for text in wrapped(frame.title, most)]
        for line in frame.lines:
            shade = self.shade(line)
            first, *more = wrapped(line.text, most - INDENT * (line.depth + 1))
            found.append((first, INDENT * line.depth, "line" + shade))
            found += [(text, INDENT * (line.depth + 1), "line" + shade) for text in more]
        return found

    def shade(self, of: Frame | Line) -> str:
        if not self.lit:
            return ""
        if of.mechanism in self.lit:
            return " lit"
        around = isinstance(of, Frame) and self.lit & of.mechanisms()
        return "" if around else " dim"

    def height(self, frame: Frame, width: float) -> float:
        rows = sum(GAP + self.row_height(row, width) for row in frame.rows)
        return 2 * PAD + LINE * len(self.text(frame, width)) + rows

    def row_height(self, row: tuple[Frame, ...], width: float) -> float:
        return max(self.height(frame, self.share(row, width)) for frame in row)

    def share(self, row: tuple[Frame, ...], width: float) -> float:
        """How wide each frame of a row is, within a frame so wide."""
        return (width - 2 * PAD - GAP * (len(row) - 1)) / len(row)

    def place(self, frame: Frame, x: float, y: float, width: float, height: float) -> None:
        self.parts.append(f'<rect class="{frame.kind}{self.shade(frame)}" x="{x:g}" y="{y:g}" '
                          f'width="{width:.6g}" height="{height:g}" rx="5"/>')
        y += PAD
        for text, indent, style in self.text(frame, width):
            self.parts.append(
                f'<text class="{style}" x="{x + PAD + indent * LETTER:.6g}" y="{y + 12:g}" '
                f'textLength="{columns(text) * LETTER:.6g}" lengthAdjust="spacingAndGlyphs">'
                f"{escape(text)}</text>")
            y += LINE
        for row in frame.rows:
            y += GAP
            share, tall = self.share(row, width), self.row_height(row, width)
            for at, inner in enumerate(row):
                self.place(inner, x + PAD + at * (share + GAP), y, share, tall)
            y += tall
