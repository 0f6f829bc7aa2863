"""Boxes behind the standard library's interface for work to be done: concurrent.futures."""

from __future__ import annotations

import asyncio
import os
import resource
from concurrent import futures
from concurrent.futures import CancelledError, Executor, Future
from contextlib import suppress
from threading import Lock, Thread
from types import NoneType
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from minibox import spec
from minibox.box import run_async
from minibox.errors import HostError, MiniboxError, SpecError
from minibox.record import as_dict
from minibox.testing.leases import Held, Lease, Leases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from minibox.box import Argument
    from minibox.result import Result

    _Work = tuple["BoxFuture", Iterable[Argument], dict[str, Any]]

FDS_PER_BOX = 6
"""Its pipes (report, control, stdin, stdout, stderr) and its lease."""

FDS_OF_OURS = 64
"""What the caller may have open besides."""

ASK_AGAIN_S = 1.0
"""How soon to look again for what others have leased, should they have been killed: the kernel
tells that a file was closed a moment before its lock is gone."""

POLL_S = 0.01
"""The same where nobody tells."""


class BoxFuture(Future["Result"]):
    """The end of one box, once it is there. lease: what it runs on, None before it starts."""

    lease: Lease | None = None


class BoxExecutor(Executor):
    """Runs commands in boxes, at most *parallel* at a time, by one thread for all of them.

    parallel: by default as many as there are CPUs, or leases of cores.  cores_per_run: physical
    cores that each box has for itself alone, among all processes of this user; None lets boxes
    share them.  A memory cap is a lease as well: no memory is promised twice.  defaults: options
    as for `minibox.run`, which each submission may override; of limits, cap by cap.

    Errors: SpecError for more than this machine has; HostError where no lease can be written.
    """

    def __init__(self, parallel: int | None = None, *, cores_per_run: int | None = None,
                 leases: Leases | None = None, **defaults: Any) -> None:
        self._leases = leases or Leases()
        self._cores = 0 if cores_per_run is None else cores_per_run
        self.parallel = self._parallel(parallel, cores_per_run)
        self._defaults = defaults
        self._watch: int | None = None
        self._closing = Lock()
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._waiting: asyncio.Queue[_Work | None] = asyncio.Queue()
        self._freed, self._choosing = asyncio.Event(), asyncio.Lock()
        self._workers = [self._loop.create_task(self._work()) for _ in range(self.parallel)]
        # A daemon: when the interpreter ends without shutdown, the engines kill what still runs.
        self._thread = Thread(target=self._main, name="minibox boxes", daemon=True)
        self._thread.start()

    def _parallel(self, parallel: int | None, cores_per_run: int | None) -> int:
        at_once = sum(len(core.cpus) for core in self._leases.cores)
        if cores_per_run is not None:
            whole("cores_per_run", cores_per_run)
            self._leases.check(cores_per_run, 0)
            at_once = len(self._leases.cores) // cores_per_run
        most = (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - FDS_OF_OURS) // FDS_PER_BOX
        if parallel is None:
            return max(1, min(at_once, most))
        whole("parallel", parallel)
        if cores_per_run is not None and parallel > at_once:
            raise SpecError("parallel", parallel, f"{len(self._leases.cores)} cores are enough for "
                            f"{at_once} at a time with cores_per_run={cores_per_run}")
        if parallel > most:
            raise SpecError("parallel", parallel, f"open files are enough for {most} boxes: raise "
                            "RLIMIT_NOFILE (ulimit -n)")
        return parallel

    # ---- as in concurrent.futures ----------------------------------------------------------------

    def submit(self, argv: Iterable[Argument], /,  # type: ignore[override]
               **options: Any) -> BoxFuture:
        """Have *argv* run in a box, with options as for `minibox.run`; the future of its result.

        Errors, of the future: as `minibox.run`; SpecError for a memory cap above what there is.
        """
        future = BoxFuture()
        with self._closing:
            if self._closed:
                raise RuntimeError("cannot schedule new boxes after shutdown")
            work = future, argv, merged(self._defaults, options)
            self._loop.call_soon_threadsafe(self._waiting.put_nowait, work)
        return future

    def map(self, argvs: Iterable[Iterable[Argument]], /,  # type: ignore[override]
            timeout: float | None = None, **options: Any) -> Iterator[Result]:
        """The results of many commands, in their order; all are submitted at once."""
        submitted = [self.submit(argv, **options) for argv in argvs]
        return (future.result(timeout) for future in submitted)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more; end when all is done.  cancel_futures: when all that runs is done."""
        self._end(lambda: self._drain(cancel_futures))
        if wait:
            self._thread.join()

    def kill(self) -> None:
        """Kill the boxes that run, cancel those that wait, and wait for their end."""
        self._end(self._kill)
        self._thread.join()

    # ---- the loop's thread -----------------------------------------------------------------------

    def _end(self, how: Callable[[], None]) -> None:
        with self._closing, suppress(RuntimeError):         # the loop is closed: it has ended
            self._closed = True
            self._loop.call_soon_threadsafe(how)

    def _drain(self, cancel: bool) -> None:
        if cancel:
            self._cancel_waiting()
        for _ in self._workers:
            self._waiting.put_nowait(None)

    def _kill(self) -> None:
        self._cancel_waiting()
        for worker in self._workers:
            worker.cancel()

    def _cancel_waiting(self) -> None:
        while not self._waiting.empty():
            if work := self._waiting.get_nowait():
                work[0].cancel()
                work[0].set_running_or_notify_cancel()

    def _main(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        finally:
            if self._watch is not None and self._watch >= 0:
                os.close(self._watch)

    async def _serve(self) -> None:
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def _work(self) -> None:
        while work := await self._waiting.get():
            future, argv, options = work
            if future.set_running_or_notify_cancel():
                await self._settle(future, argv, options)
            del work, future, argv, options                 # nothing of it is kept while we wait

    async def _settle(self, future: BoxFuture, argv: Iterable[Argument],
                      options: dict[str, Any]) -> None:
        try:
            result = await self._run(future, argv, options)
        except asyncio.CancelledError:
            future.set_exception(CancelledError())
            raise
        except Exception as error:
            future.set_exception(error)
            del future                                      # which has the error, which has us
        else:
            future.set_result(result)

    async def _run(self, future: BoxFuture, argv: Iterable[Argument],
                   options: dict[str, Any]) -> Result:
        limits = options.get("limits") or spec.Limits()
        if self._cores and limits.cpuset is not None:
            raise SpecError("cpuset-cpus", limits.cpuset, "the cores are chosen by cores_per_run: "
                            "leave one of them out")
        if not self._cores and not limits.memory_bytes:
            future.lease = Lease()
            return await run_async(argv, **options)
        held = await self._lease(limits.memory_bytes or 0)
        try:
            future.lease = held.lease
            if self._cores:
                options = options | {"limits": changed(limits, cpuset=held.lease.cpus)}
            return await run_async(argv, **options)
        finally:
            held.release()
            self._freed.set()

    async def _lease(self, memory_bytes: int) -> Held:
        async with self._choosing:                          # one after the other, as they came
            try:
                while True:
                    self._freed.clear()
                    if held := self._leases.take(self._cores, memory_bytes):
                        return held
                    if self._watch is None:                 # look again: what came before is unseen
                        self._watch = self._leases.watch()
                    else:
                        await self._released(self._watch)
            finally:
                self._leases.pass_turn()

    async def _released(self, watch: int) -> None:
        """Wait until somebody may have released something."""
        if watch >= 0:
            self._loop.add_reader(watch, self._told, watch)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._freed.wait(), ASK_AGAIN_S if watch >= 0 else POLL_S)
        finally:
            if watch >= 0:
                self._loop.remove_reader(watch)

    def _told(self, watch: int) -> None:
        os.read(watch, 1 << 16)
        self._freed.set()


class Carried(Executor):
    """The same by another *executor*, whose workers run the boxes: maybe on other machines.

    Cores and memory are leased where the box runs.  What can be killed is only what has not begun.
    """

    parallel = 1024
    """How many are sent at a time: nobody tells how many workers there are."""

    def __init__(self, executor: Executor, *, cores_per_run: int | None = None) -> None:
        self._executor, self._cores = executor, cores_per_run
        if cores_per_run is not None:
            whole("cores_per_run", cores_per_run)
        self._sent: set[Future[Any]] = set()

    def submit(self, argv: Iterable[Argument], /,  # type: ignore[override]
               **options: Any) -> BoxFuture:
        """As `BoxExecutor.submit`. Errors, of the future: HostError when a worker is lost, too."""
        future = BoxFuture()
        # Some executors take two calls with the same arguments for one: each has a number.
        sent = self._executor.submit(run_leased, tuple(argv), self._cores, options, uuid4().hex)
        self._sent.add(sent)
        sent.add_done_callback(lambda done: self._done(done, future))
        return future

    def _done(self, sent: Future[tuple[Result | Exception, Lease]], future: BoxFuture) -> None:
        self._sent.discard(sent)
        if sent.cancelled():
            future.cancel()
            future.set_running_or_notify_cancel()
        elif error := sent.exception():
            said = f"{type(error).__name__}: {error}".rstrip(".")
            future.set_exception(HostError("executor", said,
                                           "its worker ended, or was lost: go on by resume"))
        else:
            came, future.lease = sent.result()
            if isinstance(came, Exception):
                future.set_exception(came)
            else:
                future.set_result(came)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let all end; the executor beneath stays as it is."""
        sent = list(self._sent)
        if cancel_futures:
            for one in sent:
                one.cancel()
        if wait:
            futures.wait(sent)

    def kill(self) -> None:
        """Cancel what has not begun, and wait for what has."""
        self.shutdown(cancel_futures=True)


