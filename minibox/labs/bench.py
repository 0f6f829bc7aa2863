"""Where a submission is run: a box with caps, in which it makes its own container.

It is an ordinary user there, without a capability, as on any host without root.  The box has its
own namespaces and files, so a submission that goes wrong, or means harm, harms that box; but system
calls are not filtered and namespaces may be made, because that is what labs are about.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import minibox
from minibox import probe
from minibox.errors import HostError, visible
from minibox.labs.finding import Leak, expect
from minibox.labs.observe import Subject, descendants, witnesses
from minibox.spec import Mount
from minibox.testing.interpreter import mounts_of, within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from minibox.labs.cgroup import Group
    from minibox.labs.lab import Lab
    from minibox.labs.observe import Answer
    from minibox.result import Result

WORK, LIBRARY, BIN, ROOT = "/lab/work", "/lab/lib", "/lab/bin", "/lab/root"
"""Where a submission finds its own files, minibox.syscalls, the witness, and a root file system."""

WITNESS = f"{BIN}/witness"
PLACES = ("bin", "dev", "etc", "home", "lab", "lib", "lib64", "mnt", "old", "proc", "root", "run",
          "sys", "tmp", "usr", "var", "work")
"""Directories of the small root file system at ROOT; what is in it but these is the witness."""

SHARED = """
import os, sys
from minibox.syscalls import *
uid, gid = os.getuid(), os.getgid()
unshare(CLONE_NEWUSER | CLONE_NEWNS)
write_id_map("self", [(uid, uid, 1)], [(gid, gid, 1)])
mount(None, "/", None, MS_REC | MS_SHARED)
execve(sys.argv[1], sys.argv[1:], dict(os.environ))
"""
"""What makes all mounts shared, as systemd has them, before a submission starts."""

UID = 1000
"""Of the submission in its box. Not 0, whose mapping would need a capability that nobody has."""

WALLTIME_S, CPU_S, CPUS, MEMORY, PIDS, OUTPUT = 20.0, 10.0, 1.0, "384MiB", 128, "48KiB"
"""Caps of one run. The output fits in a pipe, so nobody has to read it meanwhile; a CPU each, or
the processes of a fork bomb would all have a share as large as the grader's own."""

BOMB = 100
"""So many processes at once no lab asks for: a submission that has them will have PIDS."""

LIVES_S = 4.0
"""How long one may take to have its witness in place, here; a slow machine is given more."""

LOOK_S = 0.004
"""Between two looks at what a submission does."""


class Bench:
    """Where the checks of *lab* run one submission, in *directory*.

    patience: how much more time than usual this machine needs, as the solution took it.
    """

    def __init__(self, lab: Lab, directory: Path, patience: float = 1.0) -> None:
        self.lab, self.directory, self.patience = lab, directory, patience

    @contextmanager
    def run(self, *argv: str, hold: bool = False, shared: bool = False,
            group: Group | None = None, **options: Any) -> Iterator[Session]:
        """Run a program of the submission, whatever it is: ("layers.py", "unpack", ...).

        A file that ends in ".py" is given to Python. hold: when it has ended a witness takes its
        place, so that what it left in /tmp can be looked at.  shared: make what is mounted outside
        shared mounts, as on a host with systemd.  group: cgroups for it to divide, as
        minibox.labs.cgroup.delegated has them; it is started within.  options: of minibox.run,
        added to the box's own.  Leaving the context kills what still runs.
        """
        nonce = secrets.token_hex(16)
        command = command_of(argv)
        end = f"exec {WITNESS} --witness {nonce} read=/status/$?" if hold else "exit $?"
        wait = "read go; " if group else ""
        command = ("/bin/sh", "-c", f'{wait}"$@" </dev/null; {end}', "sh", *command)
        if shared:
            command = (sys.executable, "-P", "-c", SHARED, *command)
        if group:
            options["mounts"] = (*options.get("mounts", ()), *group.mounts)
            # v2 may be mounted so that no process leaves the cgroups of its cgroup namespace
            options["without"] = (*options.get("without", ()), "cgroup")
        with _places(self.directory) as volumes:
            process = minibox.Box(**_box(self.lab, self.patience, volumes, options)).popen(
                command, stdin=minibox.PIPE if group else minibox.DEVNULL, stdout=minibox.PIPE,
                stderr=minibox.STDOUT, text=True)
            session = Session(process, nonce, nonce, self.patience * LIVES_S)
            try:
                if group and process.stdin:
                    group.take(session.outside.pid)
                    process.stdin.write("go\n")
                    process.stdin.flush()
                yield session
            finally:
                process.kill()
                with suppress(minibox.StepError):
                    process.complete()

    @contextmanager
    def container(self, *acts: str, extra: Iterable[str] = (), **options: Any) -> Iterator[Session]:
        """Run the lab's own command, with the witness doing *acts* in the container that it makes.

        extra: arguments before the witness's command, such as ("--memory", "64M").
        """
        nonce = secrets.token_hex(16)
        witness = f"{'' if '{root}' in ' '.join(self.lab.command) else '/lab'}/bin/witness"
        command = [part.format(root=ROOT) for part in self.lab.command]
        with self.run(*command, *extra, witness, "--witness", nonce, *acts, **options) as session:
            session.nonce = nonce
            yield session


