"""Figures and caps beside loads of known size (tests/loads/load.c), many times over.

ACCURACY_RUNS says how often, 20 by default; `make accuracy` takes 100. Each test prints its spread
and judges the median and the 95th percentile: one run of many may have met with anything.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import needs
import pytest

RUNS = int(os.environ.get("ACCURACY_RUNS", "20"))
MIB = 1 << 20
SOURCE = Path(__file__).parents[1] / "loads/load.c"

pytestmark = pytest.mark.needs("gcc")


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs.require("gcc")
    program = tmp_path_factory.mktemp("load") / "load"
    subprocess.run(["gcc", "-O2", "-static", "-o", program, SOURCE], check=True)
    return program


@pytest.fixture
def run(load: Path) -> Any:
    """run(caller, options, arguments): the outcome of one box with the load."""
    def once(caller: Any, options: tuple[str, ...], *arguments: str) -> Any:
        own = caller.scratch / "load"
        if not own.exists():
            shutil.copy(load, own)
        return caller(*options, "-v", f"{own}:/load:ro", "--", "/load", *arguments)

    return once


@pytest.fixture
def measure(run: Any, capsys: pytest.CaptureFixture[str]) -> Any:
    """The same RUNS times: a figure of each outcome, sorted. Their spread is printed."""
    def many(caller: Any, name: str, unit: str, figure: Callable[[Any], float],
             options: tuple[str, ...], *arguments: str, runs: int = RUNS) -> list[float]:
        found = sorted(figure(run(caller, options, *arguments)) for _ in range(runs))
        with capsys.disabled():
            print(f"\n{caller.name}: {name}: median {statistics.median(found):.3f} {unit}, "
                  f"p95 {percentile(found):.3f}, worst {found[-1]:.3f}, of {runs}", end=" ")
        return found

    return many


def percentile(found: list[float]) -> float:
    """The 95th, of sorted figures."""
    return found[int(len(found) * 0.95 - 0.5)]


def within(found: list[float], goal: float) -> None:
    assert statistics.median(found) <= goal
    assert percentile(found) <= 2 * goal    # on a machine that others use as well


def usage(outcome: Any, figure: str) -> Any:
    value = outcome.result["usage"][figure]
    assert value is not None, f"{figure} was not measured"
    return value


@pytest.mark.parametrize("argv", [("sleep", "9"), ("burn", "9"), ("burn-children", "4", "9")],
                         ids=["sleeper", "burner", "4-burners"])
def test_wall_time_is_over_by_at_most_10_ms_and_says_so(
        boxed: Any, measure: Any, argv: tuple[str, ...]) -> None:
    def over(outcome: Any) -> float:
        assert outcome.reason == "walltime"
        said = outcome.result["evidence"]["overshoot_s"]
        assert said == pytest.approx(usage(outcome, "wall_s") - 0.2)
        return float(said * 1e3)

    found = measure(boxed, f"wall time over the cap ({argv[0]})", "ms", over,
                    ("--timeout", "0.2"), *argv)
    assert found[0] >= 0                    # and never too early
    within(found, 10)


@pytest.mark.parametrize("argv", [("burn", "9"), ("burn-children", "4", "9")],
                         ids=["burner", "4-burners"])
def test_a_cpu_time_cap_of_1_s_holds_within_30_ms(
        boxed: Any, measure: Any, argv: tuple[str, ...]) -> None:
    def over(outcome: Any) -> float:
        assert outcome.reason == "cputime"
        return float(usage(outcome, "cpu_s") * 1e3 - 1000)

    found = measure(boxed, f"CPU time over the cap ({argv[0]})", "ms", over, ("--cpu-time", "1"),
                    *argv, runs=max(5, RUNS // 2))
    assert found[0] >= 0
    within(found, 30)


@pytest.mark.parametrize("mounts", [0, 300])
def test_cpu_time_is_what_the_load_used_whatever_set_up_costs(
        boxed: Any, measure: Any, mounts: int) -> None:
    def error(outcome: Any) -> float:
        return abs(usage(outcome, "cpu_s") - float(outcome.out)) * 1e3

    options = tuple(word for n in range(mounts) for word in ("--tmpfs", f"/tmp/{n}"))
    within(measure(boxed, f"error of CPU time, {mounts} mounts", "ms", error, options,
                   "burn", "0.3"), 3)


def test_cpu_time_of_children_is_counted(boxed: Any, measure: Any) -> None:
    def error(outcome: Any) -> float:
        return abs(usage(outcome, "cpu_s") - 0.4) * 1e3

    within(measure(boxed, "error of CPU time, 4 children", "ms", error, (), "burn-children", "4",
                   "0.1"), 8)


@pytest.mark.needs("root", "cgroup.memory")
@pytest.mark.parametrize("argv", [("touch",), ("fill", "/tmp/file")], ids=["anonymous", "tmpfs"])
def test_a_peak_of_memory_is_within_1_percent(root_boxed: Any, run: Any, measure: Any,
                                              argv: tuple[str, ...]) -> None:
    options = ("-m", "256M", "--tmpfs-size", "128M")
    empty = statistics.median(usage(run(root_boxed, options, *argv, "0"), "memory_peak_bytes")
                              for _ in range(5))

    def error(outcome: Any) -> float:
        return abs((usage(outcome, "memory_peak_bytes") - empty) / (64 * MIB) - 1) * 100

    within(measure(root_boxed, f"error of the peak of 64 MiB ({argv[0]})", "%", error, options,
                   *argv, str(64 * MIB)), 1)


@pytest.mark.needs("root", "cgroup.pids")
@pytest.mark.parametrize("count", [1, 7, 40])
def test_processes_are_counted_exactly(root_boxed: Any, run: Any, count: int) -> None:
    outcome = run(root_boxed, ("--pids-limit", "64"), "fork", str(count))
    assert outcome.out == f"{count}\n"
    assert usage(outcome, "pids_peak") == count + 2         # the load itself, and init


@pytest.mark.needs("root", "cgroup.cpu")
def test_a_share_of_half_a_cpu_is_within_5_percent(root_boxed: Any, measure: Any) -> None:
    def error(outcome: Any) -> float:
        return abs(usage(outcome, "cpu_s") / usage(outcome, "wall_s") / 0.5 - 1) * 100

    within(measure(root_boxed, "error of half a CPU over 3 s", "%", error,
                   ("--cpus", "0.5", "--timeout", "3"), "burn", "9", runs=max(3, RUNS // 10)), 5)


@pytest.mark.needs("root", "cgroup.io")
def test_bytes_that_reach_a_disk_are_counted(root_boxed: Any, run: Any, measure: Any) -> None:
    directory = root_boxed.scratch / "disk"
    directory.mkdir(mode=0o777)
    directory.chmod(0o777)
    options = ("--device-write-bps", f"{directory}:10G", "-v", f"{directory}:/disk")

    def error(outcome: Any) -> float:
        (directory / "file").unlink()
        return abs(usage(outcome, "io_write_bytes") / (8 * MIB) - 1) * 100

    within(measure(root_boxed, "error of 8 MiB written", "%", error, options, "write",
                   "/disk/file", str(8 * MIB)), 1)
