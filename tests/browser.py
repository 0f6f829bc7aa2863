"""A real browser, without a window: what it makes of a page that stands alone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def browse(page: Path, *options: str) -> str:
    """The document that a browser makes of the file *page*, or what an option has it do."""
    as_root = ("--no-sandbox",) if os.geteuid() == 0 else ()
    done = subprocess.run(
        ["chromium", "--headless", "--disable-gpu", *as_root, "--disable-dev-shm-usage",
         f"--user-data-dir={page.parent}/browser", "--virtual-time-budget=2000", *options,
         "--dump-dom", page.as_uri()],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, cwd=page.parent,
        env={"PATH": os.environ["PATH"], "HOME": str(page.parent)})
    assert done.returncode == 0, done.stderr
    return done.stdout