MISTAKES = (TypeError, ValueError, AttributeError)
"""What the options of a job raise when there are no such."""


def run_leased(argv: tuple[Argument, ...], cores_per_run: int | None,
               options: dict[str, Any], _number: str) -> tuple[Result | Exception, Lease]:
    """Run *argv* in a box on this machine, on cores and memory leased here. An error is given and
    not raised: it is the job's, and no worker need tell of it or try again."""
    try:
        with BoxExecutor(1, cores_per_run=cores_per_run) as executor:
            future = executor.submit(argv, **options)
            try:
                return future.result(), future.lease or Lease()
            except Exception as error:
                return error, future.lease or Lease()
    except MiniboxError as error:                           # more cores than that machine has
        return error, Lease()


def merged(defaults: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """*defaults* with *options* in their place; of limits, those that are not as if never given."""
    both = defaults | options
    default, own = defaults.get("limits"), options.get("limits")
    for limits in (default, own):
        if not isinstance(limits, (spec.Limits, NoneType)):
            raise SpecError("limits", limits, 'give Limits, such as Limits(memory="64M")')
    if default is not None and own is not None:
        given = {field: value for field, value in as_dict(own).items()
                 if value != spec.Limits.__defaults__[field]}
        both["limits"] = changed(default, **given)
    return both


def changed(limits: spec.Limits, **changes: Any) -> spec.Limits:
    """*limits* with some fields changed, whichever way they were given."""
    return spec.Limits(**(as_dict(limits) | changes))


def whole(field: str, value: object) -> None:
    """Errors: SpecError unless *value* is a whole number from 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SpecError(field, value, "give a whole number from 1")
