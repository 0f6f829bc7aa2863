"""Inside the box of a boxed test: pytest itself runs this one test, and its reports go outside.

`main` is started by minibox.testing.boxing with a request on stdin: what pytest outside was told.
On stdout goes a line of JSON for each thing to tell; what the test writes goes to stderr.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest
    from _pytest.config import Config

PATIENCE_S = 1.0
"""How long what is about to end may take to, before it counts as left behind."""

NEARLY = 0.9
"""Of its time, after which a test is likely to hang."""


def main() -> None:
    """Run the test in a child, see what that leaves behind, and end as it did."""
    began = time.monotonic()
    request = json.load(sys.stdin)
    channel = os.dup(1)
    os.dup2(2, 1)
    pid = os.fork()
    if pid == 0:
        sys.exit(_run(request, Messenger(channel, request["nodeid"]), began))
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status < 0:                                          # as it ended, so does the box
        import signal

        if -status not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    _tell(channel, left=list(_left()))
    sys.exit(status)


def _tell(channel: int, **what: Any) -> None:
    data = json.dumps(what, default=repr).encode() + b"\n"
    while data:
        data = data[os.write(channel, data):]


def _left() -> Iterator[str]:
    """Processes that are still there, other than init and this one."""
    import select

    for name in sorted(filter(str.isdecimal, os.listdir("/proc")), key=int):
        if int(name) in (1, os.getpid()):
            continue
        try:
            pidfd = os.pidfd_open(int(name))
            try:
                if not select.select([pidfd], [], [], PATIENCE_S)[0]:
                    with open(f"/proc/{name}/cmdline") as file:
                        words = file.read().split("\0")
                    yield " ".join(words).strip() or f"process {name}"
            finally:
                os.close(pidfd)
        except (ProcessLookupError, FileNotFoundError):
            continue


def _run(request: dict[str, Any], messenger: Messenger, began: float) -> int:
    """Run pytest with the options that it has outside."""
    from _pytest.config import get_config

    import minibox

    # pytest rewrites the assertions of a plugin's package, and warns if it came too late for that.
    minibox.__doc__ = f"{minibox.__doc__}\nPYTEST_DONT_REWRITE"
    if request["walltime_s"]:
        # Where it hangs is worth knowing, and who kills the box cannot tell.
        rest = request["walltime_s"] * NEARLY - (time.monotonic() - began)
        faulthandler.dump_traceback_later(max(rest, 0.1), file=os.dup(2))
    try:
        # Config.fromdictargs, but before pytest 9 that cannot leave a plugin out.
        config = get_config(request["args"])
        vars(config.option).update(request["options"])
        config.parse(request["args"], addopts=False)
        from minibox.testing.plugin import INSIDE

        config.stash[INSIDE] = True
        config.pluginmanager.register(messenger, "minibox-messenger")
        with open(os.devnull, "w") as sys.stdout:
            return int(config.hook.pytest_cmdline_main(config=config))
    except BaseException:
        messenger.tell(failed=traceback.format_exc())
        raise
    finally:
        sys.stdout = messenger.stdout


class Messenger:
    """The plugin that tells what happens to those outside.

    pytest's own reporter has to be there, but what it writes has no reader.
    """

    def __init__(self, channel: int, nodeid: str) -> None:
        self._channel, self._nodeid, self.stdout = channel, nodeid, sys.stdout
        self._config: Config | None = None

    def tell(self, **what: Any) -> None:
        _tell(self._channel, **what)

    def pytest_configure(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_sessionstart(self) -> None:
        sys.stdout = self.stdout                            # the reporter has the silent one

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.tell(failed=report.longreprtext)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid == self._nodeid][:1]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        assert self._config
        self.tell(report=self._config.hook.pytest_report_to_serializable(config=self._config,
                                                                         report=report))

    def pytest_exception_interact(self, call: pytest.CallInfo[object]) -> None:
        """Something failed: what was it looking for?"""
        if call.excinfo is not None:
            for sought in _sought(call.excinfo.value):
                self.tell(sought=sought)

    def pytest_warning_recorded(self, warning_message: Any, when: str, nodeid: str,
                                location: tuple[str, int, str] | None) -> None:
        self.tell(warning={
            "message": str(warning_message.message), "when": when, "nodeid": nodeid,
            "category": warning_message.category.__name__, "filename": warning_message.filename,
            "lineno": warning_message.lineno, "location": location})

    def pytest_internalerror(self, excrepr: object) -> None:
        self.tell(failed=str(excrepr))


def _sought(error: BaseException | None) -> Iterator[dict[str, Any]]:
    """What *error*, and what it came of, say was not there: paths, modules, variables."""
    from _pytest.fixtures import FixtureLookupError

    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError):
            paths = [os.fsdecode(name) for name in (error.filename, error.filename2)
                     if isinstance(name, (str, bytes, os.PathLike))]
            yield {"errno": error.errno, "kind": type(error).__name__, "paths": paths,
                   "cwd": os.getcwd()}
        elif isinstance(error, ModuleNotFoundError):
            yield {"module": error.name}
        elif isinstance(error, FixtureLookupError):
            yield {"fixture": error.argname}
        elif isinstance(error, KeyError) and error.args and isinstance(error.args[0], str):
            yield {"variable": error.args[0]}
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
