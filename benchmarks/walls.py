#!/usr/bin/env python3
"""What the walls of the default profile cost: against bwrap, which has few of them, and by step.

    python benchmarks/walls.py [--rounds 100]

The default box shows the host's own programs, and so does bwrap here; both run /bin/true of this
host. They take turns with the same box less one layer, in a new random order each round; times are
medians.  A step's own time is in the result of every box; a layer's is more than its steps', since
the kernel also has to take down at the end what they made.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable

import minibox
from minibox.errors import MiniboxError
from minibox.result import Result
from minibox.spec import LAYERS

BWRAP = ("bwrap", "--unshare-all", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin",
         "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--proc", "/proc",
         "--dev", "/dev", "--tmpfs", "/tmp", "/bin/true")
LONG_US, REASONS = 300, {
    "prepare clone-init": "a network namespace: its devices, tables and timers; bwrap pays it too"}
"""What takes long has a reason."""


def box(results: list[Result], **options: object) -> Callable[[], int]:
    def once() -> int:
        start = time.perf_counter_ns()
        result = minibox.run(["/bin/true"], **options)      # type: ignore[arg-type]
        took = time.perf_counter_ns() - start
        assert result.reason == "exited" and result.returncode == 0, result
        results.append(result)
        return took
    return once


def bwrap() -> int:
    start = time.perf_counter_ns()
    subprocess.run(BWRAP, stdin=subprocess.DEVNULL, check=True)
    return time.perf_counter_ns() - start


def contenders(results: list[Result]) -> dict[str, Callable[[], int]]:
    """The default box, bwrap, and the box less each layer that can be left out here."""
    found: dict[str, Callable[[], int]] = {"default box": box(results), "bwrap": bwrap}
    for layer in LAYERS:
        less = box([], without=(layer,))
        try:
            less()
        except MiniboxError as error:
            print(f"without {layer}: does not run here: {error}")
        else:
            found[layer] = less
    return found


def measure(found: dict[str, Callable[[], int]], rounds: int) -> dict[str, float]:
    times: dict[str, list[int]] = defaultdict(list)
    for _ in range(rounds):
        for name in random.sample(sorted(found), len(found)):
            times[name].append(found[name]())
    return {name: statistics.median(all_) / 1e3 for name, all_ in times.items()}


def by_step(results: list[Result]) -> dict[str, float]:
    """Microseconds of each kind of step in one box: the median over the boxes of their sum."""
    sums: dict[str, list[float]] = defaultdict(list)
    for result in results:
        own: dict[str, float] = defaultdict(float)
        for step in result.steps:
            own[f"{step.part} {step.name}"] += (step.ns or 0) / 1e3
        for name, took in own.items():
            sums[name].append(took)
    return {name: statistics.median(all_) for name, all_ in sums.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=100)
    rounds = parser.parse_args().rounds
    results: list[Result] = []
    medians = measure(contenders(results), rounds)
    whole, peer = medians.pop("default box"), medians.pop("bwrap")
    print(f"medians of {rounds} rounds, {'root' if os.geteuid() == 0 else 'unprivileged'}, "
          f"{os.cpu_count()} CPUs, Linux {os.uname().release}\n\n"
          f"default box {whole / 1e3:.2f} ms, bwrap --unshare-all {peer / 1e3:.2f} ms: "
          f"x {whole / peer:.2f}\n\n| layer | costs us |\n|---|---:|")
    for name, less in sorted(medians.items(), key=lambda item: item[1]):
        print(f"| {name} | {whole - less:.0f} |")
    print("\n| step | us | |\n|---|---:|---|")
    for name, took in sorted(by_step(results).items(), key=lambda item: -item[1]):
        why = REASONS.get(name, "no reason is known") if took > LONG_US else ""
        print(f"| {name} | {took:.0f} | {why} |")


if __name__ == "__main__":
    main()
