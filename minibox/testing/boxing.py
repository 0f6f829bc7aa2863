"""Outside the box of a boxed test: what it gets to see, and what pytest here is told of it.

The test runs under a pytest of its own in the box (minibox.testing.boxed), with the options of the
one outside; its reports are replayed here, so that all plugins see it as if it had run here.
"""

from __future__ import annotations

import builtins
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest

from minibox import box
from minibox.errors import MiniboxError, SpecError
from minibox.record import replace
from minibox.result import AnyResult
from minibox.testing import asked, elsewhere, hidden, marks, needs
from minibox.testing.assertions import account
from minibox.testing.interpreter import command, interpreter, within

DEFAULTS: Mapping[str, Any] = {"memory": "512MiB", "pids": 256, "walltime": 60}
"""Caps of a boxed test, as far as this machine has them."""

KEPT = frozenset({"CI", "COLUMNS", "FORCE_COLOR", "LANG", "NO_COLOR", "PYTEST_PLUGINS",
                  "PYTEST_DISABLE_PLUGIN_AUTOLOAD", "TERM", "TZ"})
KEPT_BEGINNINGS = ("LC_", "PYTEST_XDIST_", "PYTHON")
"""Variables that a boxed test sees, and how the names of more begin; all others may be secrets."""

OF_THE_SESSION: Mapping[str, Any] = {
    "basetemp": None, "cacheshow": None, "cacheclear": False, "lf": False, "last_failed": False,
    "failedfirst": False, "newfirst": False, "stepwise": False, "stepwise_skip": False,
    "stepwise_reset": False, "usepdb": False, "trace": False, "maxfail": 0, "keyword": "",
    "markexpr": "", "deselect": None, "xmlpath": None, "pastebin": None, "log_file": None,
    "debug": None, "numprocesses": None, "maxprocesses": None, "dist": "no", "distload": False,
    "tx": [], "looponfail": False, "minibox_report": None, "cov_source": [], "no_cov": True,
    "plugins": []}
"""Options that are about all tests, or would write where a box cannot."""

STAYS_OUTSIDE = {
    "box": "a box has no boxes in it: take `boxed` or `box`, not both",
    "neighbour": "a box has no boxes in it: take `boxed` or `neighbour`, not both",
    "cache": "it is written for later sessions, and nothing that a boxed test writes lasts",
    "worker_id": "pytest-xdist has no workers in the box"}
"""Fixtures that cannot be had in a box, and why."""

PHASES = ("setup", "call", "teardown")


def run(item: pytest.Item) -> tuple[Any, list[dict[str, Any]]]:
    """Run *item* in a box; what came of the box, and what was told from inside.

    Errors: SpecError, HostError, StepError.
    """
    given = marks.options(item)
    for name, why in STAYS_OUTSIDE.items():
        if name in getattr(item, "fixturenames", ()):
            raise SpecError("fixture", name, f"a boxed test cannot use it: {why}")
    runtime = item.config.getoption("minibox_runtime")
    options = _defaults(item, given, runtime)
    limits = asked.split(options).get("limits")
    live = item.config.getoption("capture") == "no"
    streams: dict[str, Any] = {"input": _request(item, limits and limits.walltime_s),
                               "stdout": box.PIPE, "stderr": 1 if live else box.PIPE}
    argv = command("minibox.testing.boxed", "main")
    result: Any = (box.run(argv, **streams, **asked.split(options)) if runtime == "minibox"
                   else elsewhere.run(runtime, argv, options, **streams))
    result = replace(result, args=("pytest", item.nodeid))
    return result, list(_read(bytes(result.stdout or b"")))


def _read(data: bytes) -> Iterator[dict[str, Any]]:
    """What was told, but for a last line that is torn, and what the test itself wrote there."""
    for line in data.splitlines():
        with suppress(ValueError):
            told = json.loads(line)
            if isinstance(told, dict):
                yield told


def _defaults(item: pytest.Item, given: dict[str, Any], runtime: str) -> dict[str, Any]:
    """*given*, with what else a test needs to run as it would here."""
    options = dict(given)
    if "limits" not in given:
        options = {name: value for name, value in DEFAULTS.items()
                   if not needs.lacking(needs.OF_CAPS.get(name, "user"))} | options
    if runtime != "minibox":
        known = elsewhere.EXPRESSED[runtime] if os.getuid() == 0 else \
            elsewhere.EXPRESSED[runtime] - elsewhere.CGROUP_CAPS
        options = {name: value for name, value in options.items() if name in known | given.keys()}
    elif not (needs.lacking("seccomp.notify") or needs.lacking("seccomp")):
        unfiltered = options.get("privileged") or "seccomp" in (*options.get("without", ()),) or \
            any(str(one).startswith("seccomp") for one in options.get("security_opts", ()))
        options.setdefault("seccomp_log", not unfiltered)
    if runtime == "minibox":
        options.setdefault("observe", True)
    config = item.config
    view = interpreter([str(config.rootpath), str(item.path.parent), str(config.inipath or "")])
    options["mounts"] = (*view, *options.get("mounts", ()))
    here = str(config.invocation_params.dir)
    seen = within(here, (one.target for one in view))
    options.setdefault("cwd", here if seen else str(config.rootpath))
    kept = {name: value for name, value in os.environ.items()
            if name in KEPT or name.startswith(KEPT_BEGINNINGS)}
    mine = options.get("env", ())
    options["env"] = (*kept.items(), *(mine.items() if isinstance(mine, Mapping) else mine))
    return options


