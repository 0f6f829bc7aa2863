"""Between clone and exec there is no libc but functions on memory: no malloc, stdio, set*id.

Its locks may be held by a thread that the child does not have, and its set*id functions signal such
threads. So what may run there is compiled, and its undefined symbols are held against a list.
"""

from __future__ import annotations

import os
import pathlib
import shlex
import subprocess

import pytest

SOURCES = pathlib.Path(__file__).parents[2] / "csrc"

ON_THE_HOST = {"core.c", "engine.c", "probe.c", "relay.c", "report.c"}
"""What never runs after clone: the engine's own side."""

PURE = {"memchr", "memcmp", "memcpy", "memmove", "memset", "strchr", "strcmp", "strcspn", "strlen",
        "strncmp", "strnlen", "strrchr", "strspn", "strstr"}
GUARDS = {"__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_"}


def symbols(source: pathlib.Path, into: pathlib.Path, option: str) -> set[str]:
    made = into / "object.o"
    subprocess.run([*shlex.split(os.environ.get("CC", "cc")), "-std=c17", "-D_GNU_SOURCE", "-O2",
                    "-fstack-protector-strong", "-c", source, "-o", made], check=True)
    listed = subprocess.run(["nm", option, made], check=True, capture_output=True, text=True)
    return {line.split()[-1] for line in listed.stdout.splitlines()}


@pytest.mark.parametrize("source", sorted(source for source in SOURCES.glob("*.c")
                                          if source.name not in ON_THE_HOST),
                         ids=lambda source: source.name)
def test_what_runs_between_clone_and_exec_needs_nothing_of_libc(
        source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    foreign = {name for name in symbols(source, tmp_path, "--undefined-only")
               if not name.startswith(("mb_", "step_"))}
    assert foreign <= PURE | GUARDS


def test_the_host_side_would_not_pass(tmp_path: pathlib.Path) -> None:
    """The negative control: a program that prints does need libc."""
    foreign = symbols(SOURCES / "probe.c", tmp_path, "--undefined-only")
    assert not foreign <= PURE | GUARDS
