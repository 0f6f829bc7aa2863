#!/usr/bin/env python3
"""What Python reads of others, under atheris: libFuzzer with Python's own coverage.

    fuzz_text.py [LIBFUZZER-OPTION]... DIRECTORY...

fuzz.py runs it where atheris is installed, which is large and therefore an extra.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

HERE = Path(__file__).resolve().parent
sys.path[:0] = map(str, (HERE, HERE.parents[1]))

with atheris.instrument_imports(include=["minibox"]):
    from texts import one_input

if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
