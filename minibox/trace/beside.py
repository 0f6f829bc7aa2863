"""Stops that somebody looks around at: a prompt, and a shell beside the box.

The shell is on the host, as whoever traces; all processes of the box wait meanwhile, so what it
sees of them does not move.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess

from minibox.errors import HostError, SpecError, visible
from minibox.steps import KINDS, name_of
from minibox.trace import text
from minibox.trace.live import Quit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minibox.trace.live import Live

PROMPT = "[Enter] next, s shell, c continue, q quit: "

HINTS = """\
A shell beside the box, not in it; leave it to come back. For example
  ls -l /proc/$MINIBOX_{role}_PID/ns         its namespaces
  cat /proc/$MINIBOX_{role}_PID/uid_map      its ids
  cat /proc/$MINIBOX_{role}_PID/mountinfo    its mounts
  nsenter -t $MINIBOX_{role}_PID -m ls /     what it sees (without root, add -U)
"""


class Stepper:
    """Asks at a terminal before each step, or before those of some names. live: set before it is
    called."""

    live: Live

    def __init__(self, names: Sequence[str]) -> None:
        known = {name_of(kind) for kind in KINDS}
        for name in names:
            if name not in known:
                from difflib import get_close_matches

                near = get_close_matches(name, known, 1)
                raise SpecError("break", name, "there is no such step: " + (
                    f"did you mean {near[0]}?" if near else "`minibox plan run` shows their names"))
        self._names = frozenset(names)
        self._going_on = False
        self._told = 0
        try:
            self._tty = open("/dev/tty", "r+b", buffering=0)        # noqa: SIM115
        except OSError as error:
            raise HostError("step", "there is no terminal to ask at",
                            "run it from a terminal, or leave out --step and --break") from error

    def close(self) -> None:
        self._tty.close()

    def __call__(self, number: int) -> None:
        """Step *number* is next. Errors: Quit."""
        step = self.live.steps[number]
        if self._going_on or (self._names and step.name not in self._names):
            return
        self._tell_new()
        self._say(f"\n-> step {number}, {step.by}: {visible(step.sentence)}\n")
        while True:
            answer = self._ask()
            if answer == "s":
                self._shell(number)
                continue
            if answer == "q":
                raise Quit
            self._going_on = answer == "c"
            if answer in ("", "n", "c"):
                return

    def _tell_new(self) -> None:
        """What came of the steps since the last stop."""
        ended = [one for one in self.live.steps if one.end_ns is not None]
        for one in sorted(ended, key=lambda one: one.end_ns or 0)[self._told:]:
            self._say(text.line(one) + "\n")
            self._say("".join(f"{' ' * text.INDENT}{line}\n" for line in text.below(one)))
        self._told = len(ended)

    def _say(self, said: str) -> None:
        self._tty.write(said.encode(errors="backslashreplace"))

    def _ask(self) -> str:
        self._say(PROMPT)
        tty, wake = self._tty.fileno(), self.live.wake.fileno()
        while tty not in select.select([tty, wake], [], [])[0]:
            self.live.wake.recv(4096)                       # a signal, whose handler has run now
        line = self._tty.readline()
        if not line:
            raise Quit                                      # the terminal is gone, or Ctrl-D
        return line.decode(errors="replace").strip().lower()

    def _shell(self, number: int) -> None:
        pids = {f"MINIBOX_{role.upper()}_PID": str(pid) for role, pid in self.live.pids.items()}
        role = self.live.steps[number].by
        self._say(HINTS.format(role=(role if role in self.live.pids else "engine").upper()))
        shell = os.environ.get("SHELL") or "/bin/sh"
        group = os.tcgetpgrp(self._tty.fileno())
        # Ctrl-C is for what runs in the shell.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            subprocess.run([shell], stdin=self._tty, stdout=self._tty, stderr=self._tty,
                           env=os.environ | pids | {"MINIBOX_STEP": str(number)}, check=False,
                           preexec_fn=_mind_interrupts)
        except OSError as error:
            self._say(f"{visible(shell)} cannot be started: {error.strerror}; set SHELL\n")
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
            os.tcsetpgrp(self._tty.fileno(), group)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTTOU})
            signal.signal(signal.SIGINT, before)


def _mind_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
