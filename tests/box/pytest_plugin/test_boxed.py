"""@pytest.mark.boxed: the test function runs in a box, and is reported as if it ran here."""

from __future__ import annotations

import socket

import pytest

OUTSIDE_AND_INSIDE = """
    import os, socket, pytest

    def call():
        socket.create_connection(("127.0.0.1", int(os.environ["ADDRESS"])), 10).close()

    def test_is_outside():
        assert os.getpid() > 3
        assert os.path.exists("../beside-the-project")
        call()

    @pytest.mark.boxed(env=["ADDRESS"])
    def test_is_inside():
        assert os.getpid() <= 3
        assert not os.path.exists("../beside-the-project")
        with pytest.raises(OSError):
            open("here", "w")
        with pytest.raises(OSError):
            call()
"""


def test_what_a_boxed_test_does_is_reported_as_if_it_ran_here(project):
    done = project.pytest(text="""
        import pytest

        @pytest.mark.boxed
        def test_passes():
            pass

        @pytest.mark.boxed
        def test_compares(capsys):
            print("to be read")
            assert {"a": 1, "b": 2} == {"a": 1, "b": 3}

        @pytest.mark.boxed
        def test_raises():
            def deeper():
                return 1 / 0
            deeper()

        @pytest.mark.boxed
        def test_is_skipped():
            pytest.skip("not today")

        @pytest.mark.boxed
        @pytest.mark.skipif(True, reason="not ever")
        def test_is_skipped_by_its_mark():
            pass

        @pytest.mark.boxed
        @pytest.mark.xfail(raises=ZeroDivisionError)
        def test_fails_as_expected():
            1 / 0

        @pytest.mark.boxed
        @pytest.mark.xfail(strict=True)
        def test_passes_unexpectedly():
            pass

        @pytest.mark.boxed
        @pytest.mark.parametrize("text", ["plain", "a[b]::c", "with space"])
        def test_takes(text):
            assert text != "with space"

        class TestClass:
            @pytest.mark.boxed
            def test_method(self, tmp_path, monkeypatch):
                monkeypatch.chdir(tmp_path)
                open("file", "w").write("written")
    """)
    done.assert_outcomes(passed=4, failed=4, skipped=2, xfailed=1)
    done.stdout.fnmatch_lines([
        "E*AssertionError: assert {'a': 1, 'b': 2} == {'a': 1, 'b': 3}", "E*Differing items:",
        "*Captured stdout call*", "to be read",
        "*ZeroDivisionError: division by zero", "test_it.py:16: ZeroDivisionError",
        "SKIPPED [[]1[]] test_it.py:21: not today", "SKIPPED [[]1[]] test_it.py:23: not ever",
        "XFAIL test_it.py::test_fails_as_expected*",
        "FAILED test_it.py::test_passes_unexpectedly*",
        "FAILED test_it.py::test_takes[[]with space[]]*"], consecutive=False)


def test_a_boxed_test_has_no_network_and_a_tmp_of_its_own(project):
    (project.caller.scratch / "beside-the-project").touch()
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = project.pytest(text=OUTSIDE_AND_INSIDE, environment={
            "ADDRESS": str(server.getsockname()[1])})
    done.assert_outcomes(passed=2)
    assert not (project.path / "here").exists()


def test_fixtures_are_set_up_in_the_box_and_those_outside_are_undone(project):
    project.write("""
        import os, pytest

        @pytest.fixture(scope="module")
        def pid():
            yield os.getpid()
            print("undone by", os.getpid() > 3 and "the one outside" or "the one in the box")

        @pytest.fixture
        def fails_at_the_end():
            yield
            assert 0, "in the fixture's end"
    """, "conftest.py")
    project.write("""
        def test_has_none():
            pass
    """, "test_other.py")
    done = project.pytest("-s", "test_it.py", "test_other.py", text="""
        import pytest

        def test_here(pid):
            assert pid > 3

        @pytest.mark.boxed
        def test_there(pid, fails_at_the_end):
            assert pid <= 3
    """)
    done.assert_outcomes(passed=3, errors=1)
    done.stdout.fnmatch_lines_random([
        "*undone by the one outside*", "*undone by the one in the box*",
        "*in the fixture's end*", "ERROR test_it.py::test_there*"])


