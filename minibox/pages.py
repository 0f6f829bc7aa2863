"""Pages that stand alone: one file, that fetches nothing and can be read without a script."""

from __future__ import annotations

import os
from html import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

FRAME = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'{allowed}">
<title>{title}</title>
<style>
{style}</style>
<h1>{title}</h1>
{about}{body}
{script}</html>
"""


def page(title: str, body: Iterable[str], *, style: str, about: str = "", script: str = "") -> str:
    """The page. title, about: text; body: lines of HTML; style, script: as they are."""
    return FRAME.format(
        title=escape(title), body="\n".join(body), style=style,
        about=f'<p class="faint">{escape(about)}</p>\n' if about else "",
        allowed="; script-src 'unsafe-inline'" if script else "",
        script=f"<script>\n{script}</script>\n" if script else "")


def shared_style() -> str:
    """Colours, by day and by night, and what tables and text look like."""
    return beside(__file__, "page.css")


def beside(module: str, name: str) -> str:
    """The text of the file *name* in the directory of *module*, a path."""
    where = os.path.join(os.path.dirname(os.path.abspath(module)), name)
    with open(where, encoding="utf-8") as file:
        return file.read()
