#!/usr/bin/env python3
"""Write docs/result.md: every key of a result, with its unit, its source and when it is absent.

    python docs/make_result.py [--check]

Which keys there are, and which file of a cgroup each figure comes from, is taken from the code; a
key that is not described here is an error.  --check: only say, by the exit status, whether the page
is as it would be written.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from minibox import exports  # noqa: E402
from minibox.compiler.cgroups import PRESSURE, READINGS, TIMES  # noqa: E402
from minibox.record import Record  # noqa: E402
from minibox.report import REASONS  # noqa: E402
from minibox.result import Receipt, Refused, StepOutcome, Usage  # noqa: E402
from minibox.saved import SavedResult  # noqa: E402
from minibox.surroundings import GOOD_CLOCKS, NOTABLE, TICKS_S, Surroundings  # noqa: E402

TARGET = os.path.join(HERE, "result.md")

TOP = {
    "args": "the command",
    "reason": "why it ended: see below",
    "exit_status": "what `minibox run` exits with, 0 to 255: the program's own; 124 out of time, "
                   "125 minibox itself, 126 and 127 a program that cannot be executed or is not "
                   "there, 128+N signal N",
    "returncode": "as Python's subprocess has it: the program's exit status, or minus the signal",
    "signal": "the signal that ended the program or the whole box; null: it exited by itself",
    "summary": "the verdict in one line, for people",
    "evidence": "the figures that the verdict rests on, with the cap: see below",
    "usage": "what it used: see below",
    "reliable": "whether `doubts` is empty; null: nobody looked (`--observe`, `observe=True`)",
    "doubts": "why its times may be wrong, a sentence for each reason; null: nobody looked",
    "surroundings": "what was counted around the box while it ran, see below; null: nobody looked",
    "refused": "the system calls that the filter refused, the most frequent first: all with "
               "`--seccomp-log`, else those that it kills for",
    "receipts": "what was in force: one for each cap and each layer",
    "steps": "how each step of the plan went, in order; not in the lines of `run-many`",
    "started_s": "when the engine began: seconds since 1970 (CLOCK_REALTIME)",
    "name": "the box's own name, 16 hexadecimal digits; its cgroups are `minibox-NAME`",
    "stdout": "what was captured, bytes that are no UTF-8 as U+FFFD; null: it was not captured",
    "stderr": "the same of stderr",
}

VERDICTS = {
    "exited": ("the program ended by itself", ("exit_status",)),
    "signaled": ("a signal ended it, which neither minibox nor a cap sent", ("signal",)),
    "seccomp": (
        "it made a system call that the filter kills for; `call`: null if the kernel killed and "
        "did not tell which",
        ("signal", "call")),
    "stopped": ("minibox was told to end it, by a signal or by `stop`", ("stop_signal",)),
    "output": (
        "it wrote more than its cap",
        ("stdout_bytes", "stderr_bytes", "output_limit_bytes")),
    "cputime": (
        "all its processes together used up their CPU time; `overshoot_s`: by how much more, until "
        "the last was dead",
        ("cpu_s", "cpu_limit_s", "overshoot_s")),
    "walltime": (
        "it was still there when its time was over; `overshoot_s`: for how long after",
        ("wall_s", "wall_limit_s", "overshoot_s")),
    "memory": (
        "the kernel found no memory for it within its cap",
        ("oom_kills", "memory_peak_bytes", "memory_limit_bytes")),
    "setup": (
        "the program never ran; `step`: its number, `call`: the system call that failed, `cause`, "
        "`detail`: why a program cannot be executed",
        ("step", "name", "call", "errno", "cause", "detail")),
}

WAIT4, INIT, CLOCK, RELAY = ("wait4(2) by init", "init", "CLOCK_MONOTONIC", "the engine's relay")
KILLED = "init was killed"
NO_GROUP = "the box has no cgroup of that controller"
NO_IO = (f"{NO_GROUP}: v1 has it with `--cgroups enabled` or a cap on a device only; v1 from Linux "
         "6.10 on, where a disk in use has never had a rate")
NEVER = "the program never ran"
PSI = "no cgroup of v2; Linux before 4.20, or booted with psi=0"
PAST = "stdout and stderr are pipes that the box has itself (no cap on output)"

USAGE = {
    "cpu_s": (
        "CPU time of the program and all that comes of it; a cgroup counts init as well, some 2 ms",
        WAIT4, f"no cgroup, and {KILLED}"),
    "cpu_user_s": ("its part in user mode", WAIT4, f"no cgroup, and {KILLED}"),
    "cpu_system_s": ("its part in the kernel", WAIT4, f"no cgroup, and {KILLED}"),
    "throttled_s": ("how long the box's own CPU cap held it back", "", NO_GROUP),
    "wall_s": ("from exec to the end of the last process", CLOCK, NEVER),
    "setup_s": ("from the engine's start to exec", CLOCK, NEVER),
    "memory_peak_bytes": (
        "the most memory of the whole box at one time, page cache, tmpfs and the kernel's own for "
        "it included",
        "", f"{NO_GROUP}; v2 before Linux 5.19"),
    "swap_peak_bytes": (
        "the most swap at one time, on top of that",
        "", "no memory cgroup of v2; Linux before 6.5; no accounting of swap"),
    "max_rss_bytes": ("what its largest process had resident at most", WAIT4, KILLED),
    "processes": ("how many processes init reaped: the program, and orphans", INIT, KILLED),
    "pids_peak": (
        "most processes and threads at one time, init included",
        "", f"{NO_GROUP}; Linux before 6.1"),
    "pids_refused": ("forks that the cap refused", "", NO_GROUP),
    "oom_kills": (
        "processes that the kernel killed for memory",
        "", f"{NO_GROUP}; v1 before Linux 4.13"),
    "io_read_bytes": ("read from block devices; what the page cache had is not read", "", NO_IO),
    "io_write_bytes": ("written to block devices; on v1 only what was not buffered", "", NO_IO),
    "cpu_pressure_s": (
        "for how long at least one of its threads waited for a CPU; what its own CPU cap held back "
        "counts too",
        "", PSI),
    "memory_pressure_s": ("the same for memory to be reclaimed or read back", "", PSI),
    "io_pressure_s": ("the same for IO", "", PSI),
    "minor_faults": (
        "page faults without IO, of all processes that were waited for",
        WAIT4, KILLED),
    "major_faults": ("page faults with IO", WAIT4, KILLED),
    "voluntary_switches": ("context switches by waiting", WAIT4, KILLED),
    "involuntary_switches": ("context switches because others wanted the CPU", WAIT4, KILLED),
    "stdout_bytes": ("all that it wrote there", RELAY, PAST),
    "stderr_bytes": ("all that it wrote there", RELAY, PAST),
    "stdout_kept_bytes": ("what of that was passed on", RELAY, PAST),
    "stderr_kept_bytes": ("what of that was passed on", RELAY, PAST),
    "measured_by": ("the source of each figure that is there, by its key", "", ""),
}
"""What it is, its source without a cgroup ("": none), and when it is absent."""

RECEIPT = {
    "cap": "which cap or layer",
    "asked": "what was asked for; null: the default",
    "in_force": "what holds; null: nothing does",
    "mechanism": "what enforces it: a file of a cgroup, a system call",
    "note": "what else to know",
}

REFUSED = {
    "call": "its name; null: all that found no place in the count of 64 kinds",
    "action": "what the program got: an errno's name, or \"kill\"",
    "count": "how often",
}

STEP = {
    "index": "its number in the plan",
    "name": "its kind, as in [steps.md](steps.md)",
    "part": "prepare, enter, app or finish: whose step it is",
    "state": "done, failed, begun (its process died in it), not_reached",
    "sentence": "what it does",
    "call": "the system call that failed; else null",
    "errno": "why, by name; else null",
    "ns": "how long it took; null if it did not end",
    "at_ns": "when it ended, since the engine's start; null if it did not",
}

AROUND = {
    "observed_s": (
        "between the two looks: before the engine starts, and when its report is there",
        "CLOCK_MONOTONIC"),
    "cpus": ("the CPUs that the box might use", "its cpuset, else sched_getaffinity(2)"),
    "busy_s": (
        "CPU time of those that anybody used, the box included, to a tick of 10 ms",
        "/proc/stat"),
    "stolen_s": ("what the hypervisor gave of them to others", "/proc/stat, steal"),
    "sibling_busy_s": (
        "what anybody used of the hardware threads beside those, on the same cores",
        "/proc/stat, thread_siblings_list"),
    "cpu_pressure_s": (
        "for how long a thread of this machine waited for a CPU",
        "/proc/pressure/cpu, some"),
    "memory_pressure_s": ("for memory", "/proc/pressure/memory, some"),
    "io_pressure_s": ("for IO", "/proc/pressure/io, some"),
    "throttled_s": (
        "how long CPU caps of the cgroups around the box held them back, all together",
        "cpu.stat of each: throttled_usec (v2), throttled_time (v1)"),
    "swapped_bytes": ("what this machine moved to and from swap", "/proc/vmstat: pswpin, pswpout"),
    "overheated": (
        "how often those CPUs slowed down for heat",
        "thermal_throttle/*_throttle_count (x86)"),
    "suspended_s": ("how long the machine slept", "CLOCK_BOOTTIME less CLOCK_MONOTONIC"),
    "slowest_hz": (
        "the fastest of those CPUs, at the look where it was slower",
        "cpufreq/scaling_cur_freq"),
    "fastest_hz": ("and at the other", "cpufreq/scaling_cur_freq"),
    "clock_source": ("what the kernel reads the time from", "clocksource0/current_clocksource"),
}

PAGE = """# Results, key by key

