#!/usr/bin/env python3
"""The house rules that a machine can hold: lengths, ruff, mypy.  Prints what is wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FUNCTION_LINES, STEP_LINES, FILE_LINES = 60, 40, 600
DATA = ("minibox/steps.py",)
"""Files that are tables: as long as there are rows."""

HEAD = re.compile(r"^[a-z_][^;=#]*?\b(?!__attribute__)(\w+)\([^;]*$")
"""The first line of a C function: at the margin, and neither a declaration nor an assignment."""


def sources() -> list[Path]:
    """The project's own C and Python files."""
    found = [ROOT / "setup.py"]
    for directory in ("benchmarks", "csrc", "minibox", "rootfs", "tests"):
        found += (path for path in (ROOT / directory).rglob("*.[chp]*")
                  if path.suffix in (".c", ".h", ".py") and path.parent.name != "generated")
    return sorted(found)


def functions(text: str) -> Iterator[tuple[str, int, int]]:
    """Name, first line and length of each C function: they end with a brace at the margin."""
    name, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if not name and (head := HEAD.match(line)):
            name, first = head[1], number
        elif line.endswith(";") and line[:1] not in (" ", "\t", "}"):
            name = ""                                       # a declaration of several lines
        elif line == "}" and name:
            yield name, first, number - first + 1
            name = ""


def too_long() -> Iterator[str]:
    for source in sources():
        text, path = source.read_text(), str(source.relative_to(ROOT))
        lines = text.count("\n")
        if lines > FILE_LINES and path not in DATA:
            yield f"{path}: {lines} lines, at most {FILE_LINES}"
        if source.suffix != ".py":
            found = list(functions(text))
            if unseen := text.splitlines().count("}") - len(found):
                yield f"{path}: {unseen} functions with a first line that HEAD does not know"
            for name, first, length in found:
                most = STEP_LINES if name.startswith("step_") else FUNCTION_LINES
                if length > most:
                    yield f"{path}:{first}: {name} has {length} lines, at most {most}"


def main() -> int:
    wrong = list(too_long())
    print(*wrong, sep="\n", end="\n" if wrong else "")
    shared = ["tests/vm/vm-run", *map(str, (ROOT / "tests").glob("*.py"))]
    tools = [("ruff", "check", ".", "tests/vm/vm-run"), ("mypy",),
             ("mypy", "--strict", "--scripts-are-modules", *shared)]
    failed = [tool[0] for tool in tools
              if subprocess.run([sys.executable, "-m", *tool], cwd=ROOT).returncode]
    return 1 if wrong or failed else 0


if __name__ == "__main__":
    sys.exit(main())
