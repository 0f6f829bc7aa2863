"""No box leaves a set-user-ID file on the host: there it would be its caller's own, or root's."""

from __future__ import annotations

import os
import stat

import pytest

pytestmark = pytest.mark.needs("userns")

ATTEMPTS = """
import ctypes, os, stat
libc = ctypes.CDLL(None, use_errno=True)
where = "/shared/"
os.close(os.open(where + "file", os.O_CREAT | os.O_WRONLY, 0o644))

def call(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "")

def openat2():
    how = (ctypes.c_uint64 * 3)(os.O_CREAT | os.O_WRONLY, 0o4755, 0)
    call(437, -100, (where + "openat2").encode(), how, ctypes.sizeof(how))

attempts = {
    "chmod": lambda: os.chmod(where + "file", 0o4755),
    "chmod-group": lambda: os.chmod(where + "file", 0o2755),
    "fchmod": lambda: os.fchmod(os.open(where + "file", os.O_RDONLY), 0o6755),
    "fchmodat": lambda: os.chmod("file", 0o4755, dir_fd=os.open(where, os.O_RDONLY)),
    "fchmodat2": lambda: call(452, -100, (where + "file").encode(), 0o4755, 0),
    "open": lambda: os.open(where + "open", os.O_CREAT | os.O_WRONLY, 0o4755),
    "unnamed": lambda: os.open(where, os.O_TMPFILE | os.O_WRONLY, 0o4755),
    "openat2": openat2,
    "mknod": lambda: os.mknod(where + "mknod", stat.S_IFREG | 0o4755),
    "mknodat": lambda: os.mknod("mknodat", stat.S_IFREG | 0o4755,
                                dir_fd=os.open(where, os.O_RDONLY)),
    "directory": lambda: os.chmod(where, 0o2777),
    "plain": lambda: os.chmod(where + "file", 0o755),
}
for name, attempt in attempts.items():
    try:
        attempt()
    except OSError as error:
        print(name, error.errno)
    else:
        print(name, "done")
"""


@pytest.fixture
def shared(boxed):
    """A directory of the caller's, for a volume."""
    path = boxed.scratch / "shared"
    path.mkdir()
    os.chown(path, boxed.uid, boxed.gid)
    return path


def set_ids(top):
    """The names below *top* that have a set-user-ID or set-group-ID bit."""
    return {path.name for path in (top, *top.rglob("*")) if path.lstat().st_mode & 0o6000}


def outcomes(done):
    assert done.reason == "exited" and done.status == 0, done
    return dict(line.split() for line in done.out.splitlines())


def test_no_call_makes_a_set_id_file_on_a_volume(boxed, shared):
    found = outcomes(boxed("-v", f"{shared}:/shared", "--", "python3", "-c", ATTEMPTS))
    assert found.pop("plain") == "done" and found.pop("openat2") == "38", found
    assert set(found.values()) <= {"1", "38"} and len(found) == 10, found
    assert set_ids(shared) == set() and stat.S_IMODE((shared / "file").stat().st_mode) == 0o755


def test_without_the_filter_it_would_be_the_callers_own(boxed, shared):
    """The control: it is this wall, and no other, that keeps root's host from a root shell."""
    found = outcomes(boxed("-v", f"{shared}:/shared", "--security-opt", "seccomp=unconfined", "--",
                           "python3", "-c", ATTEMPTS))
    made = {name for name, how in found.items() if how == "done"}
    assert {"chmod", "fchmod", "open", "openat2", "mknod"} <= made, found
    assert (shared / "open").stat().st_uid == boxed.uid
    assert {"open", "openat2", "mknod"} <= set_ids(shared)


def test_what_stays_in_the_box_may_have_any_mode(boxed):
    """As a package manager needs it; every mount is nosuid."""
    done = boxed("--", "/bin/sh", "-c", "touch /tmp/x && chmod 4755 /tmp/x && stat -c %a /tmp/x")
    assert (done.status, done.out) == (0, "4755\n"), done


@pytest.mark.needs("busybox", "overlay")
@pytest.mark.parametrize("mode", ["--rw", "--keep"])
def test_no_root_that_lasts_gets_a_set_id_file(boxed, busybox, shared, mode):
    (busybox / "bin/chmod").symlink_to("busybox")
    flags = ("--rw",) if mode == "--rw" else ("--keep", str(shared))
    done = boxed("--rootfs", str(busybox), *flags, "--", "/bin/sh", "-c",
                 "echo x >/etc/x; chmod 4755 /etc/x || chmod 755 /etc/x")
    assert done.status == 0 and "not permitted" in done.err, done
    assert set_ids(busybox) | set_ids(shared) == set()


def test_to_write_to_a_set_id_file_of_a_volume_takes_its_bits(root_boxed):
    path = root_boxed.scratch / "shared"
    path.mkdir()
    (path / "program").write_bytes(b"old")
    (path / "program").chmod(0o6755)
    done = root_boxed("-v", f"{path}:/shared", "--", "/bin/sh", "-c", "echo new >/shared/program")
    assert done.status == 0 and (path / "program").read_text() == "new\n", done
    assert set_ids(path) == set()


CAPABLE = bytes.fromhex("01000002" "ffffffff" "00000000" "ff010000" "00000000").hex()
"""struct vfs_cap_data: all that whoever executes it may have."""


def test_no_program_of_roots_gets_capabilities_that_count_on_the_host(root_boxed):
    path = root_boxed.scratch / "shared"
    path.mkdir()
    (path / "program").touch()
    give = ("import os; os.setxattr('/shared/program', 'security.capability', "
            f"bytes.fromhex('{CAPABLE}'))")
    argv = ("--cap-add", "SETFCAP", "-v", f"{path}:/shared", "--", "python3", "-c", give)
    done = root_boxed(*argv)
    assert done.status == 1 and "PermissionError" in done.err, done
    assert os.listxattr(path / "program") == []
    control = root_boxed("--without", "seccomp", *argv)
    assert control.status == 0 and os.listxattr(path / "program") == ["security.capability"]
