"""What came of a box: the verdict, what it used, what was in force, how each step went."""

from __future__ import annotations

from errno import errorcode

from minibox import hints
from minibox.errors import BoxFailed, ExecError, StepError, visible
from minibox.parse import SIGNALS
from minibox.record import Record
from minibox.report import CAUSES, REASONS, STATES
from minibox.steps import (
    CALLS,
    FIGURES,
    PARTS,
    CloneApp,
    Exec,
    ReadCgroup,
    Watch,
    name_of,
    sentence,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    from minibox.plan import Plan
    from minibox.report import Report
    from minibox.steps import Step
    from minibox.surroundings import Surroundings

    R = TypeVar("R", bound="AnyResult")

CLD_EXITED = 1
SIGKILL = 9


class Usage(Record):
    """What the box used. Seconds and bytes; None is "not measured", never 0.

    cpu_s: over all processes, init counted in a cgroup only; cpu_user_s and cpu_system_s its parts;
    throttled_s: how long the CPU cap held it back.  wall_s: from exec to the end; setup_s: from the
    engine's start to exec.
    memory_peak_bytes: of the whole box, page cache and tmpfs included; swap_peak_bytes: swap on top
    of that; max_rss_bytes: of its largest process.  processes: how many init reaped; pids_peak:
    most at one time; pids_refused: forks that the cap refused.  *_pressure_s: for how long at least
    one of its threads waited for a CPU, for memory to be reclaimed or read back, for IO (PSI).
    stdout_bytes, stderr_bytes: all that was written, of which *_kept_bytes were passed on; None
    where the stream went past the engine.  measured_by: the source of each figure that is there.

    docs/result.md has unit and source of each, and when it is absent.
    """

    cpu_s: float | None
    cpu_user_s: float | None
    cpu_system_s: float | None
    throttled_s: float | None
    wall_s: float | None
    setup_s: float | None
    memory_peak_bytes: int | None
    swap_peak_bytes: int | None
    max_rss_bytes: int | None
    processes: int | None
    pids_peak: int | None
    pids_refused: int | None
    oom_kills: int | None
    io_read_bytes: int | None
    io_write_bytes: int | None
    cpu_pressure_s: float | None
    memory_pressure_s: float | None
    io_pressure_s: float | None
    minor_faults: int | None
    major_faults: int | None
    voluntary_switches: int | None
    involuntary_switches: int | None
    stdout_bytes: int | None
    stderr_bytes: int | None
    stdout_kept_bytes: int | None
    stderr_kept_bytes: int | None
    measured_by: dict[str, str]


class Receipt(Record):
    """One cap or layer. asked: what was asked for, None for a default; in_force: what holds, None
    if nothing does; mechanism: what enforces it; note: what to know about it."""

    cap: str
    asked: Any = None
    in_force: Any = None
    mechanism: str = ""
    note: str = ""


class Refused(Record):
    """Calls that the filter refused. call: by name, None for all that found no place in the count;
    action: what was answered, an errno's name or "kill"; count: how often."""

    call: str | None
    action: str
    count: int


class StepOutcome(Record):
    """How one step went. state: "done", "failed", "begun" or "not_reached"; call, errno: the system
    call that failed and why, by name; ns: how long it took, at_ns: when it ended, in ns since the
    engine's start (None if it never did)."""

    index: int
    name: str
    part: str
    state: str
    sentence: str
    call: str | None
    errno: str | None
    ns: int | None
    at_ns: int | None


class AnyResult(Record):
    """What a `Result` has in common with one that was saved, and read again."""

    @property
    def reliable(self: Any) -> bool | None:
        """Can its times be trusted, by all that was seen around it? None: nobody looked."""
        return None if self.doubts is None else not self.doubts

    def check(self: R) -> R:
        """This result, if the program exited with 0.

        Errors: BoxFailed otherwise; StepError if the program never ran.
        """
        told: Any = self
        if told.error:
            raise told.error
        if told.reason != "exited" or told.exit_status != 0:
            raise BoxFailed(told)
        return self

    def to_dict(self) -> dict[str, Any]:
        """Everything, in types that JSON has; captured bytes as text. docs/result.md: every key."""
        from minibox.exports import plain

        return plain(self)

    def to_json(self, indent: int | None = None) -> str:
        import json

        return json.dumps(self.to_dict(), indent=indent)

    def to_benchexec(self) -> dict[str, str | int | float]:
        """As BenchExec has it, in seconds and bytes; a key is missing where it is unknown.

        Source: doc/run-results.md of BenchExec 3.35.
        """
        from minibox.exports import benchexec

        return benchexec(self)

    def to_isolate_meta(self) -> str:
        """The text of the meta-file that isolate would have written: lines of "key:value".

        Source: isolate(1) of isolate 2.0, META-FILES.
        """
        from minibox.exports import isolate_meta

        return isolate_meta(self)


class Result(AnyResult):
    """What came of one box; `str()` gives it in one line.

    args: the command; stdout, stderr: what was captured, None if not; surroundings: what was seen
    around it, if it was run with observe; plan, report: the raw data that all the rest is read
    from.
    """

    args: tuple[str, ...]
    plan: Plan
    report: Report
    stdout: Any = None
    stderr: Any = None
    surroundings: Surroundings | None = None

    def __str__(self) -> str:
        return describe(self)

    def __repr__(self) -> str:
        streams = "".join(f", {name}={value!r}" for name in ("stdout", "stderr")
                          if (value := getattr(self, name)) is not None)
        return (f"Result(args={list(self.args)!r}, reason={self.reason!r}, "
                f"returncode={self.returncode}{streams})")

    @property
    def reason(self) -> str:
        """Why it ended: one of report.REASONS."""
        return REASONS[self.report.reason]

    @property
    def exit_status(self) -> int:
        """What `minibox run` exits with: 0 to 255."""
        return self.report.exit_status

    @property
    def returncode(self) -> int:
        """As subprocess has it: the exit code, or minus the signal that ended the program."""
        if self.reason == "setup":
            return self.report.exit_status
        signal = self.signal
        return self.report.ended_status if signal is None else -signal

    @property
    def signal(self) -> int | None:
        """The signal that ended the program, or the whole box; None if it exited by itself."""
        if self.report.ended_how == CLD_EXITED or self.reason == "setup":
            return None
        return self.report.ended_status or self.report.stop_signal or SIGKILL

    @property
    def name(self) -> str:
        """The box's own name, which its cgroups have: 16 hexadecimal digits."""
        return self.report.name

    @property
    def started_s(self) -> float:
        """When its engine began, in seconds since 1970."""
        return self.report.started_ns / 1e9

    @property
    def usage(self) -> Usage:
        return _usage(self.report, self.plan)

    @property
    def doubts(self) -> tuple[str, ...] | None:
        """Why its times may be wrong, one sentence for each reason; None: nobody looked, see
        `minibox.run`'s observe."""
        if self.surroundings is None:
            return None
        from minibox.surroundings import doubts

        return doubts(self.surroundings, self.usage)

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """What was in force, one for each cap and layer."""
        return tuple(Receipt(**{field: one[field] for field in Receipt.__fields__ if field in one})
                     for one in self._notes.get("receipts", ()))

    @property
    def _notes(self) -> dict[str, Any]:
        if not self.plan.notes:
            return {}
        import json

        notes = json.loads(self.plan.notes)
        assert isinstance(notes, dict)
        return notes

    @property
    def steps(self) -> tuple[StepOutcome, ...]:
        return _steps(self.report, self.plan)

    @property
    def refused(self) -> tuple[Refused, ...]:
        """The system calls that the filter refused, the most frequent first: all with seccomp_log,
        else only those that it kills for."""
        found = [Refused(call=_call_name(call) if call >= 0 else None, action=_action(verdict),
                         count=count) for call, verdict, count in self.report.refused]
        return tuple(sorted(found, key=lambda one: -one.count))

    @property
    def evidence(self) -> dict[str, Any]:
        """The figures that the verdict rests on, with the cap beside them."""
        return _evidence(self)

    @property
    def error(self) -> StepError | None:
        """Why the program never ran, if it did not."""
        return _error(self)


def _usage(report: Report, plan: Plan) -> Usage:
    """Figures of the cgroup where there is one, else of wait4, each with its source."""
    values: dict[str, Any] = dict.fromkeys(Usage.__fields__)
    sources: dict[str, str] = {}

    def measured(field: str, value: float | int, source: str) -> None:
        values[field], sources[field] = value, source

    # An init that was killed has waited for nobody: its own usage is not the box's.
    if report.processes or not any(isinstance(step, CloneApp) for step in plan.enter):
        measured("cpu_user_s", report.user_ns / 1e9, "wait4")
        measured("cpu_system_s", report.system_ns / 1e9, "wait4")
        measured("cpu_s", (report.user_ns + report.system_ns) / 1e9, "wait4")
        for field in ("max_rss_bytes", "minor_faults", "major_faults", "voluntary_switches",
                      "involuntary_switches"):
            measured(field, getattr(report, field), "wait4")
        measured("processes", report.processes, "init")
    if report.exec_ns:
        measured("setup_s", report.exec_ns / 1e9, "CLOCK_MONOTONIC")
        measured("wall_s", (report.end_ns - report.exec_ns) / 1e9, "CLOCK_MONOTONIC")
        if any(isinstance(step, Watch) and step.output_bytes for step in plan.prepare):
            for field in ("stdout_bytes", "stderr_bytes", "stdout_kept_bytes", "stderr_kept_bytes"):
                measured(field, getattr(report, field), "relay")
    files = {step.figure: f"cgroup {step.file} {step.key}".rstrip()
             for step in plan.finish if isinstance(step, ReadCgroup)}
    for number, (figure, value) in enumerate(zip(FIGURES, report.figures, strict=True)):
        field = figure.removesuffix("_ns") + "_s" if figure.endswith("_ns") else figure
        # What init sampled while the box ran is less than what wait4 knows, if that knows it.
        if value >= 0 and (number in files or values[field] is None):
            measured(field, value / 1e9 if field != figure else value,
                     files.get(number, "samples of /proc"))
    values["measured_by"] = sources
    return Usage(**values)


def _steps(report: Report, plan: Plan) -> tuple[StepOutcome, ...]:
    """Each step with its own time: from the end of the one before it of the same process."""
    ends = {name_of(type(step)): record.ns
            for step, record in zip(plan, report.steps, strict=False)}
    parts = [part for part in PARTS for _ in getattr(plan, part)]
    begins = {"prepare": 0, "enter": ends.get("clone-init", 0), "app": ends.get("clone-app", 0),
              "finish": report.end_ns}
    found = []
    for index, (step, part, record) in enumerate(zip(plan, parts, report.steps, strict=False)):
        name, state = name_of(type(step)), STATES[record.state]
        ended = state in ("done", "failed")
        failed = state == "failed"
        found.append(StepOutcome(
            index=index, name=name, part=part, state=state, sentence=sentence(step),
            call=CALLS[record.call] if failed else None,
            errno=errorcode.get(record.errno, str(record.errno)) if failed else None,
            ns=max(0, record.ns - begins[part]) if ended else None,
            at_ns=record.ns if ended else None))
        if ended:
            begins[part] = record.ns
    return tuple(found)


def _cap(result: Result, name: str) -> Any:
    return next((one.in_force for one in result.receipts if one.cap == name), None)


def _watched(result: Result) -> Watch:
    return next((step for step in result.plan.prepare if isinstance(step, Watch)), Watch())


def _evidence(result: Result) -> dict[str, Any]:
    usage, report, watch = result.usage, result.report, _watched(result)
    if result.reason == "memory":
        return {"oom_kills": usage.oom_kills, "memory_peak_bytes": usage.memory_peak_bytes,
                "memory_limit_bytes": _cap(result, "memory")}
    if result.reason == "walltime":
        return _over("wall", usage.wall_s, watch.walltime_ns / 1e9)
    if result.reason == "cputime":
        return _over("cpu", usage.cpu_s, watch.cputime_ns / 1e9)
    if result.reason == "output":
        return {"stdout_bytes": usage.stdout_bytes, "stderr_bytes": usage.stderr_bytes,
                "output_limit_bytes": watch.output_bytes}
    if result.reason == "stopped":
        return {"stop_signal": report.stop_signal}
    if result.reason == "seccomp":
        call = report.fatal_call
        return {"signal": result.signal, "call": _call_name(call) if call >= 0 else None}
    if result.reason == "signaled":
        return {"signal": result.signal}
    if result.reason == "setup":
        error = result.error
        assert error
        return {"step": error.index, "name": error.step, "call": error.call,
                "errno": errorcode.get(error.errno, str(error.errno)),
                "cause": CAUSES[report.cause], "detail": report.detail}
    return {"exit_status": report.exit_status}


def _over(what: str, used_s: float | None, limit_s: float) -> dict[str, Any]:
    over = None if used_s is None else round(used_s - limit_s, 9)
    return {f"{what}_s": used_s, f"{what}_limit_s": limit_s, "overshoot_s": over}


def describe(result: Result) -> str:
    """The verdict in one line, for people."""
    usage, watch, reason = result.usage, _watched(result), result.reason
    if reason == "setup":
        return str(_error(result))
    if reason == "memory":
        limit, peak = _cap(result, "memory"), usage.memory_peak_bytes
        cap = f"its {size(limit)} of memory" if limit else "the memory it may"
        return f"killed: used more than {cap}" + (f" (peak {size(peak)})" if peak else "")
    if reason == "walltime":
        return f"timed out after {seconds(watch.walltime_ns / 1e9)}"
    if reason == "cputime":
        return (f"killed: used up its {seconds(watch.cputime_ns / 1e9)} of CPU time"
                + (f" ({seconds(usage.cpu_s)})" if usage.cpu_s is not None else ""))
    if reason == "output":
        return f"killed: wrote more than its {size(watch.output_bytes)} of output"
    if reason == "stopped":
        by = result.signal or result.report.stop_signal
        return f"stopped by {signal_name(by)}" if by else "stopped"
    if reason == "seccomp":
        call = result.report.fatal_call
        made = f"the system call {_call_name(call)}" if call >= 0 else "a system call"
        return f"killed: made {made}, which this box does not allow (SIGSYS)"
    if reason == "signaled":
        return f"killed by {signal_name(result.signal or SIGKILL)}"
    return f"exited with status {result.exit_status}" if result.exit_status else "exited"


def _error(result: Result) -> StepError | None:
    report = result.report
    if REASONS[report.reason] != "setup":
        return None
    if not 0 <= report.failed_step < len(result.plan):
        detail = visible(report.detail) or "the engine does not say which step failed"
        error = StepError(report.failed_step, "engine", CALLS[report.call], report.errno, detail)
    else:
        step = tuple(result.plan)[report.failed_step]
        error = _step_error(step, report)
    error.result = result
    return error


def _step_error(step: Step, report: Report) -> StepError:
    kind, call = name_of(type(step)), CALLS[report.call]
    if isinstance(step, Exec):
        hint = hints.program(step, report.errno, report.cause, report.detail)
        return ExecError(report.failed_step, kind, call, report.errno, hint)
    hint = hints.of(step, report.errno, report.detail)
    error = StepError(report.failed_step, kind, call, report.errno, hint)
    error.sentence = sentence(step)
    return error


def _call_name(number: int) -> str:
    """Of this machine, on which the box ran."""
    from os import uname

    from minibox.seccomp.numbers import MACHINES, names

    machine = uname().machine
    known = names(machine) if machine in MACHINES else {}
    return known.get(number, f"number {number}")


def _action(verdict: int) -> str:
    number = verdict & 0xFFFF
    return errorcode.get(number, str(number)) if verdict >> 16 == 5 else "kill"


def describe_refused(result: Result) -> str:
    """Those calls in one line, for people."""
    told = ", ".join(f"{one.call or 'others'} x{one.count} ({one.action})"
                     for one in result.refused)
    named = next((one.call for one in result.refused if one.call), None)
    more = f"; why: `minibox seccomp show --syscall {named}`" if named else ""
    return f"refused by seccomp: {told or 'nothing'}{more}"


def size(count: float) -> str:
    """Bytes as people read them: "64 MiB", "1.5 GiB"."""
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            break
        count /= 1024
    return f"{count:.0f} {unit}" if count == int(count) else f"{count:.1f} {unit}"


def seconds(count: float) -> str:
    return f"{round(count, 3):g} s"


def signal_name(number: int) -> str:
    """"SIGTERM" for 15; real-time signals by number."""
    return f"SIG{SIGNALS[number - 1]}" if 0 < number <= len(SIGNALS) else f"signal {number}"
