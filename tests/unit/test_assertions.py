"""Expectations of a box: what they equal, and what they refuse to be."""

from __future__ import annotations

import pytest

from minibox.errors import SpecError
from minibox.result import Refused as RefusedCall
from minibox.result import Usage
from minibox.saved import SavedResult
from minibox.testing import Exited, Killed, Refused, asked
from minibox.testing.assertions import compared


def result(reason="exited", status=0, signal=None, **more):
    usage = Usage(**dict.fromkeys(Usage.__fields__) | {"measured_by": {}})
    return SavedResult(**{
        "args": ("program",), "reason": reason, "exit_status": status, "returncode": status,
        "signal": signal, "summary": f"it {reason}", "evidence": {}, "usage": usage, "refused": (),
        "receipts": (), "steps": (), "started_s": 0.0, "name": ""} | more)


MEMORY = result("memory", 137, 9)
LOGGED = result(refused=(RefusedCall(call="ptrace", action="EPERM", count=2),))


@pytest.mark.parametrize("one, expected, equal", [
    (result(), Exited(0), True), (result(), Exited(), True), (result(status=3), Exited(0), False),
    (result(status=3), Exited(3), True), (MEMORY, Exited(137), False), (MEMORY, Exited(), False),
    (MEMORY, Killed("memory"), True), (MEMORY, Killed(), True), (MEMORY, Killed("walltime"), False),
    (MEMORY, Killed(signal=9), True), (MEMORY, Killed("memory", signal=11), False),
    (result(), Killed(), False), (result("setup", 125), Killed(), False),
    (result("setup", 125), Exited(125), False),
    (LOGGED, Refused("ptrace"), True), (LOGGED, Refused(), True), (LOGGED, Refused("mount"), False),
    (result(), Refused(), False),
    (result("seccomp", 159, 31, evidence={"call": "mount"}), Refused("mount"), True),
    (result("seccomp", 159, 31, evidence={"call": "mount"}), Refused("ptrace"), False),
])
def test_an_expectation_equals_the_results_that_meet_it(one, expected, equal):
    assert (one == expected) is equal
    assert (expected == one) is equal
    assert (one != expected) is not equal
    assert (compared("==", one, expected, False) is not None)


@pytest.mark.parametrize("make, field", [
    (lambda: Exited(256), "Exited"), (lambda: Exited(-9), "Exited"),
    (lambda: Exited("0"), "Exited"),
    (lambda: Killed("oom"), "Killed"), (lambda: Killed("exited"), "Killed"),
    (lambda: Refused("mont"), "Refused")])
def test_what_no_box_can_be_is_refused(make, field):
    with pytest.raises(SpecError) as caught:
        make()
    assert caught.value.field == field


def test_expectations_are_told_apart_and_from_anything_else():
    assert Exited(0) == Exited(0) != Exited(1)
    assert Exited() != Killed() and Exited(0) != 0 and len({Exited(0), Exited(0)}) == 1
    assert repr(Killed("memory", signal=9)) == "Killed('memory', signal=9)"
    assert compared("==", 1, Exited(0), False) is None
    assert compared("is", result(), Exited(0), False) is None


def test_a_long_output_is_cut_and_controls_nothing():
    lines = compared("==", result(stdout="x" * 5000 + "\x1b[2J\nlast\x1b[2J", stderr=""), Exited(1),
                     False)
    assert len(lines) <= 8
    assert max(map(len, lines)) < 300 and "\x1b" not in "".join(lines)
    assert "    last\\x1b[2J" in lines


def test_caps_of_a_call_stand_beside_those_of_the_marker():
    both = asked.merged({"memory": "64M", "pids": 4}, {"pids": 8, "cwd": "/usr"})
    assert both == {"memory": "64M", "pids": 8, "cwd": "/usr"}
    found = asked.split(both)
    assert (found["limits"].memory_bytes, found["limits"].pids) == (64 << 20, 8)
    assert found["cwd"] == "/usr"


def test_a_tmpfs_is_a_mount_and_its_size_a_cap():
    found = asked.split({"tmpfs": ["/scratch"], "tmpfs_size": "8M"})
    assert found["tmpfs"] == ["/scratch"] and found["limits"].tmpfs_bytes == 8 << 20


@pytest.mark.parametrize("before, given, field", [
    ({}, {"memroy": 1}, "memroy"), ({}, {"limits": object(), "pids": 3}, "pids"),
    ({"limits": object()}, {"pids": 3}, "limits")])
def test_options_that_contradict_are_refused(before, given, field):
    with pytest.raises(SpecError) as caught:
        asked.check(given)
        asked.merged(before, given)
    assert caught.value.field == field
