"""Run plans by the engine itself, without the command."""

from __future__ import annotations

import os
import subprocess

from minibox import report
from minibox.engine import path as engine_path
from minibox.plan import Plan, encode


def run(plan: Plan) -> report.Report:
    """The engine's report of this plan."""
    block, (read, write) = encode(plan), os.pipe()
    plan_fd = os.memfd_create("plan")
    try:
        os.write(plan_fd, block)
        done = subprocess.run([engine_path(), "--plan", str(plan_fd), "--report", str(write)],
                              pass_fds=(plan_fd, write), stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=60)
    finally:
        os.close(write)
        os.close(plan_fd)
    with open(read, "rb") as file:
        found = report.decode(file.read())
    assert found.exit_status == done.returncode, done
    return found