What came of a box, as `minibox run --result FILE` writes it, as `Result.to_dict()` gives it, and
as each line of `minibox run-many` has it in `result` (there without `steps`). In Python the same
names are attributes of `Result`, and of `SavedResult`, which `SavedResult.from_json(text)` makes
of such a file. This page is made from the code by `python docs/make_result.py`.

Units are in the names: `_s` seconds, `_bytes` bytes (a MiB is 1,048,576 of them), `_ns`
nanoseconds, `_hz` hertz; what has none is a number of times or things. **`null` is "not measured",
never 0**, and 0 was measured. More keys may come.

```sh
minibox run --result out.json -m 64M -- ./program                    # JSON
minibox run --result out.txt --result-format benchexec -- ./program  # as BenchExec's runexec prints
minibox run --result out.meta --result-format isolate -- ./program   # as isolate's --meta
minibox run --observe --result out.json -- ./program                 # with `reliable` and `doubts`
```

## The result

{result}
## Reasons, and their evidence

Where more than one holds, the one that stands lower is said.

{verdicts}
## Usage

The first source that is there is taken, from left to right; `measured_by` names it. A box has a
cgroup when a cap needs one, or with `--cgroups enabled`.

{usage}
`cpu_s` is also taken from samples of /proc where there is a cap on CPU time, no cgroup, and init
was killed: `measured_by` then says so, and it is at most 50 ms old. Without a cgroup neither it nor
the cap sees children of a program that ignores SIGCHLD: the kernel reaps those without adding up
what they used (times(2)).