class Session:
    """A submission that runs, and what the grader sees of it."""

    def __init__(self, process: Any, nonce: str, holder: str, patience_s: float) -> None:
        self.process, self.nonce, self._holder = process, nonce, holder
        self._patience_s, self._until = patience_s, time.monotonic() + patience_s
        self._result: Result | None = None

    @property
    def outside(self) -> Subject:
        """The shell that started the submission, and is in none of the namespaces that it makes."""
        return self._at(1)

    @property
    def submission(self) -> Subject:
        """The process that was started with the submission's own program."""
        return self._at(2)

    def _at(self, place: int) -> Subject:
        """Of init, the shell and what is below it."""
        while len(found := list(descendants(self.process.pid))) <= place:
            self._look("hangs", "the submission was not started")
        return Subject(found[place])

    def processes(self) -> tuple[Subject, ...]:
        """The submission's processes, and all that it left."""
        return tuple(map(Subject, list(descendants(self.process.pid))[2:]))

    def witness(self) -> Subject:
        """The witness, once it has done all that it was told to.

        Errors: Leak "never-ran" where the submission ended without running it, "hangs" where it
        takes too long, "twice" where there are several.
        """
        return self._witness(self.nonce, self._look_for_command)

    def _witness(self, nonce: str, look: Callable[[str, str], None]) -> Subject:
        while True:
            with suppress(ProcessLookupError):
                found = witnesses(self.process.pid, nonce)
                expect(len(found) < 2, "twice", f"{len(found)} processes run the command")
                if found and found[0].board(nonce) is not None:
                    return found[0]
            look("hangs", "the command was not run, or did not get on")

    def answers(self) -> dict[str, Answer]:
        """What the witness found, by act (for probes by id)."""
        board = self.witness().board(self.nonce)
        if board is None:
            raise self._ended()
        return {one.act: one for one in board}

    def others(self, command: Subject) -> list[Subject]:
        """The processes that the witness *command* has made and that are not reaped yet."""
        return [one for one in self.processes()
                if one.pid != command.pid and one.status["Name"] == command.status["Name"]]

    def held(self) -> tuple[Subject, int]:
        """With `hold`: the process that took the program's place, and the program's exit status."""
        subject = self._witness(self._holder, self._look)
        expect(subject.pid == self.outside.pid, "forged",
               "another process than the one that started it says that it has ended")
        (answer,) = subject.board(self._holder) or ()
        return subject, int(answer.act.rpartition("/")[2])

    def end(self) -> Result:
        """Wait for the end of the submission. Errors: Leak "hangs"."""
        while self.process.poll() is None:
            self._pause("hangs", "it did not end")
        return self.result

    @property
    def result(self) -> Result:
        if self._result is None:
            self._result = self.process.complete()
        return self._result

    def until(self, holds: Callable[[], bool], reason: str, evidence: str) -> None:
        """Wait until *holds()*; Leak *reason* when that takes too long, or everything has ended."""
        while True:
            with suppress(ProcessLookupError):
                if holds():
                    return
            self._look(reason, evidence)

    def pass_gate(self) -> Subject:
        """The witness, which waited at its first gate and now goes on: so it did run.

        Errors: Leak "never-ran", "hangs".
        """
        while True:
            with suppress(ProcessLookupError):
                for subject in witnesses(self.process.pid, self.nonce):
                    if subject.open_gate(self.nonce):
                        return subject
            self._look_for_command("hangs", "the command was not run")

    def ends(self) -> bool:
        """Wait until it ends (True), or its witness has done what should have ended it (False)."""
        while self.process.poll() is None:
            with suppress(ProcessLookupError):
                if self._holder != self.nonce and witnesses(self.process.pid, self._holder):
                    return True
                found = witnesses(self.process.pid, self.nonce)
                if found and found[0].board(self.nonce) is not None:
                    return False
            self._pause("hangs", "it neither ended nor got on")
        return True

    def _look_for_command(self, reason: str, evidence: str) -> None:
        """As `_look`, while the command is still to be seen: whether another took the place of the
        submission tells that it has ended."""
        if self._holder != self.nonce and witnesses(self.process.pid, self._holder):
            _, code = self.held()
            self.process.kill()
            raise Leak("never-ran", f"it ended with status {code} before it had run the command"
                       + self._said())
        self._look(reason, evidence)

    def _look(self, reason: str, evidence: str) -> None:
        if self.process.poll() is not None:
            raise self._ended()
        self._pause(reason, evidence)

    def _pause(self, reason: str, evidence: str) -> None:
        late = time.monotonic() > self._until               # before it counts, which a bomb delays
        count = sum(1 for _ in descendants(self.process.pid))
        expect(count < BOMB, "fork-bomb", f"it had {count} processes at once")
        expect(not late, reason, f"{evidence}; waited {self._patience_s:.0f} s")
        time.sleep(LOOK_S)

    def _ended(self) -> Leak:
        """Why there is nothing to look at."""
        result = self.result
        if result.reason == "output":
            return Leak("floods", f"it wrote more than {OUTPUT}")
        if result.reason in ("memory", "walltime", "cputime"):
            return Leak({"memory": "memory-hog"}.get(result.reason, "hangs"), str(result))
        return Leak("never-ran",
                    f"it ended ({result}) before it had run the command{self._said()}")

    def _said(self) -> str:
        """The last line that it printed: for the student to read, not to judge by."""
        said = [line for line in (self.result.stdout or "").splitlines() if line.strip()]
        return f", and said last: {visible(said[-1])[:300]}" if said else ""


