"""One run of the probes in one runtime, and what it says about each boundary."""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import shutil
import signal
import subprocess
import termios
import time

from minibox.errors import EngineError
from minibox.probe import catalogue
from minibox.probe.record import Probe
from minibox.probe.runtimes import (
    SET_USER_ID,
    CannotRun,
    Command,
    Place,
    command,
    complaint,
    printable,
    set_user_id,
    version,
)
from minibox.record import Record, as_dict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import IO, Any

    from minibox.probe.canaries import Canaries

VERDICTS = ("open", "loosened", "held", "unproven", "unprovable")
"""open: the boundary can be crossed. loosened: so it can, as was asked for. held: it cannot, while
without the runtime it can. unproven: it cannot, but neither can it on the bare host. unprovable: it
could not be tried here."""

OUTPUT_BYTES = 1 << 20
LOOK_S = 0.25
"""How often the size of the log is looked at: a file tells nobody that it grows."""


class Answer(Record):
    """What the program printed about one probe."""

    outcome: str
    detail: str


class Finding(Record):
    """What one probe says of one runtime. control: its outcome on the bare host, "" if that was not
    asked for."""

    probe: Probe
    verdict: str
    outcome: str
    detail: str
    control: str = ""

    @property
    def group(self) -> str:
        return self.probe.id.partition(".")[0]

    def as_json(self) -> dict[str, Any]:
        return as_dict(self.probe) | {
            "group": self.group, "verdict": self.verdict, "outcome": self.outcome,
            "detail": self.detail, "control": self.control}


class Trial(Record):
    """The probes in one runtime. command: how it was called; version: of the runtime, if it says;
    reason: why it cannot run here, "" if it can; seconds: how long it took."""

    runtime: str
    command: str
    version: str
    reason: str
    seconds: float
    findings: tuple[Finding, ...]

    def count(self, verdict: str, group: str = "") -> int:
        return sum(one.verdict == verdict and group in ("", one.group) for one in self.findings)

    @property
    def open(self) -> tuple[Finding, ...]:
        return tuple(one for one in self.findings if one.verdict == "open")

    def as_json(self) -> dict[str, Any]:
        return as_dict(self) | {
            "counts": {one: self.count(one) for one in VERDICTS},
            "findings": [one.as_json() for one in self.findings]}


def verdict(probe: Probe, outcome: str, control: str | None = None,
            asked: frozenset[str] = frozenset()) -> str:
    """What *outcome* says of the boundary, one of VERDICTS.

    control: the outcome on the bare host, None if nobody tried; asked: loosened on purpose, such
    as "net=host".
    """
    if outcome in ("unprovable", ""):
        return "unprovable"
    allowed = {one for what, outcomes in probe.profiles if what in asked for one in outcomes}
    if outcome not in probe.held:
        return "loosened" if outcome in allowed else "open"
    if control is not None and verdict(probe, control) != "open":
        return "unproven"
    return "held"


def judge(probes: Sequence[Probe], answers: Mapping[str, Answer],
          control: Mapping[str, Answer] | None, asked: frozenset[str]) -> tuple[Finding, ...]:
    """A finding for each probe, in their order."""
    findings = []
    for probe in probes:
        answer = answers.get(probe.id, Answer(outcome="", detail="the program gave no answer"))
        bare = None if control is None else control.get(probe.id)
        outside = None if control is None else bare.outcome if bare else ""
        findings.append(Finding(
            probe=probe, verdict=verdict(probe, answer.outcome, outside, asked),
            outcome=answer.outcome, detail=answer.detail, control=outside or ""))
    return tuple(findings)


def attempt(runtime: str, probes: tuple[Probe, ...], canaries: Canaries, program: str,
            options: Sequence[str], timeout: float) -> tuple[Command, dict[str, Answer]]:
    """Run the program in *runtime*: how it was called, and its answers.

    Errors: CannotRun, with the runtime's own words.
    """
    name = f"minibox-probe-{os.urandom(4).hex()}"
    directory = f"{canaries.directory}/{name[-8:]}"         # podman takes no long ones
    os.mkdir(directory, 0o700)
    if runtime == "minibox":                    # where root of the box is another user, of the host
        os.chmod(directory, 0o711)
    copy = shutil.copy(program, f"{directory}/minibox-probe")
    root = os.geteuid() == 0
    if root:
        set_user_id(shutil.copy(program, copy + SET_USER_ID))
    only = () if probes == catalogue() else ("--only", ",".join(probe.id for probe in probes))
    how = command(runtime, Place(program=copy, arguments=(*only, *canaries.arguments),
                                 directory=directory, name=name, set_user_id=root,
                                 options=tuple(options)))
    try:
        status, out, err = run_at_terminal(how.argv, canaries, timeout)
    finally:
        if how.undo:
            subprocess.run(how.undo, capture_output=True, stdin=subprocess.DEVNULL)
        shutil.rmtree(directory, ignore_errors=True)
    answers = read(out)
    missing = len([probe for probe in probes if probe.id not in answers])
    if missing:
        ended = f"it did not end within {timeout:g} s" if status is None else f"status {status}"
        why = complaint(err) or ended if answers else complaint(err) or complaint(out) or ended
        raise CannotRun(f"{missing} probes gave no answer: {why}" if answers else why)
    return how, answers


