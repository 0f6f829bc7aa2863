"""Run a plan and look at its box between any two steps.

Each process of the box waits before each of its steps (csrc/stop.h) until a byte comes here.  They
take turns, engine first, so a trace of the same plan is always in the same order, and what differs
after a step is that step's doing; only who waits at a gate does so beside the others.  How much of
engine and init overlaps in a box that nobody traces, `minibox run --result` tells.
"""

from __future__ import annotations

import contextlib
import os
import platform
import selectors
import signal
import socket
import struct
import time
from errno import errorcode

from minibox import __version__, engine, report
from minibox.explain.record import mechanism_of
from minibox.plan import encode
from minibox.record import Record, replace
from minibox.result import Result
from minibox.steps import (
    CALLS,
    PARTS,
    Await,
    CloneApp,
    CloneInit,
    EnterCgroup,
    Exec,
    MakeCgroup,
    MapIds,
    MapIdsWithHelpers,
    RemoveCgroup,
    WriteCgroup,
    name_of,
    sentence,
)
from minibox.trace import look
from minibox.trace.record import APP, ENGINE, INIT, ROLE_OF, ROLES, Change, Trace, Traced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from minibox.plan import Plan

STOP = struct.Struct("<iiiHHQQ")
FINAL, HIDDEN = 1, 2
CREDENTIALS = struct.Struct("iII")
CONTROL = struct.Struct("<Ii")

TOUCHES: dict[type, tuple[str, ...]] = {
    MapIds: ("uid_map", "gid_map", "setgroups"), MapIdsWithHelpers: ("uid_map", "gid_map"),
    EnterCgroup: ("cgroup",)}
"""What a step of the engine changes of init, by the first words of the names."""

PATIENCE_S = 5.0
"""How long a process that was started may take to say so, before the others go on without it."""

FROM_OUTSIDE = "time as seen from outside: until its descriptors were closed by exec"
GONE = "the program had ended before it could be looked at"
NO_STOPS = "this filter forbids the calls by which a process waits here, so exec was not held"
HIDES = "init does not show itself once the application's process is there"


class Quit(Exception):
    """The box is to end, because somebody said so between two steps."""


class Stop(Record):
    """What a process says at a stop, as csrc/stop.h has it."""

    next: int
    last: int
    errno: int
    call: int
    flags: int
    begin_ns: int
    end_ns: int


