"""One step up, which the kernel stops at the root."""

import os


def escape() -> None:
    os.chdir("..")
