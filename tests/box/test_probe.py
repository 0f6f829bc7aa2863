"""`minibox probe`: real canaries, real runtimes, and nothing left of either, however it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import needs
import pytest

from minibox import probe
from minibox.probe.canaries import canaries

NAP = f"sleep 1000.{os.getpid()}"
SLEEPER = f"sh -c '{NAP} # {{}}'"


def probed(caller: Any, *arguments: str, **options: Any) -> tuple[int, dict[str, Any]]:
    """The exit status and the findings of `minibox probe --json`."""
    done = caller.minibox("probe", "--json", *arguments, **options)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def verdicts(trial: dict[str, Any]) -> dict[str, str]:
    return {one["id"]: one["verdict"] for one in trial["findings"]}


@pytest.mark.needs("userns")
def test_in_a_default_box_every_probe_holds_that_can_be_proved(boxed):
    status, found = probed(boxed)
    (trial,) = found["runtimes"]
    is_open = {one["id"] for one in trial["findings"] if one["verdict"] == "open"}
    assert status == (1 if is_open else 0) and found["uid"] == boxed.uid
    if "privileges.unfiltered" in is_open:      # no filter of system calls is there yet
        is_open -= {one["id"] for one in trial["findings"] if "seccomp" in one["layers"]}
    assert is_open == set()
    assert trial["counts"]["held"] > 40 and trial["counts"]["unprovable"] < 10


def test_every_canary_can_be_reached_where_there_is_no_box(boxed):
    status, found = probed(boxed, "--runtime", "none")
    (trial,) = found["runtimes"]
    reached = verdicts(trial)
    assert status == 1
    for name in ("files.host-canary", "processes.host-process-visible", "leaks.hostname",
                 "processes.host-process-signal", "network.host-abstract-socket",
                 "network.host-loopback", "processes.inherited-descriptors",
                 "processes.blocked-signals", "processes.session-shared",
                 "processes.controlling-terminal", "processes.terminal-input-inherited"):
        assert reached[name] == "open", name
    assert {name for name, verdict in reached.items() if verdict == "unprovable"} <= (
        {"leaks.accounts"} if boxed.uid == 0 else {"files.set-user-id"})


@pytest.mark.needs("userns", "bwrap")
def test_runtimes_stand_side_by_side_and_one_that_fails_does_not_fail_the_others(boxed):
    status, found = probed(boxed, "--compare", "bwrap,unshare,false {},nosuch {},minibox",
                           "--only", "processes,files")
    bwrap, unshare, false, nosuch, minibox = found["runtimes"]
    assert status == 1                          # the first: PID 1 of bwrap can be traced
    assert verdicts(bwrap)["processes.init-memory-read"] == "open"
    assert verdicts(minibox)["processes.init-memory-read"] != "open"
    assert verdicts(minibox).keys() == verdicts(unshare).keys() == verdicts(bwrap).keys()
    assert "--unshare-all" in bwrap["command"] and bwrap["version"].startswith("bubblewrap")
    assert (false["reason"], false["findings"]) == ("status 1", [])
    assert nosuch["reason"] == "nosuch: No such file or directory"


@pytest.mark.needs("runc", "userns")
def test_runc_runs_the_probes_with_the_configuration_that_it_writes_itself(boxed):
    _, found = probed(boxed, "--runtime", "runc", "--only", "files,privileges")
    (trial,) = found["runtimes"]
    assert trial["reason"] == "" and "runc spec" in trial["command"]
    assert verdicts(trial)["files.host-canary"] == "held"
    assert verdicts(trial)["privileges.unfiltered"] == "open"


@pytest.mark.needs("root")
@pytest.mark.parametrize("runtime", ["crun", "firejail"])
def test_another_runtime_runs_the_probes_as_root(root_boxed, runtime):
    needs.require(runtime)
    _, found = probed(root_boxed, "--runtime", runtime, "--only", "leaks,processes")
    (trial,) = found["runtimes"]
    assert trial["reason"] == "" and trial["counts"]["open"] > 0, trial


FIND_KEY = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
call = {"x86_64": 250, "aarch64": 219}[os.uname().machine]
print(libc.syscall(call, 10, -3, b"user", sys.argv[1].encode(), 0) > 0)
"""
"""KEYCTL_SEARCH, in the session's keyring."""


def reached(values: dict[str, str]) -> dict[str, bool]:
    """Each canary, and whether a process beside us reaches it."""
    found = {name: os.path.exists(values[name]) for name in ("file", "mount")}
    found["shm"] = os.path.exists(f"/dev/shm/{values['shm']}")
    found["pid"] = os.path.exists(f"/proc/{values['pid']}")
    found["shmkey"] = values["shmkey"] in segments()
    for name, family, address in (
            ("unix", socket.AF_UNIX, values["unix"]),
            ("abstract", socket.AF_UNIX, f"\0{values['abstract']}"),
            ("tcp", socket.AF_INET, ("127.0.0.1", int(values["tcp"]))),
            ("tcp6", socket.AF_INET6, ("::1", int(values["tcp6"])))):
        with socket.socket(family) as one:
            found[name] = one.connect_ex(address) == 0
    done = subprocess.run([sys.executable, "-c", FIND_KEY, values["key"]], capture_output=True,
                          text=True, check=True)
    return found | {"key": done.stdout == "True\n"}


def test_each_canary_can_be_reached_while_it_lasts_and_is_gone_after():
    with canaries() as made:
        there = reached(made.values)
        assert Path(made.values["file"]).read_text() == made.values["nonce"]
        assert os.readlink(f"/proc/self/fd/{made.values['dirfd']}") == made.directory
    assert there == dict.fromkeys(there, True)
    until(lambda: not any(reached(made.values).values()))


