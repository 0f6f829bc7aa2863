"""What is known about probes, and the program that runs them, fit together."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
from pathlib import Path

import minibox
from minibox.probe.record import Probe
from minibox.spec import LAYERS

GROUPS = ("files", "processes", "network", "devices", "kernel", "resources", "privileges", "leaks")
PROGRAM = Path(os.environ.get("MINIBOX_PROBE")
               or Path(minibox.__file__).with_name("minibox-probe"))
OUTCOME = re.compile(r"held|timeout|E[A-Z0-9]+|SIG[A-Z0-9]+")


def probes() -> list[Probe]:
    return [probe for group in GROUPS
            for probe in importlib.import_module(f"minibox.probe.{group}").PROBES]


def run(*arguments: str) -> list[str]:
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_the_program_has_the_probes_that_are_described() -> None:
    assert run("--list") == [probe.id for probe in probes()]


def test_no_two_probes_have_the_same_name() -> None:
    ids = [probe.id for probe in probes()]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(rf"({'|'.join(GROUPS)})\.[a-z0-9]+(-[a-z0-9]+)*", one) for one in ids)


def test_each_probe_says_what_it_asks_and_why() -> None:
    for probe in probes():
        assert probe.question.endswith("?"), probe
        assert "\n" not in probe.question and len(probe.question) <= 80, probe
        assert probe.why and "\n" not in probe.why and not probe.why.endswith("."), probe
        assert re.fullmatch(r"(CVE-\d{4}-\d{4,7})?", probe.cve), probe


def test_each_probe_has_outcomes_that_hold() -> None:
    for probe in probes():
        assert "held" in probe.held and all(map(OUTCOME.fullmatch, probe.held)), probe
        for asked, outcomes in probe.profiles:
            assert re.fullmatch(r"[a-z-]+=[a-z-]+", asked) and outcomes, probe


def test_the_layers_of_a_probe_are_walls_of_a_box() -> None:
    for probe in probes():
        assert set(probe.layers) <= set(LAYERS), probe


def test_only_the_probes_that_were_asked_for_are_run() -> None:
    wanted = ["privileges.new-privileges", "kernel.unknown-call"]
    assert [line.split("\t")[0] for line in run("--only", ",".join(wanted))] == wanted[::-1]


def test_a_probe_without_its_canary_proves_nothing() -> None:
    assert run("--only", "files.host-canary") == ["files.host-canary\tunprovable\t"]


def test_an_error_that_the_kernel_gives_is_an_outcome(tmp_path: Path) -> None:
    assert run("--only", "files.host-canary", f"file={tmp_path}/none") == [
        "files.host-canary\tENOENT\t"]


def test_every_attempt_comes_to_an_outcome(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    given = [f"file={tmp_path}/file", f"mount={tmp_path}", f"home={tmp_path}", "env=HOME", "shm=no",
             "hostname=no", "machine_id=no", "boot_id=no", "shmkey=1", "key=no", "setuid=/none"]
    done = subprocess.run([PROGRAM, *given], capture_output=True, text=True, check=True)
    assert done.stderr == ""                    # a sanitizer would say what is wrong
    outcomes = {line.split("\t")[1] for line in done.stdout.splitlines()}
    assert len(done.stdout.splitlines()) == len(probes())
    assert all(outcome in ("open", "unprovable") or OUTCOME.fullmatch(outcome)
               for outcome in outcomes), outcomes
    assert not outcomes & {"timeout", "SIGABRT", "SIGBUS", "SIGILL", "SIGSEGV"}
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
