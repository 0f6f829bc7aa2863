# file: box.py
# fails: share-as-asked wrong-share
"""Run a command with caps: python3 box.py --pids NUMBER --cpus SHARE COMMAND [ARGUMENT]..."""

import os
import secrets
import signal
import sys
from contextlib import suppress
from pathlib import Path

V2 = Path("/cgroup/cgroup.procs").exists()
PERIOD_US = 100_000


def make(name: str) -> dict[str, Path]:
    """The cgroup of each controller: one and the same on v2, one in each hierarchy on v1."""
    groups = {}
    for controller in ("pids", "cpu"):
        groups[controller] = Path("/cgroup", "" if V2 else controller, name)
        groups[controller].mkdir(exist_ok=V2)
    return groups


def limit(groups: dict[str, Path], pids: int, cpus: float) -> None:
    """A share is so many microseconds in each period; of half a second none could last 100 ms."""
    (groups["pids"] / "pids.max").write_text(str(pids))
    quota = round(cpus * 50_000)
    if V2:
        (groups["cpu"] / "cpu.max").write_text(f"{quota} {PERIOD_US}")
    else:
        (groups["cpu"] / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (groups["cpu"] / "cpu.cfs_quota_us").write_text(str(quota))


def kill_all(group: Path) -> None:
    """Until a look finds nobody: a bomb forks while we read."""
    while pids := (group / "cgroup.procs").read_text().split():
        for pid in map(int, pids):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def main(pids: int, cpus: float, command: list[str]) -> int:
    groups = make(f"box-{secrets.token_hex(8)}")
    try:
        limit(groups, pids, cpus)
        pid = os.fork()
        if pid == 0:
            for group in groups.values():
                (group / "cgroup.procs").write_text("0")    # the child alone: we do not count
            os.execvp(command[0], command)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return status if status >= 0 else 128 - status
    finally:
        kill_all(groups["pids"])
        for group in set(groups.values()):
            group.rmdir()


assert sys.argv[1] == "--pids" and sys.argv[3] == "--cpus"
sys.exit(main(int(sys.argv[2]), float(sys.argv[4]), sys.argv[5:]))
