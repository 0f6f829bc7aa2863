"""The system calls that labs write their containers from."""

from __future__ import annotations

import errno
import inspect
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

from minibox import syscalls
from minibox._core import lib
from minibox.syscalls import (
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    MS_NODEV,
    MS_NOSUID,
    RESOLVE_IN_ROOT,
    SyscallError,
    clone3,
    mount,
    openat2,
    pidfd_open,
    sethostname,
    setns,
)
from minibox.syscalls.errors import MEANINGS
from minibox.syscalls.flags import CONSTANTS, MS, text


def test_a_refused_call_says_itself_its_arguments_and_what_the_errno_means() -> None:
    with pytest.raises(SyscallError) as caught:
        setns(-1)
    assert caught.value.errno == errno.EBADF and caught.value.arguments == (-1, 0)
    assert str(caught.value) == (
        "setns(-1, 0) = -1 EBADF: Bad file descriptor. " + MEANINGS["setns", "EBADF"])


def test_flags_are_said_by_their_names_and_what_has_none_as_a_number() -> None:
    with pytest.raises(SyscallError) as caught:
        mount(None, "/no/such/place", "tmpfs", MS_NOSUID | MS_NODEV)
    assert str(caught.value).startswith(
        'mount(NULL, "/no/such/place", "tmpfs", MS_NOSUID|MS_NODEV, NULL) = -1 E')
    assert (text(MS(0)), text(MS(1 << 30 | 1))) == ("0", "MS_RDONLY|0x40000000")


def test_an_error_survives_pickling() -> None:
    error = SyscallError("mount", (None, "/x"), errno.EPERM)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_descriptors_are_born_closed_on_exec() -> None:
    pidfd = pidfd_open(os.getpid())
    try:
        assert not os.get_inheritable(pidfd)
    finally:
        os.close(pidfd)


def test_a_path_does_not_leave_its_root(tmp_path: Path) -> None:
    os.symlink("/etc", f"{tmp_path}/way-out")
    root = os.open(f"{tmp_path}", os.O_PATH)
    try:
        with pytest.raises(SyscallError) as caught:
            openat2(root, "way-out/passwd", os.O_PATH, RESOLVE_IN_ROOT)
        assert (caught.value.call, caught.value.errno) == ("openat2", errno.ENOENT)
    finally:
        os.close(root)


@pytest.mark.needs("userns")
def test_a_container_can_be_made_by_hand() -> None:
    """clone3 into a user and a UTS namespace of its own, where the host name can be changed."""
    before = os.uname().nodename
    child = clone3(CLONE_NEWUSER | CLONE_NEWUTS)
    if child == 0:
        sethostname("by-hand")
        os._exit(0 if os.uname().nodename == "by-hand" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert os.uname().nodename == before


def test_every_call_that_is_declared_has_a_place_in_the_steps_calls() -> None:
    from minibox.steps import CALLS

    declared = {name.removeprefix("mb_") for name in dir(lib) if re.match("mb_[a-z]", name)}
    assert declared - {"plan_error"} <= set(CALLS) | {"capget"}


@pytest.mark.parametrize("name", syscalls.FUNCTIONS)
def test_every_function_says_what_it_does_and_where_that_is_written(name: str) -> None:
    said = inspect.getdoc(getattr(syscalls, name)) or ""
    for word in ("Source:", "Example:"):
        assert word in said, f"{name} has no {word}"
    assert "Errors:" in said or name in ("load", "mask", "jump_if_equal", "jump_if_at_least", "ret")
    example = said.partition("Example: `")[2]
    assert name in example or name in ("fsmount",), f"the example of {name} does not use it"


def test_what_is_public_is_there() -> None:
    assert set(syscalls.FUNCTIONS) <= set(syscalls.__all__)
    assert [name for name in syscalls.__all__ if not hasattr(syscalls, name)] == []


def test_each_meaning_is_of_a_call_that_there_is_and_of_an_errno() -> None:
    calls = {call for call, _ in MEANINGS}
    known = {name.removeprefix("mb_") for name in dir(lib)}
    assert calls - known == {"chdir", "execve", "fork", "kill", "open", "waitpid", "write"}
    assert len(MEANINGS) >= 60
    assert [name for _, name in MEANINGS if not hasattr(errno, name)] == []


OTHER_CALLS = {"prlimit": ("prlimit64",), "write_id_map": ("open", "write"),
               "landlock_abi": ("landlock_create_ruleset",),
               "landlock_add_port": ("landlock_add_rule",), "join_session_keyring": ("keyctl",)}
OTHER_CALLS |= dict.fromkeys(
    ("die_with_parent", "set_keepcaps", "set_securebits", "drop_bounding", "raise_ambient"),
    ("prctl",))
"""Functions that are not called as the system calls that they make."""


@pytest.mark.parametrize("name", syscalls.FUNCTIONS)
def test_each_errno_that_a_docstring_names_has_a_meaning(name: str) -> None:
    said = (inspect.getdoc(getattr(syscalls, name)) or "").partition("Errors:")[2]
    named = set(re.findall(r"\bE[A-Z0-9]{3,}\b", said.partition("Source:")[0]))
    calls = OTHER_CALLS.get(name, (name,))
    assert named - {of for call, of in MEANINGS if call in calls} == set()


HEADERS = (
    ("linux/audit.h", "linux/capability.h", "linux/fcntl.h", "linux/landlock.h", "linux/mount.h",
     "linux/openat2.h", "linux/prctl.h", "linux/sched.h", "linux/seccomp.h", "linux/securebits.h"),
    ("sys/mount.h",))
"""Of the kernel, and of libc what only that has: together they do not compile everywhere."""


@pytest.mark.needs("gcc")
def test_every_constant_has_the_kernels_value(tmp_path: Path) -> None:
    found = {}
    for number, headers in enumerate(HEADERS):
        lines = [f"#include <{header}>" for header in ("stdio.h", *headers)]
        lines += ["#define SAY(name) printf(#name \" %lld\\n\", (long long)(name))",
                  "int main(void) {"]
        for name in CONSTANTS:
            enumerated = name.startswith("FSCONFIG_") and number == 0
            lines += [f"SAY({name});"] if enumerated else [
                f"#ifdef {name}", f"SAY({name});", "#endif"]
        source = tmp_path / f"constants{number}.c"
        source.write_text("\n".join([*lines, "}", ""]))
        subprocess.run(["gcc", "-D_GNU_SOURCE", "-o", tmp_path / "program", source], check=True)
        said = subprocess.run([tmp_path / "program"], check=True, capture_output=True, text=True)
        found |= {name: int(value) for name, value in map(str.split, said.stdout.splitlines())}
    young = {name for name in CONSTANTS if name.startswith("LANDLOCK_")}
    assert set(CONSTANTS) - set(found) <= young
    assert found == {name: int(getattr(syscalls, name)) for name in found}


def test_the_page_is_as_it_would_be_written() -> None:
    script = Path(__file__).parents[2] / "docs/make_syscalls.py"
    assert subprocess.run([sys.executable, script, "--check"]).returncode == 0, f"run {script}"
