"""Who may import whom, and what a start may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import minibox

PACKAGE = Path(minibox.__file__).parent

LAYERS = (
    ("record", "errors", "notes", "pages", "_core", "core"),
    ("steps", "facts", "spec", "report", "parse", "seccomp", "syscalls"),
    ("plan", "hints", "result", "exports", "saved", "surroundings", "engine", "cgroups", "claim",
     "mends", "host", "probing"),
    ("compiler",),
    ("request", "pump", "rootfs", "box", "delegate", "doctor", "probe", "trace", "explain"),
    ("testing", "labs", "cli", "__main__"),
)
"""A module imports from its own layer and those above it in this list, and no other."""

PURE = {"compiler", "errors", "facts", "notes", "plan", "record", "seccomp", "spec", "steps"}
"""All that the compiler knows of."""

HEAVY = {
    "dataclasses", "typing", "json", "re", "enum", "inspect", "pathlib", "subprocess", "logging",
    "cffi", "_cffi_backend", "rich", "asyncio", "threading", "tempfile", "shutil", "socket"}
"""What a start does not need, and what would cost it milliseconds."""


def imports(path: Path) -> set[str]:
    """Dotted names that *path* imports anywhere but for type checkers."""
    found = set()

    class Visitor(ast.NodeVisitor):
        def visit_If(self, node: ast.If) -> None:
            if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
                self.generic_visit(node)

        def visit_Import(self, node: ast.Import) -> None:
            found.update(alias.name for alias in node.names)

        def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
            if node.module == "minibox":
                found.update(f"minibox.{alias.name}" for alias in node.names)
            else:
                found.add(node.module)

    Visitor().visit(ast.parse(path.read_text()))
    return found


def own(path: Path) -> str:
    """The module, or the package below minibox, that *path* is part of."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    rank = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    inner = {name.split(".")[1] for name in imports(path) if name.startswith("minibox.")}
    # minibox itself has nothing but its version
    assert [name for name in inner - {"__version__"} if rank[name] > rank[own(path)]] == []


def test_the_compiler_knows_nothing_of_this_machine():
    found = set().union(*(imports(path) for path in MODULES if own(path) == "compiler"))
    assert {name.split(".")[1] for name in found if name.startswith("minibox.")} <= PURE
    outside = {name.split(".")[0] for name in found} - {"minibox"}
    assert outside & {"os", "time", "random", "socket", "subprocess", "pathlib", "sys"} == set()


def loaded(*argv: str) -> set[str]:
    """The modules that a start of Python loads until it ends, or becomes the engine."""
    done = subprocess.run([sys.executable, "-X", "importtime", *argv], capture_output=True,
                          text=True, cwd="/")
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()
            if line.startswith("import time:")}


def test_importing_minibox_loads_nothing_else():
    assert loaded("-c", "import minibox") - loaded("-c", "pass") == {"minibox", "__future__"}


def test_a_start_of_minibox_run_loads_only_what_it_needs():
    command = "-m", "minibox", "run", "--", "true"
    loaded(*command)                                        # what the host can do is found once
    found = loaded(*command)
    assert "minibox.cli.run" in found and "minibox.compiler" in found
    assert found & HEAVY == set()
    assert {name for name in found if name.startswith("minibox.cli.")} \
        == {"minibox.cli.options", "minibox.cli.run"}
