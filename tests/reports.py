"""Reports as the engine writes them, of boxes that never were."""

from __future__ import annotations

import json
from typing import Any

from minibox import report
from minibox.plan import Plan
from minibox.report import CAUSES, REASONS
from minibox.result import Result
from minibox.steps import (
    CALLS,
    FIGURES,
    CloneApp,
    CloneInit,
    Exec,
    MountProc,
    OpenTree,
    ReadCgroup,
    Watch,
)

NOTES = json.dumps({"receipts": [
    {"cap": "memory", "asked": 64 << 20, "in_force": 64 << 20, "mechanism": "memory.max",
     "note": ""}]})

FILES = {"cpu_ns": ("cpu.stat", "usage_usec", 1000), "memory_peak_bytes": ("memory.peak", "", 1)}
"""Where the box's figures are from; others from a file of that name."""


def plan(*figures: str) -> Plan:
    """A plan that reads these figures at the end."""
    readings = [(FIGURES.index(name), *FILES.get(name, (name, "", 1))) for name in figures]
    return Plan(
        prepare=(Watch(walltime_ns=2_000_000_000, cputime_ns=1_500_000_000, output_bytes=1 << 20),
                 OpenTree(tree=0, source="/srv/data"), CloneInit(namespaces=("user", "mnt"))),
        enter=(MountProc(target="/proc", hide_others=True),
               CloneApp(nested=True, uids=(0, 0, 1), gids=(0, 0, 1), deny_setgroups=True)),
        app=(Exec(argv=("ls", "-l"), environment=(), path="/usr/bin:/bin"),),
        finish=tuple(ReadCgroup(cgroup=0, file=file, key=key, figure=figure, scale=scale)
                     for figure, file, key, scale in readings),
        notes=NOTES)


PLAN = plan("cpu_ns", "memory_peak_bytes")


def block(**given: Any) -> bytes:
    """A report as the engine writes it: of a box that exited with 0, but for what is *given*."""
    values: dict[str, Any] = {
        "reason": "exited", "exit_status": 0, "how": 1, "status": 0, "failed_step": -1, "errno": 0,
        "call": "none", "cause": "unknown", "stop_signal": 0, "exec_ns": 1_000_000,
        "end_ns": 501_000_000, "user_ns": 20_000_000, "system_ns": 10_000_000, "figures": {},
        "detail": "", "processes": 5, "fatal_call": -1, "refused": (),
        "states": ["done"] * 8} | given
    figures = [values["figures"].get(name, -1) for name in FIGURES]
    records = b"".join(report.RECORD.pack(report.STATES.index(state), 0, 0, 1000 * (n + 1))
                       for n, state in enumerate(values["states"]))
    detail = values["detail"].encode()
    refused = b"".join(report.REFUSAL.pack(*one) for one in values["refused"])
    return report.LAYOUT.pack(
        report.MAGIC, report.VERSION, report.LAYOUT.size + len(records) + len(refused),
        REASONS.index(values["reason"]), values["exit_status"], values["how"], values["status"],
        values["failed_step"], values["errno"], CALLS.index(values["call"]),
        CAUSES.index(values["cause"]), values["stop_signal"], values["fatal_call"], -1, 0,
        values["exec_ns"], values["end_ns"], values["user_ns"], values["system_ns"],
        4096, 1, 2, 3, 4, values["processes"], *figures, 100, 200, 50, 200, len(values["states"]),
        len(values["refused"]), len(detail), 0, b"0123456789abcdef", detail
    ) + records + refused


def result(plan: Plan = PLAN, **given: Any) -> Result:
    return Result(args=("ls", "-l"), plan=plan, report=report.decode(block(**given)))
