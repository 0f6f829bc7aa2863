"""Start the engine on a plan, in a process of its own or in this one's place.

The engine is a static program, one for each box; what goes to it is a plan in a memory file, what
comes back is its report through a pipe.  Every descriptor made here is close-on-exec, so that boxes
started by other threads at the same moment do not get it; the engine's own are handed over by
posix_spawn's dup2.
"""

from __future__ import annotations

import os

from minibox.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

SIGNAL, STOP, KILL, WINDOW_SIZE = 1, 2, 3, 4
"""What may be asked of a running engine through its control pipe (csrc/engine.c: enum mb_op)."""

STOPS = ("--stop-engine", "--stop-init", "--stop-app")
"""Options that name the ends of a box's processes to their tracer (csrc/stop.h)."""

_PYTHON_IGNORES = (13, 25)
"""SIGPIPE and SIGXFSZ: Python ignores them, a program that it starts should not."""


def path() -> str:
    """Where the engine is: beside this module, or where MINIBOX_ENGINE says."""
    return (os.environ.get("MINIBOX_ENGINE")
            or os.path.join(os.path.dirname(os.path.abspath(__file__)), "minibox-engine"))


def spawn(plan: bytes, stdin: int | None = None, stdout: int | None = None,
          stderr: int | None = None, *, stops: tuple[int, ...] = ()) -> tuple[int, int, int]:
    """Start an engine on *plan*; its pid, its report to read and its control to write.

    The streams are descriptors, None for the caller's own; stops: the ends of engine, init and app
    at which they wait for a tracer between steps.  Closing the control kills the box, so
    a caller that dies takes its boxes along.  posix_spawn and not fork, which copies page tables:
    19 ms for a caller of 500 MB, against 0.5 ms for any by posix_spawn.

    Errors: OSError (EMFILE, EAGAIN, ENOMEM); EngineError when there is no engine.
    """
    made: list[int] = []

    def keep(fd: int) -> int:
        made.append(above_streams(fd))
        return made[-1]

    try:
        plan_fd = plan_file(plan)
        made.append(plan_fd)
        report, report_end = map(keep, os.pipe())
        control_end, control = map(keep, os.pipe())
        actions = [(os.POSIX_SPAWN_DUP2, fd, fd)
                   for fd in (plan_fd, report_end, control_end, *stops)]
        for target, source in enumerate((stdin, stdout, stderr)):
            if source is not None:
                # Another low source may have been overwritten by the action before.
                safe = source if source > 2 or source == target else keep(os.dup(source))
                actions.append((os.POSIX_SPAWN_DUP2, safe, target))
        program = path()
        argv = (program, "--plan", str(plan_fd), "--report", str(report_end),
                "--control", str(control_end),
                *(word for name, fd in zip(STOPS, stops, strict=False) for word in (name, str(fd))))
        try:
            # No environment: the engine needs none, and a box cannot find there what is not there.
            pid = os.posix_spawn(program, argv, {}, file_actions=actions, setsigmask=(),
                                 setsigdef=_PYTHON_IGNORES)
        except (FileNotFoundError, PermissionError) as error:
            raise _no_engine(program, error) from error
        made.remove(report)
        made.remove(control)
        return pid, report, control
    finally:
        for fd in made:
            os.close(fd)


def replace(plan: bytes, *options: str) -> NoReturn:
    """Become the engine, running *plan*: a box then does not cost a waiting interpreter.

    options: further arguments of the engine, such as --tell and what follows it.
    """
    plan_fd = plan_file(plan)
    os.set_inheritable(plan_fd, True)
    program = path()
    try:
        os.execv(program, (program, "--plan", str(plan_fd), *options))
    except (FileNotFoundError, PermissionError) as error:
        raise _no_engine(program, error) from error


def plan_file(plan: bytes) -> int:
    """A memory file that holds *plan*, at offset 0."""
    fd = above_streams(os.memfd_create("minibox-plan"))
    done = 0
    while done < len(plan):
        done += os.pwrite(fd, plan[done:], done)
    return fd


def reap(pid: int) -> int | None:
    """Wait for an engine; its exit status, or minus the signal. None if somebody else did."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return None


def above_streams(fd: int) -> int:
    """*fd*, moved above 2 if it lies there because the caller has a standard stream closed."""
    if fd > 2:
        return fd
    import fcntl

    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(fd)


def _no_engine(program: str, error: OSError) -> EngineError:
    return EngineError(f"the engine {program} cannot be started: {error.strerror}. "
                       "Build it by `pip install .` or `make`, or set MINIBOX_ENGINE")