def test_what_ends_the_box_ends_no_other_test(project):
    done = project.pytest(text="""
        import ctypes, os, time, pytest

        @pytest.mark.boxed
        def test_crashes():
            ctypes.string_at(0)

        @pytest.mark.boxed(walltime=2)
        def test_hangs():
            while True:
                pass

        @pytest.mark.boxed
        def test_exits():
            os._exit(7)

        @pytest.mark.boxed
        def test_writes_wherever_it_can():
            for fd in range(3, 20):
                try:
                    os.write(fd, b"rubbish\\n[]\\n")
                except OSError:
                    pass

        @pytest.mark.boxed
        def test_goes_on():
            pass
    """)
    done.assert_outcomes(passed=2, failed=3)
    done.stdout.fnmatch_lines([
        "verdict:  killed by SIGSEGV", "*Fatal Python error: Segmentation fault",
        "*in test_crashes",
        "verdict:  timed out after 2 s", "*in test_hangs",
        "verdict:  exited with status 7"])


def test_a_daemon_left_in_the_box_is_named_and_killed(project):
    done = project.pytest(text="""
        import subprocess, pytest

        @pytest.mark.boxed
        def test_leaves():
            subprocess.Popen(["sleep", "4321"], start_new_session=True)

        @pytest.mark.boxed
        def test_goes_on():
            pass
    """)
    done.assert_outcomes(passed=2, errors=1)
    done.stdout.fnmatch_lines(["*ERROR at teardown of test_leaves*",
                               "the test left a process in its box*: sleep 4321. End it*"])


@pytest.mark.parametrize("code, hint", [
    ("open('/etc/machine-info-of-the-host')", None),
    ("open('HIDDEN')", "HIDDEN is there outside, and hidden in this box: boxed(volumes=*"),
    ("open('within', 'w')", "*project/within cannot be written in this box: take tmp_path*"),
    ("__import__('os').environ['ONLY_OUTSIDE']",
     "the environment variable ONLY_OUTSIDE is set outside: boxed(env=*"),
    ("__import__('socket').create_connection(('192.0.2.1', 80), 1)",
     "the box has no network: boxed(network=*"),
    ("__import__('ctypes').CDLL(None).setns(0, 0) == 0 or 1 / 0",
     "the system call setns is refused in this box (EPERM*"),
])
def test_what_the_box_hides_is_named(project, code, hint):
    hidden = project.caller.scratch / "hidden"
    hidden.write_text("")
    (project.path / "within").write_text("")
    done = project.pytest(environment={"ONLY_OUTSIDE": "1"}, text=f"""
        import pytest

        @pytest.mark.boxed
        def test_needs_it():
            {code.replace("HIDDEN", str(hidden))}
    """)
    done.assert_outcomes(failed=1)
    if hint:
        done.stdout.fnmatch_lines(["*minibox: what the box hides*",
                                   hint.replace("HIDDEN", str(hidden))])
    else:                                                   # nor is it there outside
        done.stdout.no_fnmatch_line("*what the box hides*")


@pytest.mark.parametrize("fixture", ["box", "cache"])
def test_a_fixture_that_stays_outside_is_named(project, fixture):
    done = project.pytest(text=f"""
        import pytest

        @pytest.mark.boxed
        def test_wants({fixture}):
            pass
    """)
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines([f"*fixture: '{fixture}': a boxed test cannot use it: *"])


