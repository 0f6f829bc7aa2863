"""docs/result.md is what the code does: its keys, its files, its words."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import reports

from minibox.report import REASONS

SCRIPT = Path(__file__).parents[2] / "docs/make_result.py"


@pytest.fixture(scope="module")
def page():
    """The script, as a module."""
    found = importlib.util.spec_from_file_location("make_result", SCRIPT)
    assert found and found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_page_is_as_it_would_be_written():
    done = subprocess.run([sys.executable, SCRIPT, "--check"])
    assert done.returncode == 0, "run: python docs/make_result.py"


def test_each_key_of_a_result_is_on_the_page_in_its_order(page):
    assert list(page.TOP) == list(reports.result().to_dict())


def ended(reason):
    given = {"reason": reason, "how": 1 if reason == "exited" else 2}
    if reason == "setup":
        given |= {"how": 0, "failed_step": 3, "errno": 1, "call": "fsmount", "exec_ns": 0}
    return reports.result(**given)


@pytest.mark.parametrize("reason", REASONS)
def test_the_evidence_of_each_reason_is_what_the_page_says(page, reason):
    assert tuple(ended(reason).evidence) == page.VERDICTS[reason][1]


@pytest.mark.parametrize("reason", REASONS)
def test_isolates_status_of_each_reason_is_what_the_page_says(page, reason):
    told = [line for line in ended(reason).to_isolate_meta().splitlines() if "status" in line]
    assert told == ([] if reason == "exited" else [f"status:{page.status(reason)}"])


def test_each_key_of_isolates_meta_file_is_on_the_page(page):
    found = {line.split(":")[0] for reason in REASONS
             for line in ended(reason).to_isolate_meta().splitlines()}
    assert found | {"cg-mem"} == set(page.ISOLATE)


def test_a_figure_that_is_not_described_is_an_error(page, monkeypatch):
    monkeypatch.delitem(page.USAGE, "cpu_s")
    with pytest.raises(KeyError, match="cpu_s"):
        page.page()
