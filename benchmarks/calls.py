#!/usr/bin/env python3
"""What the filter adds to a system call: getppid in boxes with it, without it, and with its log.

    python benchmarks/calls.py [--rounds 10]

The boxes take turns, in a new random order each round; each gives the best of its own rounds, and
the table their median.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import tempfile
from collections import defaultdict

import minibox

HERE = os.path.dirname(os.path.abspath(__file__))
BOXES: dict[str, dict[str, object]] = {
    "no filter": {"security_opts": ["seccomp=unconfined"]}, "default filter": {},
    "default filter, with its log": {"seccomp_log": True}}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="minibox-bench-") as work:
        os.chmod(work, 0o755)
        program = os.path.join(work, "calls")
        subprocess.run(["cc", "-O2", "-static", "-o", program, os.path.join(HERE, "calls.c")],
                       check=True)
        for _ in range(rounds):
            for name in random.sample(sorted(BOXES), len(BOXES)):
                result = minibox.run(["/calls"], volumes=[f"{program}:/calls:ro"], text=True,
                                     capture_output=True, **BOXES[name])
                times[name].append(float(result.check().stdout))
    medians = {name: statistics.median(all_) for name, all_ in times.items()}
    print(f"getppid, medians of {rounds} boxes each, {os.cpu_count()} CPUs, "
          f"Linux {os.uname().release}\n\n| box | ns | x no filter |\n|---|---:|---:|")
    for name in BOXES:
        print(f"| {name} | {medians[name]:.0f} | {medians[name] / medians['no filter']:.2f} |")


if __name__ == "__main__":
    main()
