"""Reports become verdicts that say what happened, why, and what to do."""

from __future__ import annotations

import json
import os
import struct
from errno import EACCES, ENOENT, ENOSPC, EPERM

import pytest
from reports import PLAN, block, result

from minibox import hints, report
from minibox.errors import BoxFailed, EngineError, ExecError, StepError
from minibox.report import CAUSES
from minibox.result import Result, signal_name, size
from minibox.steps import (
    KINDS,
    MakeDir,
    name_of,
)

FIRST_CALL = {"x86_64": "read", "aarch64": "io_setup"}[os.uname().machine]

def killed(reason, **given):
    return result(**{"reason": reason, "exit_status": 137, "how": 2, "status": 9} | given)


@pytest.mark.parametrize(("found", "said", "returncode"), [
    (result(), "exited", 0),
    (result(exit_status=3, status=3), "exited with status 3", 3),
    (result(reason="signaled", exit_status=139, how=3, status=11), "killed by SIGSEGV", -11),
    (killed("memory", figures={"memory_peak_bytes": 64 << 20}),
     "killed: used more than its 64 MiB of memory (peak 64 MiB)", -9),
    (killed("walltime"), "timed out after 2 s", -9),
    (killed("walltime", how=0), "timed out after 2 s", -9),
    (killed("cputime", figures={"cpu_ns": 1_504_000_000}),
     "killed: used up its 1.5 s of CPU time (1.504 s)", -9),
    (killed("output"), "killed: wrote more than its 1 MiB of output", -9),
    (result(reason="stopped", how=2, status=15, exit_status=143), "stopped by SIGTERM", -15),
    (killed("seccomp", status=31),
     "killed: made a system call, which this box does not allow (SIGSYS)", -31),
    (killed("seccomp", status=31, fatal_call=0),
     f"killed: made the system call {FIRST_CALL}, which this box does not allow (SIGSYS)", -31),
])
def test_the_verdict_is_one_line_for_people(found, said, returncode):
    assert (str(found), found.returncode) == (said, returncode)


def failed(step, errno, call="none", **given):
    return result(reason="setup", exit_status=125, how=0, failed_step=step, errno=errno, call=call,
                  exec_ns=0, **given)


def test_a_step_that_failed_names_itself_its_call_and_the_mend():
    error = failed(3, EPERM, "fsmount").error
    assert type(error) is StepError
    assert (error.index, error.step, error.call) == (3, "mount-proc", "fsmount")
    assert error.errno == EPERM
    assert str(error) == (
        "cannot mount a new proc on /proc (step 3): EPERM from fsmount: this host hides parts of "
        "/proc, so a new one is refused: start the outer container with /proc unmasked, or see "
        "`minibox doctor`")


def test_an_absent_volume_is_named():
    assert "/srv/data does not exist on the host" in str(failed(1, ENOENT, "open_tree"))


@pytest.mark.parametrize(("cause", "detail", "said"), [
    ("not_in_path", "", "ls: no such program in the box's PATH (/usr/bin:/bin)"),
    ("interpreter_missing", "/usr/bin/perl", "its interpreter /usr/bin/perl is not in the box"),
    ("interpreter_crlf", "/bin/sh", "CR LF"),
    ("loader_missing", "/lib64/ld.so", "needs the loader /lib64/ld.so"),
    ("unknown", "", "ls: cannot be executed: Permission denied"),
])
def test_a_program_that_cannot_be_executed_is_told_apart(cause, detail, said):
    error = failed(5, EACCES, "execve", cause=cause, detail=detail).error
    assert type(error) is ExecError and said in str(error)


def test_what_the_box_wrote_does_not_steer_the_terminal():
    for cause in ("interpreter_missing", "not_a_program"):
        error = failed(5, ENOENT, "execve", cause=cause, detail="/\x1b[2J\x9b\u202e").error
        assert "/\\x1b[2J\\x9b\\u202e" in str(error) and str(error).isprintable()


def test_every_cause_has_a_sentence():
    step = PLAN.app[0]
    texts = {hints.program(step, ENOENT, number) for number in range(len(CAUSES))}
    assert len(texts) == len(CAUSES) and not any("{" in text for text in texts)


def test_every_hint_is_about_a_step_that_there_is_and_fields_that_it_has():
    kinds = {name_of(kind): kind for kind in KINDS}
    for (name, _errno), text in hints.HINTS.items():
        text.format_map(dict.fromkeys(kinds[name].__fields__, "") | {"detail": ""})


