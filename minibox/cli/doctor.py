"""minibox doctor: what works on this machine, and the mend of what does not."""

from __future__ import annotations

import os
import sys

from minibox.cli.options import UsageError, parse
from minibox.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from minibox.doctor import Check, Findings

PAGE = """\
usage: minibox doctor [OPTION]...

Try each mechanism that boxes are made of, as this user, and say what works, what does not, why,
and what to do. The exit status is 0 if boxes run here.

      --json                write the findings as JSON
      --refresh             accepted, and needless: doctor never believes what is remembered
      --apparmor-profile    print the profile that lets the engine make user namespaces where
                            AppArmor restricts them (Ubuntu 23.10 and later)
  -h, --help                show this
"""

PROFILE = """\
abi <abi/4.0>,
include <tunables/global>

profile minibox-engine {path} flags=(unconfined) {{
  userns,
}}
"""


def main(argv: Sequence[str]) -> int:
    """Do as *argv* says; the exit status."""
    options, rest = parse(PAGE, argv)
    if rest:
        raise UsageError(f"doctor takes no argument, but was given {rest[0]!r}")
    if options.get("help"):
        print(PAGE, end="")
        return 0
    if options.get("apparmor-profile"):
        from minibox.engine import path

        print(PROFILE.format(path=os.path.realpath(path())), end="")
        return 0
    from minibox.doctor import examine

    try:
        findings = examine()
    except EngineError as error:
        print(f"minibox: {error}", file=sys.stderr)
        return 1
    if options.get("json"):
        import json

        print(json.dumps(findings.as_json(), indent=2))
    else:
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        print("\n".join(lines(findings, colour)))
    return 0 if findings.runs else 1


def lines(findings: Findings, colour: bool) -> Iterator[str]:
    """The findings as a page for people."""
    found = findings.host
    who = "root" if found.uid == 0 else f"user {found.uid}"
    yield f"Linux {os.uname().release} {found.machine}, as {who}, cgroups: {found.cgroup_mode}"
    yield ""
    checks = list(_joined(findings.checks))
    width = max(len(check.name) for check in checks)
    for check in checks:
        word, code = ("works", 32) if check.works else ("fails", 31)
        if not check.works and check.kind != "needed":
            word, code = "lacks", 33
        yield f"{_painted(word, code, colour)}  {check.name:{width}}  {check.detail}"
        if check.mend:
            yield f"{'':5}  {'':{width}}  mend: {check.mend}"
    yield ""
    if not findings.runs:
        yield "No box can run here: mend what fails, from the top, then look again."
        return
    yield f"Boxes run here. Caps that hold: {', '.join(findings.caps(True))}."
    if findings.caps(False):
        yield (f"Refused, unless with --best-effort: {', '.join(findings.caps(False))}.")


def _joined(checks: Sequence[Check]) -> Iterator[Check]:
    """Neighbours that fail for one reason, as one."""
    from minibox.record import replace

    waiting: Check | None = None
    for check in checks:
        same = waiting and not check.works and not waiting.works and (
            (check.detail, check.mend) == (waiting.detail, waiting.mend))
        if waiting and same:
            waiting = replace(waiting, name=f"{waiting.name}, {check.name}")
            continue
        if waiting:
            yield waiting
        waiting = check
    if waiting:
        yield waiting


def _painted(word: str, code: int, colour: bool) -> str:
    return f"\033[{code}m{word}\033[m" if colour else word


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
