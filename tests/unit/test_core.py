"""The raw system calls that labs write their containers from."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from minibox.core import call, ffi, lib


def test_a_refused_call_raises_its_errno_and_names_the_call() -> None:
    with pytest.raises(OSError, match="setns: Bad file descriptor") as caught:
        call("setns", -1, 0)
    assert caught.value.errno == errno.EBADF


def test_descriptors_are_born_closed_on_exec() -> None:
    pidfd = call("pidfd_open", os.getpid(), 0)
    try:
        assert not os.get_inheritable(pidfd)
    finally:
        os.close(pidfd)


def test_a_path_does_not_leave_its_root(tmp_path: Path) -> None:
    os.symlink("/etc", f"{tmp_path}/way-out")
    root = os.open(f"{tmp_path}", os.O_PATH)
    how = ffi.new("struct open_how *", {"flags": os.O_PATH, "resolve": lib.RESOLVE_IN_ROOT})
    try:
        with pytest.raises(OSError, match="openat2") as caught:
            call("openat2", root, b"way-out/passwd", how)
        assert caught.value.errno == errno.ENOENT
    finally:
        os.close(root)


@pytest.mark.needs("userns")
def test_a_container_can_be_made_by_hand() -> None:
    """clone3 into a user and a UTS namespace of its own, where the host name can be changed."""
    before = os.uname().nodename
    arguments = ffi.new("struct clone_args *", {"flags": lib.CLONE_NEWUSER | lib.CLONE_NEWUTS,
                                                "exit_signal": 17})
    child = call("clone3", arguments)
    if child == 0:
        done = lib.mb_sethostname(b"by-hand", 7) == 0 and os.uname().nodename == "by-hand"
        os._exit(0 if done else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert os.uname().nodename == before


def test_every_call_that_is_declared_has_a_place_in_the_steps_calls() -> None:
    from minibox.steps import CALLS

    declared = {name.removeprefix("mb_") for name in dir(lib) if re.match("mb_[a-z]", name)}
    assert declared - {"plan_error"} <= set(CALLS) | {"capget"}
