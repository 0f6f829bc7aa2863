"""What all tests share: the marker `needs`, an unprivileged user, the check for what is left."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import account as accounts
import leaks
import needs
import pytest

TIDY = ("box", "fault")
"""Directories whose tests must leave nothing behind."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true",
                     help="write the plans in tests/golden anew; then read the difference")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*words): skip where this machine lacks one of them")
    needs.required()
    # numpy's idle threads would be there for the whole session, and some calls allow just one
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    leaks.adopt_orphans()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:      # as nohup and "&" leave them
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT
                          else lambda *_: None)             # not ignored by what is started
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", 143))    # tidies up


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A word that nobody knows is an error before anything runs."""
    for item in items:
        for mark in item.iter_markers("needs"):
            for word in mark.args:
                needs.lacking(word)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        needs.require(*mark.args)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """End with what was skipped, by reason."""
    skipped: dict[str, list[str]] = {}
    for report in terminalreporter.stats.get("skipped", ()):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        skipped.setdefault(reason.removeprefix("Skipped: "), []).append(report.nodeid)
    if skipped:
        terminalreporter.section("not run on this machine")
    for reason, tests in sorted(skipped.items()):
        terminalreporter.line(f"{reason}: {len(tests)}")
        for test in dict.fromkeys(test.split("[")[0] for test in tests):
            terminalreporter.line(f"    {test}")


@pytest.fixture(scope="session")
def account() -> Iterator[pwd.struct_passwd]:
    """The account of the unprivileged user, for as long as the tests run."""
    with accounts.account() as entry:
        yield entry


@pytest.fixture
def as_user(request: pytest.FixtureRequest) -> Iterator[accounts.User]:
    """An unprivileged user with a home of its own, that no other user can enter."""
    needs.require("user")
    if os.geteuid() != 0:
        yield accounts.current(request.getfixturevalue("tmp_path"))
        return
    entry = request.getfixturevalue("account")
    home = tempfile.mkdtemp(prefix="minibox-home-")
    os.chown(home, entry.pw_uid, entry.pw_gid)
    try:
        yield accounts.User(entry.pw_name, entry.pw_uid, entry.pw_gid, Path(home),
                            accounts.drop_to(entry))
    finally:
        shutil.rmtree(home)


@pytest.fixture
def delegated(as_user: accounts.User) -> Iterator[None]:
    """The unprivileged user has cgroups to divide: its own, or a subtree that root makes."""
    needs.require("delegation")
    if os.geteuid() != 0:
        yield
        return
    from minibox import cgroups, delegate

    own = [one.own for one in cgroups.current() if one.version == 2]
    delegate.delegate(as_user.uid, as_user.gid, os.getpid())
    try:
        yield
    finally:
        delegate.undo(as_user.uid)
        for directory in own:                               # undo leaves us at the root
            cgroups.write(f"{directory}/cgroup.procs", str(os.getpid()))


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """No process, mount, cgroup or descriptor is there after a box that was not before."""
    if not set(TIDY) & set(request.path.parts):
        yield
        return
    if os.geteuid() == 0 and not needs.lacking("user"):
        request.getfixturevalue("account")                  # it lasts longer than this test
    before = leaks.state()
    yield
    left = leaks.left_since(before)
    if left:
        leaks.end_since(before)
    assert left == []