@pytest.mark.needs("userns")
def test_from_python_a_trial_is_a_record():
    trial = probe.run("unshare", only=["files", "processes.host-namespace"])
    assert trial.runtime == "unshare" and trial.reason == ""
    assert trial.findings[0].probe == probe.catalogue(["files"])[0]
    assert "processes.host-namespace" not in [one.probe.id for one in trial.open]
    assert probe.run("none", only=["processes.host-namespace"]).open


def test_a_runtime_that_does_not_end_is_ended(boxed):
    begin = time.monotonic()
    done = boxed.minibox("probe", "--no-control", "--timeout", "0.5", "--runtime", SLEEPER)
    assert done.returncode == 125 and "did not end within 0.5 s" in done.stdout, done
    assert time.monotonic() - begin < 20


def test_a_runtime_that_ends_half_way_has_not_held(boxed):
    status, found = probed(boxed, "--runtime", "sh -c '{} | head -5; exit 3'")
    (trial,) = found["runtimes"]
    assert status == 125 and trial["findings"] == []
    assert trial["reason"].endswith("probes gave no answer: status 3"), trial["reason"]


@pytest.mark.parametrize("stream", ["1", "2"])
def test_a_runtime_that_writes_without_end_is_ended(boxed, stream):
    runtime = f"sh -c 'yes >&{stream} # {{}}'"
    done = boxed.minibox("probe", "--no-control", "--runtime", runtime)
    assert done.returncode == 125 and "cannot run here" in done.stdout, done


def segments() -> list[str]:
    return sorted(line.split()[0] for line in
                  Path("/proc/sysvipc/shm").read_text().splitlines()[1:])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_canary_is_left_however_the_command_ends(boxed, number):
    before = segments()
    home = boxed.scratch
    with subprocess.Popen(
            [*boxed.prefix, *boxed.python, "-m", "minibox", "probe", "--runtime", SLEEPER],
            env=boxed.environment | {"TMPDIR": str(home)}, cwd="/", stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as command:
        until(lambda: sleeps() and list(home.glob("minibox-probe-*/*")))
        held = set(segments()) - set(before)
        command.send_signal(number)
    until(lambda: not list(home.glob("minibox-probe-*")))
    until(lambda: not held & set(segments()) and not sleeps())


def sleeps() -> bool:
    """Is the runtime there, which only sleeps?"""
    done = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return NAP in done.stdout.splitlines()


def until(happens: Any, patience_s: float = 20) -> None:
    """Look again and again, for there is nobody who tells."""
    deadline = time.monotonic() + patience_s
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.needs("userns")
def test_each_wall_left_out_opens_what_it_holds_and_no_wall_opens_nothing(boxed):
    status, found = probed(boxed, "--ablate", "--layers",
                           "descriptors,session,uts,parent-death+pivot-root,pivot-root")
    opened = {"+".join(one["layers"]): set(one["opened"]) for one in found["without"]}
    assert "processes.inherited-descriptors" in opened["descriptors"]
    assert "processes.session-shared" in opened["session"]
    assert "leaks.hostname" in opened["uts"]
    assert opened["parent-death+pivot-root"] >= opened["pivot-root"]
    whole = {one["id"] for one in found["whole"]["findings"] if one["verdict"] == "open"}
    assert status == (1 if whole else 0) and not whole & set().union(*opened.values())


@pytest.mark.needs("userns")
def test_what_was_loosened_by_an_option_is_not_open(root_boxed):
    _, found = probed(root_boxed, "--only", "network", "--", "--network", "host")
    reached = {one["id"]: one for one in found["runtimes"][0]["findings"]}
    assert reached["network.host-loopback"]["outcome"] == "open"
    assert reached["network.host-loopback"]["verdict"] == "loosened"


# ---- a process from outside ----------------------------------------------------------------------

@pytest.mark.needs("userns")
def test_a_box_is_seen_from_outside_with_all_that_the_kernel_shows(boxed):
    box = subprocess.Popen(
        [*boxed.prefix, *boxed.python, "-m", "minibox", "run", "-i", "--", "/bin/sh", "-c",
         "echo up; exec cat"],
        env=boxed.environment, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with box:
        assert box.stdout and box.stdin and box.stdout.readline() == "up\n"
        box.stdin.write("\n")
        box.stdin.flush()
        assert box.stdout.readline() == "\n"                # it is cat by now
        pid = the_last_of(box.pid)
        done = boxed.minibox("probe", "--pid", str(pid), "--json")
        seen = json.loads(done.stdout)
        text = boxed.minibox("probe", "--pid", str(pid)).stdout
        box.stdin.close()
    assert seen["name"] == "cat" and seen["no_new_privs"] and seen["capabilities"]["bounding"] == []
    assert seen["limits"]["core file size"] == ["0", "0"] and seen["oom_score_adj"] == 500
    if boxed.uid == 0:
        assert seen["namespaces"]["user"] == seen["namespaces"]["net"] == "own"
        assert seen["uid_map"] != ["0 0 4294967295"]
    assert "no_new_privs    yes" in text and "Landlock" in text


def the_last_of(pid: int) -> int:
    """The child of the child and so on of *pid*."""
    while children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        pid = int(children[0])
    return pid


@pytest.mark.needs("root")
def test_what_a_user_may_not_see_of_a_process_is_not_made_up(user_boxed):
    seen = json.loads(user_boxed.minibox("probe", "--pid", str(os.getpid()), "--json").stdout)
    assert seen["namespaces"] is None and seen["root"] is None
    text = user_boxed.minibox("probe", "--pid", str(os.getpid())).stdout
    assert "namespaces      not permitted to see" in text