def test_a_module_that_cannot_be_loaded_in_the_box_is_named(project):
    secret = project.caller.scratch / "data"
    secret.write_text("3")
    done = project.pytest(text=f"""
        import pytest

        DATA = open({str(secret)!r}).read()

        @pytest.mark.boxed
        def test_has_data():
            assert DATA == "3"
    """)
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*FileNotFoundError*", f"{secret} is there outside, and hidden*"])


def test_a_fixture_of_a_plugin_object_is_named(project):
    project.write("""
        import pytest, sys

        class Plugin:
            @pytest.fixture
            def inline(self):
                return 3

        sys.exit(pytest.main(["-p", "no:minibox", "-p", "minibox.testing.plugin", "test_it.py"],
                             plugins=[Plugin()]))
    """, "run.py")
    project.write("""
        import pytest

        @pytest.mark.boxed
        def test_wants(inline):
            assert inline == 3

        def test_has(inline):
            assert inline == 3
    """)
    done = project.caller.command(*project.caller.python, "run.py", cwd=project.path)
    assert "1 passed, 1 error" in done.stdout
    assert "the fixture inline (__main__) is there outside, from a plugin object" in done.stdout


def test_other_kinds_of_tests_and_reports_know_no_difference(project):
    done = project.pytest("--junitxml", "junit.xml", "--durations=3", text="""
        import unittest, warnings, pytest

        @pytest.mark.boxed
        class TestCase(unittest.TestCase):
            def test_fails(self):
                self.assertEqual(1, 2)

            def test_passes(self):
                pass

        @pytest.mark.boxed
        @pytest.mark.minibox(repeat=2)
        def test_runs_twice(minibox_repetition, record_property):
            record_property("which", minibox_repetition)
            warnings.warn("to be seen")
    """)
    done.assert_outcomes(passed=3, failed=1, warnings=2)
    done.stdout.fnmatch_lines(["*AssertionError: 1 != 2", "*UserWarning: to be seen"])
    found = (project.path / "junit.xml").read_text()
    assert 'tests="4"' in found and 'failures="1"' in found
    assert '<property name="which" value="2"' in found


def test_an_interrupt_ends_the_box_and_the_session(project):
    project.write("""
        import os, signal, pytest

        @pytest.fixture(scope="session")
        def unused():
            pass

        def pytest_runtest_logstart(nodeid):
            if "waits" in nodeid:
                signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
                signal.setitimer(signal.ITIMER_REAL, 1)
    """, "conftest.py")
    done = project.pytest(text="""
        import time, pytest

        @pytest.mark.boxed
        def test_waits():
            time.sleep(50)

        def test_never_runs():
            pass
    """)
    assert done.ret == pytest.ExitCode.INTERRUPTED
    assert done.duration < 30
    done.stdout.fnmatch_lines(["*KeyboardInterrupt*", "*no tests ran*"])
    done.stdout.no_fnmatch_line("*left behind*")


def test_nothing_is_said_but_by_the_test(project):
    done = project.pytest("-s", "-W", "error", environment={"PYTHONDEVMODE": "1"}, text="""
        import sys, pytest

        @pytest.mark.boxed
        def test_speaks():
            print("on stdout", flush=True)
            print("on stderr", file=sys.stderr)
    """)
    done.assert_outcomes(passed=1)
    lines = [line for line in done.outlines if line.startswith(("test_it.py ", "on "))]
    assert lines == ["test_it.py on stdout", "on stderr"]
    assert [line for line in done.outlines if "Warning" in line or "platform" in line] \
        == [done.outlines[1]]


def test_secrets_of_the_environment_stay_outside(project):
    done = project.pytest(environment={"CI": "true", "CI_JOB_TOKEN": "secret"}, text="""
        import os, pytest

        @pytest.mark.boxed
        def test_sees():
            assert os.environ["CI"] == "true"
            assert "secret" not in os.environ.values()

        @pytest.mark.boxed(env=["CI_JOB_TOKEN"])
        def test_is_given():
            assert os.environ["CI_JOB_TOKEN"] == "secret"
    """)
    done.assert_outcomes(passed=2)
