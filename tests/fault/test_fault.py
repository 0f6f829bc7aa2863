"""For every step of a real plan: let it fail, and nothing is left; the report names the step."""

from __future__ import annotations

import errno

import pytest
from plans import run

from minibox import report
from minibox.compiler import compile
from minibox.host import find
from minibox.plan import Plan
from minibox.record import replace
from minibox.spec import BoxSpec, Limits
from minibox.steps import PARTS, Fail, ReadCgroup, RemoveCgroup, SweepCgroups

pytestmark = pytest.mark.needs("userns")


def spec() -> BoxSpec:
    """A box that uses most mechanisms this host has."""
    host = find()
    limits = Limits(walltime_s=20.0)
    if host.controller("memory") and host.controller("pids"):
        limits = replace(limits, memory_bytes=64 << 20, pids=32)
    return BoxSpec(argv=("/bin/true",), limits=limits)


def with_failure(plan: Plan, index: int) -> Plan:
    """The same plan with Fail(EIO) in the place of step *index*."""
    parts, first = {}, 0
    for part in PARTS:
        steps = list(getattr(plan, part))
        if first <= index < first + len(steps):
            steps[index - first] = Fail(errno=errno.EIO)
        parts[part] = tuple(steps)
        first += len(steps)
    return replace(plan, **parts)


def test_every_step_may_fail_and_the_report_names_it():
    plan = compile(spec(), find())
    assert run(plan).reason == report.REASONS.index("exited")
    setup = report.REASONS.index("setup")
    steps = list(plan)
    finish = len(steps) - len(plan.finish)
    wrong = []
    for index, step in enumerate(steps):
        if isinstance(step, (ReadCgroup, RemoveCgroup, SweepCgroups)):
            continue                                        # these may fail without harm to the run
        found = run(with_failure(plan, index))
        if (found.reason, found.failed_step, found.errno) != (setup, index, errno.EIO):
            wrong.append((index, type(step).__name__, found))
    assert wrong == []
    assert finish > 30, "the plan is a real one"


def test_a_failing_removal_is_swept_by_the_next_run():
    plan = compile(spec(), find())
    removals = [index for index, step in enumerate(plan) if isinstance(step, RemoveCgroup)]
    if not removals:
        pytest.skip("needs cgroups")
    run(with_failure(plan, removals[0]))
    assert run(plan).reason == report.REASONS.index("exited")
