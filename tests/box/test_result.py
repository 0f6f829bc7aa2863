"""What a result says of a box is what happened, on each version of cgroups."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.needs("userns")

SPIN = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"
PRESSURES = ("cpu_pressure_s", "memory_pressure_s", "io_pressure_s")


@pytest.fixture
def capped(boxed, request):
    """A caller whose cgroups can be used: root, or a user with a delegated subtree."""
    if boxed.name == "user":
        request.getfixturevalue("delegated")
    return boxed


@pytest.mark.needs("cgroup.cpu", "cgroup.pids", "psi")
def test_waiting_for_a_cpu_is_told_as_pressure_on_v2(capped):
    """Two that want the same CPU: all the time one of them waits."""
    usage = capped("--cpuset-cpus", "0", "--", "/bin/sh", "-c",
                   f"({SPIN}) & {SPIN}; wait").result["usage"]
    assert 0.2 * usage["wall_s"] <= usage["cpu_pressure_s"] <= usage["wall_s"], usage
    assert usage["memory_pressure_s"] is not None and usage["io_pressure_s"] is not None, usage
    assert [usage["measured_by"][name] for name in PRESSURES] == [
        f"cgroup {what}.pressure some total" for what in ("cpu", "memory", "io")]


def test_what_no_cgroup_counted_is_not_measured(boxed):
    usage = boxed("--cgroups", "disabled", "--", "/bin/true").result["usage"]
    for name in (*PRESSURES, "memory_peak_bytes", "swap_peak_bytes", "pids_peak", "throttled_s"):
        assert usage[name] is None and name not in usage["measured_by"], name
