"""Caps under systemd: a user that logs in has no cgroup to write, and gets a scope; a service of
root's may use its slice."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("vm")

HERE = Path(__file__).parent
MINIBOX = shlex.join(["env", *(f"{name}={os.environ[name]}" for name in ("MINIBOX_ENGINE",)
                               if name in os.environ), sys.executable, "-m", "minibox"])
"""A login clears the environment."""


@pytest.mark.parametrize(("user", "place"), [
    ("tester", r"/user-[0-9]*[.]slice/user@[0-9]*[.]service/app[.]slice/minibox-.*[.]scope/init$"),
    ("", "/system[.]slice/")], ids=["login", "service"])
def test_under_systemd_caps_hold_and_nothing_is_left(user, place):
    inside = f"""
        {MINIBOX} run -m 64M --cpus 0.5 --pids-limit 20 -- echo capped
        {MINIBOX} run -m 16M -- sh -c 'x=$(head -c 64M /dev/zero | tr "\\0" x)'; echo $?
        {MINIBOX} run -m 64M --cpus 0.5 -- sleep 60 & box=$!
        until grep -q '{place}' /proc/$box/cgroup; do sleep 0.1; done
        kill -KILL $box; wait $box 2>/dev/null
        {MINIBOX} run -m 64M -- true
        until ! find /sys/fs/cgroup -name 'minibox-*' | grep -q .; do sleep 0.1; done; echo gone
    """
    script = (f"{f'useradd --create-home {user}; ' if user else ''}"
              f"exec sh {shlex.quote(str(HERE / 'systemd.sh'))} '{user}' {shlex.quote(inside)}")
    done = subprocess.run([HERE / "vm-run", "--timeout", "240", "--", "sh", "-c", script],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          cwd=HERE.parents[1], env=os.environ | {"TMPDIR": ""})
    assert (done.stdout.split(), done.returncode) == (["capped", "137", "gone"], 0), done.stderr
