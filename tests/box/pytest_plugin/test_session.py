"""A whole session: installed without configuration, under pytest-xdist, and what it leaves."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

LEAKS = """
    import minibox, os

    KEPT = []

    def test_leaves_a_box():
        KEPT.append(minibox.Process(["sleep", "4322"]))

    def test_goes_on(box):
        box(["true"])
"""


@pytest.mark.parametrize("workers, who", [((), ""), (("-n", "1"), "gw0: ")], ids=["alone", "xdist"])
def test_a_box_that_still_runs_at_the_end_is_named_and_the_session_fails(project, workers, who):
    done = project.pytest(*workers, "-W", "ignore::ResourceWarning", text=LEAKS)
    done.assert_outcomes(passed=2)
    done.stdout.fnmatch_lines(["*minibox: left behind by this session*",
                               f"{who}a box that still runs, engine *: sleep 4322"])
    assert done.ret == pytest.ExitCode.TESTS_FAILED


def test_a_session_that_leaves_nothing_says_nothing(project):
    done = project.pytest(text="def test_runs(box):\n    assert box(['true']).exit_status == 0")
    assert done.ret == pytest.ExitCode.OK
    done.stdout.no_fnmatch_line("*left behind*")


def test_workers_of_xdist_run_boxed_tests_side_by_side(project):
    done = project.pytest("-n", "2", "--dist", "load", text="""
        import os, pytest

        @pytest.mark.boxed
        @pytest.mark.parametrize("number", range(6))
        def test_boxed(number, tmp_path):
            assert number != 3
            assert os.environ["PYTEST_XDIST_WORKER"] in ("gw0", "gw1")

        @pytest.mark.parametrize("number", range(6))
        def test_runs(number, box):
            assert box(["echo", str(number)]).stdout == f"{number}\\n"
    """)
    done.assert_outcomes(passed=11, failed=1)
    done.stdout.fnmatch_lines(["FAILED test_it.py::test_boxed[[]3[]]*"])


def test_the_tutorials_tests_run_as_it_says(project):
    page = (ROOT / "docs/testing.md").read_text()
    files = re.findall(r"```python title=(\S+)\n(.*?)```", page, re.DOTALL)
    assert len(files) == 5
    for name, text in files:
        project.write(text, name)
    done = project.pytest("-p", "no:xdist")
    skipped = [line for line in done.outlines if line.startswith("SKIPPED")]
    assert all("needs memory: " in line or "needs time: " in line for line in skipped)
    done.assert_outcomes(passed=14 - len(skipped), skipped=len(skipped))


@pytest.fixture(scope="module")
def metadata(tmp_path_factory):
    """What an installer writes beside the package: its entry points among it."""
    directory = tmp_path_factory.mktemp("metadata")
    subprocess.run([sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(directory)],
                   cwd=ROOT, check=True, capture_output=True)
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755)
    return directory


def test_the_plugin_is_there_without_configuration(root_project, metadata):
    root_project.write("[pytest]\naddopts = --strict-markers -q\nfilterwarnings = error\n",
                       "pytest.ini")
    done = root_project.pytest(plugin=(), environment={"PYTHONPATH": str(metadata)}, text="""
        import pytest

        @pytest.mark.minibox(walltime=5)
        def test_runs(box):
            assert box(["echo", "here"]).stdout == "here\\n"

        @pytest.mark.boxed
        def test_is_boxed():
            pass
    """)
    done.assert_outcomes(passed=2)


def test_the_plugin_changes_nothing_where_no_test_asks(root_project):
    """No box is run and no module loaded but the plugin's own."""
    done = root_project.pytest(text="""
        import sys

        def test_plain(tmp_path):
            found = {name for name in sys.modules if name.startswith("minibox")}
            assert found == {"minibox", "minibox.errors", "minibox.testing",
                             "minibox.testing.plugin"}
    """)
    assert done.ret == pytest.ExitCode.OK
