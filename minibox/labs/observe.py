"""A process of a submission, seen from outside: by the kernel, and by its witness's board.

The witness is minibox-probe, which a submission is given to run in the container that it makes
(csrc/probes/witness.c).  It is known by the bytes of its executable and by a nonce, and what it
found is read out of its memory: nothing that a submission prints counts.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING

from minibox import probe
from minibox.cgroups import lines
from minibox.record import Record
from minibox.syscalls import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = b"minibox-board"
DONE_AT, SIZE_AT, WAITS_AT, OPEN_AT, TEXT_AT = 80, 84, 88, 92, 96
"""The board: its magic (16 bytes), the nonce (64), four numbers, text (csrc/probes/witness.c)."""

DONE = 2**32 - 1


class Mount(Record):
    """One line of mountinfo. root: of the file system; point: where; options: of the mount;
    propagation: optional fields such as "shared:1"; type, source, super: of the file system."""

    root: str
    point: str
    options: tuple[str, ...]
    propagation: tuple[str, ...]
    type: str
    source: str
    super: tuple[str, ...]


class Answer(Record):
    """What came of one act of the witness. outcome: "done", "error" (detail: the errno), "refused",
    "killed" (detail: the signal); for a probe its outcome, such as "open" or "EPERM"."""

    act: str
    outcome: str
    detail: str


def descendants(pid: int) -> Iterator[int]:
    """All processes below *pid*, parents first."""
    children: list[int] = []
    with suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError), open(f"/proc/{pid}/task/{task}/children") as file:
                children += map(int, file.read().split())   # a thread may end meanwhile
    for child in children:
        yield child
        yield from descendants(child)


@lru_cache(maxsize=1)
def witness_bytes() -> bytes:
    with open(probe.program(), "rb") as file:
        return file.read()


class Subject:
    """One process, by its number on the host. Whatever of it is gone raises ProcessLookupError."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def _text(self, name: str) -> str:
        return self._bytes(name).decode("utf-8", "surrogateescape")

    def _bytes(self, name: str) -> bytes:
        try:
            with open(f"/proc/{self.pid}/{name}", "rb") as file:
                return file.read()
        except FileNotFoundError:
            raise ProcessLookupError(f"process {self.pid} has ended") from None

    @property
    def alive(self) -> bool:
        """Whether it is there, and no zombie."""
        try:
            return self.status["State"][0] not in "ZX"
        except ProcessLookupError:
            return False

    @property
    def status(self) -> dict[str, str]:
        """/proc/PID/status: names to texts, as in proc_pid_status(5)."""
        pairs = (line.split(":", 1) for line in lines(self._text("status")))
        return {name: text.strip() for name, text in pairs}

    def namespace(self, kind: str) -> int:
        """The inode of its namespace of *kind*: the same number is the same namespace."""
        link = os.readlink(f"/proc/{self.pid}/ns/{kind}")
        return int(link.split("[")[1].rstrip("]"))

    @property
    def pids(self) -> tuple[int, ...]:
        """Its number in each PID namespace, the host's first."""
        return tuple(map(int, self.status["NSpid"].split()))

    @property
    def parent(self) -> Subject:
        return Subject(int(self.status["PPid"]))

    def id_map(self, file: str = "uid_map") -> tuple[tuple[int, int, int], ...]:
        """uid_map or gid_map: triples (inside, outside, count), outside as this process sees it."""
        rows = (tuple(map(int, line.split())) for line in lines(self._text(file)))
        return tuple((row[0], row[1], row[2]) for row in rows)

    def capabilities(self, which: str = "CapEff") -> int:
        """A set of capabilities as a bit mask."""
        return int(self.status[which], 16)

    @property
    def mounts(self) -> tuple[Mount, ...]:
        """Its mount table, in the order of mountinfo."""
        return tuple(map(_mount, lines(self._text("mountinfo"))))

    def mount(self, point: str) -> Mount | None:
        """What is mounted on *point* last, as it sees paths; None: nothing is."""
        return next((one for one in reversed(self.mounts) if one.point == point), None)

    @property
    def cgroups(self) -> dict[str, str]:
        """Controllers (or "" for v2) to its cgroup's path, as in /proc/PID/cgroup."""
        rows = (line.split(":", 2) for line in lines(self._text("cgroup")))
        return {name: path for _, names, path in rows for name in names.split(",")}

    @property
    def command(self) -> tuple[str, ...]:
        return tuple(self._text("cmdline").rstrip("\0").split("\0"))

    @property
    def descriptors(self) -> dict[int, str]:
        """What it has open: number to what it leads to."""
        found = {}
        for name in os.listdir(f"/proc/{self.pid}/fd"):
            with suppress(FileNotFoundError):
                found[int(name)] = os.readlink(f"/proc/{self.pid}/fd/{name}")
        return found

    @property
    def pss_kib(self) -> int:
        """What it costs in memory: a page that N processes share counts for one Nth of it."""
        return next((int(line.split()[1]) for line in lines(self._text("smaps_rollup"))
                     if line.startswith("Pss:")), 0)

    def text(self, name: str) -> str:
        """A file below /proc/PID that there is no better way to read, such as "net/dev"."""
        return self._text(name)

    def names(self, path: str) -> tuple[str, ...]:
        """What a directory of its has, by links that stay in its root."""
        fd = self._open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return tuple(sorted(os.listdir(fd)))
        finally:
            os.close(fd)

    def file(self, path: str, most: int = 1 << 20) -> bytes:
        """The beginning of a regular file of its, by links that stay in its root."""
        fd = self._open(path, os.O_RDONLY | os.O_NONBLOCK)
        with open(fd, "rb", buffering=0) as file:
            return file.read(most)

    def stat(self, path: str, follow: bool = True) -> os.stat_result:
        """As os.stat, by links that stay in its root. Errors: FileNotFoundError and so on."""
        fd = self._open(path, os.O_PATH | (0 if follow else os.O_NOFOLLOW))
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def link(self, path: str) -> str:
        """The text of a symbolic link of its."""
        fd = self._open(path, os.O_PATH | os.O_NOFOLLOW)
        try:
            return os.readlink("", dir_fd=fd)
        finally:
            os.close(fd)

    def _open(self, path: str, flags: int) -> int:
        """Walk *path* in its root and nowhere else. Errors: OSError, as openat2(2) has it."""
        root = os.open(f"/proc/{self.pid}/root", os.O_PATH | os.O_DIRECTORY)
        try:
            return openat2(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
        finally:
            os.close(root)

    def descendants(self) -> tuple[Subject, ...]:
        return tuple(map(Subject, descendants(self.pid)))

    # ---- the witness -----------------------------------------------------------------------------

    def is_witness(self, nonce: str) -> bool:
        """Whether it runs the witness's own bytes, with *nonce*."""
        try:
            # who reads the command of a process waits while that forks (its mmap_lock)
            if os.stat(f"/proc/{self.pid}/exe").st_size != len(witness_bytes()):
                return False
            return (self.command[1:3] == ("--witness", nonce)
                    and self._bytes("exe") == witness_bytes())
        except (OSError, ValueError):
            return False

    def board(self, nonce: str) -> tuple[Answer, ...] | None:
        """What the witness found, None while it is not done. Errors: ProcessLookupError."""
        _, block = self._board(nonce)
        if not block or _number(block, DONE_AT) != DONE:
            return None
        size = _number(block, SIZE_AT)
        text = block[TEXT_AT:TEXT_AT + size].decode("utf-8", "replace")
        return tuple(Answer(act=act, outcome=outcome, detail=detail) for act, outcome, detail
                     in (f"{line}\t\t".split("\t")[:3] for line in lines(text)))

    def has_board(self, nonce: str) -> bool:
        """Whether it has begun, and is no child of a witness. Errors: ProcessLookupError."""
        return bool(self._board(nonce)[1])

    def open_gate(self, nonce: str) -> bool:
        """Let the witness go on, if it waits at a gate. Errors: ProcessLookupError."""
        address, block = self._board(nonce)
        if not block or not _number(block, WAITS_AT):
            return False
        with self._memory(os.O_WRONLY) as memory:
            os.pwrite(memory, b"\1", address + OPEN_AT)
        return True

    def _board(self, nonce: str) -> tuple[int, bytes]:
        """Its address and bytes, from the writable memory of the executable; b"" where there is
        none yet."""
        with self._memory(os.O_RDONLY) as memory, suppress(OSError):
            for line in lines(self._text("maps"))[:16]:
                found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
                if not found or "[stack]" in line:
                    continue
                first, end = (int(part, 16) for part in found.groups())
                block = os.pread(memory, min(end - first, 1 << 20), first)
                at = block.find(MAGIC)
                if at >= 0 and block[at + 16:at + 80].rstrip(b"\0") == nonce.encode():
                    return first + at, block[at:]
        return 0, b""

    @contextmanager
    def _memory(self, flags: int) -> Iterator[int]:
        try:
            memory = os.open(f"/proc/{self.pid}/mem", flags | os.O_CLOEXEC)
        except (FileNotFoundError, PermissionError):        # who is about to end has no memory
            raise ProcessLookupError(f"process {self.pid} has ended") from None
        try:
            yield memory
        finally:
            os.close(memory)


def _number(block: bytes, at: int) -> int:
    return int.from_bytes(block[at:at + 4], "little")


def _mount(line: str) -> Mount:
    before, after = line.split(" - ", 1)
    _number, _parent, _device, root, point, options, *propagation = before.split(" ")
    kind, source, superblock = after.split(" ", 2)
    return Mount(root=_plain(root), point=_plain(point), options=tuple(options.split(",")),
                 propagation=tuple(propagation), type=kind, source=_plain(source),
                 super=tuple(superblock.split(",")))


def _plain(field: str) -> str:
    """mountinfo writes blanks and backslashes of a path as octal."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)


def witnesses(pid: int, nonce: str) -> list[Subject]:
    """The witness processes below *pid* that have a board. Their children give theirs up, a moment
    after they are made."""
    found = []
    for one in map(Subject, descendants(pid)):
        with suppress(ProcessLookupError):
            if one.is_witness(nonce) and not one.parent.is_witness(nonce) and one.has_board(nonce):
                found.append(one)
    return found
