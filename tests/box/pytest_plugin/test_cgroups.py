"""Caps on memory by marker, and what cgroups a session leaves: as root, and as a user to whom a
cgroup was delegated."""

from __future__ import annotations

from pathlib import Path

import pytest

CAPPED = """
    import pytest
    from minibox.testing import Killed

    @pytest.mark.minibox(memory="32MiB")
    def test_is_killed(box):
        result = box(["sh", "-c", "yes | tr -d '\\\\n' | sort"])
        assert result == Killed("memory")
        assert result.usage.memory_peak_bytes == pytest.approx(32 << 20, rel=0.01)

    @pytest.mark.boxed(memory="64MiB")
    def test_wants_more():
        bytearray(200 << 20)

    @pytest.mark.boxed
    def test_wants_more_than_the_default():
        bytearray(600 << 20)
"""


def killed(done):
    done.assert_outcomes(passed=1, failed=2)
    done.stdout.fnmatch_lines([
        "the box of this test ended before its call did",
        "command:  pytest test_it.py::test_wants_more",
        "verdict:  killed: used more than its 64 MiB of memory*",
        "evidence: *memory_limit_bytes 67108864",
        "verdict:  killed: used more than its 512 MiB of memory*"])


@pytest.mark.needs("cgroup.memory")
def test_boxes_and_boxed_tests_of_root_are_killed_at_their_memory(root_project):
    killed(root_project.pytest(text=CAPPED))


@pytest.mark.needs("cgroup.memory")
def test_so_are_those_of_a_user_to_whom_a_cgroup_was_delegated(delegated, user_project):
    killed(user_project.pytest(text=CAPPED))


@pytest.mark.needs("cgroup.memory")
def test_a_cgroup_that_stays_is_named(root_project):
    done = root_project.pytest(text="""
        import os, pytest

        @pytest.fixture(scope="session")
        def ended():
            found = []
            yield found
            for path in found:
                os.mkdir(path)

        @pytest.mark.minibox(memory="64MiB")
        def test_has_a_cgroup(box, ended, minibox_host):
            name = box(["true"]).report.name
            ended.append(f"{minibox_host.controller('memory').parent}/minibox-{name}")
    """)
    line = next(line for line in done.outlines if "the cgroup of a box that has ended" in line)
    Path(line.partition(": ")[2]).rmdir()
    assert done.ret == pytest.ExitCode.TESTS_FAILED
