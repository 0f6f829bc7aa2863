"""Each test runs pytest on a small project, as root and as an unprivileged user."""

from __future__ import annotations

import os
import textwrap
import time
from pathlib import Path
from typing import Any

import needs
import pytest


class Project:
    """A directory of the caller's own with tests in it."""

    def __init__(self, caller: Any) -> None:
        self.caller, self.path = caller, Path(caller.scratch) / "project"
        self.path.mkdir()
        self.own(self.path)

    def own(self, path: Path) -> None:
        os.chown(path, self.caller.uid, self.caller.gid)

    def write(self, text: str, name: str = "test_it.py") -> Path:
        path = self.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
        self.own(path)
        return path

    def pytest(self, *arguments: str, text: str = "", environment: dict[str, str] | None = None,
               plugin: tuple[str, ...] = ("-p", "no:minibox", "-p", "minibox.testing.plugin"),
               ) -> pytest.RunResult:
        """Run pytest as the caller, with *text* as its only test file if that is given."""
        if text:
            self.write(text)
        began = time.monotonic()
        done = self.caller.command(
            *self.caller.python, "-m", "pytest", *plugin, "-rA", *arguments, cwd=self.path,
            env=self.caller.environment | {"COLUMNS": "200"} | (environment or {}))
        print(done.stdout, done.stderr)                     # to be seen if this test fails
        return pytest.RunResult(done.returncode, done.stdout.splitlines(),
                                done.stderr.splitlines(), time.monotonic() - began)


@pytest.fixture
def project(boxed: Any) -> Project:
    return Project(boxed)


@pytest.fixture
def root_project(root_boxed: Any) -> Project:
    needs.require("root")
    return Project(root_boxed)


@pytest.fixture
def user_project(user_boxed: Any) -> Project:
    return Project(user_boxed)
