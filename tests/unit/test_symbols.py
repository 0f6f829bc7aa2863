"""The engine needs of libc functions on memory alone: no malloc, stdio, set*id, errno.

It starts without libc (csrc/start.c); and between clone and exec libc's locks and set*id functions
are wrong anyhow.  So each file is compiled, and its undefined symbols are held against a list.
"""

from __future__ import annotations

import os
import pathlib
import shlex
import subprocess

import pytest

SOURCES = pathlib.Path(__file__).parents[2] / "csrc"

PURE = {"memchr", "memcmp", "memcpy", "memmove", "memset", "strchr", "strcmp", "strcspn", "strlen",
        "strncmp", "strnlen", "strrchr", "strspn", "strstr"}
START = {"main", "environ"}
GUARDS = {"__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_"}


def symbols(source: pathlib.Path, into: pathlib.Path, option: str) -> set[str]:
    made = into / "object.o"
    subprocess.run([*shlex.split(os.environ.get("CC", "cc")), "-std=c17", "-D_GNU_SOURCE", "-O2",
                    "-fstack-protector-strong", "-c", source, "-o", made], check=True)
    listed = subprocess.run(["nm", option, made], check=True, capture_output=True, text=True)
    return {line.split()[-1] for line in listed.stdout.splitlines()}


@pytest.mark.parametrize("source", sorted(SOURCES.glob("*.c")), ids=lambda source: source.name)
def test_the_engine_needs_nothing_of_libc(source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    foreign = {name for name in symbols(source, tmp_path, "--undefined-only")
               if not name.startswith(("mb_", "step_"))}
    assert foreign <= PURE | START | GUARDS


def test_a_program_that_prints_would_not_pass(tmp_path: pathlib.Path) -> None:
    """The negative control."""
    source = tmp_path / "prints.c"
    source.write_text('#include <stdio.h>\nint main(void) { return printf("%d", 1); }\n')
    assert "printf" in symbols(source, tmp_path, "--undefined-only")
