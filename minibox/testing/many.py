"""Thousands of runs from one process: in order or as they end, on cores of their own, resumable.

    jobs = (minibox.Job(["python3", path], name=path) for path in submissions)
    with minibox.run_many(jobs, cores_per_run=1, results="results.jsonl", resume=True,
                          limits=minibox.Limits(memory="256MiB", walltime=10)) as runs:
        for run in runs:
            print(run.job.name, run.result or run.error)
"""

from __future__ import annotations

import os
import queue
import sys
from collections.abc import Sized
from concurrent.futures import CancelledError
from errno import errorcode
from functools import partial
from threading import Event, Semaphore, Thread
from typing import TYPE_CHECKING, Any, NamedTuple

from minibox.errors import EngineError, HostError, MiniboxError, SpecError
from minibox.record import Record
from minibox.testing.executor import MISTAKES, BoxExecutor, Carried, merged
from minibox.testing.leases import Lease
from minibox.testing.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Executor

    from minibox.box import Argument
    from minibox.result import Result
    from minibox.testing.executor import BoxFuture
    from minibox.testing.ledger import Place
    from minibox.testing.progress import Meter

CANCELLED = -1
AHEAD = 64
"""How many runs may be done before the consumer takes one: so long none but endless jobs wait."""


class Job(Record):
    """One command to run. name: what its result is known by, and found again when resumed;
    options: as for `minibox.run`, on top of what all jobs of a batch have."""

    argv: tuple[str, ...]
    name: str | None = None
    options: dict[str, Any] = {}                                            # noqa: RUF012

    def __init__(self, argv: Iterable[Argument], name: str | None = None, **options: Any) -> None:
        if isinstance(argv, (str, bytes)):
            raise SpecError("command", argv, 'give a list, such as ["ls", "-l"]')
        super().__init__(argv=tuple(map(os.fsdecode, argv)), name=name, options=options)

    def __hash__(self) -> int:
        return hash((self.argv, self.name))


class Run(Record):
    """What came of one job: either a result or, if its program never ran, an error.

    lease: the CPUs and the memory that it had for itself; attempt: 1, or more when earlier ones,
    of which the results file tells, ended by an error.
    """

    job: Job
    result: Result | None = None
    error: MiniboxError | None = None
    lease: Lease = Lease()
    attempt: int = 1


def run_many(jobs: Iterable[Job | Iterable[Argument]], *, parallel: int | None = None,
             cores_per_run: int | None = None, progress: bool = False,
             results: str | os.PathLike[str] | None = None, resume: bool = False,
             executor: Executor | None = None, **defaults: Any) -> Runs:
    """Run each of *jobs* in a box of its own, several at a time.

    jobs: Jobs or commands; read as they are needed, so there may be no end of them.  parallel,
    cores_per_run: as for `BoxExecutor`.  progress: show it on stderr, with the time that is left.
    results: a file that gets a line of JSON for each run when it ends; resume: leave out the jobs
    whose result it has already.  executor: another one of concurrent.futures, such as Dask's, whose
    workers run the boxes, with leases of their own machine.  defaults: options for all jobs, as for
    `minibox.run`; output is captured, and what goes on around each box observed, unless they say
    otherwise.

    Errors: SpecError, HostError: refused before anything ran.  What is wrong with one job is its
    run's `error`, and stops no other.
    """
    if resume and results is None:
        raise SpecError("resume", resume, "name the file to go on with by results")
    boxes = _boxes(executor, parallel, cores_per_run)
    try:
        ledger = None if results is None else Ledger(os.fspath(results), resume=resume)
        meter = _meter(jobs) if progress else None
    except BaseException:
        boxes.shutdown()
        raise
    return Runs(_Batch(boxes, ledger, meter, defaults), jobs)


def _boxes(executor: Executor | None, parallel: int | None,
           cores_per_run: int | None) -> BoxExecutor | Carried:
    if executor is None:
        return BoxExecutor(parallel, cores_per_run=cores_per_run)
    if parallel is not None:
        raise SpecError("parallel", parallel, "another executor has its own number of workers: "
                        "leave one of them out")
    return Carried(executor, cores_per_run=cores_per_run)


def _meter(jobs: Iterable[Any]) -> Meter:
    from minibox.testing.progress import Meter

    return Meter(len(jobs) if isinstance(jobs, Sized) else None)


class Runs:
    """The runs of a batch, in the order of its jobs; `as_completed` gives them as they end.

    As a context manager it kills, when it is left, what still runs.  When the jobs raise an error,
    or the results cannot be written, what runs by then is given first, and then that is raised.

    skipped: how many jobs had their result already.
    """

    def __init__(self, batch: _Batch, jobs: Iterable[Any]) -> None:
        self._batch = batch
        self._in_order = True
        self._next = 0
        self._early: dict[int, Run | None] = {}             # None: it was cancelled
        batch.start(jobs)

    @property
    def skipped(self) -> int:
        return self._batch.skipped

    def __enter__(self) -> Runs:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.cancel()

    def __del__(self) -> None:
        # At the interpreter's own end its threads are no more, and the engines kill their boxes.
        if hasattr(self, "_batch") and not sys.is_finalizing():
            self.cancel()

    def __iter__(self) -> Runs:
        return self

    def __next__(self) -> Run:
        while True:
            if self._ready() or not self._take():
                if not self._early:
                    self._batch.finish()
                    raise StopIteration
                index = self._next if self._next in self._early else min(self._early)
                self._next = index + 1
                self._batch.window.release()
                if run := self._early.pop(index):
                    return run

    def _ready(self) -> bool:
        return self._next in self._early if self._in_order else bool(self._early)

    def _take(self) -> bool:
        """Wait for one more run to end; False after all."""
        ended = self._batch.take()
        if ended:
            self._early[ended.number] = ended.run
        return ended is not None

    def as_completed(self) -> Iterator[Run]:
        """The same runs, each as soon as it has ended."""
        self._in_order = False
        return self

    def cancel(self) -> None:
        """Start no more, and kill what runs: that is neither given nor recorded. What has ended
        can still be read."""
        self._batch.cancel()


