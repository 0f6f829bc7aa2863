"""Results in the words of others, and read again from a file."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
import reports

from minibox import exports
from minibox.errors import BoxFailed, ExecError, SpecError, StepError
from minibox.record import as_dict
from minibox.report import REASONS
from minibox.result import Result
from minibox.saved import SavedResult
from minibox.surroundings import Surroundings

FIGURES = {"cpu_ns": 1_250_000_000, "memory_peak_bytes": 64 << 20, "io_read_bytes": 4096,
           "io_write_bytes": 0, "cpu_pressure_ns": 20_000, "memory_pressure_ns": 0,
           "io_pressure_ns": 1_000}

FULL = reports.plan(*FIGURES)


def killed(reason, **given):
    return reports.result(**{"reason": reason, "exit_status": 137, "how": 2, "status": 9} | given)


def ended(reason):
    """A result of each reason."""
    if reason == "exited":
        return reports.result()
    if reason == "setup":
        return reports.result(reason="setup", exit_status=125, how=0, failed_step=3, errno=1,
                              call="fsmount", exec_ns=0)
    return killed(reason)


def meta(result):
    return dict(line.split(":", 1) for line in result.to_isolate_meta().splitlines())


def test_benchexec_gets_its_own_names_and_units():
    told = reports.result(plan=FULL, figures=FIGURES, exit_status=3, status=3).to_benchexec()
    assert datetime.fromisoformat(str(told.pop("starttime"))).timestamp() == 0
    assert told == {
        "returnvalue": 3, "walltime": 0.5, "cputime": 1.25, "memory": 64 << 20, "blkio-read": 4096,
        "blkio-write": 0, "pressure-cpu-some": 2e-05, "pressure-io-some": 1e-06,
        "pressure-memory-some": 0.0}


def test_benchexec_text_is_what_runexec_prints():
    told = exports.benchexec_text(reports.result(plan=FULL, figures=FIGURES)).splitlines()
    assert told[0].startswith("starttime=")
    assert told[1:] == [
        "returnvalue=0", "walltime=0.5s", "cputime=1.25s", "memory=67108864B", "blkio-read=4096B",
        "blkio-write=0B", "pressure-cpu-some=0.00002s", "pressure-io-some=0.000001s",
        "pressure-memory-some=0s"]


@pytest.mark.parametrize(("reason", "termination", "ending"), [
    ("exited", None, {"returnvalue": 0}), ("signaled", None, {"exitsignal": 9}),
    ("seccomp", None, {"exitsignal": 9}), ("stopped", "killed", {"exitsignal": 9}),
    ("output", "killed", {"exitsignal": 9}), ("cputime", "cputime", {"exitsignal": 9}),
    ("walltime", "walltime", {"exitsignal": 9}), ("memory", "memory", {"exitsignal": 9}),
    ("setup", "failed", {})])
def test_each_reason_has_benchexecs_word(reason, termination, ending):
    told = ended(reason).to_benchexec()
    assert told.get("terminationreason") == termination
    assert {key: told[key] for key in ("returnvalue", "exitsignal") if key in told} == ending


def test_of_what_never_ran_benchexec_gets_nothing_but_that():
    assert ended("setup").to_benchexec() == {"terminationreason": "failed"}


def test_what_was_not_measured_is_no_key_of_any_export():
    result = reports.result()
    assert result.usage.memory_peak_bytes is None and result.usage.io_read_bytes is None
    assert not {"memory", "blkio-read", "pressure-cpu-some"} & result.to_benchexec().keys()
    assert "cg-mem" not in meta(result)


def test_isolate_gets_its_own_names_and_units():
    assert meta(reports.result(plan=FULL, figures=FIGURES)) == {
        "time": "1.250", "time-wall": "0.500", "max-rss": "4", "csw-voluntary": "3",
        "csw-forced": "4", "cg-mem": "65536", "exitcode": "0"}


@pytest.mark.parametrize(("reason", "status", "keys"), [
    ("exited", None, {"exitcode": "0"}), ("signaled", "SG", {"exitsig": "9"}),
    ("seccomp", "SG", {"exitsig": "9"}), ("stopped", "SG", {"exitsig": "9", "killed": "1"}),
    ("output", "SG", {"exitsig": "9", "killed": "1"}), ("cputime", "TO", {"killed": "1"}),
    ("walltime", "TO", {"killed": "1"}), ("memory", "SG", {"exitsig": "9", "cg-oom-killed": "1"}),
    ("setup", "XX", {})])
def test_each_reason_has_isolates_status(reason, status, keys):
    told = meta(ended(reason))
    assert told.get("status") == status
    chosen = ("exitcode", "exitsig", "killed", "cg-oom-killed")
    assert {key: told[key] for key in chosen if key in told} == keys
    assert ("message" in told) == (status is not None)


def test_a_program_that_failed_is_isolates_runtime_error():
    told = meta(reports.result(exit_status=3, status=3))
    assert (told["status"], told["exitcode"]) == ("RE", "3")
    assert told["message"] == "Exited with error status 3"


def test_a_meta_file_has_one_line_for_each_key():
    error = reports.result(reason="setup", exit_status=127, how=0, failed_step=5, errno=2,
                           call="execve", cause="interpreter_missing", detail="/a\nstatus:OK",
                           exec_ns=0)
    assert meta(error).keys() == {"status", "message"} and meta(error)["status"] == "XX"


AROUND = Surroundings(observed_s=1.0, cpus=(0, 1), busy_s=1.5, cpu_pressure_s=0.5,
                      clock_source="tsc")


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("around", [None, AROUND])
def test_a_saved_result_tells_all_that_the_first_one_did(reason, around):
    found = ended(reason)
    found = Result(**as_dict(found) | {"surroundings": around, "stdout": b"\xff out"})
    saved = SavedResult.from_json(found.to_json())
    assert saved.to_dict() == found.to_dict() == json.loads(found.to_json())
    assert (saved.usage, saved.receipts, saved.steps, saved.refused, saved.surroundings) \
        == (found.usage, found.receipts, found.steps, found.refused, found.surroundings)
    assert (saved.reliable, saved.doubts) == (found.reliable, found.doubts)
    assert saved.to_benchexec() == found.to_benchexec()
    assert saved.to_isolate_meta() == found.to_isolate_meta() and str(saved) == str(found)
    assert SavedResult.from_dict(saved.to_dict()) == saved


def test_a_saved_result_is_checked_as_the_first_one():
    assert SavedResult.from_dict(ended("exited").to_dict()).check().reason == "exited"
    with pytest.raises(BoxFailed, match="ls -l: timed out after 2 s"):
        SavedResult.from_dict(ended("walltime").to_dict()).check()
    for error in (ended("setup"), reports.result(
            reason="setup", exit_status=127, how=0, failed_step=5, errno=2, call="execve",
            cause="not_in_path", exec_ns=0)):
        with pytest.raises(StepError) as caught:
            SavedResult.from_dict(error.to_dict()).check()
        assert str(caught.value) == str(error.error)
        assert isinstance(caught.value, ExecError) == isinstance(error.error, ExecError)
        assert (caught.value.index, caught.value.call, caught.value.errno) == (
            error.error.index, error.error.call, error.error.errno)


def test_a_file_of_another_version_is_read_as_far_as_it_is_known():
    told = ended("exited").to_dict() | {"more": 1}
    told["usage"] = {name: value for name, value in told["usage"].items() if name != "cpu_s"}
    told["usage"]["phlogiston_bytes"] = 7
    del told["steps"]
    saved = SavedResult.from_dict(told)
    assert saved.usage.cpu_s is None and saved.usage.wall_s == 0.5 and saved.steps == ()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "NaN", "\xff", "[" * 100000])
def test_what_is_no_object_of_json_is_no_result(text):
    with pytest.raises(SpecError) as caught:
        SavedResult.from_json(text)
    assert caught.value.field == "result"


SAVED = Result(**as_dict(reports.result(refused=((0, 5 << 16 | 1, 7),)))
               | {"surroundings": AROUND}).to_dict()


@pytest.mark.parametrize(("key", "wrong"), [
    ("args", "ls"), ("args", [1]), ("args", None), ("reason", "bored"), ("reason", "setup"),
    ("exit_status", None), ("exit_status", 0.5), ("returncode", "0"), ("signal", "KILL"),
    ("summary", None), ("evidence", []), ("usage", None), ("usage", []), ("doubts", ["x", 1]),
    ("doubts", "x"), ("surroundings", []), ("refused", {}), ("refused", [1]), ("receipts", None),
    ("steps", 1), ("started_s", None), ("started_s", 1e300),
    ("started_s", float("nan")), ("name", 1), ("stdout", 1), ("stderr", b"")])
def test_a_result_with_a_value_of_another_kind_is_refused_by_its_key(key, wrong):
    with pytest.raises(SpecError) as caught:
        SavedResult.from_dict(SAVED | {key: wrong})
    assert caught.value.field == f"result {key}"


def inside(value):
    """Each place of a value of JSON: a function that gives a copy with another value there."""
    yield lambda other: other
    if isinstance(value, dict):
        for key in value:
            for change in inside(value[key]):
                yield lambda other, key=key, change=change: value | {key: change(other)}
    elif isinstance(value, list):
        for n in range(len(value)):
            for change in inside(value[n]):
                yield lambda other, n=n, change=change: [*value[:n], change(other), *value[n + 1:]]


def test_whatever_stands_in_its_place_a_result_is_told_or_refused():
    told = refused = 0
    for change in inside(SAVED):
        for other in (None, "", "x", -1, 0.5, 1e300, [], [1], {}, {"a": []}, True):
            try:
                found = SavedResult.from_dict(change(other))
            except SpecError:
                refused += 1
                continue
            told += 1
            json.loads(found.to_json())
            found.to_benchexec()
            found.to_isolate_meta()
            assert isinstance(str(found), str) and (found.error is None)
    assert told > 100 and refused > 1000
