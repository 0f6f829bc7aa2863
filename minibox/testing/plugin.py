"""The plugin for pytest: boxes as fixtures, tests that run in boxes, verdicts that explain.

It is there wherever minibox is installed (entry point pytest11), and does nothing until a test asks
for it; docs/testing.md is the tutorial.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from minibox.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from minibox.facts import Host
    from minibox.result import AnyResult
    from minibox.testing.book import Book
    from minibox.testing.factory import Boxes
    from minibox.testing.neighbour import Neighbour

MARKERS = (
    "minibox(needs={...}, repeat=N, **options): options of the boxes of this test, such as "
    "memory=\"64MiB\", pids=16, network=\"loopback\"; what it needs of this machine; how often it "
    "is to run",
    "boxed(**options): run the test function itself in a box, without network, with its memory "
    "capped and a /tmp of its own; options as for minibox")

BOOK: pytest.StashKey[Book] = pytest.StashKey()
INSIDE = pytest.StashKey[bool]()
LEFT: pytest.StashKey[list[str]] = pytest.StashKey()
"""What boxes have left behind."""
NAMES: pytest.StashKey[list[str]] = pytest.StashKey()
"""Of all boxes that have ended, as their cgroups are called."""
RAN = pytest.StashKey[list[Any]]()
"""Of a test: the results of all its boxes."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("minibox", "boxes")
    group.addoption("--minibox-runtime", metavar="RUNTIME", default="minibox",
                    help="run boxes, and boxed tests, with minibox, bwrap, runc or none; what that "
                    "cannot express skips a test")
    group.addoption("--minibox-report", metavar="DIR",
                    help="write every box to DIR: boxes.jsonl, and index.html for people")
    group.addoption("--minibox-require", metavar="WORDS", default="",
                    help="what tests need must be there: words with commas between, as `minibox "
                    "doctor` prints them, or all; a test that lacks one of them fails, where it "
                    "would else be skipped")


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    if words := config.getoption("minibox_require"):
        from minibox.testing import needs

        try:
            needs.check("--minibox-require", words.split(","), [needs.ALL])
        except SpecError as error:
            raise pytest.UsageError(str(error)) from None
    if (runtime := config.getoption("minibox_runtime")) != "minibox":
        from minibox.testing.elsewhere import NAMES as known

        if runtime not in known:
            raise pytest.UsageError(f"--minibox-runtime: {runtime!r}: use one of "
                                    f"{', '.join(known)}")
    if config.getoption("minibox_report") and not config.option.collectonly:
        _open_report(config)


# ---- the end of the session --------------------------------------------------------------------

@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Nothing of a box may be left; under pytest-xdist each worker says so of its own."""
    config = session.config
    if config.stash.get(INSIDE, False):
        return
    found = config.stash.setdefault(LEFT, [])
    if "minibox.box" in sys.modules:
        from minibox.testing.leftovers import left

        names: list[str] = config.stash.get(NAMES, [])
        found += left(names)
    if found and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if hasattr(config, "workeroutput"):
        config.workeroutput["minibox_left"] = found


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of pytest-xdist has ended."""
    found = getattr(node, "workeroutput", {}).get("minibox_left", ())
    node.config.stash.setdefault(LEFT, []).extend(f"{node.gateway.id}: {one}" for one in found)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter,
                            config: pytest.Config) -> None:
    if found := config.stash.get(LEFT, []):
        terminalreporter.write_sep("=", "minibox: left behind by this session", red=True)
        for line in found:
            terminalreporter.line(line)


# ---- the report --------------------------------------------------------------------------------

def _open_report(config: pytest.Config) -> None:
    from minibox.testing.reporter import Reporter

    try:
        reporter = Reporter(config)
    except SpecError as error:
        raise pytest.UsageError(str(error)) from None
    config.pluginmanager.register(reporter, "minibox-reporter")
    config.stash[BOOK] = reporter.book


def _tell(item: pytest.Item, kind: str) -> Callable[[AnyResult], None]:
    """Who is told of each box of *item* that has ended."""
    ran, book = item.stash.setdefault(RAN, []), item.config.stash.get(BOOK, None)
    names = item.config.stash.setdefault(NAMES, [])

    def told(result: AnyResult) -> None:
        names.append(getattr(getattr(result, "report", None), "name", ""))
        if kind == "box":
            ran.append(result)
        if book:
            book.add(item.nodeid, kind, result)

    return told


# ---- markers -----------------------------------------------------------------------------------

def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What a marker says is wrong is said before anything runs."""
    for item in items:
        if _marked(item):
            from minibox.testing.marks import check

            try:
                check(item)
            except SpecError as error:
                raise pytest.UsageError(f"{item.nodeid}: {error}") from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test of @pytest.mark.minibox(repeat=N) is N tests."""
    mark = next((one for one in metafunc.definition.iter_markers("minibox")
                 if "repeat" in one.kwargs), None)
    if mark:
        repeat = mark.kwargs["repeat"]
        if type(repeat) is not int or repeat < 1:
            raise pytest.UsageError(f"{metafunc.definition.nodeid}: repeat: {repeat!r}: give a "
                                    "number of runs, 1 or more")
        metafunc.fixturenames.append("minibox_repetition")
        metafunc.parametrize("minibox_repetition", range(1, repeat + 1), indirect=True,
                             ids="run{}".format)


