"""minibox delegate: give a user cgroups, where no systemd does."""

from __future__ import annotations

import pwd
import sys

from minibox.cli.options import UsageError, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE = """\
usage: sudo minibox delegate [OPTION]... USER

Let USER (a name or a number) make cgroups, so that boxes which USER starts can have caps on
memory, CPUs and processes. It lasts until the next boot. Where systemd runs it is not needed.

      --pid PID     move this process of USER's as well (cgroup v2 needs it of the shell that is to
                    start boxes); without it, the shell that sudo was typed in
      --undo        take it away again; USER's boxes must have ended
  -h, --help        show this
"""


def main(argv: Sequence[str]) -> int:
    """Do as *argv* says; the exit status."""
    options, rest = parse(PAGE, argv)
    more, behind = parse(PAGE, rest[1:])
    options |= more
    if options.get("help"):
        print(PAGE, end="")
        return 0
    if len(rest) < 1 or behind:
        raise UsageError("name one user, such as: sudo minibox delegate alice")
    uid, gid = _user(rest[0])
    from minibox.delegate import delegate, undo

    said = undo(uid) if options.get("undo") else delegate(uid, gid, _pid(options.get("pid")))
    for sentence in said or ["there was nothing to undo"]:
        print(sentence)
    if not options.get("undo"):
        print(f"next, as {rest[0]}: minibox run -m 64M -- true, or minibox doctor")
    return 0


def _user(text: str) -> tuple[int, int]:
    try:
        entry = pwd.getpwuid(int(text)) if text.isdecimal() else pwd.getpwnam(text)
    except (KeyError, OverflowError):
        if text.isdecimal() and int(text) < 2**32 - 1:      # nobody's, so far; a number will do
            return int(text), int(text)
        raise UsageError(f"there is no user {text}: see `getent passwd`") from None
    if entry.pw_uid == 0:
        raise UsageError("root needs no delegation: it may make cgroups anywhere")
    return entry.pw_uid, entry.pw_gid


def _pid(text: object) -> int | None:
    if text is None:
        return None
    if not str(text).isdecimal() or not 0 < int(str(text)) < 2**22:
        raise UsageError(f"--pid {text}: give the number of a process, such as $$")
    return int(str(text))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
