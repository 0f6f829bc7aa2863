#!/usr/bin/env python3
"""Fuzz what the engine reads, under libFuzzer and AFL++, with sanitizers, and what Python reads.

    fuzz.py [--seconds N] [--target plan|readers|text] [--engine libfuzzer|afl|atheris] [--keep]

plan: the checker of plans; readers: what else in C reads bytes of the box or the caller; text:
what Python reads, where atheris is installed (pip install minibox[fuzz]).

All of them run at once, nicely, for N seconds; then it says how many inputs each tried, what they
reached, and what they found, which is saved in build/fuzz/findings.  --keep adds to
tests/fuzz/corpus those inputs that reach what no other does.  Exit status 1 where something was
found.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CSRC = ROOT / "csrc"
BUILD = ROOT / "build" / "fuzz"
FINDINGS = BUILD / "findings"
CORPUS = HERE / "corpus"
KINDS_OF_CORPUS = CORPUS / "plan.kinds"
"""Names of the kinds of step, one a line, as they were numbered when the corpus was kept."""

sys.path[:0] = map(str, (HERE, ROOT, CSRC, ROOT / "tests", ROOT / "tests" / "unit"))

import generate  # noqa: E402

from minibox import plan, report, steps  # noqa: E402

INCLUDED = ("engine", "diagnose", "init")
"""Files of csrc that fuzz_readers.c includes for their static functions."""

SOURCES = {
    "plan": [HERE / "fuzz_plan.c", CSRC / "plan.c"],
    "readers": [HERE / "fuzz_readers.c", *sorted(
        path for path in CSRC.glob("*.c")
        if path.stem not in INCLUDED and not path.stem.startswith("core"))],
}
COVERED = {"plan": ("plan.c",),
           "readers": ("diagnose.c", "init.c", "link.c", "engine.c", "steps_seccomp.c")}
"""What the coverage of a target is told of."""

READERS = ("look_inside", "look_at_script", "look_at_elf", "loader_at", "field_of",
           "mb_link_receive", "take", "read_options", "number", "skip_of", "mb_filter_verdict",
           "mb_filter_tells", "mb_filter_listens")
"""The functions that target `readers` is about."""

SANITIZE = ("-g", "-O1", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all")
COMPILERS = {
    "libfuzzer": ("clang", *SANITIZE, "-fsanitize=fuzzer,address,undefined"),
    "afl": ("afl-clang-fast", *SANITIZE, "-fsanitize=address,undefined", "-fsanitize=fuzzer"),
    "replay": ("cc", *SANITIZE, "-fsanitize=address,undefined"),
    "coverage": ("cc", "-O0", "-g", "--coverage"),
}
ENGINES = ("libfuzzer", "afl")
TARGETS = {
    **{target: ENGINES for target in SOURCES},
    "text": ("atheris",) if find_spec("atheris") else (),
}
"""What is fuzzed, and by what."""

BY_HAND = ("replay", "coverage")
"""Those that have replay.c in the place of an engine."""

MAX_LEN = 16384
QUIET = {"AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES": "1", "AFL_SKIP_CPUFREQ": "1", "AFL_NO_UI": "1",
         "AFL_NO_AFFINITY": "1", "AFL_QUIET": "1"}


# ---- what is made of minibox/steps.py ----

def expectations() -> Iterator[str]:
    """expect.h: for each kind of step a function that reads each of its fields."""
    for name, _, kind in generate.words():
        yield f"static void expect_{name}(const struct mb_plan *plan, const struct mb_{name} *step)"
        yield "{"
        yield "    (void)plan, (void)step;"
        for field, of in kind.__fields__.items():
            member = f"step->{generate.RENAMED.get(field, field)}"
            _, low, high = generate.bounds(kind, field, of).strip("{ }").split(", ")
            yield {"int": f"    expect_number({member}, {low}, {high});",
                   "bool": f"    expect_number({member}, 0, 1);",
                   "str": f"    expect_text(plan, {member});",
                   "tuple[str, ...]": f"    expect_texts(plan, {member});",
                   "tuple[int, ...]": f"    expect_numbers(plan, {member}, {low}, {high});"}[of]
        yield "}"
    yield "static void expect_step(const struct mb_plan *plan, const struct mb_step *step)"
    yield "{"
    yield "    switch (step->kind) {"
    for name, constant, _ in generate.words():
        yield f"    case {constant}:"
        yield f"        EXPECT(step->size == sizeof(struct mb_{name}));"
        yield f"        expect_{name}(plan, (const void *)step);"
        yield "        break;"
    yield "    default:"
    yield "        abort();"
    yield "    }"
    yield "}"
    yield ""


def dictionary(target: str) -> Iterator[str]:
    """Words that the readers look for, in the form that all engines take."""
    def entry(name: str, block: bytes) -> str:
        return f'{name}="{"".join(f"{chr(92)}x{byte:02x}" for byte in block)}"'

    if target == "readers":
        yield (HERE / "readers.dict").read_text()
    if target in ("plan", "text"):
        yield from (entry(name, block) for name, block in plan_words())
    if target == "text":
        from texts import NUMBERS, READERS

        tokens = {token for _, tokens in READERS.values() for token in (*tokens, *NUMBERS)}
        yield from (entry(f"word_{n}", token.encode()) for n, token in enumerate(sorted(tokens)))


def plan_words() -> Iterator[tuple[str, bytes]]:
    """Heads of steps, and the numbers at the bounds of what a field may be."""
    numbers = {edge for low, high in steps.RANGES.values()
               for edge in (low - 1, low, int(high), int(high) + 1) if -2**63 <= edge < 2**63}
    for index, (name, _, kind) in enumerate(generate.words(), 1):
        yield name, struct.pack("<HHI", index, 8 + 8 * len(kind.__fields__), 0)
    for number in sorted(numbers):
        yield f"number_{number}".replace("-", "minus_"), struct.pack("<q", number)


# ---- inputs ----

def seeds(target: str) -> Iterator[bytes]:
    """Inputs that are made: true ones of every sort, and those that the unit tests refuse."""
    yield from {"plan": plan_seeds, "readers": reader_seeds, "text": text_seeds}[target]()


def plan_seeds() -> Iterator[bytes]:
    import hosts
    import test_compiler
    import test_plan_check

    from minibox.compiler import compile
    from minibox.errors import HostError
    from minibox.record import replace

    yield plan.encode(test_plan_check.EVERY_KIND)
    yield plan.encode(replace(test_plan_check.PLAIN, notes='{"receipts": []}'))
    failing = {"prepare": steps.Fail(errno=5), "app": steps.Fail(errno=5)}
    for part, one in failing.items():
        yield plan.encode(replace(test_plan_check.PLAIN, **{part: (one,)}))
    for kind in steps.KINDS:
        if kind in (steps.Exec, steps.CloneInit):
            continue
        one, part = test_plan_check.smallest(kind), kind.parts[0]
        before = getattr(test_plan_check.PLAIN, part)
        yield plan.encode(replace(test_plan_check.PLAIN, **{part: (one, *before)}))
    for what, host in test_compiler.PAIRS:
        with suppress(HostError):
            compiled = compile(test_compiler.SPECS[what], hosts.HOSTS[host])
            yield plan.encode(replace(compiled, notes=""))
    yield from (block for block, _ in test_plan_check.BROKEN if block)


def reader_seeds() -> Iterator[bytes]:
    for error in (b"\0", b"\1", b"\2"):
        yield b"\0" + error + b"#! /usr/bin/env -S python3\n"
        yield b"\0" + error + b"#!/bin/sh\r\n"
        yield b"\0" + error + b"#!\n"
        yield b"\0" + error + b"plain text\n"
        yield b"\0" + error + elf(62)
        yield b"\0" + error + elf(243)
        yield b"\0" + error + elf32()
    yield b"\1" + b"a) R ("
    yield b"\1" + Path("/proc/self/stat").read_bytes()
    for descriptors in (0x00, 0x01, 0x11, 0x13, 0x3f, 0x32):
        for size in (0, 31, 32, 33):
            yield bytes([2, descriptors]) + bytes(size)
    yield from (b"\4" + one for one in filters())
    for arguments in ("plan.bin", "--plan 3", "--plan 3 --report 4 --control 5 --tell a b",
                      "--plan 2", "--plan x", "--plan", "--tell", "a b", "-x",
                      "--report 9999999 plan", "p --tell-always t"):
        yield b"\3" + b"".join(word.encode() + b"\0" for word in arguments.split())


def text_seeds() -> Iterator[bytes]:
    from texts import READERS

    for number, (_, tokens) in enumerate(READERS.values()):
        yield from (bytes([number]) + token.encode() for token in tokens)
    yield from (bytes([len(READERS)]) + block for block in plan_seeds())
    fields: list[object] = [*report.LAYOUT.unpack(bytes(report.LAYOUT.size))]
    fields[:3], fields[-2:] = (report.MAGIC, report.VERSION, report.LAYOUT.size), (b"name", b"said")
    block = report.LAYOUT.pack(*fields)
    yield bytes([len(READERS) + 1]) + block


def large() -> Iterator[bytes]:
    """Plans that are refused for what they would cost; too slow for an engine to begin with."""
    import test_plan_check as checks

    from minibox.record import replace

    argv = ("a" * 100_000,) * 1000
    yield plan.encode(replace(checks.PLAIN, app=(replace(checks.EXEC, argv=argv),)))
    yield plan.encode(replace(checks.PLAIN, notes="a" * plan.MAX_SIZE))
    yield one_list_for_all()


def one_list_for_all() -> bytes:
    """Ten steps that all name the one list of the last."""
    import test_plan_check as checks

    from minibox.record import replace

    few, many = (steps.SetIds(uid=0, gid=0, groups=groups) for groups in ((), (0,) * 1_000_000))
    block = bytearray(plan.encode(replace(checks.PLAIN, app=(*[few] * 9, many, checks.EXEC))))
    ats = [at for at, kind, _ in records(block) if steps.KINDS[kind - 1] is steps.SetIds]
    field = plan.RECORD.size + 8 * [*few.__fields__].index("groups")
    for at in ats:
        block[at + field:at + field + 8] = block[ats[-1] + field:ats[-1] + field + 8]
    return bytes(block)


def filters() -> Iterator[bytes]:
    """A call each, and a filter."""
    from minibox.seccomp import filter_for
    from minibox.seccomp.numbers import AUDIT_ARCH

    program = struct.pack("<" + "q" * len(filter_for("x86_64")), *filter_for("x86_64"))
    for number in (0, 1, 16, 56, 101, 165, 435, 999):
        call = struct.pack("<IIQ6Q", number, AUDIT_ARCH["x86_64"], 0, 1 << 28, 2, 3, 4, 5, 6)
        yield call + program
        for code in (0x20, 0x54, 0x05, 0x15, 0x25, 0x35, 0x45, 0x06, 0x99):
            yield call + struct.pack("<HBBIQ", code, 0, 1, number, 0x7FFF0000_00000006)


def elf(machine: int) -> bytes:
    """A program that needs a loader."""
    head = struct.pack("<4sBBB9xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 2, machine, 1, 0, 64, 0, 0, 64,
                       56, 2, 0, 0, 0)
    table = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 0, 0, 0)
    table += struct.pack("<IIQQQQQQ", 3, 4, 176, 0, 0, 9, 9, 1)
    return head + table + b"/lib/ld.so\0"


def elf32() -> bytes:
    head = struct.pack("<4sBBB9xHHIIIIIHHHHHH", b"\x7fELF", 1, 1, 1, 2, 3, 1, 0, 52, 0, 0, 52,
                       32, 1, 0, 0, 0)
    return head + struct.pack("<IIIIIIII", 3, 84, 0, 0, 9, 9, 4, 1) + b"/lib/ld.so\0"


def kept(target: str) -> Iterator[bytes]:
    """The inputs of the repository; steps are renumbered as the kinds are now."""
    directory = CORPUS / target
    blocks = (path.read_bytes() for path in sorted(directory.iterdir()))
    return map(renumbered, blocks) if target == "plan" else blocks


def renumbered(block: bytes) -> bytes:
    """A plan of the corpus, whose kinds of step have the numbers that they have now."""
    then = KINDS_OF_CORPUS.read_text().split()
    now = {kind.__name__: number for number, kind in enumerate(steps.KINDS, 1)}
    new = bytearray(block)
    for at, kind, _ in records(block):
        name = then[kind - 1] if 0 < kind <= len(then) else ""
        struct.pack_into("<H", new, at, now.get(name, kind))
    return bytes(new)


def records(block: bytes) -> Iterator[tuple[int, int, int]]:
    """Where the steps of a plan lie, as far as it is one: offset, kind, size."""
    at = plan.HEADER.size
    end = at + struct.unpack_from("<I", block, 36)[0] if len(block) >= at else 0
    while at + plan.RECORD.size <= min(end, len(block)):
        kind, size, _ = plan.RECORD.unpack_from(block, at)
        if size < plan.RECORD.size:
            break
        yield at, kind, size
        at += size


def write_inputs(directory: Path, blocks: Iterable[bytes]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for block in blocks:
        (directory / name_of(block)).write_bytes(block)


def name_of(block: bytes) -> str:
    from hashlib import sha1

    return sha1(block).hexdigest()[:16]


# ---- building ----

@functools.cache
def build(target: str, way: str, checker: Path | None = None) -> Path:
    """The harness of *target*, built for *way*: an engine, replay or coverage.
    checker: what stands in the place of csrc/plan.c; then it is built beside that."""
    directory = checker.parent if checker else BUILD / f"{target}-{way}"
    directory.mkdir(parents=True, exist_ok=True)
    generate.main(CSRC / "generated")
    (directory / "expect.h").write_text("\n".join(expectations()))
    program = directory / target
    sources = [checker if checker and path == CSRC / "plan.c" else path for path in SOURCES[target]]
    subprocess.run([*COMPILERS[way], "-std=c17", "-D_GNU_SOURCE", "-DMB_HOSTED", "-Wall",
                    "-Wno-unused-function", f"-I{directory}", f"-I{CSRC}", "-o", program, *sources,
                    *([HERE / "replay.c"] if way in BY_HAND else [])],
                   check=True, cwd=directory, env=os.environ | QUIET)
    return program


def command(target: str, engine: str) -> list[str]:
    """What *engine* runs."""
    if engine == "atheris":
        return [sys.executable, str(HERE / "fuzz_text.py")]
    return [str(build(target, engine))]


def inputs(target: str) -> Path:
    """A fresh directory with the seeds and what was kept."""
    directory = BUILD / f"{target}-inputs"
    shutil.rmtree(directory, ignore_errors=True)
    write_inputs(directory, (*seeds(target), *kept(target)))
    return directory


# ---- running ----

class Run:
    """One engine at one target, started."""

    def __init__(self, target: str, engine: str, seconds: int) -> None:
        self.target, self.engine = target, engine
        self.command = command(target, engine)
        self.directory = BUILD / f"{target}-{engine}"
        self.directory.mkdir(parents=True, exist_ok=True)
        self.found = self.directory / "found"
        shutil.rmtree(self.found, ignore_errors=True)
        self.log = self.directory / "log"
        words = self.directory / "dictionary"
        words.write_text("\n".join(dictionary(target)) + "\n")
        start = self._afl if engine == "afl" else self._libfuzzer
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["nice", "-n", "10", *start(str(seconds), str(words))], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env=os.environ | QUIET, cwd=self.directory)

    def _libfuzzer(self, seconds: str, words: str) -> list[str]:
        self.found.mkdir()
        return [*self.command, f"-max_total_time={seconds}", f"-dict={words}",
                f"-artifact_prefix={FINDINGS}/{self.target}-", "-print_final_stats=1",
                f"-max_len={MAX_LEN}", "-timeout=10", "-report_slow_units=10", "-rss_limit_mb=1024",
                "-use_value_profile=1", "-verbosity=0", str(self.found),
                str(BUILD / f"{self.target}-inputs")]

    def _afl(self, seconds: str, words: str) -> list[str]:
        return ["afl-fuzz", "-V", seconds, "-i", str(BUILD / f"{self.target}-inputs"),
                "-o", str(self.found), "-x", words, "-m", "none", "-t", "5000",
                "-G", str(MAX_LEN), "--", *self.command]

    def end(self) -> tuple[int, int, int]:
        """How many inputs it tried, in all and in a second, and how many findings it made."""
        status = self.process.wait()
        stats = dict(self._stats())
        if "execs" not in stats:
            sys.exit(f"{self.target} by {self.engine} failed with {status}:\n"
                     f"{self.log.read_text(errors='replace')[-3000:]}")
        crashes = [*self.found.glob("default/crashes/id*"), *self.found.glob("default/hangs/id*")]
        for crash in crashes:
            shutil.copy(crash, FINDINGS / f"{self.target}-afl-{name_of(crash.read_bytes())}")
        failed = int(self.engine != "afl" and status != 0)
        return int(stats["execs"]), int(float(stats["speed"])), len(crashes) + failed

    def _stats(self) -> Iterator[tuple[str, str]]:
        names = {"stat::number_of_executed_units": "execs", "stat::average_exec_per_sec": "speed",
                 "execs_done": "execs", "execs_per_sec": "speed"}
        said = self.log if self.engine != "afl" else self.found / "default" / "fuzzer_stats"
        if said.exists():
            for line in said.read_text(errors="replace").splitlines():
                name, _, value = line.partition(":" if self.engine == "afl" else ": ")
                if name.strip() in names:
                    yield names[name.strip()], value.strip()

    @property
    def corpus(self) -> list[Path]:
        """What it found worth keeping."""
        return sorted(path for path in (*self.found.glob("*"), *self.found.glob("default/queue/*"))
                      if path.is_file())


def coverage(target: str, files: Iterable[Path]) -> dict[str, tuple[set[int], set[int], int, int]]:
    """By source: lines that were run and that were not; branches taken, and branches in all."""
    program = build(target, "coverage")
    for old in program.parent.glob("*.gcda"):
        old.unlink()
    names = list(map(str, files))
    for at in range(0, len(names), 500):
        subprocess.run([program, *names[at:at + 500]], check=True, cwd=program.parent)
    found = {}
    for data in sorted(program.parent.glob("*.gcda")):
        done = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", data],
                              check=True, capture_output=True, cwd=program.parent)
        for file in json.loads(done.stdout)["files"]:
            if Path(file["file"]).name in COVERED[target]:
                lines = [line for line in file["lines"] if target == "plan" or
                         line.get("function_name") in READERS]
                taken = [branch["count"] > 0 for line in lines for branch in line["branches"]]
                found[Path(file["file"]).name] = (
                    {line["line_number"] for line in lines if line["count"]},
                    {line["line_number"] for line in lines if not line["count"]},
                    sum(taken), len(taken))
    return found


def text_coverage(files: Iterable[Path]) -> dict[str, tuple[set[int], set[int]]]:
    """Lines that were run, and those that were not, of the Python functions that were called."""
    import texts

    names = {module.__file__: Path(module.__file__).name for module in texts.COVERED}
    found: dict[str, tuple[set[int], set[int]]] = {name: (set(), set()) for name in names.values()}

    def line(frame: FrameType, _event: str, _argument: object) -> object:
        found[names[frame.f_code.co_filename]][0].add(frame.f_lineno)
        return line

    def call(frame: FrameType, _event: str, _argument: object) -> object:
        code = frame.f_code
        if code.co_filename not in names:
            return None
        found[names[code.co_filename]][1].update(
            number for *_, number in code.co_lines() if number and number != code.co_firstlineno)
        return line

    sys.settrace(call)
    for path in files:
        texts.one_input(path.read_bytes())
    sys.settrace(None)
    return {name: (run & every, every - run) for name, (run, every) in found.items()}


def keep(target: str, runs: Iterable[Run]) -> int:
    """Make the corpus of the repository anew: what adds to the seeds, and no more. How many."""
    merged = BUILD / f"{target}-merged"
    shutil.rmtree(merged, ignore_errors=True)
    write_inputs(merged, seeds(target))
    known = {path.name for path in merged.iterdir()}
    found = BUILD / f"{target}-found"
    shutil.rmtree(found, ignore_errors=True)
    write_inputs(found, kept(target))
    write_inputs(found, (path.read_bytes() for run in runs for path in run.corpus))
    engine = "atheris" if target == "text" else "libfuzzer"
    subprocess.run([*command(target, engine), "-merge=1", "-verbosity=0", f"-max_len={MAX_LEN}",
                    merged, found], check=True, stderr=subprocess.DEVNULL,
                   env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"})
    shutil.rmtree(CORPUS / target, ignore_errors=True)
    new = [path.read_bytes() for path in merged.iterdir() if path.name not in known]
    write_inputs(CORPUS / target, new)
    if target == "plan":
        KINDS_OF_CORPUS.write_text("".join(f"{kind.__name__}\n" for kind in steps.KINDS))
    return len(new)


def tell_coverage(target: str, runs: Iterable[Run]) -> None:
    files = [*inputs(target).iterdir(), *(path for run in runs for path in run.corpus)]
    if target == "text":
        for name, (run, missed) in text_coverage(files).items():
            print(f"text: minibox/{name}: {100 * len(run) / len(run | missed):.0f} % of "
                  f"{len(run | missed)} lines{not_run(missed)}")
        return
    for name, (run, missed, taken, branches) in coverage(target, files).items():
        lines = len(run | missed)
        print(f"{target}: csrc/{name}: {100 * len(run) / lines:.0f} % of {lines} lines, "
              f"{100 * taken / branches:.0f} % of {branches} branches"
              f"{not_run(missed)}")


def not_run(lines: set[int]) -> str:
    return f"; not run: {', '.join(map(str, sorted(lines)))}" if lines else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=int, default=600, help="how long [600]")
    parser.add_argument("--target", choices=TARGETS, action="append", help="one of these only")
    parser.add_argument("--engine", choices=(*ENGINES, "atheris"), action="append", help="likewise")
    parser.add_argument("--keep", action="store_true", help="add to tests/fuzz/corpus")
    asked = parser.parse_args()
    FINDINGS.mkdir(parents=True, exist_ok=True)
    runs = []
    targets = asked.target or [target for target in TARGETS if TARGETS[target]]
    for target in targets:
        inputs(target)
        runs += [Run(target, engine, asked.seconds) for engine in TARGETS[target]
                 if engine in (asked.engine or TARGETS[target])]
    findings = 0
    for run in runs:
        tried, speed, found = run.end()
        findings += found
        print(f"{run.target} by {run.engine}: {tried:,} inputs, {speed:,}/s, {found} findings",
              flush=True)
    for target in targets:
        own = [run for run in runs if run.target == target]
        if asked.keep:
            print(f"{target}: {keep(target, own)} inputs kept beside the seeds")
        tell_coverage(target, own)
    if findings:
        print(f"what was found lies in {FINDINGS}; `{BUILD}/TARGET-libfuzzer/TARGET FILE` shows it")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
