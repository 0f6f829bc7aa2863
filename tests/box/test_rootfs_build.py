"""The recipes, really built, and boxes in what they make; as root and as an unprivileged user."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.needs("userns", "overlay")


@pytest.fixture
def built(boxed):
    """A function that builds a recipe and takes it away at the end."""
    names = []

    def build(name):
        have = json.loads(boxed.minibox("rootfs", "ls", "--json").stdout)
        if name not in [one["name"] for one in have]:
            names.append(name)
            done = boxed.minibox("rootfs", "build", name, timeout=600)
            assert done.returncode == 0, done.stderr
        return name

    yield build
    for name in names:
        done = boxed.minibox("rootfs", "rm", name)
        assert done.returncode == 0, done.stderr
    have = json.loads(boxed.minibox("rootfs", "ls", "--json").stdout)
    assert not {one["name"] for one in have} & set(names)


@pytest.mark.needs("busybox")
def test_busybox_runs_by_name(boxed, built):
    done = boxed("--rootfs", built("busybox"), "--", "sh", "-c", "echo hello | tr a-z A-Z")
    assert (done.status, done.out) == (0, "HELLO\n"), done


@pytest.mark.needs("mmdebstrap")
def test_python_runs_by_name(boxed, built):
    done = boxed("--rootfs", built("python"), "--", "python3", "-c",
                 "import json, sqlite3, ssl; print(json.dumps(6 * 7))")
    assert (done.status, done.out) == (0, "42\n"), done


def test_a_name_that_was_not_built_says_how(boxed):
    done = boxed.minibox("run", "--rootfs", "debian-minimal.not", "--", "true")
    assert done.returncode == 125 and "minibox rootfs" in done.stderr or "build one of" in done.stderr
