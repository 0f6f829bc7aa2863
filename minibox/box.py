"""Run boxes from Python, in the manner of subprocess.

    import minibox
    result = minibox.run(["python3", "-c", "print(6 * 7)"], capture_output=True, text=True,
                         limits=minibox.Limits(memory="64MiB", cpus=0.5, pids=32, walltime=2))
    result.stdout, result.reason, result.usage.memory_peak_bytes

No box costs a thread: its caller waits for the engine's report, alone or by an event loop.
"""

from __future__ import annotations

import os
import struct
from _thread import allocate_lock
from contextlib import suppress
from functools import lru_cache

from minibox import engine, host, plan, report
from minibox.errors import EngineError, HostError, MiniboxError, SpecError
from minibox.pump import Pump
from minibox.record import replace
from minibox.request import box_spec, plan_for
from minibox.result import Result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import IO, Any

    from minibox.facts import Host
    from minibox.plan import Plan
    from minibox.surroundings import Observer

    Stream = int | IO[Any] | None
    Argument = str | bytes | os.PathLike[str]

PIPE, STDOUT, DEVNULL = -1, -2, -3
"""As in subprocess, with the same values."""

_CONTROL = struct.Struct("=Ii")
_SIGTERM = 15


def run(argv: Iterable[Argument], *, input: bytes | str | None = None,
        capture_output: bool = False, check: bool = False, **options: Any) -> Result:
    """Run *argv* in a box of its own and wait for it.

    input, capture_output, check, stdin, stdout, stderr, text, encoding, errors: as subprocess.run
    has them, but stdin is empty unless given, and what is no text is replaced.  What is captured
    is held in memory: cap it by Limits(output=...) where the program is not to be trusted.
    observe: look at what goes on around the box too, for the result's `reliable` and `doubts`.  All
    others: see `minibox.request.box_spec`.

    Errors: SpecError, HostError: refused before anything ran; StepError: the box could not be set
    up, or the program not be executed (ExecError); BoxFailed: with check, it did not exit with 0.
    However else the program ends is no exception, but the result's reason.
    """
    process = Process(argv, **_streams(input, capture_output, options))
    try:
        result = process.complete(input)
    except BaseException:
        process.abandon()
        raise
    return result.check() if check else result


async def run_async(argv: Iterable[Argument], *, input: bytes | str | None = None,
                    capture_output: bool = False, check: bool = False, **options: Any) -> Result:
    """`run` for asyncio. When it is cancelled the box is killed."""
    process = Process(argv, **_streams(input, capture_output, options))
    try:
        result = await process.complete_async(input)
    except BaseException:
        process.abandon()
        raise
    return result.check() if check else result


def _streams(input: bytes | str | None, capture_output: bool,
             options: dict[str, Any]) -> dict[str, Any]:
    if input is not None:
        if options.get("stdin") is not None:
            raise ValueError("stdin and input may not both be given")
        options["stdin"] = PIPE
    if capture_output:
        if options.get("stdout") is not None or options.get("stderr") is not None:
            raise ValueError("stdout and stderr may not be given together with capture_output")
        options["stdout"] = options["stderr"] = PIPE
    return options


class Box:
    """Settings for boxes that belong together, and their common end.

    options: as for `run`.  Each program gets a box of its own with them, and may override them.
    Leaving the context kills what still runs.
    """

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._started: set[Process] = set()

    def __enter__(self) -> Box:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Box({', '.join(f'{name}={value!r}' for name, value in self._options.items())})"

    def run(self, argv: Iterable[Argument], **options: Any) -> Result:
        """Run *argv* and wait for it; see `minibox.run`."""
        return run(argv, **self._options | options)

    async def run_async(self, argv: Iterable[Argument], **options: Any) -> Result:
        """Run *argv* and await its end; see `minibox.run_async`."""
        return await run_async(argv, **self._options | options)

    def popen(self, argv: Iterable[Argument], **options: Any) -> Process:
        """Start *argv* and return at once."""
        process = Process(argv, **self._options | options)
        self._started = {one for one in self._started if one.result is None} | {process}
        return process

    def close(self) -> None:
        """Kill what still runs, and wait for its end."""
        while self._started:
            self._started.pop().abandon()


