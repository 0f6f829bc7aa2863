"""Move what goes into a box and comes out of it, each time a pipe is ready."""

from __future__ import annotations

import os
import select
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 1 << 16


class Pump:
    """Feeds and reads the pipes of one box until its report is there.

    report: the pipe whose end is the end of all; collected: what came of each pipe, the report's
    own included.  The descriptors stay the caller's.
    """

    def __init__(self, report: int) -> None:
        self.report = report
        self.collected = {report: bytearray()}
        self._pending = {report}
        self._stdin = -1

    def collect(self, fd: int) -> None:
        """Read *fd* to its end as well."""
        if fd not in self.collected:
            self.collected[fd] = bytearray()
            self._pending.add(fd)

    def feed(self, stdin: int, data: bytes, close: Callable[[], None]) -> None:
        """Write *data* to *stdin*, then *close* it for the box to see its end."""
        os.set_blocking(stdin, False)
        self._stdin, self._data, self._close_stdin = stdin, memoryview(data), close
        self._pending.add(stdin)

    def forget(self) -> None:
        """Wait for the report alone from now on."""
        self._pending &= {self.report}
        self._stdin = -1

    def run(self, timeout: float | None) -> bool:
        """Pump until the report is there; False after *timeout* seconds, it may go on later."""
        deadline = None if timeout is None else monotonic() + timeout
        poller = select.poll()
        for fd in self._pending:
            poller.register(fd, select.POLLOUT if fd == self._stdin else select.POLLIN)
        while self.report in self._pending:
            left = None if deadline is None else max(0.0, deadline - monotonic())
            ready = poller.poll(None if left is None else left * 1000)
            if not ready and left == 0:
                return False
            for fd, _events in ready:
                if self._move(fd):
                    poller.unregister(fd)
                    self._end(fd)
        self._drain()
        return True

    async def run_async(self) -> None:
        """The same by the running event loop."""
        from asyncio import get_running_loop

        if self.report not in self._pending:
            return
        loop = get_running_loop()
        over = loop.create_future()

        def forget(fd: int) -> None:
            (loop.remove_writer if fd == self._stdin else loop.remove_reader)(fd)

        def step(fd: int) -> None:
            if self._move(fd):
                forget(fd)
                self._end(fd)
                if fd == self.report and not over.done():
                    over.set_result(None)

        for fd in self._pending:
            (loop.add_writer if fd == self._stdin else loop.add_reader)(fd, step, fd)
        try:
            await over
        finally:
            for fd in self._pending:
                forget(fd)
        self._drain()

    def _move(self, fd: int) -> bool:
        """Write or read what *fd* is ready for; whether that was the last of it."""
        try:
            if fd == self._stdin:
                self._data = self._data[os.write(fd, self._data[:_CHUNK]):]
                return not self._data
            part = os.read(fd, _CHUNK)
        except BlockingIOError:
            return False
        except BrokenPipeError:
            return True                               # the box reads no more, and need not
        self.collected[fd] += part
        return not part

    def _end(self, fd: int) -> None:
        self._pending.discard(fd)
        if fd == self._stdin:
            self._stdin = -1
            self._close_stdin()

    def _drain(self) -> None:
        """All writers are dead, so what is left lies in the pipes.

        Their end need not come: another thread's fork may hold a copy of the box's end.
        """
        for fd in self._pending - {self._stdin}:
            os.set_blocking(fd, False)
            size = -1
            while size != len(self.collected[fd]):
                size = len(self.collected[fd])
                if self._move(fd):
                    break
        self._pending.clear()