def _request(item: pytest.Item, walltime_s: float | None) -> bytes:
    """What the pytest inside is to do."""
    config = item.config
    options = {name: value for name, value in vars(config.option).items()
               if _plain(value) and name != "file_or_dir"}
    options |= {name: value for name, value in OF_THE_SESSION.items() if name in options}
    plugins = [word for name in (*config.option.plugins, "no:cacheprovider", "no:minibox",
                                 "minibox.testing.plugin") for word in ("-p", name)]
    names = [node.name for node in item.listchain()
             if isinstance(node, pytest.Class)] + [getattr(item, "originalname", item.name)]
    root = ["--rootdir", str(config.rootpath)]
    ini = ["-c", str(config.inipath)] if config.inipath else []
    return json.dumps({
        "nodeid": item.nodeid, "options": options, "walltime_s": walltime_s,
        "args": [*root, *ini, *plugins, "-o", "log_file=", "::".join([str(item.path), *names])],
    }).encode()


def _plain(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_plain, value))
    return value is None or isinstance(value, (str, int, float))


# ---- what is told here -------------------------------------------------------------------------

class Told:
    """Replays what came out of the box of one test."""

    def __init__(self, item: pytest.Item, result: Any, told: list[dict[str, Any]]) -> None:
        self._item, self._result = item, result
        self._reports = [one["report"] for one in told if "report" in one]
        self._failed = [one["failed"] for one in told if "failed" in one]
        self._warnings = [one["warning"] for one in told if "warning" in one]
        self._left = [name for one in told for name in one.get("left", ())]
        self._hints = hidden.hints(item, [one["sought"] for one in told if "sought" in one], result)

    def replay(self) -> Iterator[pytest.TestReport]:
        """The reports of all phases; where the box did not come as far, why not."""
        for warning in self._warnings:
            self._warn(warning)
        ran: list[str] = []
        for data in self._reports:
            report = _report_of(self._item.config, data)
            ran.append(str(report.when))
            if report.failed:
                self._explain(report)
            if report.when == "teardown" and report.passed and self._left:
                report = self._daemons()
            yield report
        if "teardown" not in ran:
            yield from self._cut_short(ran)

    def _cut_short(self, ran: list[str]) -> Iterator[pytest.TestReport]:
        when = next(phase for phase in PHASES if phase not in ran)
        text = "\n".join(self._failed) or f"the box of this test ended before its {when} did"
        report = failure(self._item, when, "\n".join([text, *account(self._result, streams=())]))
        self._explain(report)
        yield report
        if when != "teardown":
            yield passed(self._item, "teardown")

    def _daemons(self) -> pytest.TestReport:
        one = len(self._left) == 1
        return failure(self._item, "teardown",
                       f"the test left {'a process' if one else f'{len(self._left)} processes'} in "
                       f"its box, killed with it: {', '.join(self._left)}. End "
                       f"{'it' if one else 'them'} in the test or in a fixture")

    def _explain(self, report: pytest.TestReport) -> None:
        if self._hints:
            report.sections.append(("minibox: what the box hides", "\n".join(self._hints)))
        said = self._result.stderr
        if said:
            text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
            report.sections.append(("output of the box that pytest did not capture", text))

    def _warn(self, told: dict[str, Any]) -> None:
        category = getattr(builtins, told["category"], getattr(pytest, told["category"],
                                                               UserWarning))
        message = warnings.WarningMessage(category(told["message"]), category, told["filename"],
                                          told["lineno"])
        self._item.ihook.pytest_warning_recorded.call_historic(kwargs={
            "warning_message": message, "when": told["when"], "nodeid": told["nodeid"],
            "location": told["location"] and tuple(told["location"])})


def _report_of(config: pytest.Config, data: dict[str, Any]) -> pytest.TestReport:
    """A report that went through JSON, which knows no tuples."""
    if isinstance(data.get("longrepr"), list):
        data["longrepr"] = tuple(data["longrepr"])
    for name in ("location", "user_properties", "sections"):
        data[name] = [tuple(one) if isinstance(one, list) else one for one in data.get(name, ())]
    data["location"] = tuple(data["location"])
    report = config.hook.pytest_report_from_serializable(config=config, data=data)
    assert isinstance(report, pytest.TestReport)
    return report


def failure(item: pytest.Item, when: str, text: str) -> pytest.TestReport:
    """The report of a phase that failed for reasons outside the test's code."""
    return _report(item, when, lambda: pytest.fail(text, pytrace=False))


def skipped(item: pytest.Item, reason: str) -> pytest.TestReport:
    """The report of a test that is not to run here."""
    def skip() -> None:
        raise pytest.skip.Exception(reason, _use_item_location=True)

    return _report(item, "setup", skip)


def passed(item: pytest.Item, when: str) -> pytest.TestReport:
    return _report(item, when, lambda: None)


def _report(item: pytest.Item, when: Any, act: Any) -> pytest.TestReport:
    call: pytest.CallInfo[Any] = pytest.CallInfo.from_call(act, when)
    report = item.ihook.pytest_runtest_makereport(item=item, call=call)
    assert isinstance(report, pytest.TestReport)
    return report


def protocol(item: pytest.Item, keep: Callable[[AnyResult], None]) -> Iterator[pytest.TestReport]:
    """Run *item* in a box; its reports."""
    refusal = ""
    try:
        result, told = run(item)
    except elsewhere.CannotExpress as error:
        yield skipped(item, str(error))
        return
    except MiniboxError as error:
        refusal = f"{type(error).__name__}: {error}"
    if refusal:
        yield failure(item, "setup", refusal)
        yield passed(item, "teardown")
        return
    keep(replace(result, stdout=None))              # that was told, not output of the test
    yield from Told(item, result, told).replay()


def torn_down(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[pytest.TestReport]:
    """End what earlier tests set up here and *nextitem* does not need; a report if that fails."""
    report = _report(item, "teardown", lambda: item.session._setupstate.teardown_exact(nextitem))
    if report.failed:
        yield report