## Receipts

{receipts}
## Refused system calls

{refused}
## Steps

{steps}
## Surroundings

Each is `null` where its source cannot be read.

{surroundings}
## Doubts

`reliable` is about times: what a program computes, and how much memory it takes, does not depend
on its neighbours. "Much" is more than {notable} % of the time observed, and more than {ticks} ms,
below which /proc/stat tells nothing; so a box of a few milliseconds is not doubted for its
neighbours. A result is doubted when

- a CPU cap of a cgroup *around* the box (a container's, a slice's) held it back at all;
- others used much of its CPUs, *and* it may have waited for them: much pressure of its own on v2
  (less what its own cap held back), of the machine on v1; without PSI, when its CPUs were busy for
  90 % of the time;
- others used much of the sibling threads of its CPUs: only a box that is put on certain CPUs can
  have such;
- the hypervisor gave much of its CPUs to others;
- processes outside the box waited much for memory or for IO; on v1, where the kernel does not say
  whose waiting it was, processes anywhere;
- the machine swapped, slept, or slowed down for heat;
- the clock rate of its CPUs moved by more than {notable} %, as it does under a governor that saves
  power;
- the clock source is none of those that are read without the kernel: {clocks}.

Measured with a program that spins for 0.26 s on one of two CPUs: alone 30 of 30 runs are reliable,
beside a hog on the other CPU 15 of 15, beside one on the same CPU, where it takes 0.48 s, none of
15.

What cannot be read is not doubted. It takes two looks of 50 to 100 us each. A caller that starts a
box by `Process` and comes back for it later looks later: `observed_s` says when.

## As BenchExec has it

`Result.to_benchexec()`, `--result-format benchexec`. A key is missing where the figure is null. A
box that never ran has `terminationreason` and nothing else. Never there: `cputime-cpuN`, which only
cgroup v1 tells, and `cpuenergy-*`.

{benchexec}
## As isolate has it

`Result.to_isolate_meta()`, `--result-format isolate`. A key is missing where the figure is null. A
box that never ran has `status` and `message` and nothing else.

