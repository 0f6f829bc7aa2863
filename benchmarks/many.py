#!/usr/bin/env python3
"""How many boxes of `true` one process runs in a second: run_many beside loops and pools.

    python benchmarks/many.py [--runs 500] [--rounds 5]

The ways take turns, in a new random order each round; the table has their medians, and the CPU time
of this process alone, which is what the harness itself costs.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import minibox

BWRAP = ("bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--proc", "/proc",
         "--dev", "/dev", "--tmpfs", "/tmp", "true")
CPUS = os.cpu_count() or 1


def loop(count: int) -> None:
    for _ in range(count):
        minibox.run(["true"], capture_output=True).check()


def threads(count: int) -> None:
    with ThreadPoolExecutor(CPUS) as pool:
        for result in pool.map(lambda _: minibox.run(["true"], capture_output=True), range(count)):
            result.check()


def many(count: int, **options: object) -> None:
    with minibox.run_many([["true"]] * count, **options) as runs:           # type: ignore[arg-type]
        for run in runs:
            assert run.result and run.result.returncode == 0


def bwrap(count: int) -> None:
    with ThreadPoolExecutor(CPUS) as pool:
        for done in pool.map(lambda _: subprocess.run(BWRAP, capture_output=True), range(count)):
            done.check_returncode()


WAYS: dict[str, Callable[[int], None]] = {
    "minibox.run, one after the other": loop,
    "minibox.run in a ThreadPoolExecutor": threads,
    "minibox.run_many": many,
    "minibox.run_many, a core each": partial(many, cores_per_run=1),
    "minibox.run_many, a core and 64 MiB each": partial(
        many, cores_per_run=1, limits=minibox.Limits(memory="64MiB"))}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    ways = WAYS | ({"bwrap in a ThreadPoolExecutor": bwrap} if shutil.which("bwrap") else {})
    rates, costs = defaultdict(list), defaultdict(list)
    for _ in range(asked.rounds):
        for name in random.sample(sorted(ways), len(ways)):
            wall, cpu = time.perf_counter(), time.process_time()
            ways[name](asked.runs)
            rates[name].append(asked.runs / (time.perf_counter() - wall))
            costs[name].append((time.process_time() - cpu) / asked.runs * 1e3)
    print(f"true, {asked.runs} times, medians of {asked.rounds} rounds, {CPUS} CPUs, "
          f"Linux {os.uname().release}\n\n| way | runs/s | our own CPU, ms/run |\n|---|---:|---:|")
    for name in ways:
        print(f"| {name} | {statistics.median(rates[name]):.0f} | "
              f"{statistics.median(costs[name]):.2f} |")


if __name__ == "__main__":
    main()
