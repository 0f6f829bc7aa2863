"""--minibox-runtime: the same tests with other runtimes, and with none."""

from __future__ import annotations

import pytest

SAME = """
    import os, signal, pytest
    from minibox.testing import Exited, Killed, Refused

    def test_runs(box):
        result = box(["sh", "-c", "cat; echo $NAME; pwd; exit 3"], input="read\\n", cwd="/usr",
                     env={"NAME": "value"})
        assert result == Exited(3)
        assert result.stdout == "read\\nvalue\\n/usr\\n"
        assert result.usage.wall_s > 0

    def test_times_out(box):
        assert box(["sleep", "60"], walltime=1) == Killed("walltime")

    def test_is_killed(box):
        assert box(["sh", "-c", "kill -SEGV $$"]) == Killed("signaled", signal=signal.SIGSEGV)

    def test_sees_its_own_processes_only(box):
        assert len(box(["sh", "-c", "echo /proc/[0-9]*"]).stdout.split()) < 5

    def test_has_a_volume(box, tmp_path):
        (tmp_path / "file").write_text("within")
        tmp_path.chmod(0o755)
        assert box(["cat", "/there/file"], volumes=[f"{tmp_path}:/there:ro"]).stdout == "within"

    def test_asks_for_a_cap_on_processes(box):
        assert box(["true"], pids=100) == Exited(0)

    def test_asks_for_a_filter(box):
        assert box(["unshare", "--user", "true"], seccomp_log=True) == Refused("unshare")

    def test_asks_why(box):
        assert box(["sh", "-c", "kill -KILL $$"]) == Killed("memory")

    @pytest.mark.boxed
    def test_is_boxed(tmp_path):
        assert os.getpid() < 20
"""


def ran(project, runtime):
    done = project.pytest("--minibox-runtime", runtime, text=SAME)
    found = {}
    for line in done.outlines:
        outcome, _, rest = line.partition(" ")
        if outcome in ("PASSED", "FAILED", "ERROR"):
            found[rest.partition("::")[2].partition(" ")[0]] = outcome.lower()
    skipped = [line.partition(": ")[2] for line in done.outlines if line.startswith("SKIPPED")]
    return found, sorted(skipped)


EVERYWHERE = dict.fromkeys(("test_runs", "test_times_out", "test_is_killed"), "passed")


@pytest.mark.needs("bwrap")
def test_bwrap_runs_what_it_can_express_and_skips_the_rest(project):
    found, skipped = ran(project, "bwrap")
    assert found == EVERYWHERE | dict.fromkeys(
        ("test_sees_its_own_processes_only", "test_has_a_volume", "test_is_boxed"), "passed")
    assert skipped == [
        "bwrap cannot express Killed('memory'): it does not tell why",
        "bwrap cannot express pids=100", "bwrap cannot express seccomp_log=True"]


@pytest.mark.needs("runc")
def test_runc_runs_what_it_can_express_and_skips_the_rest(root_project):
    found, skipped = ran(root_project, "runc")
    # There a program is PID 1, to which no signal of its own does anything (pid_namespaces(7)).
    assert found == EVERYWHERE | dict.fromkeys(
        ("test_sees_its_own_processes_only", "test_has_a_volume", "test_is_boxed",
         "test_asks_for_a_cap_on_processes"), "passed") | dict.fromkeys(
             ("test_is_killed", "test_asks_why"), "failed")
    assert skipped == ["runc cannot express seccomp_log=True"]


def test_what_a_fixture_cannot_express_skips_its_test(project):
    done = project.pytest("--minibox-runtime", "none", text="""
        import pytest

        @pytest.fixture
        def version(box):
            return box(["true"], hostname="other")

        def test_takes_it(version):
            pass
    """)
    done.assert_outcomes(skipped=1)
    done.stdout.fnmatch_lines(["*none cannot express hostname='other'"])


def test_without_a_runtime_what_a_box_would_hold_leaks(project):
    found, skipped = ran(project, "none")
    assert found == EVERYWHERE | dict.fromkeys(
        ("test_sees_its_own_processes_only", "test_is_boxed"), "failed")
    assert [line.partition("=")[0] for line in skipped] == [
        "none cannot express Killed('memory'): it does not tell why", "none cannot express pids",
        "none cannot express seccomp_log", "none cannot express volumes"]


def test_minibox_itself_runs_them_all(project):
    found, skipped = ran(project, "minibox")
    assert skipped == []
    assert found == EVERYWHERE | dict.fromkeys(
        ("test_sees_its_own_processes_only", "test_has_a_volume", "test_is_boxed",
         "test_asks_for_a_cap_on_processes", "test_asks_for_a_filter"), "passed") | {
             "test_asks_why": "failed"}


def test_a_runtime_that_nobody_knows_is_refused(project):
    done = project.pytest("--minibox-runtime", "chroot", text=SAME)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["ERROR: --minibox-runtime: 'chroot': use one of minibox, bwrap*"])


def test_a_runtime_that_is_missing_is_named(root_project):
    done = root_project.pytest("--minibox-runtime", "runc", "-k", "test_runs", text=SAME,
                               environment={"PATH": "/nowhere"})
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*HostError: runc: it is not installed*"])
