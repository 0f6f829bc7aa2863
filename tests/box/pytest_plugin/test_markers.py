"""The fixture `box`, and what markers and options of the command line say of it."""

from __future__ import annotations

from fnmatch import fnmatchcase as fnmatch

import pytest


def test_a_verdict_that_is_not_as_expected_explains_itself(project):
    done = project.pytest(text="""
        from minibox.testing import Exited, Killed, Refused

        def test_exits(box):
            result = box(["sh", "-c", "seq 1 30; echo at last >&2; exit 3"])
            assert result == Exited(3) and result == Exited()
            assert result == Exited(0)

        def test_lives(box):
            assert box(["true"]) == Killed("walltime")

        def test_has_run_two(box):
            box(["echo", "first"])
            second = box(["echo", "second"])
            assert second.usage.wall_s is None
    """)
    done.assert_outcomes(failed=3)
    done.stdout.fnmatch_lines([
        "E*assert a box is to be Exited(0): it exited with 3, not with 0",
        "E*verdict:  exited with status 3", "E*evidence: exit_status 3",
        "E*stdout, the last line of 30:", "E*30", "E*stderr:", "E*at last", "*box 1 of 1*",
        "stdout, the last 10 of 30:", "    21", "    30",
        "E*assert a box is to be Killed('walltime'): it was not killed: exited",
        "*minibox: box 1 of 2*", "command:  echo first", "*minibox: box 2 of 2*",
        "command:  echo second"])


def test_markers_and_calls_say_what_the_boxes_of_a_test_are(project):
    done = project.pytest(text="""
        import pytest
        from minibox.testing import Exited, Killed, Refused

        pytestmark = pytest.mark.minibox(walltime=1, hostname="far")

        def test_takes_the_modules(box):
            assert box(["hostname"]).stdout == "far\\n"
            assert box(["sleep", "60"]) == Killed("walltime")

        @pytest.mark.minibox(hostname="near")
        def test_takes_the_nearest(box):
            assert box(["hostname"]).stdout == "near\\n"
            assert box(["sleep", "60"]).evidence["wall_limit_s"] == 1

        @pytest.mark.minibox(hostname="near")
        def test_takes_what_the_call_says(box):
            assert box(["hostname"], hostname="here").stdout == "here\\n"
            assert box(["sleep", "60"], walltime=0.2).evidence["wall_limit_s"] == 0.2
            assert box(["cat"], input=b"bytes").stdout == b"bytes"

        def test_is_refused(box):
            result = box(["unshare", "--user", "true"], seccomp_log=True)
            assert result == Refused("unshare")
            assert result != Refused("ptrace")

        @pytest.mark.minibox(repeat=3)
        def test_runs(box, minibox_repetition):
            assert minibox_repetition in (1, 2, 3)

        def test_knows_the_machine(minibox_host):
            assert "pid" in minibox_host.namespaces
    """)
    done.assert_outcomes(passed=8)


def test_what_still_runs_at_the_end_of_a_test_is_killed(project):
    done = project.pytest(text="""
        import os

        def test_starts(box):
            process = box.popen(["cat"], stdin=-1, stdout=-1)
            process.stdin.write("hello\\n")
            process.stdin.flush()
            assert process.stdout.readline() == "hello\\n"
            os.environ["STARTED"] = str(process.pid)

        def test_finds_nothing():
            assert not os.path.exists("/proc/" + os.environ["STARTED"])
    """)
    done.assert_outcomes(passed=2)


@pytest.mark.parametrize("mark, complaint", [
    ("minibox(memroy='1M')", "memroy: '1M': there is no such option: use memory*"),
    ("minibox(memory='lots')", "memory: 'lots': *"),
    ("boxed(network='some')", "network: 'some': use none, loopback or host"),
    ("minibox('64M')", "minibox: '64M': options have names*"),
    ("minibox(needs={'memroy'})", "needs: 'memroy': use memory*"),
    ("minibox(needs='memory')", "needs: 'memory': give a set of words"),
    ("minibox(repeat=0)", "repeat: 0: give a number of runs, 1 or more"),
    ("minibox(memory='64M', limits=__import__('minibox').Limits())", "memory: '64M': limits says*"),
])
def test_a_marker_that_says_what_cannot_be_is_refused_before_anything_runs(project, mark,
                                                                           complaint):
    done = project.pytest(text=f"""
        import pytest

        def test_first():
            pass

        @pytest.mark.{mark}
        def test_it():
            pass
    """)
    text = done.stdout.str() + done.stderr.str()
    assert fnmatch(text, f"*test_it.py::test_it: {complaint}*")
    assert done.ret in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.INTERRUPTED)
    assert "passed" not in text and "Traceback" not in text


NEEDS_WHAT_NO_USER_HAS = """
    import pytest

    @pytest.mark.minibox(needs={"root"})
    def test_needs_root():
        pass

    @pytest.mark.boxed
    @pytest.mark.minibox(needs={"root"})
    def test_boxed_needs_root():
        pass

    @pytest.mark.minibox(needs={"pid"})
    def test_needs_little():
        pass
"""


def test_what_this_machine_lacks_skips_a_test_with_the_reason(user_project):
    done = user_project.pytest(text=NEEDS_WHAT_NO_USER_HAS)
    done.assert_outcomes(passed=1, skipped=2)
    done.stdout.fnmatch_lines(["SKIPPED [[]1[]] test_it.py:*: needs root: the caller is not root"])


@pytest.mark.parametrize("words", ["root", "pid,root", "all"])
def test_what_is_required_fails_where_it_is_missing(user_project, words):
    done = user_project.pytest("--minibox-require", words, text=NEEDS_WHAT_NO_USER_HAS)
    done.assert_outcomes(passed=1, failed=0, errors=2)
    done.stdout.fnmatch_lines(["needs root, which --minibox-require says is here: the caller*"])


def test_a_word_that_nobody_knows_is_refused(user_project):
    done = user_project.pytest("--minibox-require", "pid,toor", text=NEEDS_WHAT_NO_USER_HAS)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["ERROR: --minibox-require: 'toor': use root*"])
