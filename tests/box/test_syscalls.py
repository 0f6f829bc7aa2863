"""Each function of minibox.syscalls, used by an unprivileged user in namespaces of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from minibox import syscalls

USES = Path(__file__).with_name("syscall_uses.py")


def needed(name: str) -> list[str]:
    """What a use takes beside a user namespace."""
    if name == "landlock_add_port":
        return ["landlock.scope"]                           # which came after TCP
    return ["landlock"] if name.startswith("landlock") else []


@pytest.mark.needs("userns")
@pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.needs(*needed(name))) for name in syscalls.FUNCTIONS])
def test_each_function_does_what_it_says_and_an_error_says_call_and_arguments(user_boxed, name):
    done = user_boxed.command(*user_boxed.python, str(USES), name)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.needs("userns")
def test_an_error_can_be_said_where_there_are_no_files_at_all(user_boxed):
    """What Python would load late, such as a codec, is not there in a new root that is empty."""
    script = ("from minibox.syscalls import *\n"
              "unshare(CLONE_NEWUSER | CLONE_NEWNS)\n"
              "mount('tmpfs', '/tmp', 'tmpfs'); chroot('/tmp')\n"
              "syscall_number('mount')\n"
              "try: mount('proc', '/proc', 'proc', MS_NOSUID)\n"
              "except SyscallError as error: print(error)\n")
    done = user_boxed.command(*user_boxed.python, "-c", script)
    assert done.stdout == ('mount("proc", "/proc", "proc", MS_NOSUID, NULL) = -1 ENOENT: No such '
                           "file or directory. The source or the target is not there: make the "
                           "mount point first.\n"), done.stderr
