"""The fixture `neighbour`: a program in a box of its own that ticks, to see what others do to it.

Every PERIOD_S it writes the time into a ring that it shares with the test.  A gap between two ticks
is a pause: somebody else had the CPU, the memory, or whatever it waited for.  What is too long is
for the test to say; a gap of a few periods is the noise of any machine.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import tempfile
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from minibox import box
from minibox.errors import MiniboxError
from minibox.record import Record
from minibox.spec import Mount
from minibox.testing import asked
from minibox.testing.interpreter import command, interpreter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from minibox.result import Result

PERIOD_S = 0.005
RING = 1 << 18
"""Ticks that are remembered: 20 minutes of them."""

_COUNT = struct.Struct("=q")
_SIZE = _COUNT.size * (1 + RING)
STARTS_WITHIN_S = 20.0


class NeighbourDied(MiniboxError):
    """The neighbour's box ended while a test ran. result: what came of it."""

    def __init__(self, result: Result) -> None:
        super().__init__(result)
        self.result = result

    def __str__(self) -> str:
        return f"the neighbour's box ended while the test ran: {self.result}"


class Pauses(Record):
    """How the neighbour fared in some time. ticks: how often it ran; longest_s: its longest pause,
    with one that still lasted at the end; seconds: how long that time was."""

    ticks: int
    longest_s: float
    seconds: float


class Neighbour:
    """A canary in a box of its own.

    `alive`; `longest_pause_s` since its start; `with neighbour.watch() as seen:` for the pauses
    during what the block does: `seen()` gives Pauses, within the block or after it.
    """

    def __init__(self, **options: Any) -> None:
        self._file = tempfile.NamedTemporaryFile(prefix="minibox-neighbour-")   # noqa: SIM115
        os.chmod(self._file.name, 0o666)                    # the box may have other ids
        os.ftruncate(self._file.fileno(), _SIZE)
        self._ring = mmap.mmap(self._file.fileno(), _SIZE)
        ring = Mount(type="bind", source=self._file.name, target="/ring")
        mounts = (*interpreter(), ring, *options.pop("mounts", ()))
        try:
            self.process = box.Process(
                command("minibox.testing.neighbour", "tick"), stdout=box.PIPE, stderr=box.PIPE,
                **asked.split(options | {"mounts": mounts}))
        except BaseException:
            self._forget()
            raise
        try:
            self._await_first()
        except BaseException:
            self.close()
            raise
        self._began_ns = self._times()[0]

    def _await_first(self) -> None:
        """It says so when it ticks: a line on stdout, or the end of that."""
        assert self.process.stdout
        if not self.process.stdout.readline():
            self.process.wait(STARTS_WITHIN_S)
            raise NeighbourDied(self._result())

    @property
    def alive(self) -> bool:
        """Whether its box still runs."""
        return self.process.poll() is None

    @property
    def longest_pause_s(self) -> float:
        """Its longest pause since it was started."""
        return self._pauses(self._began_ns, time.monotonic_ns()).longest_s

    @contextmanager
    def watch(self) -> Iterator[Any]:
        """See how it fares while the block runs."""
        began = time.monotonic_ns()
        ended: list[int] = []
        try:
            yield lambda: self._pauses(began, ended[0] if ended else time.monotonic_ns())
        finally:
            ended.append(time.monotonic_ns())

    def check(self) -> None:
        """Errors: NeighbourDied."""
        if not self.alive:
            raise NeighbourDied(self._result())

    def close(self) -> Result | None:
        """End it; what came of it, if it ran."""
        self.process.abandon()
        self._forget()
        return self.process.result

    def _forget(self) -> None:
        self._ring.close()
        self._file.close()

    def _result(self) -> Result:
        return self.process.complete()

    def _times(self) -> list[int]:
        """The ticks that are remembered, in ns of CLOCK_MONOTONIC, oldest first."""
        count = _COUNT.unpack_from(self._ring)[0]
        found = memoryview(self._ring)[_COUNT.size:].cast("q")
        try:
            if count <= RING:
                return found[:count].tolist()
            at = (count + 1) % RING                         # one may be half written by now
            return found[at:].tolist() + found[:at - 1].tolist()
        finally:
            found.release()

    def _pauses(self, began: int, ended: int) -> Pauses:
        within = [at for at in self._times() if began <= at <= ended]
        edges = [began, *within, ended]
        longest = max(after - before for before, after in zip(edges, edges[1:], strict=False))
        return Pauses(ticks=len(within), longest_s=longest / 1e9, seconds=(ended - began) / 1e9)


def tick() -> None:
    """In the box: write the time into the ring, again and again."""
    with open("/ring", "r+b") as file:
        ring = mmap.mmap(file.fileno(), _SIZE)
    count = 0
    while True:
        _COUNT.pack_into(ring, _COUNT.size * (1 + count % RING), time.monotonic_ns())
        count += 1
        _COUNT.pack_into(ring, 0, count)
        if count == 1:
            sys.stdout.write("ticks\n")
            sys.stdout.flush()
        time.sleep(PERIOD_S)
