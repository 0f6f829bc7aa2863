"""The recipes, really built, and boxes in what they make; as root and as an unprivileged user."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from stat import S_ISREG

import pytest

pytestmark = pytest.mark.needs("userns", "overlay", "busybox")


@pytest.fixture
def built(boxed):
    """A function that builds a recipe, in a place of the test's own; the end takes it away."""
    boxed.environment["XDG_DATA_HOME"] = str(boxed.scratch / "data")
    made = []

    def build(name):
        made.append(name)
        done = boxed.minibox("rootfs", "build", name, timeout=600)
        assert done.returncode == 0, done.stderr
        return name

    yield build
    for name in made:
        done = boxed.minibox("rootfs", "rm", name)
        assert done.returncode == 0, done.stderr
    assert os.listdir(boxed.scratch / "data/minibox/rootfs") == []


def listed(boxed):
    """Name to path of each that is there."""
    have = json.loads(boxed.minibox("rootfs", "ls", "--json").stdout)
    return {one["name"]: Path(one["path"]) for one in have}


def test_busybox_runs_by_name(boxed, built):
    done = boxed("--rootfs", built("busybox"), "--", "sh", "-c",
                 "id -un; echo hello | tr a-z A-Z; env -i /usr/bin/env A=b | /bin/cat; ls /usr")
    assert (done.status, done.out.split()) == (0, ["root", "HELLO", "A=b", "bin", "lib", "sbin"])


@pytest.mark.parametrize("flags", [("--read-only",), ("--user", "1000"), ("--root-by", "chroot")])
def test_busybox_runs_in_every_kind_of_box(boxed, built, flags):
    done = boxed("--rootfs", built("busybox"), *flags, "--", "sh", "-c", "head -n 1 /etc/passwd")
    assert (done.status, done.out) == (0, "root:x:0:0:root:/root:/bin/sh\n"), done


def test_python_runs_by_name_with_its_whole_library(boxed, built):
    modules = "bz2, ctypes, hashlib, json, lzma, multiprocessing, sqlite3, ssl, uuid, zlib"
    done = boxed("--rootfs", built("python"), "--", "python3", "-c",
                 f"import {modules}, subprocess; subprocess.run(['sh', '-c', 'echo hello'])")
    assert (done.status, done.out) == (0, "hello\n"), done


@pytest.mark.needs("mmdebstrap", "subids")
def test_debian_runs_by_name(boxed, built):
    name = built("debian-minimal")
    script = ". /etc/os-release; echo $ID; perl -e 'print 6 * 7'; dpkg --audit"
    done = boxed("--rootfs", name, "--", "bash", "-c", script)
    assert (done.status, done.out) == (0, "debian\n42"), done
    root = listed(boxed)[name]
    files = [path.lstat() for path in root.rglob("*")]
    assert not [one for one in files if S_ISREG(one.st_mode) and one.st_mode & 0o6000]
    assert os.listdir(root / "dev") == []
    if boxed.uid != 0:
        assert {(one.st_uid, one.st_gid) for one in files} == {(boxed.uid, boxed.gid)}


@pytest.mark.needs("mmdebstrap", "subids")
def test_a_killed_build_of_debian_leaves_no_process_and_no_mount(boxed, built):
    """The fixture `nothing_is_left` looks for them."""
    process = subprocess.Popen(
        [*boxed.prefix, *boxed.python, "-m", "minibox", "rootfs", "build", "debian-minimal"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env=boxed.environment, cwd="/")
    with process:
        try:
            while "downloading" not in process.stderr.readline():
                assert process.poll() is None
        finally:
            process.kill()
    built("busybox")                                        # sweeps, and is taken away


@pytest.mark.needs("subids")
def test_files_of_other_ids_of_the_user_can_be_removed(boxed, built):
    name = built("busybox")
    theirs = listed(boxed)[name] / "theirs"
    own_ids = () if boxed.uid == 0 else ("unshare", "--user", "--map-root-user", "--map-auto")
    done = boxed.command(*own_ids, "sh", "-c", 'mkdir -m 700 "$0"; echo x >"$0/file"; '
                         'chown -R 5:5 "$0"', str(theirs))
    assert done.returncode == 0 and theirs.stat().st_uid != boxed.uid, done.stderr


def test_a_name_that_was_not_built_says_how(boxed):
    done = boxed.minibox("run", "--rootfs", "debian-minimal.not", "--", "true")
    assert done.returncode == 125 and "build one of" in done.stderr
