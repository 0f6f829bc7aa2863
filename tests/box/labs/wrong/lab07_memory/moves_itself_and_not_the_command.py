# file: box.py
# fails: own-cgroup shared-cgroup
# fails: cap-in-force shared-cgroup
# fails: no-swap shared-cgroup
# fails: hog-is-killed not-killed
# fails: files-count files-free
# fails: neighbour shared-cgroup
# fails: tidy left-processes
"""Run a command with a cap on its memory: python3 box.py --memory BYTES COMMAND [ARGUMENT]..."""

import os
import secrets
import signal
import sys
from contextlib import suppress
from pathlib import Path

V2 = Path("/cgroup/cgroup.procs").exists()
PARENT = Path("/cgroup" if V2 else "/cgroup/memory")


def limit(group: Path, size: str) -> None:
    """Memory first: on v1 the sum of memory and swap may not be below memory alone."""
    if V2:
        (group / "memory.max").write_text(size)
        (group / "memory.swap.max").write_text("0")
        (group / "memory.oom.group").write_text("1")        # the kernel kills all of it, or nothing
    else:
        (group / "memory.limit_in_bytes").write_text(size)
        (group / "memory.memsw.limit_in_bytes").write_text(size)


def kill_all(group: Path) -> None:
    """Until a look finds nobody: who is killed may just have forked."""
    while pids := (group / "cgroup.procs").read_text().split():
        for pid in map(int, pids):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def main(size: str, command: list[str]) -> int:
    group = PARENT / f"box-{secrets.token_hex(8)}"          # a pid may be another box's pid as well
    group.mkdir()
    try:
        limit(group, size)
        pid = os.fork()
        if pid == 0:
            os.execvp(command[0], command)
        (group / "cgroup.procs").write_text("0")
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return status if status >= 0 else 128 - status
    finally:
        (PARENT / "start/cgroup.procs").write_text("0")
        group.rmdir()


assert sys.argv[1] == "--memory"
sys.exit(main(sys.argv[2], sys.argv[3:]))
