"""minibox plan: the steps by which a box would be made, and nothing done."""

from __future__ import annotations

import sys

from minibox.cli import run
from minibox.cli.options import UsageError, parse
from minibox.errors import SpecError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE = """\
usage: minibox plan [--output FILE] run [OPTION]... [--] PROGRAM [ARGUMENT]...

Show the steps that `minibox run` with these options would take here, in order, without taking them.

      --output FILE  save them for the engine instead, which `minibox-engine FILE` runs
  -h, --help         show this; `minibox run --help` shows the options of run
"""


def main(argv: Sequence[str]) -> int:
    """Do as *argv* says; the exit status."""
    options, rest = parse(PAGE, argv)
    if options.get("help"):
        print(PAGE, end="")
        return 0
    if rest[:1] != ["run"]:
        raise UsageError("say what to plan, such as: minibox plan run -- /bin/true")
    plan, _ = run.planned(run.PAGE, rest[1:])
    if plan is None:
        return 0
    if "output" not in options:
        sys.stdout.write(str(plan))
        return 0
    from minibox.plan import encode

    where = str(options["output"])
    try:
        with open(where, "wb") as file:
            file.write(encode(plan))
    except OSError as error:
        raise SpecError("output", where, f"it cannot be written: {error.strerror}") from error
    return 0