def test_a_hint_has_the_steps_own_values():
    assert "/work of" not in hints.of(MakeDir(target="/data"), ENOSPC)
    assert "machine" in hints.of(MakeDir(target="/data"), 12)


def test_a_report_that_names_no_step_is_still_an_error():
    error = failed(-1, EPERM, detail="the plan is cut short").error
    assert error and "the plan is cut short" in str(error)


def test_check_raises_unless_the_program_exited_with_0():
    assert result().check().reason == "exited"
    with pytest.raises(BoxFailed, match="ls -l: exited with status 3") as caught:
        result(exit_status=3, status=3).check()
    assert caught.value.result.exit_status == 3
    with pytest.raises(StepError) as refused:
        failed(3, EPERM, "fsmount").check()
    assert refused.value.result and refused.value.result.reason == "setup"


def test_figures_of_a_cgroup_come_before_wait4_and_say_so():
    usage = result(figures={"cpu_ns": 40_000_000}).usage
    assert (usage.cpu_s, usage.measured_by["cpu_s"]) == (0.04, "cgroup cpu.stat usage_usec")
    usage = result().usage
    assert (usage.cpu_s, usage.measured_by["cpu_s"]) == (0.03, "wait4")
    assert usage.memory_peak_bytes is None and "memory_peak_bytes" not in usage.measured_by


def test_what_an_init_that_was_killed_did_not_wait_for_is_not_measured():
    usage = killed("walltime", processes=0).usage
    assert usage.cpu_s is None and usage.max_rss_bytes is None and usage.wall_s == 0.5
    usage = killed("cputime", processes=0, figures={"cpu_ns": 500_000_000}).usage
    assert (usage.cpu_s, usage.measured_by["cpu_s"]) == (0.5, "cgroup cpu.stat usage_usec")


def test_times_are_none_when_the_program_never_ran():
    usage = failed(3, EPERM).usage
    assert usage.wall_s is None and usage.setup_s is None


def test_each_steps_time_counts_from_the_one_before_of_the_same_process():
    steps = result(states=["done"] * 5 + ["failed"] + ["not_reached"] * 2).steps
    assert [step.ns for step in steps] == [1000, 1000, 1000, 1000, 1000, 1000, None, None]
    assert [step.part for step in steps] == [
        *["prepare"] * 3, *["enter"] * 2, "app", *["finish"] * 2]
    assert steps[5].state == "failed" and steps[5].errno == "0"


def test_json_holds_everything_and_no_bytes():
    found = result()
    read = json.loads(Result(args=found.args, plan=PLAN, report=found.report,
                             stdout=b"\xff out").to_json())
    assert read["reason"] == "exited" and read["usage"]["wall_s"] == 0.5
    assert read["receipts"][0]["cap"] == "memory" and read["stdout"] == "\ufffd out"
    assert len(read["steps"]) == len(PLAN)


@pytest.mark.parametrize("cut", [0, 7, 100, 800, -1])
def test_a_report_that_is_cut_short_is_our_bug(cut):
    with pytest.raises(EngineError):
        report.decode(block()[:cut])


@pytest.mark.parametrize(("at", "what"), [
    (16, "reason 99"), (44, "cause 99"), (40, "call 99")])
def test_a_report_with_a_word_that_there_is_not_is_our_bug(at, what):
    broken = bytearray(block())
    broken[at] = 99
    with pytest.raises(EngineError, match=what):
        report.decode(broken)


def test_a_step_in_a_state_that_there_is_not_is_our_bug():
    broken = bytearray(block())
    broken[report.LAYOUT.size] = 99
    with pytest.raises(EngineError, match="state"):
        report.decode(broken).steps  # noqa: B018


def test_sizes_and_signals_are_written_as_people_do():
    assert [size(n) for n in (0, 1023, 1024, 1536, 64 << 20, 3 << 40)] == [
        "0 bytes", "1023 bytes", "1 KiB", "1.5 KiB", "64 MiB", "3 TiB"]
    assert [signal_name(n) for n in (1, 9, 15, 31, 34)] == [
        "SIGHUP", "SIGKILL", "SIGTERM", "SIGSYS", "signal 34"]


def test_the_layout_is_that_of_the_c_header():
    assert report.LAYOUT.size == 840 and struct.calcsize("<HHiQ") == 16