class Process:
    """A program that runs in a box, in the manner of subprocess.Popen.

    pid: the engine's; result: what came of it, None while it runs.  Many threads may use one.
    """

    def __init__(self, argv: Iterable[Argument], *, stdin: Stream = None, stdout: Stream = None,
                 stderr: Stream = None, text: bool | None = None, encoding: str | None = None,
                 errors: str | None = None, observe: bool = False, **options: Any) -> None:
        if isinstance(argv, (str, bytes)):
            raise SpecError("command", argv, 'give a list, such as ["ls", "-l"]')
        self.args = tuple(map(os.fsdecode, argv))
        self.result: Result | None = None
        self._failure: Exception | None = None
        self._encoding = encoding or ("utf-8" if text or errors else None)
        self._errors = errors or "replace"
        self._waiting, self._controlling = allocate_lock(), allocate_lock()
        self._capturing = False
        self._ends = [-1, -1, -1]
        self._files: list[IO[Any] | None] = [None, None, None]
        self._control = -1
        self._plan, block = _compiled(self.args, stdin is not None, _directory(), _frozen(options))
        fds: list[int | None] = []
        theirs: list[int] = []
        try:
            for number, stream in enumerate((stdin, stdout, stderr)):
                fds.append(self._open(number, stream, fds, theirs))
            self._observer = _observer(self._plan) if observe else None
            self.pid, report_end, self._control = engine.spawn(block, *fds)
        except BaseException:
            self._close_streams()
            raise
        finally:
            for fd in theirs:
                os.close(fd)
        self._pump = Pump(report_end)

    def _open(self, number: int, stream: Stream, before: list[int | None],
              theirs: list[int]) -> int | None:
        """The box's end of stream *number*. Ours goes to _ends, what to close later to *theirs*."""
        if stream is None:
            return None
        if stream == PIPE:
            read, write = os.pipe()
            fd, self._ends[number] = (read, write) if number == 0 else (write, read)
            theirs.append(fd)
            return fd
        if stream == DEVNULL:
            theirs.append(os.open(os.devnull, os.O_RDWR))
            return theirs[-1]
        if stream == STDOUT and number == 2:
            return 1 if before[1] is None else before[1]
        return stream if isinstance(stream, int) else stream.fileno()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        if kind is not None:
            self.abandon()
        self._close_streams()
        self._wait(None)

    def __del__(self) -> None:
        if getattr(self, "_control", -1) < 0:
            return
        import warnings

        warnings.warn(f"{self!r} still ran, and is killed", ResourceWarning, 2, source=self)
        self.abandon()

    def __repr__(self) -> str:
        state = f"pid {self.pid}" if self.result is None else str(self.result)
        return f"<minibox.Process {' '.join(self.args)[:60]!r}: {state}>"

    # ---- streams ---------------------------------------------------------------------------------

    @property
    def stdin(self) -> IO[Any] | None:
        """A file to write to, if PIPE was asked for."""
        return self._file(0)

    @property
    def stdout(self) -> IO[Any] | None:
        """A file to read from, if PIPE was asked for."""
        return self._file(1)

    @property
    def stderr(self) -> IO[Any] | None:
        """A file to read from, if PIPE was asked for."""
        return self._file(2)

    def _file(self, number: int) -> IO[Any] | None:
        if self._files[number] is None and self._ends[number] >= 0:
            mode = "r" if number else "w"
            text = (mode, -1, self._encoding, self._errors)
            self._files[number] = open(                                             # noqa: SIM115
                self._ends[number], *(text if self._encoding else (mode + "b",)))
        return self._files[number]

    def _close_stream(self, number: int) -> None:
        file, fd = self._files[number], self._ends[number]
        self._ends[number] = -1
        if file is not None:
            with suppress(BrokenPipeError):           # the box ended before it had read everything
                file.close()
        elif fd >= 0:
            os.close(fd)

    def _close_streams(self) -> None:
        for number in range(3):
            self._close_stream(number)

    # ---- asking it -------------------------------------------------------------------------------

    def send_signal(self, signal: int) -> None:
        """Send *signal* to the program. After its end this does nothing."""
        self._ask(engine.SIGNAL, signal)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self._ask(engine.SIGNAL, _SIGTERM)

    def stop(self, timeout: float | None = None) -> None:
        """Ask it to end by the box's stop signal; *timeout* seconds later it is killed.

        None: the box's own stop_timeout.
        """
        self._ask(engine.STOP, -1 if timeout is None else int(timeout * 1000))

    def kill(self) -> None:
        """Kill everything in the box."""
        self._ask(engine.KILL, 0)

    def _ask(self, operation: int, value: int) -> None:
        with self._controlling:
            if self._control >= 0:
                with suppress(BrokenPipeError):       # it has just ended
                    os.write(self._control, _CONTROL.pack(operation, value))

    def _hang_up(self) -> None:
        """Close the control pipe, upon which the engine kills the box, if it still lives."""
        with self._controlling:
            fd, self._control = self._control, -1
            if fd >= 0:
                os.close(fd)

    def abandon(self) -> None:
        """Kill the box, forget its streams, wait for its end; what comes of it is no error."""
        self._hang_up()
        self._pump.forget()
        self._close_streams()
        self._wait(None)

    # ---- its end ---------------------------------------------------------------------------------

    @property
    def returncode(self) -> int | None:
        """As in subprocess: the exit code, minus a signal, or None while it runs."""
        return None if self.result is None else self.result.returncode

    def poll(self) -> int | None:
        """The return code if it has ended, else None. Errors: StepError if it never ran."""
        return self._outcome().returncode if self._wait(0) else None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; its return code.

        Errors: TimeoutError after *timeout* seconds; StepError if it never ran.
        """
        if not self._wait(timeout):
            raise TimeoutError(f"{self!r} still runs after {timeout} s")
        return self._outcome().returncode

    def communicate(self, input: bytes | str | None = None,
                    timeout: float | None = None) -> tuple[Any, Any]:
        """Feed *input*, read stdout and stderr to their end, wait; what was read.

        Errors: as `wait`; after a TimeoutError it may be called again, and nothing is lost.
        """
        result = self.complete(input, timeout)
        return result.stdout, result.stderr

    def complete(self, input: bytes | str | None = None, timeout: float | None = None) -> Result:
        """As `communicate`, but the whole result."""
        self._capture(input)
        self.wait(timeout)
        return self._outcome()

    async def complete_async(self, input: bytes | str | None = None) -> Result:
        """`complete` for asyncio. When it is cancelled the box is killed."""
        from asyncio import CancelledError

        self._capture(input)
        try:
            await self._pump.run_async()
        except CancelledError:
            self._hang_up()
            await self._pump.run_async()
            raise
        self._wait(None)
        return self._outcome()

    def _capture(self, input: bytes | str | None) -> None:
        """Have the pump move what the streams carry."""
        if self._capturing:
            return
        self._capturing = True
        stdin, *outputs = self._ends
        if stdin >= 0 and not self._ended:
            if self._files[0] is not None:
                self._files[0].flush()
            data = input.encode(self._encoding or "utf-8") if isinstance(input, str) else input
            self._pump.feed(stdin, data or b"", lambda: self._close_stream(0))
        for fd in outputs:
            if fd >= 0:
                self._pump.collect(fd)
        if self._ended:
            self._take_rest()

    def _take_rest(self) -> None:
        """It ended before anyone asked for what it wrote: that lies in the pipes."""
        self._pump.run(0)
        try:
            if self.result and self._pump.collected.keys() & self._ends:
                out, err = self._texts()
                self.result = replace(self.result, stdout=out, stderr=err)
        except UnicodeError as error:
            self._failure = error
        self._close_streams()

    @property
    def _ended(self) -> bool:
        return self.result is not None or self._failure is not None

    def _outcome(self) -> Result:
        """The result of a program that has ended. Errors: StepError, EngineError."""
        if self._failure:
            raise self._failure
        assert self.result
        if error := self.result.error:
            raise error
        return self.result

    def _wait(self, timeout: float | None) -> bool:
        """Pump until the report is there; False if it is not after *timeout* seconds."""
        if self._ended:
            return True
        if not self._waiting.acquire(timeout=-1 if timeout is None else max(0, timeout)):
            return False
        try:
            if not self._ended:
                if not self._pump.run(timeout):
                    return False
                self._settle()
            return True
        finally:
            self._waiting.release()

    def _settle(self) -> None:
        """The engine has ended: make the result of what it left."""
        self._hang_up()
        os.close(self._pump.report)
        status = engine.reap(self.pid)
        around = self._observer.end() if self._observer else None
        block = self._pump.collected[self._pump.report]
        try:
            if not block:
                raise EngineError(f"the engine ended without a report, with status {status}")
            out, err = self._texts()
            self.result = Result(args=self.args, plan=self._plan, stdout=out, stderr=err,
                                 report=report.decode(bytes(block)), surroundings=around)
        except (MiniboxError, UnicodeError) as error:
            self._failure = error
        if self._capturing:
            self._close_streams()
        if self.result is None or self.result.reason == "setup":
            _look_again()

    def _texts(self) -> tuple[bytes | str | None, ...]:
        """What was captured of stdout and of stderr."""
        return tuple(self._text(self._pump.collected.get(fd)) for fd in self._ends[1:])

    def _text(self, captured: bytearray | None) -> bytes | str | None:
        if captured is None or not self._encoding:
            return None if captured is None else bytes(captured)
        text = captured.decode(self._encoding, self._errors)
        return text.replace("\r\n", "\n").replace("\r", "\n")


def _observer(plan: Plan) -> Observer:
    from minibox.surroundings import Observer

    return Observer(plan)


# ---- plans, which are the same for the same request --------------------------------------------

@lru_cache(maxsize=1)
def _host() -> Host:
    return host.find()


@lru_cache(maxsize=64)
def _compiled(argv: tuple[str, ...], stdin: bool, _directory: str,
              options: tuple[tuple[str, Any], ...]) -> tuple[Plan, bytes]:
    """The plan of a request, and its binary form. Paths may be relative to *_directory*."""
    spec = box_spec(argv, stdin=stdin, **dict(options))
    try:
        compiled = plan_for(spec, _host())
    except HostError:
        _host.cache_clear()                           # the next try may find it mended
        raise
    return compiled, plan.encode(compiled)


def _look_again() -> None:
    """What was known of the host may be wrong by now."""
    _host.cache_clear()
    _compiled.cache_clear()


def _directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""


def _frozen(options: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple((name, _freeze(value)) for name, value in options.items())


def _freeze(value: Any) -> Any:
    """*value* with tuples in the place of lists and mappings."""
    if isinstance(value, (list, tuple)):
        return tuple(map(_freeze, value))
    if isinstance(value, dict):
        return tuple(value.items())
    return value
