#!/usr/bin/env python3
"""Write docs/steps.md: every kind of step, from its own docstring.

    python docs/make_steps.py [--check]

--check: only say, by the exit status, whether the page is as it would be written.
"""

from __future__ import annotations

import inspect
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from minibox import steps  # noqa: E402

HEAD = """# The steps of a plan

Every kind of step, in the order in which boxes are made. This page is made from
`minibox/steps.py` by `python docs/make_steps.py`; the function of a step in `csrc/` has its name.
*Leaks* says what leaks or breaks without the step, *Needs* which privilege it takes,
*Mechanism* which module of `minibox/compiler/` decides on it.
`minibox plan run ...` shows the steps of one box.
"""

SECTIONS = ("Why", "Leaks", "Needs", "Units", "Errors", "Source")

WHO = {"prepare": "the engine, before the box runs", "enter": "init, inside the new namespaces",
       "app": "the application's own process, last", "finish": "the engine, after the box is dead"}


def entry(kind: type[steps.Step]) -> str:
    sentence, _, rest = inspect.cleandoc(kind.__doc__ or "").partition("\n")
    fields = ", ".join(f"`{name}`: {of}" for name, of in kind.__fields__.items()) or "none"
    acts = "; ".join(WHO[part] for part in kind.parts)
    body, word = [], ""
    for line in rest.strip().splitlines():
        first, colon, text = line.partition(":")
        if colon and first in SECTIONS:
            word = first
            body.append(f"- {word}: {text.strip()}")
        else:
            body.append(f"  {line.strip()}")
    return "\n".join([f"## {steps.name_of(kind)}", "", sentence, "", f"- By: {acts}",
                      f"- Mechanism: `{kind.mechanism}`", f"- Fields: {fields}", *body, ""])


def page() -> str:
    return HEAD + "\n" + "\n".join(entry(kind) for kind in steps.KINDS if kind is not steps.Fail)


def main() -> int:
    target = os.path.join(HERE, "steps.md")
    if "--check" in sys.argv[1:]:
        with open(target) as file:
            return file.read() != page()
    with open(target, "w") as file:
        file.write(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
