"""A result as others read it: as JSON's types, as BenchExec's columns, as isolate's meta-file.

Each takes a `Result`, or one that was saved.
"""

from __future__ import annotations

from minibox.record import as_dict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FORMATS = ("json", "benchexec", "isolate")
"""What `text` knows."""

TERMINATION = {"cputime": "cputime", "walltime": "walltime", "memory": "memory", "setup": "failed",
               "stopped": "killed", "output": "killed"}
"""BenchExec's terminationreason of each of report.REASONS; none for what ended by itself. It has no
word for a cap on output, which it enforces by shortening the log."""

COLUMNS = {"walltime": ("wall_s", "s"), "cputime": ("cpu_s", "s"),
           "memory": ("memory_peak_bytes", "B"), "blkio-read": ("io_read_bytes", "B"),
           "blkio-write": ("io_write_bytes", "B"), "pressure-cpu-some": ("cpu_pressure_s", "s"),
           "pressure-io-some": ("io_pressure_s", "s"),
           "pressure-memory-some": ("memory_pressure_s", "s")}
"""BenchExec's names of figures, in the order in which runexec prints them: figure, unit."""

MESSAGES = {"walltime": "Time limit exceeded (wall clock)", "cputime": "Time limit exceeded",
            "output": "Output limit exceeded", "stopped": "Interrupted"}
"""What isolate says of those that were killed by it; it has no cap on output."""


def plain(result: Any) -> dict[str, Any]:
    """Everything, in types that JSON has."""
    doubts = result.doubts
    return {
        "args": list(result.args), "reason": result.reason, "exit_status": result.exit_status,
        "returncode": result.returncode, "signal": result.signal, "summary": str(result),
        "evidence": result.evidence, "usage": as_dict(result.usage),
        "reliable": None if doubts is None else not doubts,
        "doubts": None if doubts is None else list(doubts),
        "surroundings": _plain_record(result.surroundings),
        "refused": [as_dict(one) for one in result.refused],
        "receipts": [as_dict(one) for one in result.receipts],
        "steps": [as_dict(one) for one in result.steps],
        "started_s": result.started_s, "name": result.name,
        "stdout": _as_text(result.stdout), "stderr": _as_text(result.stderr),
    }


def _plain_record(record: Any) -> dict[str, Any] | None:
    if record is None:
        return None
    return {field: list(value) if isinstance(value, tuple) else value
            for field, value in as_dict(record).items()}


def _as_text(captured: Any) -> str | None:
    return captured.decode("utf-8", "replace") if isinstance(captured, bytes) else captured


def benchexec(result: Any) -> dict[str, str | int | float]:
    """The values of BenchExec: seconds, bytes, and starttime in ISO 8601."""
    from datetime import datetime

    reason = TERMINATION.get(result.reason)
    if reason == "failed":              # "No other result values contain meaningful data"
        return {"terminationreason": reason}
    found: dict[str, str | int | float] = {
        "starttime": datetime.fromtimestamp(result.started_s).astimezone().isoformat()}
    if reason:
        found["terminationreason"] = reason
    if result.signal is None:
        found["returnvalue"] = result.returncode
    else:
        found["exitsignal"] = result.signal
    for column, (figure, _unit) in COLUMNS.items():
        if (value := getattr(result.usage, figure)) is not None:
            found[column] = value
    return found


def benchexec_text(result: Any) -> str:
    """As runexec prints it: lines of "key=value", with units."""
    units = {column: unit for column, (_figure, unit) in COLUMNS.items()}
    return "".join(f"{key}={_decimal(value)}{units.get(key, '')}\n"
                   for key, value in benchexec(result).items())


def _decimal(value: str | int | float) -> str:
    """Never with an exponent, and no digits that the clocks do not have."""
    return (f"{value:.9f}".rstrip("0").rstrip(".") or "0") if isinstance(value, float) \
        else str(value)


def isolate_meta(result: Any) -> str:
    """isolate's meta-file: seconds with three digits, kilobytes, and no key for what is unknown."""
    return "".join(f"{key}:{value}\n" for key, value in _meta(result).items() if value is not None)


def _meta(result: Any) -> dict[str, Any]:
    status, message = _status(result)
    if status == "XX":
        return {"status": status, "message": " ".join(str(result).split())}
    usage, signal = result.usage, result.signal
    return {
        "status": status, "message": message, "killed": 1 if result.reason in MESSAGES else None,
        "time": _seconds(usage.cpu_s), "time-wall": _seconds(usage.wall_s),
        "max-rss": _kilobytes(usage.max_rss_bytes),
        "csw-voluntary": usage.voluntary_switches, "csw-forced": usage.involuntary_switches,
        "cg-mem": _kilobytes(usage.memory_peak_bytes),
        "cg-oom-killed": 1 if result.reason == "memory" else None,
        "exitcode": result.returncode if signal is None else None,
        # Of a program that was out of time isolate tells no signal.
        "exitsig": None if status == "TO" else signal,
    }


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"


def _kilobytes(value: int | None) -> int | None:
    return None if value is None else value // 1024


def _status(result: Any) -> tuple[str | None, str | None]:
    """The two letters, and the message that isolate has for them; None for success."""
    if result.reason == "setup":
        return "XX", None
    if result.reason in ("walltime", "cputime"):
        return "TO", MESSAGES[result.reason]
    if result.signal is not None:
        return "SG", MESSAGES.get(result.reason, f"Caught fatal signal {result.signal}")
    if result.returncode:
        return "RE", f"Exited with error status {result.returncode}"
    return None, None


def text(result: Any, form: str) -> str:
    """What a file of that format has; form: one of FORMATS."""
    if form == "benchexec":
        return benchexec_text(result)
    return isolate_meta(result) if form == "isolate" else str(result.to_json(indent=2)) + "\n"
