"""`minibox delegate`, for real: made, used by the user, undone, nothing left."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from minibox import cgroups, mends


def subtrees(uid: int) -> list[Path]:
    """What there is of this user's subtree, in every hierarchy."""
    found = [Path(one.mount, cgroups.SUBTREE % uid) for one in cgroups.current()]
    return [path for path in found if path.exists()]


pytestmark = pytest.mark.needs("root", "user")


@pytest.fixture
def given(root_boxed, user_boxed) -> Iterator[list[Path]]:
    """The subtrees of the user, made by root."""
    if mends.systemd():
        pytest.skip("needs a host without systemd: there it hands cgroups out itself")
    assert subtrees(user_boxed.uid) == []
    done = root_boxed.minibox("delegate", str(user_boxed.uid))
    assert done.returncode == 0, done.stderr
    yield subtrees(user_boxed.uid)
    undone = root_boxed.minibox("delegate", "--undo", str(user_boxed.uid))
    assert undone.returncode == 0, undone.stderr
    assert subtrees(user_boxed.uid) == []


@pytest.fixture
def moved(given, user_boxed):
    """The user, in a shell that root has moved into the subtree: on v2 that is needed as well."""
    move = '"$0" -m minibox delegate "$1" --pid $$ >/dev/null && shift && exec "$@"'
    return replace(user_boxed, prefix=("sh", "-c", move, sys.executable, str(user_boxed.uid),
                                       *user_boxed.prefix))


def test_only_the_subtree_itself_is_the_users_and_not_its_limits(given, user_boxed):
    assert given
    for path in given:
        assert path.stat().st_uid == user_boxed.uid
        assert path.parent.stat().st_uid == 0
        limits = [*path.glob("*.limit_in_bytes"), *path.glob("*.max"), *path.glob("cpu.cfs_*")]
        assert {one.stat().st_uid for one in limits} <= {0}


def test_a_user_with_a_subtree_can_cap_memory_cpus_and_processes(given, moved):
    capped = moved("-m", "64M", "--cpus", "0.5", "--pids-limit", "50", "--", "/bin/true")
    assert (capped.status, capped.reason) == (0, "exited")
    assert capped.receipt("memory")["in_force"] == 64 << 20
    assert [list(path.glob("minibox-*")) for path in given] == [[]] * len(given)


def test_doctor_lists_the_caps_that_a_subtree_gives(moved):
    found = json.loads(moved.minibox("doctor", "--json").stdout)
    assert {"memory", "cpus", "pids"} <= set(found["caps"])


def test_a_subtree_in_use_is_not_taken_away(given, root_boxed, user_boxed):
    box = given[0] / "minibox-test"
    box.mkdir()
    try:
        done = root_boxed.minibox("delegate", "--undo", str(user_boxed.uid))
    finally:
        box.rmdir()
    assert done.returncode != 0
    assert f"{given[0]} is in use" in done.stderr
    assert given[0].exists()


def test_only_root_can_delegate(user_boxed):
    done = user_boxed.minibox("delegate", "nobody")
    assert done.returncode == 125
    assert "only root can give cgroups away" in done.stderr


@pytest.mark.parametrize("arguments", [("no-such-user",), ("root",), ("--pid", "-1", "nobody"), (),
                                       ("nobody", "and-more"), ("4294967295",)])
def test_a_request_that_makes_no_sense_changes_nothing(root_boxed, arguments):
    before = [sorted(os.listdir(one.mount)) for one in cgroups.current()]
    done = root_boxed.minibox("delegate", *arguments)
    assert (done.returncode, "Traceback" in done.stderr) == (125, False)
    assert [sorted(os.listdir(one.mount)) for one in cgroups.current()] == before
