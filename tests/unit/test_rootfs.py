"""Root file systems by name: whole or not there, whatever interrupts their making."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
import sys
import threading

import pytest

from minibox import rootfs
from minibox.errors import HostError, SpecError

SLOW = """#!/bin/sh
set -e
mkdir -p "$1/bin"; echo hello >"$1/bin/file"; chmod 500 "$1/bin"
echo 50 half
[ ! -e {gate} ] || cat {gate}
[ ! -e {failing} ] || { echo "it went wrong" >&2; exit 3; }
echo 100 done
"""


@pytest.fixture
def recipes(tmp_path, monkeypatch):
    """A recipe "slow", which waits at the pipe `gate` if there is one, and fails if `failing` is there."""
    base = tmp_path / "recipes"
    (base / "slow").mkdir(parents=True)
    (base / "slow/recipe.toml").write_text('description = "a test"\nseconds = 1\nmegabytes = 1\n')
    script = base / "slow/build"
    script.write_text(SLOW.replace("{gate}", str(tmp_path / "gate"))
                      .replace("{failing}", str(tmp_path / "failing")))
    script.chmod(0o755)
    data = tmp_path / "data"
    monkeypatch.setattr(rootfs, "recipes_directory", lambda: str(base))
    monkeypatch.setattr(rootfs, "directory", lambda: str(data))
    return tmp_path


def left(recipes):
    """What lies in the data directory."""
    return sorted(os.listdir(recipes / "data")) if (recipes / "data").exists() else []


@pytest.mark.parametrize("name", ["", "A", "../x", "x/y", ".x", "-x", "x" * 65, "x y", "x\n", "é",
                                  "x.building"])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(SpecError) as caught:
        rootfs.path_of(name)
    assert caught.value.field == "rootfs" and caught.value.value == name


def test_every_recipe_is_complete():
    names = rootfs.recipe_names()
    assert {"busybox", "debian-minimal", "python"} <= set(names)
    for name in names:
        found = rootfs.recipe(name)
        assert found.description and found.seconds > 0 and found.megabytes > 0
        assert os.access(found.directory + "/build", os.X_OK)


def test_a_build_is_there_whole_and_tells_its_progress(recipes):
    told = []
    path = rootfs.build("slow", progress=lambda percent, what: told.append((percent, what)))
    assert told == [(50, "half"), (100, "done")]
    with open(path + "/bin/file") as file:
        assert file.read() == "hello\n"
    assert left(recipes) == ["slow"]
    assert [(one.name, one.bytes_) for one in rootfs.ls()] == [("slow", 6)]


def test_a_second_build_is_refused_and_forced_replaces(recipes):
    path = rootfs.build("slow")
    os.chmod(path + "/bin", 0o700)
    os.unlink(path + "/bin/file")
    with pytest.raises(SpecError, match="--force"):
        rootfs.build("slow")
    rootfs.build("slow", force=True)
    assert os.path.exists(path + "/bin/file") and left(recipes) == ["slow"]


def test_a_failed_build_says_its_last_words_and_leaves_nothing(recipes):
    (recipes / "failing").touch()
    with pytest.raises(HostError) as caught:
        rootfs.build("slow")
    assert "status 3" in caught.value.probe and "it went wrong" in caught.value.hint
    assert left(recipes) == []


def test_a_failed_rebuild_keeps_what_was_there(recipes):
    path = rootfs.build("slow")
    (recipes / "failing").touch()
    with pytest.raises(HostError):
        rootfs.build("slow", force=True)
    assert os.path.exists(path + "/bin/file") and left(recipes) == ["slow"]


def test_two_builds_of_one_name_do_not_meet(recipes):
    os.mkfifo(recipes / "gate")
    half, errors = threading.Event(), []
    thread = threading.Thread(target=lambda: errors.append(
        rootfs.build("slow", progress=lambda *_: half.set())))
    thread.start()
    try:
        assert half.wait(20)
        with pytest.raises(SpecError, match="being built"):
            rootfs.build("slow")
    finally:
        with open(recipes / "gate", "w") as gate:
            gate.write("")
        thread.join(20)
    assert errors == [str(recipes / "data/slow")] and left(recipes) == ["slow"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_leaves_nothing(recipes, number):
    os.mkfifo(recipes / "gate")
    process = start(recipes)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode != 0 and left(recipes) == []


def test_what_a_killed_build_left_is_swept_by_the_next(recipes):
    os.mkfifo(recipes / "gate")
    process = start(recipes)
    process.kill()
    process.communicate(timeout=30)
    assert left(recipes) == ["slow.building"]
    os.unlink(recipes / "gate")
    rootfs.build("slow")
    assert left(recipes) == ["slow"]


def test_a_build_at_work_is_not_swept(recipes):
    os.makedirs(recipes / "data/other.building")
    lock = os.open(recipes / "data/other.building", os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        rootfs.sweep()
        assert left(recipes) == ["other.building"]
    finally:
        os.close(lock)
    rootfs.sweep()
    assert left(recipes) == []


def test_removal_takes_all_and_follows_no_link(recipes):
    outside = recipes / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    path = rootfs.build("slow")
    os.chmod(path, stat.S_IRWXU)
    os.symlink(outside, path + "/link")
    rootfs.remove("slow")
    assert left(recipes) == [] and (outside / "precious").exists()
    with pytest.raises(SpecError, match="there is none"):
        rootfs.remove("slow")


def start(recipes):
    """A build in a process of its own, as the command does it, that waits at the gate."""
    program = (f"from minibox import rootfs\nrootfs.recipes_directory = lambda: {str(recipes / 'recipes')!r}\n"
               f"rootfs.directory = lambda: {str(recipes / 'data')!r}\n"
               "from minibox.cli import main\nraise SystemExit(main(['rootfs', 'build', 'slow']))\n")
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)
    assert "50 % half" in process.stderr.readline()
    return process