def read(out: str) -> dict[str, Answer]:
    """What the program printed, by the ids of the probes. Lines of others are passed over."""
    rows = (line.split("\t") for line in out.splitlines())
    return {row[0]: Answer(outcome=row[1], detail=printable(" ".join(row[2:]).strip()))
            for row in rows if len(row) >= 2 and "." in row[0]}


def run_at_terminal(argv: Sequence[str], canaries: Canaries, timeout: float
                    ) -> tuple[int | None, str, str]:
    """Run *argv* at a terminal, as a person would, and a careless one: stderr is a file of the
    host's that all may write, and it inherits a descriptor of a directory, a variable, a blocked
    and an ignored signal, and umask 0.

    Its status (None if it was killed after *timeout* seconds, or wrote too much), stdout, stderr.
    """
    master, terminal = os.openpty()
    with open(f"{canaries.directory}/log", "w+b") as log:
        os.chmod(log.fileno(), 0o666)
        try:
            process = subprocess.Popen(
                argv, stdin=terminal, stdout=subprocess.PIPE, stderr=log,
                pass_fds=(canaries.fd,), env=os.environ | canaries.environment, cwd="/",
                start_new_session=True, preexec_fn=_as_a_careless_caller)
        except OSError as error:
            os.close(master)
            raise CannotRun(f"{argv[0]}: {error.strerror}") from error
        finally:
            os.close(terminal)
        with process:
            try:
                out, ended = _drain(process, log, timeout)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                os.close(master)                    # whatever is left of the session gets SIGHUP
        log.seek(0)
        err = log.read(OUTPUT_BYTES).decode("utf-8", "replace")
    return process.returncode if ended else None, out, err


def _as_a_careless_caller() -> None:
    """Between fork and exec. The session is led by a process that only waits, as if by a shell."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    if child := os.fork():
        os.closerange(0, 1 << 10)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xff)
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGUSR2,))
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    os.umask(0)


def _drain(process: subprocess.Popen[bytes], log: IO[bytes], timeout: float) -> tuple[str, bool]:
    """stdout, and whether the process ended in time, and wrote no more than OUTPUT_BYTES."""
    deadline = time.monotonic() + timeout
    kept, ended = b"", False
    assert process.stdout
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not ended and time.monotonic() < deadline:
            if selector.select(min(LOOK_S, max(0.0, deadline - time.monotonic()))):
                data = os.read(process.stdout.fileno(), 1 << 16)
                kept, ended = kept + data, not data
            if max(len(kept), os.fstat(log.fileno()).st_size) > OUTPUT_BYTES:
                break
    if ended:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            ended = False
    return kept.decode("utf-8", "replace"), ended


def bare(probes: tuple[Probe, ...], canaries: Canaries, program: str, timeout: float
         ) -> dict[str, Answer]:
    """What the program answers on the bare host. Errors: EngineError."""
    try:
        return attempt("none", probes, canaries, program, (), timeout)[1]
    except CannotRun as error:
        raise EngineError(f"the probes do not run on this host: {error}") from error


def trial(runtime: str, probes: tuple[Probe, ...], canaries: Canaries, program: str,
          options: Sequence[str], timeout: float, control: Mapping[str, Answer] | None = None,
          asked: frozenset[str] = frozenset()) -> Trial:
    """The probes in *runtime*. control: the answers of the bare host; asked: as for `verdict`."""
    begin = time.monotonic()
    shown, reason = "", ""
    findings: tuple[Finding, ...] = ()
    try:
        how, answers = attempt(runtime, probes, canaries, program, options, timeout)
        shown, findings = how.shown, judge(probes, answers, control, asked)
    except CannotRun as error:
        reason = str(error)
    return Trial(runtime=runtime, command=shown, version=version(runtime), reason=reason,
                 seconds=time.monotonic() - begin, findings=findings)