def command_of(argv: Iterable[str]) -> tuple[str, ...]:
    """How a program of the submission is started in its box: ("layers.py", "unpack", ...)."""
    program, *arguments = argv
    path = program if program.startswith("/") else f"{WORK}/{program}"
    # -P: what lies beside the program is not imported in the place of the library
    python = (sys.executable, "-P") if program.endswith(".py") else ()
    return (*python, path, *arguments)


def _box(lab: Lab, patience: float, volumes: list[Mount], more: Mapping[str, Any]
         ) -> dict[str, Any]:
    """The box: an ordinary user in it, caps, and none of what would forbid to make containers."""
    box: dict[str, Any] = {
        "user": UID, "cwd": "/tmp", "best_effort": True, "hostname": "lab",
        "security_opts": ("seccomp=unconfined", "landlock=off", "unmask=ALL"),
        # no_new_privs would hide whether a submission sets it; all mounts are nosuid here
        "without": ("namespace-limit", "boot-id", "no-new-privs"),
        "env": {"PYTHONPATH": LIBRARY, "HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1"},
        "limits": minibox.Limits(
            cpus=CPUS, memory=MEMORY, pids=PIDS, output=OUTPUT, walltime=WALLTIME_S * patience,
            cpu_time=CPU_S * patience, tmpfs="64MiB", ulimits=("nofile=256", "fsize=64000000"))}
    mounts = [*volumes, *_library(), *more.get("mounts", ())]
    merged = box | dict(more) | {"mounts": (*mounts, *_hidden(mounts))}
    for name in ("without", "security_opts"):
        merged[name] = (*box[name], *more.get(name, ()))
    merged["env"] = box["env"] | dict(more.get("env", {}))
    return merged


@contextmanager
def _places(directory: Path) -> Iterator[list[Mount]]:
    """The submission, the witness and a root file system, as the box sees them."""
    home = tempfile.mkdtemp(prefix="minibox-lab-")
    try:
        os.chmod(home, 0o755)
        root = Path(home, "root")
        for name in PLACES:
            (root / name).mkdir(parents=True)
        for place in (root / "bin", Path(home, "bin")):
            place.mkdir(exist_ok=True)
            shutil.copy(probe.program(), place / "witness")
        (root / "tmp").chmod(0o1777)
        yield [Mount(type="bind", source=str(directory.resolve()), target=WORK, read_only=True),
               Mount(type="bind", source=f"{home}/bin", target=BIN, read_only=True),
               Mount(type="bind", source=str(root), target=ROOT, read_only=True)]
    finally:
        shutil.rmtree(home)


def _library() -> list[Mount]:
    """This Python, and minibox without its labs, which have the solutions."""
    package = os.path.dirname(os.path.abspath(minibox.__file__))
    prefixes = (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)
    if os.path.realpath(sys.executable).startswith("/root/"):
        raise HostError("python", f"{sys.executable} lies in root's home, which no user of a box "
                        "can enter", "install minibox with another Python, such as Debian's own")
    own = Mount(type="bind", source=package, target=f"{LIBRARY}/minibox", read_only=True)
    return [own, *mounts_of(prefixes)]


def _hidden(mounts: list[Mount]) -> Iterator[Mount]:
    """An empty place on each that the labs themselves would be seen at.

    The kernel does not let go of it: mounts of the box are locked in a mount namespace that the
    submission makes (mount_namespaces(7)), and so is what lies below them.
    """
    labs = str(Path(__file__).resolve().parent)
    seen = {f"{LIBRARY}/minibox/labs"}
    for one in mounts:
        if one.source and within(labs, (os.path.realpath(one.source),)):
            seen.add(one.target + labs.removeprefix(os.path.realpath(one.source)))
    if within(labs, ("/usr",)):
        seen.add(labs)
    for target in sorted(seen):
        yield Mount(type="tmpfs", target=target, read_only=True, size_bytes=65536,
                    inodes=64)
