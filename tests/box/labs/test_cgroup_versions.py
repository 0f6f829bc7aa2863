"""The labs on cgroups, on whichever version this machine has: solution and broken reference."""

from __future__ import annotations

import pytest

from minibox.labs.lab import find

pytestmark = pytest.mark.needs("cgroup.memory", "cgroup.pids", "cgroup.cpu")


@pytest.mark.parametrize("number", ["7", "8"])
def test_the_solution_holds_where_the_broken_reference_leaks(root_boxed, number):
    lab = find(number)
    done = root_boxed.minibox("lab", "check", number, str(lab.solution), timeout=400)
    assert done.returncode == 0, done.stdout
    assert f"{len(lab.checks)} of {len(lab.checks)} checks hold" in done.stdout