class Live:
    """One traced box. before: called with the number of a step before it is taken, may raise Quit;
    ready: called once, before the application gets its program."""

    def __init__(self, plan: Plan, before: Callable[[int], None],
                 ready: Callable[[], None]) -> None:
        self.plan, self._before, self._ready = plan, before, ready
        self.steps = [*_steps(plan)]
        self.kinds = [*plan]
        self.pids: dict[str, int] = {}
        self.running_program = False
        self._looks: dict[str, look.Look] = {}
        self._parents: dict[str, look.Look] = {}        # as they were when the child was made
        self._cgroups: dict[int, str] = {}
        self._waiting: dict[str, Stop] = {}
        self._taking: dict[str, tuple[int, int]] = {}   # step, and when it was let go
        self._turn: str | None = None
        self._expected: str | None = None
        self._report = bytearray()
        self._selector = selectors.DefaultSelector()
        self._channels: dict[str, socket.socket] = {}
        self._open: list[int] = []
        # A signal that comes just before a wait begins would else be heard when that ends.
        self.wake, self._waker = socket.socketpair()
        self.wake.setblocking(False)
        self._waker.setblocking(False)

    # ---- the run ----

    def run(self) -> tuple[Trace, Result]:
        """Run the box to its end. Errors: EngineError; OSError, such as EMFILE."""
        pid = self._start()
        quit_at: int | None = None
        before = self._wake_by(self._waker.fileno())
        try:
            while self._serve():
                pass
        except (Quit, KeyboardInterrupt):
            quit_at = self._next_step()
        finally:
            self._hang_up()
            while self._take_report():
                pass
            engine.reap(pid)
            self._wake_by(before)
            self._close()
        return self._finish(quit_at)

    def _wake_by(self, fd: int) -> int:
        """Have signals wake by a byte to *fd*; what did so before. -1: nothing."""
        with contextlib.suppress(ValueError):               # another thread gets no signals
            return signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
        return -1

    def ask(self, operation: int, value: int) -> None:
        """Ask the engine for an act of minibox.engine; it hears once the program runs."""
        os.write(self._control, CONTROL.pack(operation, value))

    def _start(self) -> int:
        theirs = []
        try:
            for role in ROLES:
                ours, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
                self._channels[role] = ours
                theirs.append(end)
                self._selector.register(ours, selectors.EVENT_READ, ("channel", role))
            self._hidden = {f"socket:[{os.fstat(end.fileno()).st_ino}]" for end in theirs}
            ends = tuple(end.fileno() for end in theirs)
            pid, self._report_fd, self._control = engine.spawn(encode(self.plan), stops=ends)
        except BaseException:
            self._close()
            raise
        finally:
            for end in theirs:
                end.close()
        self._open = [self._report_fd, self._control]
        self._selector.register(self._report_fd, selectors.EVENT_READ, ("report", ENGINE))
        self._selector.register(self.wake, selectors.EVENT_READ, ("wake", ENGINE))
        return pid

    def _serve(self) -> bool:
        """Do the next thing there is to do. False: the box has ended."""
        if self._turn is None and self._expected is None:
            for role in ROLES:
                if role in self._waiting:
                    self._let_go(role)
                    return True
        events = self._selector.select(PATIENCE_S if self._expected else None)
        if not events:
            self._expected = None
        # What a process said comes before that it has ended.
        for key, _ in sorted(events, key=lambda event: str(event[0].data[0])):
            kind, role = key.data
            if kind == "report":
                if not self._take_report():
                    return False
            elif kind == "channel":
                self._hear(role)
            elif kind == "wake":
                self.wake.recv(4096)
            else:
                self._selector.unregister(key.fd)
                self._over(role)
        return True

    def _take_report(self) -> bool:
        more = os.read(self._report_fd, 65536)
        self._report += more
        return bool(more)

    def _hang_up(self) -> None:
        """Who waits gets an end of file, and the engine that its caller is gone: the box ends."""
        for channel in self._channels.values():
            channel.close()
        if self._control in self._open:
            self._open.remove(self._control)
            os.close(self._control)

    def _close(self) -> None:
        for channel in self._channels.values():
            channel.close()
        self._selector.close()
        self.wake.close()
        self._waker.close()
        for fd in self._open:
            os.close(fd)
        self._open = []

    # ---- turns ----

    def _next_step(self) -> int | None:
        return next((self._waiting[role].next for role in ROLES if role in self._waiting), None)

    def _let_go(self, role: str) -> None:
        stop = self._waiting[role]
        if stop.next >= 0:
            step = self.kinds[stop.next]
            last = isinstance(step, Exec) or stop.flags & FINAL
            if last and not self.running_program:
                self._ready()
            self._before(stop.next)
            if isinstance(step, WriteCgroup):
                self._cgroup_value(step, "before")
            if last:
                self.running_program = True
            if stop.flags & FINAL:
                self._note(stop.next, NO_STOPS)
            self._turn = None if isinstance(step, Await) else role
            self._taking[role] = stop.next, time.monotonic_ns()
        del self._waiting[role]
        try:
            self._channels[role].send(b"g")
        except OSError:
            self._over(role)                                # it was killed meanwhile

    def _hear(self, role: str) -> None:
        channel = self._channels[role]
        try:
            said, ancillary, _, _ = channel.recvmsg(STOP.size, socket.CMSG_SPACE(CREDENTIALS.size))
        except ConnectionResetError:
            said, ancillary = b"", []
        if len(said) != STOP.size:
            self._selector.unregister(channel)
            self._over(role)
            return
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                self._meet(role, CREDENTIALS.unpack_from(data)[0])
        number, last, errno, call, flags, begin, end = STOP.unpack(said)
        stop = Stop(next=number, last=last, errno=errno, call=call, flags=flags, begin_ns=begin,
                    end_ns=end)
        self._taking.pop(role, None)
        if self._turn == role:
            self._turn = None
        if self._expected == role:
            self._expected = None
        self._took(role, stop)
        self._waiting[role] = stop

    def _meet(self, role: str, pid: int) -> None:
        if role in self.pids:
            return
        self.pids[role] = pid
        try:
            fd = os.pidfd_open(pid)
        except OSError:
            return                                          # its channel tells as well
        self._open.append(fd)
        self._selector.register(fd, selectors.EVENT_READ, ("end", role))

    def _over(self, role: str) -> None:
        """It has ended, or become the program."""
        if self._turn == role:
            self._turn = None
        if self._expected == role:
            self._expected = None
        self._waiting.pop(role, None)
        number, since = self._taking.pop(role, (-1, 0))
        if role == APP and number >= 0 and self.running_program:
            self._became_program(time.monotonic_ns() - since)

    # ---- what came of a step ----

    def _took(self, role: str, stop: Stop) -> None:
        if stop.last >= 0:
            step = self.kinds[stop.last]
            self._set(stop.last, begin_ns=stop.begin_ns, end_ns=stop.end_ns,
                      state="failed" if stop.errno else "done", **_refusal(stop.call, stop.errno))
            if isinstance(step, (CloneInit, CloneApp)) and not stop.errno:
                child = INIT if isinstance(step, CloneInit) else APP
                self._expected = None if child in self.pids else child
                if role in self._looks:
                    self._parents[child] = self._looks[role]
        if stop.flags & HIDDEN:
            if stop.last >= 0:
                self._note(stop.last, HIDES)
        else:
            self._look(role, stop.last if stop.last >= 0 else self._birth(role))
        if stop.last >= 0:
            self._touched(stop.last)

    def _birth(self, role: str) -> int | None:
        """The step that made this process."""
        kind = {INIT: CloneInit, APP: CloneApp}.get(role)
        return next((number for number, step in enumerate(self.kinds)
                     if kind and isinstance(step, kind)), None)

    def _look(self, role: str, number: int | None) -> None:
        """Look at it; what differs since the last time is the doing of step *number*."""
        seen = look.at(self.pids[role], self._hidden)
        if seen is None:
            return
        # The child may have come before its parent: that was last seen before it had one.
        parent = ROLES[max(0, ROLES.index(role) - 1)]
        before = self._looks.get(role) or self._parents.get(role) or self._looks.get(parent)
        self._looks[role] = seen
        if before is not None and number is not None:
            self._changed(number, look.differences(role, before, seen))

    def _touched(self, number: int) -> None:
        """What a step of the engine did to others than itself."""
        step = self.kinds[number]
        if isinstance(step, MakeCgroup):
            self._cgroup_made(number, step)
        elif isinstance(step, WriteCgroup):
            self._cgroup_value(step, "after", number)
        elif isinstance(step, RemoveCgroup) and (path := self._cgroups.get(step.cgroup)) \
                and not os.path.exists(path):
            self._changed(number, [Change(of="cgroup", what=path, before="a cgroup", after=None)])
        words = TOUCHES.get(type(step))
        if not words or INIT not in self._looks:
            return
        seen, known = look.at(self.pids[INIT], self._hidden), self._looks[INIT]
        if seen is not None:
            new = {name: value for name, value in seen.values.items() if name.startswith(words)}
            merged = replace(known, values=known.values | new)
            self._changed(number, look.differences(INIT, known, merged))
            self._looks[INIT] = merged

    def _cgroup_made(self, number: int, step: MakeCgroup) -> None:
        """The engine holds it open: so its random name is known."""
        for name, target in self._looks[ENGINE].values.items():
            if name.startswith("fd ") and target.startswith(f"{step.parent}/minibox-") \
                    and target not in self._cgroups.values():
                self._cgroups[step.cgroup] = target
                self._changed(number, [Change(of="cgroup", what=target, before=None,
                                              after="a cgroup")])

    def _cgroup_value(self, step: WriteCgroup, when: str, number: int = -1) -> None:
        try:
            with open(f"{self._cgroups[step.cgroup]}/{step.file}", encoding="utf-8") as file:
                value: str | None = " ".join(file.read().split())
        except (OSError, KeyError):
            value = None
        if when == "before":
            self._old_value = value
        elif value != self._old_value:
            self._changed(number, [Change(of="cgroup", what=step.file, before=self._old_value,
                                          after=value)])

    def _became_program(self, took_ns: int) -> None:
        number = next(n for n, step in enumerate(self.kinds) if isinstance(step, Exec))
        self._exec_took_ns = took_ns
        self._note(number, FROM_OUTSIDE)
        before = len(self.steps[number].changes or ())
        self._look(APP, number)
        if len(self.steps[number].changes or ()) == before:
            self._note(number, GONE)

    def _changed(self, number: int, changes: Iterator[Change] | list[Change]) -> None:
        self._set(number, changes=(*(self.steps[number].changes or ()), *changes))

    def _note(self, number: int, note: str) -> None:
        known = self.steps[number].note
        self._set(number, note=f"{known}; {note}" if known else note)

    def _set(self, number: int, **values: object) -> None:
        self.steps[number] = replace(self.steps[number], **values)

    # ---- the end ----

    def _finish(self, quit_at: int | None) -> tuple[Trace, Result]:
        told = report.decode(bytes(self._report))
        program = next(step.argv for step in self.kinds if isinstance(step, Exec))
        result = Result(args=program, plan=self.plan, report=told)
        for number, one in enumerate(told.steps):
            self._settle(number, one)
        reason, status, summary = result.reason, result.exit_status, str(result)
        if quit_at is not None or self._quit_early(result):
            at = "the program's end" if quit_at is None else f"step {quit_at}"
            reason, status, summary = "stopped", 130, f"stopped by you before {at}"
        trace = Trace(
            minibox=__version__, args=tuple(program), kernel=platform.release(), uid=os.getuid(),
            started_s=told.started_ns / 1e9, reason=reason, exit_status=status, summary=summary,
            exec_ns=told.exec_ns, end_ns=told.end_ns, steps=tuple(self.steps))
        return trace, result

    def _quit_early(self, result: Result) -> bool:
        return result.reason == "setup" and not any(
            one.state == "failed" for one in self.steps) and result.report.failed_step >= 0 \
            and result.report.errno == 0

    def _settle(self, number: int, told: report.StepRecord) -> None:
        """What nobody saw here, the engine's board tells."""
        one = self.steps[number]
        state = report.STATES[told.state]
        if one.end_ns is not None or state == "not_reached":
            return
        took = getattr(self, "_exec_took_ns", None)
        if isinstance(self.kinds[number], Exec) and state == "done" and took is not None:
            self._set(number, state=state, begin_ns=told.ns, end_ns=told.ns + took)
        else:
            self._set(number, state=state, end_ns=None if state == "begun" else told.ns,
                      **_refusal(told.call, told.errno))


def _refusal(call: int, errno: int) -> dict[str, str]:
    return {"call": CALLS[call] if errno else "",
            "errno": errorcode.get(errno, str(errno)) if errno else ""}


def _steps(plan: Plan) -> Iterator[Traced]:
    number = 0
    for part in PARTS:
        for step in getattr(plan, part):
            yield Traced(number=number, part=part, by=ROLE_OF[part], name=name_of(type(step)),
                         mechanism=mechanism_of(step), sentence=sentence(step),
                         state="not_reached", call="", errno="", begin_ns=None, end_ns=None,
                         waits=isinstance(step, Await), changes=None)
            number += 1
