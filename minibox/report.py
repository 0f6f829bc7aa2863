"""The engine's report: one binary block that it writes when the box is gone.

`csrc/report.h` has the same layout; `minibox.result` turns a Report into what people use.
"""

from __future__ import annotations

import struct

from minibox.errors import EngineError
from minibox.record import Record
from minibox.steps import CALLS, FIGURES

MAGIC = b"mbreport"
VERSION = 1

REASONS = ("exited", "signaled", "seccomp", "stopped", "output", "cputime", "walltime", "memory",
           "setup")
"""Why a box ended; where more than one holds, the later one is said."""

CAUSES = ("unknown", "not_in_path", "missing", "directory", "not_executable", "noexec",
          "interpreter_missing", "interpreter_crlf", "loader_missing", "wrong_architecture",
          "not_a_program", "unreachable", "dangling_link", "link_loop", "too_long", "busy")
"""Why a program could not be executed; the report's detail names the file it hangs on."""

STATES = ("not_reached", "begun", "done", "failed")

# magic, version, size | reason, exit_status, how the app ended (CLD_*), its code or signal |
# failed step, errno, call, cause | stop signal, fatal call | lease | times | rusage | figures |
# streams | counts | detail
LAYOUT = struct.Struct(f"<8sII IiiI iiII ii q 3Q 8Q {len(FIGURES)}q 4Q 4I 16s 512s")
RECORD = struct.Struct("<HHiQ")
REFUSAL = struct.Struct("<iIQ")


class StepRecord(Record):
    """What one step did. state: one of STATES; call: a place in steps.CALLS; errno: 0 or a number;
    ns: when it ended, in ns since the engine started."""

    state: int
    call: int
    errno: int
    ns: int


class Report(Record):
    """The fields of the block, named; -1 in figures is "not measured". Times: ns since the start.

    fatal_call: for which the filter had the application killed, -1 for none.  refused: triples of
    number, verdict and count.  records: the steps' records as they are in the block, because most
    readers never look at them and a tenth of a box's time would go into unpacking them.
    """

    reason: int
    exit_status: int
    ended_how: int
    ended_status: int
    failed_step: int
    errno: int
    call: int
    cause: int
    stop_signal: int
    lease: int
    started_ns: int
    exec_ns: int
    end_ns: int
    user_ns: int
    system_ns: int
    max_rss_bytes: int
    minor_faults: int
    major_faults: int
    voluntary_switches: int
    involuntary_switches: int
    processes: int
    figures: tuple[int, ...]
    stdout_bytes: int
    stderr_bytes: int
    stdout_kept_bytes: int
    stderr_kept_bytes: int
    name: str
    detail: str
    records: bytes
    fatal_call: int
    refused: tuple[tuple[int, int, int], ...]

    @property
    def steps(self) -> tuple[StepRecord, ...]:
        """What each step did, in the plan's order."""
        found = tuple(StepRecord(state=state, call=call, errno=errno, ns=ns)
                      for state, call, errno, ns in RECORD.iter_unpack(self.records))
        if any(one.state >= len(STATES) or one.call >= len(CALLS) for one in found):
            raise EngineError("the engine's report has a step in a state that there is not")
        return found


def decode(block: bytes) -> Report:
    """The report that *block* holds; EngineError if it is not one."""
    try:
        (magic, version, size, reason, exit_status, how, status, failed, errno, call, cause,
         stop_signal, fatal_call, lease, *rest) = LAYOUT.unpack_from(block)
    except struct.error as error:
        raise EngineError(f"the engine's report is cut short: {len(block)} bytes") from error
    if magic != MAGIC or version != VERSION or size != len(block):
        raise EngineError(f"the engine's report is not one: {magic!r}, version {version}, "
                          f"{size} of {len(block)} bytes")
    times, usage, rest = rest[:3], rest[3:11], rest[11:]
    figures, (out, err, out_kept, err_kept, count, refusals, detail_size, _pad, name, detail) = (
        rest[:len(FIGURES)], rest[len(FIGURES):])
    end = LAYOUT.size + count * RECORD.size
    records, refused = block[LAYOUT.size:end], block[end:]
    if len(records) != count * RECORD.size or len(refused) != refusals * REFUSAL.size:
        raise EngineError(f"the engine's report has {len(records)} bytes for {count} steps")
    if reason >= len(REASONS) or cause >= len(CAUSES) or call >= len(CALLS):
        raise EngineError(f"the engine's report has reason {reason}, cause {cause}, call {call}")
    return Report(
        reason=reason, exit_status=exit_status, ended_how=how, ended_status=status,
        failed_step=failed, errno=errno, call=call, cause=cause, stop_signal=stop_signal,
        lease=lease, started_ns=times[0], exec_ns=times[1], end_ns=times[2],
        user_ns=usage[0], system_ns=usage[1], max_rss_bytes=usage[2], minor_faults=usage[3],
        major_faults=usage[4], voluntary_switches=usage[5], involuntary_switches=usage[6],
        processes=usage[7], figures=tuple(figures), stdout_bytes=out, stderr_bytes=err,
        stdout_kept_bytes=out_kept, stderr_kept_bytes=err_kept,
        name=name.rstrip(b"\0").decode("ascii", "replace"),
        detail=detail[:detail_size].decode("utf-8", "replace"),
        records=records, fatal_call=fatal_call,
        refused=tuple(REFUSAL.iter_unpack(refused)))
