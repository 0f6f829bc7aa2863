"""python -m minibox.cli.demo: five boxes to look at, each by the command that anyone can type."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys

BOXES = (
    ("A program in a box sees its own processes, and none of the host's private files.",
     ("--", "sh", "-c", "echo hello from process $$ of $(hostname), where /home has "
      "$(ls /home | wc -l) users")),
    ("One that wants more memory than it may have dies alone.",
     ("-m", "64M", "--", "python3", "-c", "hog = bytearray(1 << 30)")),
    ("A fork bomb stops at its cap, and the host does not notice.",
     ("--pids-limit", "20", "--timeout", "2", "--", "sh", "-c",
      "bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 60")),
    ("One that never ends is ended.",
     ("--timeout", "1", "--", "sleep", "60")),
    ("What cannot be executed is named.",
     ("--", "no-such-program")),
)


def main() -> int:
    """Run them all; 0 if each of them was run or refused as it should be."""
    failed = 0
    for what, arguments in BOXES:
        print(f"\n{what}\n$ minibox run {shlex.join(arguments)}", flush=True)
        failed += not show(*arguments)
    print()
    return 1 if failed else 0


def show(*arguments: str) -> bool:
    """Run one box, print its verdict; whether there was one."""
    read, write = os.pipe()
    with open(read) as reader:
        done = subprocess.run([sys.executable, "-m", "minibox", "run", "--result", f"fd:{write}",
                               *arguments], pass_fds=[write], stderr=subprocess.PIPE, text=True)
        os.close(write)
        text = reader.read()
    if not text:                                      # refused before anything ran
        print(done.stderr, end="")
        return done.returncode == 125
    result = json.loads(text)
    usage = result["usage"]
    figures = [f"exit status {done.returncode}"]
    if usage["wall_s"] is not None:
        figures.append(f"{usage['wall_s']:.3f} s")
        if usage["cpu_s"] is not None:                # as it is if a box without cgroup is killed
            figures.append(f"CPU {usage['cpu_s']:.3f} s")
    if usage["memory_peak_bytes"] is not None:
        figures.append(f"memory {usage['memory_peak_bytes'] / (1 << 20):.1f} MiB")
    if usage["pids_refused"]:
        figures.append(f"{usage['pids_refused']} forks refused")
    print(f"=> {result['summary']}  ({', '.join(figures)})")
    return True


if __name__ == "__main__":
    sys.exit(main())
