"""Experiments run, are interrupted and go on, and end as a page that a browser shows."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from browser import browse

from minibox.testing.experiment import load
from minibox.testing.experiment.runner import tied

SMALL = """\
title = "Small & quick"
question = "Does a cap on processes hold?"
repetitions = 4
seed = 9
[workload]
command = ["sh", "-c", "i=0; while [ $i -lt 20 ]; do echo $i 1.5; i=$((i + 1)); done"]
[[factor]]
name = "pids"
[factor.levels]
few = ["--pids-limit", "20"]
many = ["--pids-limit", "200"]
[measure]
set-up = { from = "usage.setup_s", scale = 1000, unit = "ms" }
load = { from = "stdout", series = true }
"""


def start(boxed: Any, text: str, name: str = "small") -> Path:
    path = Path(boxed.scratch) / f"{name}.toml"
    path.write_text(text)
    os.chmod(boxed.scratch, 0o777)
    return path


def begun(boxed: Any, path: Path) -> subprocess.Popen[bytes]:
    """An experiment to be killed: the temporary files that it leaves then are the test's."""
    return subprocess.Popen(
        [*boxed.python, "-m", "minibox", "experiment", "run", str(path), "--quiet"],
        cwd=boxed.scratch, env={**boxed.environment, "TMPDIR": str(boxed.scratch)},
        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def run(boxed: Any, path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    done = boxed.minibox("experiment", "run", str(path), "--quiet", *options, cwd=boxed.scratch)
    assert isinstance(done, subprocess.CompletedProcess)
    return done


def samples(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()[1:]]


def test_an_experiment_ends_as_samples_and_a_page(boxed: Any) -> None:
    done = run(boxed, start(boxed, SMALL))
    assert (done.returncode, done.stdout) == (0, "small.html\n"), done.stderr
    found = samples(boxed.scratch / "small.jsonl")
    assert len(found) == 8 and {one["error"] for one in found} == {""}
    assert all(one["figures"]["set-up"] > 0 and one["figures"]["load"] == 1.5 for one in found)
    assert all(len(one["series"]["load"]) == 20 for one in found)
    page = (boxed.scratch / "small.html").read_text()
    assert page.count("<svg") == 5 and "8 of 8 runs" in page and "Small &amp; quick" in page
    assert not re.search(r'(src|href)="(?!#)|url\((?!#)', page)         # it fetches nothing


@pytest.mark.needs("root", "chromium")
def test_a_browser_shows_the_page_with_its_pictures(root_boxed: Any) -> None:
    assert run(root_boxed, start(root_boxed, SMALL)).returncode == 0
    text = browse(root_boxed.scratch / "small.html")
    assert "<h1>Small &amp; quick</h1>" in text and "Effect of each factor" in text
    assert text.count("</svg>") == 5 and "share of the runs" in text


def test_what_was_killed_goes_on_where_it_was(root_boxed: Any) -> None:
    path = start(root_boxed, SMALL.replace("repetitions = 4", "repetitions = 20"))
    file = root_boxed.scratch / "small.jsonl"
    with begun(root_boxed, path) as process:
        until = time.monotonic() + 60
        while not (file.exists() and file.read_text().count("\n") > 5):
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    before = file.read_text()
    complete = before[:before.rfind("\n") + 1]
    file.write_text(complete + '{"cell": {"pids": "fe')                 # a line that was torn
    done = run(root_boxed, path)
    assert done.returncode == 0, done.stderr
    assert file.read_text().startswith(complete)
    assert f"{40 - complete.count(chr(10)) + 1} runs" in done.stderr
    keys = [(one["cell"]["pids"], one["repetition"]) for one in samples(file)]
    assert len(keys) == len(set(keys)) == 40


def beside_a_hog(boxed: Any, seconds: float) -> Path:
    """An experiment of four runs that take so long, beside a neighbour with caps."""
    caps = '{ neighbour = "hog", beside = ["-m", "64M", "--cgroups", "enabled"] }'
    hog = '[neighbour]\nhog = ["sh", "-c", "echo ready; while :; do :; done"]\n'
    text = SMALL.replace("repetitions = 4", "repetitions = 2").replace(
        "i=0;", f"i=0; sleep {seconds};").replace("[[factor]]", hog + "[[factor]]")
    for cap in ("20", "200"):
        text = text.replace(f'["--pids-limit", "{cap}"]', caps)
    return start(boxed, text)


@pytest.mark.needs("root", "cgroup.memory")
def test_a_neighbour_takes_its_cgroups_along(root_boxed: Any) -> None:
    """The fixture looks for what is left."""
    assert run(root_boxed, beside_a_hog(root_boxed, 0.1)).returncode == 0
    assert len(samples(root_boxed.scratch / "small.jsonl")) == 4


@pytest.mark.needs("root", "cgroup.memory")
def test_a_run_and_its_neighbour_end_with_an_experiment_that_is_killed(root_boxed: Any) -> None:
    with begun(root_boxed, beside_a_hog(root_boxed, 60)) as process:
        until = time.monotonic() + 60
        boxes: list[psutil.Process] = []
        names: set[str] = set()
        while "sleep" not in names:
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.05)
            with contextlib.suppress(psutil.NoSuchProcess):
                boxes = psutil.Process(process.pid).children(recursive=True)
                names = {one.name() for one in boxes}
        process.send_signal(signal.SIGKILL)
    assert psutil.wait_procs(boxes, timeout=20)[1] == []


def test_what_an_experiment_starts_does_not_begin_when_that_has_ended() -> None:
    argv = [str(os.getppid()) if one == str(os.getpid()) else one for one in tied("minibox")]
    done = subprocess.run([*argv, "run", "--", "echo", "ran"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "minibox: what started it has ended\n"


def test_samples_of_another_experiment_are_left_alone(boxed: Any) -> None:
    path = start(boxed, SMALL)
    assert run(boxed, path).returncode == 0
    before = (boxed.scratch / "small.jsonl").read_text()
    path.write_text(SMALL.replace("repetitions = 4", "repetitions = 5"))
    done = run(boxed, path)
    assert done.returncode == 125 and "name another file" in done.stderr
    assert (boxed.scratch / "small.jsonl").read_text() == before


@pytest.mark.parametrize("text", ["dear diary", "dear diary\nand", '{"a": 1}\n{"b"'])
def test_a_file_that_is_no_samples_is_left_alone(boxed: Any, text: str) -> None:
    path = start(boxed, SMALL)
    file = boxed.scratch / "diary"
    file.write_text(text)
    file.chmod(0o666)
    done = run(boxed, path, "--samples", str(file))
    assert done.returncode == 125 and "it has no samples of an experiment" in done.stderr
    assert file.read_text() == text


def test_a_cell_that_cannot_run_here_is_named_and_no_other_is_lost(boxed: Any) -> None:
    text = SMALL.replace('many = ["--pids-limit", "200"]', 'many = ["--rootfs", "/nowhere/at/all"]')
    path = start(boxed, text)
    done = run(boxed, path)
    assert done.returncode == 125 and "it cannot be reached" in done.stderr   # before anything ran
    text = SMALL.replace('many = ["--pids-limit", "200"]',
                         f'many = ["-v", "{boxed.scratch}/gone:/x"]')
    (boxed.scratch / "other.toml").write_text(text)
    done = run(boxed, boxed.scratch / "other.toml")
    assert done.returncode == 0, done.stderr
    found = samples(boxed.scratch / "other.jsonl")
    assert sum(bool(one["error"]) for one in found) == 4
    page = (boxed.scratch / "other.html").read_text()
    assert "What could not run here" in page and "4 of 8 runs" in page
    assert "4 runs could not be made: " in done.stderr


def test_a_workload_that_fails_is_measured_and_named(boxed: Any) -> None:
    check = "[ $(ulimit -n) -gt 99 ] || { echo no >&2; exit 3; }; "
    text = SMALL.replace('"i=0; while', f'"{check}i=0; while').replace(
        '"--pids-limit", "20"', '"--ulimit", "nofile=20"').replace(
        '"--pids-limit", "200"', '"--ulimit", "nofile=200"')
    done = run(boxed, start(boxed, text))
    assert done.returncode == 0, done.stderr
    ended = {(one["cell"]["pids"], one["ended"]) for one in samples(boxed.scratch / "small.jsonl")}
    assert ended == {("few", "exited with status 3: no"), ("many", "")}
    assert "Measured, but it did not exit with 0" in (boxed.scratch / "small.html").read_text()
    assert "4 runs did not exit with 0: exited with status 3: no" in done.stderr


def test_probes_become_a_matrix(boxed: Any) -> None:
    text = ('title = "P"\nquestion = "?"\nrepetitions = 1\n[workload]\nprobes = ["leaks"]\n'
            '[[factor]]\nname = "without"\n[factor.levels]\nnothing = []\n'
            'uts = ["--without", "uts"]\n')
    done = run(boxed, start(boxed, text))
    assert done.returncode == 0, done.stderr
    opened = {one["cell"]["without"]: one["open"] for one in samples(boxed.scratch / "small.jsonl")}
    assert opened["nothing"] == [] and "leaks.hostname" in opened["uts"]
    assert "leaks.hostname" in (boxed.scratch / "small.html").read_text()


def test_chroot_alone_leaves_the_host_beneath_for_who_may_unmount(boxed: Any) -> None:
    os.chmod(boxed.scratch, 0o777)
    done = run(boxed, Path("chroot"))
    assert done.returncode == 0, done.stderr
    found = samples(boxed.scratch / "chroot.jsonl")
    assert len(found) == 12 and {one["error"] for one in found} == {""}
    ways_out = [tuple(one["cell"].values()) for one in found if any(one["figures"].values())]
    assert ways_out == [("chroot", "chroot and mount", "that of its mounts")]
    assert {one["figures"]["above"] for one in found} == {0}


@pytest.mark.needs("root", "cgroup.memory", "cgroup.pids", "cgroup.cpu")
def test_caps_are_what_was_asked_for(root_boxed: Any) -> None:
    """To a page batch of memory (64 pages that the kernel charges in advance), and exactly as many
    processes; of the CPU no more than its cap: less is what others on this machine took."""
    path = start(root_boxed, load("caps").text.replace("repetitions = 5", "repetitions = 1"))
    done = run(root_boxed, path)
    assert done.returncode == 0, done.stderr
    found = samples(root_boxed.scratch / "small.jsonl")
    assert len(found) == 8 and all("of memory" in one["ended"] for one in found)
    for figures in (one["figures"] for one in found):
        assert figures["pids"] == 1
        assert abs(figures["memory"] - 1) * (64 << 20) <= 64 * os.sysconf("SC_PAGE_SIZE")
        assert 0.3 < figures["cpus"] < 1.08


@pytest.mark.needs("root", "cgroup.memory", "cgroup.pids", "cgroup.cpu", "cgroup.io")
@pytest.mark.parametrize("name", ["cost", "namespaces", "neighbour", "rootless"])
def test_the_other_experiments_that_come_along_run_whole(root_boxed: Any, name: str) -> None:
    path = start(root_boxed, re.sub("repetitions = [0-9]+", "repetitions = 1", load(name).text))
    done = run(root_boxed, path)
    assert done.returncode == 0, done.stderr
    found = samples(root_boxed.scratch / "small.jsonl")
    assert len(found) > 3 and {one["error"] for one in found} == {""}
    assert all(one["figures"] and None not in one["figures"].values() for one in found)


@pytest.mark.needs("bwrap")
def test_other_runtimes_are_levels_too(boxed: Any) -> None:
    text = SMALL.replace('few = ["--pids-limit", "20"]', 'few = { runtime = "bwrap" }').replace(
        'many = ["--pids-limit", "200"]', 'many = { runtime = "none" }').replace(
        'from = "usage.setup_s"', 'from = "usage.wall_s"')
    done = run(boxed, start(boxed, text))
    assert done.returncode == 0, done.stderr
    found = samples(boxed.scratch / "small.jsonl")
    assert all(one["figures"]["set-up"] > 0 and one["figures"]["load"] == 1.5 for one in found)
    (boxed.scratch / "caps.toml").write_text(text.replace(
        'few = { runtime = "bwrap" }',
        'few = { runtime = "bwrap", options = ["--pids-limit", "9"] }'))
    assert run(boxed, boxed.scratch / "caps.toml").returncode == 0
    errors = {one["error"] for one in samples(boxed.scratch / "caps.jsonl")}
    assert errors == {"", "bwrap cannot express pids='9'"}


@pytest.mark.needs("bwrap")
def test_probes_of_other_runtimes_stand_in_the_matrix(boxed: Any) -> None:
    text = ('title = "P"\nquestion = "?"\nrepetitions = 1\n[workload]\n'
            'probes = ["processes"]\n[[factor]]\nname = "runtime"\n[factor.levels]\n'
            'minibox = []\nbwrap = { runtime = "bwrap" }\n')
    done = run(boxed, start(boxed, text))
    assert done.returncode == 0, done.stderr
    opened = {one["cell"]["runtime"]: one["open"] for one in samples(boxed.scratch / "small.jsonl")}
    assert opened["minibox"] == [] and opened["bwrap"]


def test_a_neighbour_runs_beside_and_ends_with_the_run(boxed: Any) -> None:
    text = SMALL.replace('few = ["--pids-limit", "20"]', 'few = { neighbour = "idle" }').replace(
        "[[factor]]", '[neighbour]\nidle = ["sh", "-c", "echo ready; exec sleep 60"]\n[[factor]]')
    begin = time.monotonic()
    done = run(boxed, start(boxed, text))
    assert done.returncode == 0, done.stderr
    assert {one["error"] for one in samples(boxed.scratch / "small.jsonl")} == {""}
    assert time.monotonic() - begin < 60


@pytest.mark.parametrize(("arguments", "said"), [
    (("run", "/none.toml"), "these come with minibox: caps"), (("run",), "say list, show NAME"),
    (("run", "/etc/passwd"), "'/etc/passwd': Expected '='"),
    (("report", "/etc/passwd"), "it has no samples"), (("report", "/none"), "No such file"),
    (("frobnicate",), "say list, show NAME")])
def test_bad_input_is_named(boxed: Any, arguments: tuple[str, ...], said: str) -> None:
    done = boxed.minibox("experiment", *arguments)
    assert (done.returncode, done.stdout) == (125, "")
    assert said in done.stderr and "Traceback" not in done.stderr


def test_a_full_disk_is_named_and_what_was_kept_is_whole(root_boxed: Any) -> None:
    path = start(root_boxed, SMALL.replace("repetitions = 4", "repetitions = 30"))
    small = root_boxed.scratch / "disk"
    small.mkdir()
    code = ('mount -t tmpfs -o size=8k tmpfs "$1" && shift && "$@"; status=$?; '
            'cat "$0"; exit $status')
    done = root_boxed.command(
        "unshare", "--mount", "sh", "-c", code, str(small / "s.jsonl"), str(small),
        *root_boxed.python, "-m", "minibox", "experiment", "run", str(path), "--quiet",
        "--samples", str(small / "s.jsonl"), cwd=root_boxed.scratch)
    assert done.returncode == 125 and "make room, and run it again" in done.stderr
    kept = done.stdout.splitlines()
    assert len(kept) > 1 and all(json.loads(line) for line in kept)


def test_a_report_that_finds_no_room_is_named_and_nothing_of_it_stays(root_boxed: Any) -> None:
    assert run(root_boxed, start(root_boxed, SMALL)).returncode == 0
    small = root_boxed.scratch / "disk"
    small.mkdir()
    done = root_boxed.command(
        "unshare", "--mount", "sh", "-c",
        'mount -t tmpfs -o size=8k tmpfs "$0" && "$@"; status=$?; ls -A "$0"; exit $status',
        str(small), *root_boxed.python, "-m", "minibox", "experiment", "report",
        str(root_boxed.scratch / "small.jsonl"), "--html", str(small / "x.html"))
    assert (done.returncode, done.stdout) == (125, "")
    assert f"{small}/x.html: No space left on device" in done.stderr