@pytest.fixture
def minibox_repetition(request: pytest.FixtureRequest) -> int:
    """Which one of its runs this is, from 1, for a test that is to run more than once."""
    return getattr(request, "param", 1)


def _marked(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("minibox", "boxed"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if reason := _lacking(item) or _unboxed(item):
        raise pytest.skip.Exception(reason, _use_item_location=True)


def _unboxed(item: pytest.Item) -> str:
    """Why a boxed test cannot run without a box, "" if it can, or is in one."""
    if (item.get_closest_marker("boxed") is None or item.config.stash.get(INSIDE, False)
            or item.config.getoption("minibox_runtime") != "none"):
        return ""
    from minibox.testing import elsewhere, marks

    options = marks.options(item)
    beyond = sorted(options.keys() - elsewhere.EXPRESSED["none"] | {"walltime"} & options.keys())
    return str(elsewhere.CannotExpress("none", f"{beyond[0]}={options[beyond[0]]!r}")) if beyond \
        else ""


def _lacking(item: pytest.Item) -> str:
    """Why *item* cannot run on this machine, "" if it can; it fails where that must not be."""
    if item.config.stash.get(INSIDE, False) or not _marked(item):
        return ""
    from minibox.testing import marks, needs

    required = item.config.getoption("minibox_require").split(",")
    for word in sorted(marks.needed(item)):
        if reason := needs.lacking(word):
            if word in required or needs.ALL in required:
                pytest.fail(f"needs {word}, which --minibox-require says is here: {reason}",
                            pytrace=False)
            return f"needs {word}: {reason}"
    return ""


# ---- tests in boxes ----------------------------------------------------------------------------

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    if item.get_closest_marker("boxed") is None or item.config.stash.get(INSIDE, False):
        return None
    if item.config.getoption("minibox_runtime") == "none":
        return None                                         # it runs here, as any other
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in _boxed(item, nextitem):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _boxed(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[pytest.TestReport]:
    from minibox.testing import boxing

    try:
        reason = _lacking(item)
    except pytest.fail.Exception as error:
        yield boxing.failure(item, "setup", str(error))
    else:
        if reason:
            yield boxing.skipped(item, reason)
        else:
            yield from boxing.protocol(item, _tell(item, "boxed"))
    # Fixtures of the module or class that earlier tests had here, and no later one needs.
    yield from boxing.torn_down(item, nextitem)


# ---- fixtures ----------------------------------------------------------------------------------

@pytest.fixture
def box(request: pytest.FixtureRequest) -> Iterator[Boxes]:
    """Run commands in boxes: `result = box(["make"], memory="64MiB")`, `process = box.popen(...)`.

    Output is captured as text; @pytest.mark.minibox(...) gives options to all boxes of the test.
    """
    from minibox.testing import marks
    from minibox.testing.factory import Boxes

    boxes = Boxes(marks.options(request.node), _tell(request.node, "box"),
                  request.config.getoption("minibox_runtime"))
    try:
        yield boxes
    finally:
        boxes.close()


@pytest.fixture
def neighbour(request: pytest.FixtureRequest) -> Iterator[Neighbour]:
    """A canary in a second box, that ticks: `neighbour.alive`, `neighbour.longest_pause_s`, and
    `with neighbour.watch() as seen:` for the pauses during a block. If it dies the test fails."""
    from minibox.testing.neighbour import Neighbour

    canary = Neighbour()
    try:
        yield canary
        canary.check()
    finally:
        if result := canary.close():
            _tell(request.node, "neighbour")(result)


@pytest.fixture(scope="session")
def minibox_host() -> Host:
    """What this machine can do: kernel, namespaces, features, cgroup_mode, controllers ..."""
    from minibox.testing import needs

    return needs.machine()


# ---- verdicts ----------------------------------------------------------------------------------

def pytest_assertrepr_compare(config: pytest.Config, op: str, left: object,
                              right: object) -> list[str] | None:
    from minibox.testing.assertions import compared

    return compared(op, left, right, config.getoption("verbose") >= 2)


def _skip_unexpressed() -> Any:
    """What another runtime has no word for is no failure of the test."""
    from minibox.testing.elsewhere import CannotExpress

    try:
        return (yield)
    except CannotExpress as error:
        reason = str(error)
    raise pytest.skip.Exception(reason, _use_item_location=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Any:
    if item.config.getoption("minibox_runtime") == "minibox":
        return (yield)
    return (yield from _skip_unexpressed())


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(request: pytest.FixtureRequest) -> Any:
    if request.config.getoption("minibox_runtime") == "minibox":
        return (yield)
    return (yield from _skip_unexpressed())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """A failure shows what came of the test's boxes."""
    report = yield
    if report.when == "call" and report.failed:
        from minibox.testing.assertions import account

        results = item.stash.get(RAN, [])
        for number, result in enumerate(results, 1):
            report.sections.append((f"minibox: box {number} of {len(results)}",
                                    "\n".join(account(result))))
    return report
