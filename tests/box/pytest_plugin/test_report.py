"""--minibox-report: every box as JSON Lines and as a page; and pytest-xdist."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest

BOXES = """
    import pytest

    def test_runs_two(box):
        box(["echo", "<b>first</b>"])
        box(["sh", "-c", "exit 3"])

    @pytest.mark.boxed
    def test_is_boxed():
        pass

    def test_fails(box):
        box(["sleep", "60"], walltime=0.1)
        assert 0

    def test_has_none():
        pass
"""


def lines_of(project):
    text = (project.path / "report/boxes.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


class Text(HTMLParser):
    """Checks that what is opened is closed, and collects the text."""

    VOID = ("meta",)

    def __init__(self, page):
        super().__init__()
        self.open, self.text, self.fetched = [], "", []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.fetched += [value for name, value in attributes if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_every_box_is_in_the_report(project, workers):
    done = project.pytest("--minibox-report", "report", *workers, text=BOXES)
    done.assert_outcomes(passed=3, failed=1)
    head, *lines = lines_of(project)
    assert head["minibox_report"] == 1
    boxes = [(line["test"], line["kind"], line["result"]["reason"]) for line in lines
             if "result" in line]
    assert sorted(boxes) == [
        ("test_it.py::test_fails", "box", "walltime"), ("test_it.py::test_is_boxed", "boxed",
                                                        "exited"),
        *[("test_it.py::test_runs_two", "box", "exited")] * 2]
    assert {line["worker"] for line in lines if "worker" in line} <= {"", "gw0", "gw1"}
    assert {line["test"]: line["outcome"] for line in lines if "outcome" in line} == {
        "test_it.py::test_runs_two": "passed", "test_it.py::test_is_boxed": "passed",
        "test_it.py::test_fails": "failed", "test_it.py::test_has_none": "passed"}
    page = Text((project.path / "report/index.html").read_text())
    assert page.open == [] and page.fetched == []
    for word in ("4 boxes of 3 tests", "<b>first</b>", "timed out after 0.1 s", "pytest test_it"):
        assert word in page.text


def test_a_report_of_ours_is_made_anew(project):
    for _ in range(2):
        project.pytest("--minibox-report", "report", text=BOXES).assert_outcomes(passed=3, failed=1)
    assert sum("result" in line for line in lines_of(project)) == 4


@pytest.mark.parametrize("name, text", [("notes.txt", "mine"), ("boxes.jsonl", "mine\n"),
                                        ("boxes.jsonl", '{"minibox_report": 0}\n')])
def test_a_directory_with_anything_else_is_refused(project, name, text):
    (project.path / "report").mkdir()
    path = project.write(text, f"report/{name}")
    done = project.pytest("--minibox-report", "report", text=BOXES)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([f"ERROR: --minibox-report: *: it is not empty*{name}*"])
    assert path.read_text() == text
    assert "Traceback" not in done.stderr.str()


def test_a_directory_that_cannot_be_written_is_refused(user_project):
    done = user_project.pytest("--minibox-report", "/proc/report", text=BOXES)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["ERROR: --minibox-report: '/proc/report': it cannot be written: *"])


def test_a_full_disk_loses_boxes_of_the_report_and_no_test(root_project):
    """A tmpfs of one page has room for the head and little more."""
    caller, report = root_project.caller, root_project.path / "report"
    report.mkdir()
    root_project.write(BOXES)
    done = caller.command(
        "unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size=4k none {report} && '
        'cd "$0" && "$@"; status=$?; cat report/boxes.jsonl; ls report; exit $status',
        str(root_project.path), *caller.python, "-m", "pytest", "-p", "no:minibox", "-p",
        "minibox.testing.plugin", "--minibox-report", "report")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "1 failed, 3 passed" in done.stdout
    said = "boxes.jsonl: No space left on device: some boxes are missing there"
    assert done.stdout.count(said) == 1 and "index.html: No space left on device" in done.stdout
    assert done.stdout.endswith("\nboxes.jsonl\n")          # and no page that is half written
    whole = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert whole[0]["minibox_report"] == 1
