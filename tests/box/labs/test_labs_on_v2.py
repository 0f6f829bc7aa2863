"""Every lab where cgroups are of v2, as in the emulated machine: solution and broken references.

test_labs.py has the labs on v1, with what students hand in."""

from __future__ import annotations

import pytest

from minibox.labs.lab import labs

pytestmark = pytest.mark.needs("cgroup.v2", "cgroup.memory", "cgroup.cpu", "delegation")


@pytest.fixture
def with_cgroups(boxed, request):
    """The caller, with cgroups of its own."""
    if boxed.name == "user":
        request.getfixturevalue("delegated")
    return boxed


@pytest.mark.parametrize("lab", labs(), ids=lambda lab: lab.name)
def test_the_solution_holds_and_the_broken_reference_leaks(with_cgroups, lab):
    done = with_cgroups.minibox("lab", "check", str(lab.number), str(lab.solution), timeout=400)
    assert done.returncode == 0, done.stdout
    assert f"{len(lab.checks)} of {len(lab.checks)} checks hold" in done.stdout
