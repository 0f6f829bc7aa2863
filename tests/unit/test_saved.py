"""Results files are read again, line by line."""

from __future__ import annotations

import json

import pytest
import reports

from minibox.errors import SpecError
from minibox.testing.leases import Lease
from minibox.testing.ledger import line_of
from minibox.testing.many import Job, Run
from minibox.testing.saved import load_runs

RUNS = [
    Run(job=Job(["ls", "-l"], name="anna", text=True), result=reports.result(),
        lease=Lease(cpus=(2, 3), memory_bytes=4096)),
    Run(job=Job(["ls", "-l"]), error=SpecError("memory", 1, "it is too little"), attempt=2)]


@pytest.fixture
def results(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text("".join(line_of(run) + "\n" for run in RUNS))
    return path


def test_a_results_file_tells_of_each_run(results):
    done, failed = load_runs(results)
    assert (done.name, done.job["argv"]) == ("anna", ["ls", "-l"])
    assert (done.attempt, done.error) == (1, None)
    assert done.lease == {"cpus": [2, 3], "memory_bytes": 4096}
    told = RUNS[0].result.to_dict()
    assert done.result.to_dict() == told | {"steps": []}
    assert (failed.name, failed.result, failed.attempt) == (None, None, 2)
    assert failed.error == str(RUNS[1].error)


def test_a_line_that_was_torn_is_dropped_and_named(results):
    whole = results.read_bytes()
    results.write_bytes(whole[:-10])
    with pytest.warns(RuntimeWarning, match="results.jsonl: line 2 was torn"):
        assert [run.name for run in load_runs(results)] == ["anna"]


@pytest.mark.parametrize("line", ["", "[]", "{", "{}", "null", json.dumps({
    "name": None, "job": {}, "lease": {}, "attempt": 1, "error": None, "result": {"args": []}})])
def test_a_line_that_is_no_runs_is_refused_by_its_number(results, line):
    with results.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(SpecError, match="line 3 is no result of a run"):
        list(load_runs(results))