class _Ended(NamedTuple):
    number: int
    run: Run | None


class _Batch:
    """What the threads of a batch share: one feeds the executor with jobs, the executor's tells of
    their ends, the consumer's takes those."""

    def __init__(self, executor: BoxExecutor | Carried, ledger: Ledger | None, meter: Meter | None,
                 defaults: dict[str, Any]) -> None:
        self.window = Semaphore(executor.parallel + AHEAD)
        self.skipped = 0
        self._executor, self._ledger, self._meter = executor, ledger, meter
        self._defaults = defaults
        self._ended: queue.SimpleQueue[_Ended | int] = queue.SimpleQueue()
        self._stopped = Event()
        self._taken = 0
        self._count: int | None = None                      # None: more may come
        self._failure: BaseException | None = None

    def start(self, jobs: Iterable[Any]) -> None:
        # Never joined: it may be in the jobs' own code, and wait for who knows what.
        Thread(target=self._feed, args=(jobs,), name="minibox jobs", daemon=True).start()

    # ---- the feeding thread ----------------------------------------------------------------------

    def _feed(self, jobs: Iterable[Any]) -> None:
        count = 0
        try:
            for job in jobs:
                self.window.acquire()
                if self._stopped.is_set():
                    break
                if self._admit(count, job if isinstance(job, Job) else Job(job)):
                    count += 1
                else:
                    self.window.release()
        except BaseException as error:
            self._fail(error)
        self._ended.put(count)

    def _admit(self, index: int, job: Job) -> bool:
        """Start *job* as number *index*, unless its result is there already."""
        place = None
        try:
            options = _options(self._defaults, job)
            if self._ledger:
                place = self._ledger.admit(job, options)
        except (SpecError, *MISTAKES) as error:
            self._put(index, Run(job=job, error=_named(job, error)), None)
            return True
        if self._ledger and not place:
            self.skipped += 1
            if self._meter:
                self._meter.skip()
            return False
        future = self._executor.submit(job.argv, **options)
        future.add_done_callback(partial(self._done, index, job, place))
        return True

    # ---- the executor's thread -------------------------------------------------------------------

    def _done(self, index: int, job: Job, place: Place | None, future: BoxFuture) -> None:
        run = None
        if not future.cancelled() and not isinstance(future.exception(), CancelledError):
            error = future.exception()
            run = Run(job=job, attempt=place.attempt if place else 1, lease=future.lease or Lease(),
                      result=None if error else future.result(),
                      error=_named(job, error) if error else None)
        self._put(index, run, place)

    def _put(self, index: int, run: Run | None, place: Place | None) -> None:
        try:
            if run and place and self._ledger:
                self._ledger.write(place, run)
            if run and self._meter:
                self._meter.ended(run)
        except Exception as error:                          # what starts now would be lost
            self._fail(error)
            self._executor.shutdown(wait=False, cancel_futures=True)
        self._ended.put(_Ended(index, run))

    def _fail(self, error: BaseException) -> None:
        if not self._stopped.is_set():
            self._failure = error
        self._stopped.set()
        self.window.release()

    # ---- the consumer's thread -------------------------------------------------------------------

    def take(self) -> _Ended | None:
        """The next run to end, None after all."""
        while self._taken != self._count:
            ended = self._ended.get()
            if isinstance(ended, _Ended):
                self._taken += 1
                return ended
            self._count = self._taken if ended == CANCELLED else ended
        return None

    def cancel(self) -> None:
        self._stopped.set()
        self.window.release()
        self._executor.kill()
        self._ended.put(CANCELLED)
        self._close()

    def finish(self) -> None:
        """Errors: of the jobs, of the results' file."""
        self._executor.shutdown()
        self._close()
        failure, self._failure = self._failure, None
        if failure:
            raise failure

    def _close(self) -> None:
        if self._meter:
            self._meter.close()
        if self._ledger:
            self._ledger.close()


def _options(defaults: dict[str, Any], job: Job) -> dict[str, Any]:
    """All options of *job*. Errors: SpecError for one that its run would not be itself with."""
    options = merged(defaults, job.options)
    if options.get("check"):
        raise SpecError("check", True, "a run's result tells how it ended: leave it out")
    if not {"stdout", "stderr", "capture_output"} & options.keys():
        options["capture_output"] = True
    options.setdefault("observe", True)
    return options


def _named(job: Job, error: BaseException) -> MiniboxError:
    """*error* as one of minibox's: a job may have options that there are not, a machine no more
    processes or descriptors."""
    if isinstance(error, MiniboxError):
        return error
    named: MiniboxError
    if isinstance(error, OSError):
        named = HostError("box", f"{errorcode.get(error.errno or 0, 'error')}: {error}",
                          "run fewer at a time by parallel, or raise that limit (ulimit -a)")
    elif isinstance(error, MISTAKES):
        named = SpecError("job", job.name or " ".join(job.argv), str(error))
    else:
        named = EngineError(f"{type(error).__name__}: {error}")
    named.__cause__ = error
    return named
