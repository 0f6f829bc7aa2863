"""The hooks behind --minibox-report: open the book, write what becomes of tests, finish it."""

from __future__ import annotations

import pytest

from minibox.testing.book import Book


class Reporter:
    """Writes the outcomes of tests; their boxes are written by whoever runs them.

    Under pytest-xdist the controller begins and finishes the report, and workers write to it.
    """

    def __init__(self, config: pytest.Config) -> None:
        worker = getattr(config, "workerinput", {}).get("workerid", "")
        self._is_worker = bool(worker)
        self.book = Book(config.getoption("minibox_report"), begin=not worker, worker=worker)
        config.option.minibox_report = self.book.directory              # for workers to find it

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self._is_worker:
            return
        if hasattr(report, "wasxfail"):
            self.book.outcome(report.nodeid, "xfailed" if report.skipped else "xpassed")
        elif report.when == "call":
            self.book.outcome(report.nodeid, report.outcome)
        elif report.failed:
            self.book.outcome(report.nodeid, "error")
        elif report.skipped:
            self.book.outcome(report.nodeid, "skipped")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        if self._is_worker:
            self.book.close()
        else:
            self.book.finish()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.book.complaints:
            terminalreporter.write_sep("=", "minibox", red=True)
        for complaint in self.book.complaints:
            terminalreporter.line(complaint)
