"""What the engine reads of others, with sanitizers: what was kept, and some seconds of each fuzzer.

`make fuzz` goes on for longer.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import fuzz  # noqa: E402

SECONDS = 3
fuzz.BUILD = fuzz.ROOT / "build" / "fuzz-tests"     # `make fuzz` may be at work in its own
fuzz.FINDINGS = fuzz.BUILD / "findings"

BROKEN_CHECKERS = {
    "a string may end one byte beyond the data": (
        "length >= reader->data_end - off", "length > reader->data_end - off"),
    "nobody looks for its NUL": (
        "return nul == reader->block + off + length ? NULL", "return nul ? NULL"),
    "a string may begin before the data": ("off < reader->data_off || off >=", "off >="),
    "a list may be one item too long": (
        "count > (reader->data_end - off) / 8)", "count > (reader->data_end - off) / 8 + 1)"),
    "a number may be anything": ("number <= field->high ?", "true ?"),
    "a step may be longer than its area": ("step->size > room ||", ""),
    "a step may have any size": (
        "step->size != sizeof *step + 8 * schema->count || step->size", "step->size"),
    "a kind may be too high": ("|| step->kind >= MB_KIND_COUNT", ""),
    "exec may stand anywhere": ("count_kind(plan, MB_EXEC) != (last == MB_EXEC) || ", ""),
    "there need be no exec": ('return "it has nothing to execute";', ";"),
}
"""Checkers with one check less, each a text of plan.c and what stands in its place."""


@pytest.fixture(scope="module", params=fuzz.SOURCES)
def target(request: pytest.FixtureRequest) -> Iterator[str]:
    fuzz.FINDINGS.mkdir(parents=True, exist_ok=True)
    fuzz.inputs(request.param)
    yield request.param


def files(target: str) -> list[Path]:
    return sorted((fuzz.BUILD / f"{target}-inputs").iterdir())


def small(target: str) -> list[Path]:
    found = [file for file in files(target) if file.stat().st_size < 1000]
    assert len(found) > 20
    return found


def replay(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True,
                          timeout=300)


@pytest.mark.needs("gcc")
def test_no_kept_input_is_a_finding(target: str) -> None:
    done = replay(fuzz.build(target, "replay"), *files(target))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.needs("gcc")
def test_no_beginning_of_a_small_input_is_a_finding_nor_is_any_bit_of_it(target: str) -> None:
    done = replay(fuzz.build(target, "replay"), "--broken", *small(target))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.needs("gcov")
def test_the_inputs_reach_every_line_of_the_plan_checker(tmp_path: Path) -> None:
    fuzz.inputs("plan")
    fuzz.write_inputs(tmp_path, fuzz.large())
    found = fuzz.coverage("plan", [*files("plan"), *tmp_path.iterdir()])
    run, missed, taken, branches = found["plan.c"]
    assert not missed and len(run) > 100
    assert taken >= 0.98 * branches


@pytest.mark.needs("gcov")
def test_the_inputs_reach_the_readers() -> None:
    fuzz.inputs("readers")
    for name, (run, missed, taken, branches) in fuzz.coverage("readers", files("readers")).items():
        assert len(missed) <= 1 < len(run) and taken >= 0.8 * branches, (name, missed)


@pytest.mark.needs("gcc")
@pytest.mark.parametrize("fault", BROKEN_CHECKERS)
def test_the_harness_sees_when_a_check_is_left_out(fault: str, tmp_path: Path) -> None:
    """Else that it finds nothing would say nothing."""
    text, instead = BROKEN_CHECKERS[fault]
    whole = (fuzz.CSRC / "plan.c").read_text()
    assert whole.count(text) == 1
    checker = tmp_path / "plan.c"
    checker.write_text(whole.replace(text, instead))
    fuzz.inputs("plan")
    program = fuzz.build("plan", "replay", checker=checker)
    seen = [replay(program, *files("plan")), replay(program, "--broken", *small("plan"))]
    assert [done.returncode for done in seen] != [0, 0]


@pytest.mark.needs("clang", "afl-clang-fast")
@pytest.mark.parametrize("engine", fuzz.ENGINES)
def test_some_seconds_find_nothing(target: str, engine: str) -> None:
    tried, _, found = fuzz.Run(target, engine, SECONDS).end()
    assert found == 0, f"see {fuzz.FINDINGS}"
    assert tried > 1000
