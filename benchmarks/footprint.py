#!/usr/bin/env python3
"""What a running box costs: many at once from one Python process, and the memory each holds.

    python benchmarks/footprint.py [--boxes 100]

Starts the boxes from one process, checks that the process has one thread, reads the proportional
set size (PSS: shared pages divided by their sharers) of every engine and init from
/proc/PID/smaps_rollup, and lets all of them end.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import psutil

import minibox


def pss_kib(process: psutil.Process) -> int:
    with open(f"/proc/{process.pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--boxes", type=int, default=100)
    options = parser.parse_args()
    start = time.perf_counter()
    with minibox.Box() as box:
        running = [box.popen(["/bin/sleep", "600"]) for _ in range(options.boxes)]
        me, engines, deadline = psutil.Process(), [], time.monotonic() + 60
        while time.monotonic() < deadline:
            engines = [child for child in me.children() if len(child.children(recursive=True)) >= 2]
            if len(engines) == options.boxes:
                break
        up = time.perf_counter() - start
        # To read init's takes root: it cannot be traced or looked into, by its own user either.
        inits = 1 if os.geteuid() == 0 else 0
        pairs = [pss_kib(engine) + sum(map(pss_kib, engine.children()[:inits]))
                 for engine in engines]
        print(f"{len(engines)} boxes up in {up:.2f} s, {me.num_threads()} thread(s) in the caller, "
              f"{len(os.listdir('/proc/self/fd'))} descriptors")
        who = "engine + init" if os.geteuid() == 0 else "engine (init's is not for us to read)"
        print(f"{who}: median {statistics.median(pairs):.0f} KiB PSS, "
              f"largest {max(pairs)} KiB")
        for one in running:
            one.kill()
        for one in running:
            one.wait()
        reasons = {one.result.reason for one in running if one.result}
    print(f"all ended: {', '.join(sorted(reasons))}; children left: {len(me.children())}")


if __name__ == "__main__":
    main()