{isolate}"""

BENCHEXEC = {
    "starttime": ("started_s", "ISO 8601, with the time zone"),
    "terminationreason": ("reason", "missing where the program ended by itself"),
    "returnvalue": ("returncode", "missing where a signal ended it"),
    "exitsignal": ("signal", "missing where it exited"),
}

ISOLATE = {
    "status": ("reason", "RE, SG, TO or XX; missing where it exited with 0"),
    "message": ("reason", "as isolate says it; missing where it exited with 0"),
    "killed": ("reason", f"1 for {', '.join(exports.MESSAGES)}; else missing"),
    "time": ("usage.cpu_s", "s, three digits"),
    "time-wall": ("usage.wall_s", "s, three digits"),
    "max-rss": ("usage.max_rss_bytes", "KiB"),
    "csw-voluntary": ("usage.voluntary_switches", ""),
    "csw-forced": ("usage.involuntary_switches", ""),
    "cg-mem": ("usage.memory_peak_bytes", "KiB"),
    "cg-oom-killed": ("reason", "1 for memory; else missing"),
    "exitcode": ("returncode", "missing where a signal ended it"),
    "exitsig": ("signal", "missing where it exited, and where it was out of time"),
}


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    columns = tuple(head)
    lines = [columns, ("---",) * len(columns), *map(tuple, rows)]
    return "".join(f"| {' | '.join(cell or '-' for cell in line)} |\n" for line in lines)


def described(kind: type[Record], texts: dict[str, str]) -> str:
    """A row for each field; KeyError if one is not described."""
    return table(("key", "what"), ((f"`{field}`", texts[field]) for field in kind.__fields__))


def cgroup_files(version: int) -> dict[str, str]:
    """Of each figure the files that the compiler has read for it."""
    readings = [reading for (_, of), some in READINGS.items() if of == version for reading in some]
    found: dict[str, str] = {}
    for file, key, figure, _scale in (*readings, *((*TIMES, *PRESSURE) if version == 2 else ())):
        field = figure.removesuffix("_ns") + "_s" if figure.endswith("_ns") else figure
        found[field] = f"{file}: {key}" if key else file
    return found


def usage() -> Iterator[tuple[str, ...]]:
    first, second = cgroup_files(1), cgroup_files(2)
    for field in Usage.__fields__:
        what, otherwise, absent = USAGE[field]
        yield f"`{field}`", what, first.get(field, ""), second.get(field, ""), otherwise, absent


def verdicts() -> Iterator[tuple[str, ...]]:
    for reason in REASONS:
        what, evidence = VERDICTS[reason]
        yield (f"`{reason}`", what, ", ".join(f"`{key}`" for key in evidence),
               exports.TERMINATION.get(reason, ""), status(reason))


def status(reason: str) -> str:
    known = {"exited": "RE unless 0", "cputime": "TO", "walltime": "TO", "setup": "XX"}
    return known.get(reason, "SG")


def page() -> str:
    if unlike := set(TOP) ^ {*SavedResult.__fields__, "reliable"}:
        raise KeyError(f"described and not there, or there and not described: {sorted(unlike)}")
    columns = BENCHEXEC | {key: (f"usage.{figure}", unit)
                           for key, (figure, unit) in exports.COLUMNS.items()}
    return PAGE.format(
        result=table(("key", "what"), ((f"`{key}`", text) for key, text in TOP.items())),
        verdicts=table(("reason", "what happened", "evidence", "terminationreason of BenchExec",
                        "status of isolate"), verdicts()),
        usage=table(("key", "what", "cgroup v1", "cgroup v2", "otherwise", "null when"), usage()),
        receipts=described(Receipt, RECEIPT), refused=described(Refused, REFUSED),
        steps=described(StepOutcome, STEP),
        surroundings=table(("key", "what", "source"), (
            (f"`{field}`", *AROUND[field]) for field in Surroundings.__fields__)),
        notable=round(NOTABLE * 100), ticks=round(TICKS_S * 1000), clocks=", ".join(GOOD_CLOCKS),
        benchexec=table(("key", "from", "unit"), exported(columns)),
        isolate=table(("key", "from", "unit"), exported(ISOLATE)))


def exported(columns: dict[str, tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    for key, (source, unit) in columns.items():
        yield f"`{key}`", f"`{source}`", unit


def main() -> int:
    if "--check" in sys.argv[1:]:
        with open(TARGET) as file:
            return file.read() != page()
    with open(TARGET, "w") as file:
        file.write(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
