"""Root file systems by name: whole or not there, whatever interrupts their making."""

from __future__ import annotations

import fcntl
import itertools
import os
import select
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
mkdir -p "$1/bin"; echo hello >"$1/bin/file"; chmod 4755 "$1/bin/file"; chmod 500 "$1/bin"
echo 50 half
[ ! -e {gate} ] || cat {gate}
[ ! -e {failing} ] || { echo "it went wrong" >&2; exit 3; }
echo 90 nearly
"""

COMMAND = """
from minibox import rootfs
from minibox.cli import main

rootfs.recipes_directory, rootfs.directory = lambda: {recipes!r}, lambda: {data!r}
raise SystemExit(main(["rootfs", "build", "slow"]))
"""


@pytest.fixture
def recipes(tmp_path, monkeypatch):
    """A recipe "slow": it waits at the pipe `gate` if that is there, and fails if `failing` is."""
    base = tmp_path / "recipes"
    (base / "slow").mkdir(parents=True)
    (base / "slow/recipe.toml").write_text('description = "a test"\nseconds = 1\nmegabytes = 1\n')
    script = base / "slow/build"
    script.write_text(SLOW.replace("{gate}", str(tmp_path / "gate"))
                      .replace("{failing}", str(tmp_path / "failing")))
    script.chmod(0o755)
    monkeypatch.setattr(rootfs, "recipes_directory", lambda: str(base))
    monkeypatch.setattr(rootfs, "directory", lambda: str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def command(recipes):
    """A build by the command, in a process of its own, that waits at the gate."""
    os.mkfifo(recipes / "gate")
    program = COMMAND.format(recipes=str(recipes / "recipes"), data=str(recipes / "data"))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True) as process:
        try:
            while "half" not in process.stderr.readline():
                assert process.poll() is None
            yield process
        finally:
            process.kill()


def left(recipes):
    """What lies in the data directory."""
    return sorted(os.listdir(recipes / "data")) if (recipes / "data").exists() else []


@pytest.mark.parametrize("name", ["", "A", "../x", "x/y", ".x", "-x", "x" * 65, "x y", "x\n", "é"])
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
    assert list(dict.fromkeys(told)) \
        == [(0, ""), (50, "half"), (90, "nearly"), (95, "writing to disk"), (100, "done")]
    with open(path + "/bin/file") as file:
        assert file.read() == "hello\n"
    assert left(recipes) == ["slow"]
    assert [(one.name, one.bytes_) for one in rootfs.ls()] == [("slow", 6)]


def test_no_set_id_program_stays(recipes):
    assert stat.S_IMODE(os.stat(rootfs.build("slow") + "/bin/file").st_mode) == 0o755


def test_a_second_build_is_refused_and_forced_replaces(recipes):
    path = rootfs.build("slow")
    os.chmod(path + "/bin", 0o700)
    os.unlink(path + "/bin/file")
    with pytest.raises(SpecError, match="--force"):
        rootfs.build("slow")
    rootfs.build("slow", force=True)
    assert os.path.exists(path + "/bin/file") and left(recipes) == ["slow"]


def test_a_name_always_has_its_root_file_system_while_that_is_replaced(recipes):
    path, over, gone = rootfs.build("slow"), threading.Event(), []

    def watch():
        while not over.is_set():
            if not os.path.exists(path + "/bin/file"):
                gone.append(path)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        for _ in range(10):
            rootfs.build("slow", force=True)
    finally:
        over.set()
        thread.join()
    assert gone == []


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


def test_two_builds_of_one_name_do_not_meet(recipes, command):
    with pytest.raises(SpecError, match="being built"):
        rootfs.build("slow")
    (recipes / "gate").write_text("")
    assert command.wait(30) == 0 and left(recipes) == ["slow"]


def test_a_build_interrupted_at_any_moment_leaves_nothing(recipes):
    for moment in itertools.count():
        calls = itertools.count()

        def interrupt(_percent, _what, moment=moment, calls=calls):
            if next(calls) == moment:
                raise KeyboardInterrupt

        try:
            rootfs.build("slow", progress=interrupt)
        except KeyboardInterrupt:
            assert left(recipes) == [], moment
        else:
            break
    assert moment >= 5 and left(recipes) == ["slow"]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_build_and_all_its_programs(recipes, command, number):
    with open(recipes / "gate", "w") as gate:
        command.send_signal(number)
        assert command.wait(30) == 128 + number and left(recipes) == []
        poll = select.poll()
        poll.register(gate, 0)
        assert poll.poll(30_000) == [(gate.fileno(), select.POLLERR)], "nobody waits there any more"


def test_what_a_killed_build_left_is_swept_when_its_programs_have_ended(recipes, command):
    command.kill()
    command.wait(30)
    assert left(recipes) == [".slow"]
    with pytest.raises(SpecError, match="being built"):
        rootfs.build("slow")
    lock = os.open(recipes / "data/.slow", os.O_RDONLY)
    try:
        (recipes / "gate").write_text("")
        fcntl.flock(lock, fcntl.LOCK_EX)                    # waits until they have
    finally:
        os.close(lock)
    os.unlink(recipes / "gate")
    rootfs.build("slow")
    assert left(recipes) == ["slow"]


def test_a_workspace_in_use_is_not_swept(recipes):
    with rootfs.Workspace("other"):
        rootfs.sweep()
        assert left(recipes) == [".other"]
    assert left(recipes) == []


def test_removal_takes_all_and_follows_no_link(recipes):
    outside = recipes / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    path = rootfs.build("slow")
    os.symlink(outside, path + "/link")
    rootfs.remove("slow")
    assert left(recipes) == [] and (outside / "precious").exists()
    with pytest.raises(SpecError, match="there is none"):
        rootfs.remove("slow")
