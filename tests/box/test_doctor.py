"""What doctor says is so: for root, for a user, and where something is missing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


def findings(done: subprocess.CompletedProcess[str]) -> dict:
    """The JSON of a doctor, its checks by name."""
    found = json.loads(done.stdout)
    found["by_name"] = {check["name"]: check for check in found["checks"]}
    return found


def test_where_doctor_says_that_boxes_run_one_runs(boxed):
    found = findings(done := boxed.minibox("doctor", "--json"))
    assert (found["runs"], done.returncode) == (True, 0)
    assert boxed("--", "/bin/true").status == 0


def test_the_page_ends_with_the_caps_that_hold_and_those_that_do_not(boxed):
    done = boxed.minibox("doctor")
    found = findings(boxed.minibox("doctor", "--json"))
    assert f"Boxes run here. Caps that hold: {', '.join(found['caps'])}." in done.stdout
    assert "\033" not in done.stdout                        # no colour where no terminal is
    refused = [c["name"] for c in found["checks"] if c["kind"] == "cap" and not c["works"]]
    assert ("Refused, unless with --best-effort" in done.stdout) == bool(refused)


def test_a_cap_that_doctor_lists_is_enforced_and_any_other_is_refused(boxed):
    flags = {"memory": ("-m", "64M"), "cpus": ("--cpus", "0.5"), "pids": ("--pids-limit", "50"),
             "cpuset": ("--cpuset-cpus", "0")}
    holds = findings(boxed.minibox("doctor", "--json"))["caps"]
    for name, flag in flags.items():
        done = boxed.minibox("run", *flag, "--", "/bin/true")
        assert done.returncode == (0 if name in holds else 125), name


def test_everything_that_fails_has_a_reason_and_a_mend(boxed):
    for check in findings(boxed.minibox("doctor", "--json"))["checks"]:
        assert check["detail"], check
        assert check["works"] or check["mend"], check


@pytest.mark.needs("root", "userns")
def test_a_hidden_part_of_proc_is_named_with_the_mend(user_boxed):
    hidden = ("unshare", "--mount", "sh", "-c",
              'mount -t tmpfs none /proc/bus && exec "$@"', "sh", *user_boxed.prefix)
    done = subprocess.run([*hidden, sys.executable, "-m", "minibox", "doctor", "--json"],
                          capture_output=True, text=True, env=user_boxed.environment, cwd="/")
    found = findings(done)
    assert (found["runs"], done.returncode) == (False, 1)
    proc = found["by_name"]["a new /proc"]
    assert "/proc/bus" in proc["detail"]
    assert "systempaths=unconfined" in proc["mend"]


@pytest.mark.needs("userns")
def test_where_user_namespaces_are_used_up_doctor_says_by_what(user_boxed):
    """In a user namespace that allows none below it."""
    closed = ("unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-c",
              'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"', "sh")
    done = user_boxed.command(*closed, sys.executable, "-m", "minibox", "doctor", "--json")
    user = findings(done)["by_name"]["user namespaces"]
    assert (user["works"], done.returncode) == (False, 1)
    assert "max_user_namespaces" in user["detail"]
    assert user["mend"] == "sudo sysctl -w user.max_user_namespaces=15000"
