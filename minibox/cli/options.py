"""Command lines, read by the help page itself: what it shows is what is understood.

argparse costs 6 ms, as much as a whole box, and takes abbreviations; a page of help is a table
already.  A line that begins with an option declares it:

      -v, --volume SRC:DST[:ro] ...   text

A word in capitals after the names is its value, "..." allows it more than once.
"""

from __future__ import annotations

from minibox.errors import MiniboxError, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Values = dict[str, Any]     # True for a switch, text for a value, a list of texts for "..."


class UsageError(MiniboxError):
    """The command line cannot be understood."""


class Option:
    """One declared option. name: the long one, without its dashes."""

    def __init__(self, declaration: str) -> None:
        words = declaration.replace(",", "").split()
        self.names = [word for word in words if word.startswith("-")]
        self.name = self.names[-1].lstrip("-")
        self.many = words[-1] == "..."
        self.takes_value = len(words) - self.many > len(self.names)


def declared(page: str) -> dict[str, Option]:
    """The options that a page of help declares, by each of their names."""
    found = {}
    for line in page.splitlines():
        if line.startswith("  ") and line.lstrip().startswith("-"):
            option = Option(line.strip().partition("  ")[0])
            found.update(dict.fromkeys(option.names, option))
    return found


def names(page: str) -> set[str]:
    """The long names of what a page declares, as `parse` has them."""
    return {option.name for option in declared(page).values()}


def parse(page: str, argv: Sequence[str]) -> tuple[Values, list[str]]:
    """The options that *argv* begins with, by their long names, and what follows them.

    The first word that is no option ends them, as does "--": the rest is the box's own command.
    An option that is not there is not in the answer.
    """
    options = declared(page)
    values: Values = {}
    rest = list(argv)
    while rest:
        word = rest[0]
        if not word.startswith("-") or word == "-":
            break
        del rest[0]
        if word == "--":
            break
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            _take(_find(options, name), name, value if equals else None, rest, values)
        else:
            _short(options, word[1:], rest, values)
    return values, rest


def _short(options: dict[str, Option], letters: str, rest: list[str], values: Values) -> None:
    """`-it`, `-m64M` and `-m 64M`: letters without values, then at most one with."""
    while letters:
        name, letters = f"-{letters[0]}", letters[1:]
        option = _find(options, name)
        if option.takes_value:
            _take(option, name, letters.removeprefix("=") or None, rest, values)
            return
        _take(option, name, None, rest, values)


def _find(options: dict[str, Option], name: str) -> Option:
    if name in options:
        return options[name]
    from difflib import get_close_matches

    near = get_close_matches(name, options, 1)
    hint = f"did you mean {near[0]}?" if near else "see --help"
    raise UsageError(f"there is no option {name}: {hint}")


def _take(option: Option, name: str, value: str | None, rest: list[str], values: Values) -> None:
    if not option.takes_value:
        if value is not None:
            raise UsageError(f"{name} takes no value, but was given {shown(value)}")
        values[option.name] = True
        return
    if value is None:
        if not rest:
            raise UsageError(f"{name} needs a value: see --help")
        value = rest.pop(0)
    if option.many:
        values.setdefault(option.name, []).append(value)
    elif option.name in values:
        raise UsageError(f"{name} is given twice: {shown(values[option.name])} and "
                         f"{shown(value)}")
    else:
        values[option.name] = value
