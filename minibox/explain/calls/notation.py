"""System calls in the notation of strace(1), and what is known of the box while its steps go by.

What differs from run to run stands in angle brackets: descriptors (<root>), process ids, addresses.
`...` is what the kernel fills in, or is too long to show.
"""

from __future__ import annotations

from minibox.record import Record
from minibox.steps import CloneApp, CloneInit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from minibox.plan import Plan

    Maker = Callable[[Any, Any], Iterable["Call"]]      # of the scene and the step


class Call(Record):
    """One system call. result: "" if it depends on what is there; when: what it hangs on; each:
    what it is done for, any number of times; of: which of the step's targets it is for; by: who
    makes it, if not whoever takes the step."""

    name: str
    args: tuple[str, ...]
    result: str = "0"
    when: str = ""
    each: str = ""
    of: str = ""
    by: str = ""

    def __str__(self) -> str:
        result = f" = {self.result}" if self.result else ""
        return f"{self.name}({', '.join(self.args)}){result}"


def call(name: str, *args: str | int, result: str = "0", when: str = "", each: str = "",
         of: str = "", by: str = "") -> Call:
    return Call(name=name, args=tuple(map(str, args)), result=result, when=when, each=each, of=of,
                by=by)


def quote(text: str) -> str:
    """A string as strace shows it, in C's notation."""
    raw = text.encode("utf-8", "surrogateescape")
    names = {9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 34: '"', 92: "\\"}
    shown = []
    for at, byte in enumerate(raw):
        digit_next = raw[at + 1:at + 2].isdigit()
        if byte in names:
            shown.append("\\" + names[byte])
        elif 32 <= byte < 127:
            shown.append(chr(byte))
        else:
            shown.append(f"\\{byte:03o}" if digit_next else f"\\{byte:o}")
    return '"' + "".join(shown) + '"'


def octal(mode: int) -> str:
    return f"0{mode:o}".rjust(3, "0")


def length(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))


def write(fd: str, text: str, when: str = "") -> Call:
    size = length(text)
    return call("write", fd, quote(text), size, result=str(size), when=when)


def write_file(directory: str, path: str, text: str, when: str = "") -> Iterator[Call]:
    """As mb_write_file: open a file that is there, and write it at once."""
    yield call("openat", directory, quote(path), "O_WRONLY|O_NOCTTY|O_CLOEXEC", result="<file>",
               when=when)
    yield write("<file>", text, when)


def attributes(options: Iterable[str]) -> str:
    """MOUNT_ATTR_ flags of options such as "ro"."""
    names = {"ro": "RDONLY", "nosuid": "NOSUID", "nodev": "NODEV", "noexec": "NOEXEC"}
    return "|".join(f"MOUNT_ATTR_{names[one]}" for one in names if one in options) or "0"


def set_attributes(fd: str, flags: str, attributes: str = "0", *, propagation: str = "0",
                   userns: str = "0", result: str = "0", when: str = "", of: str = "") -> Call:
    """mount_setattr of the mount *fd*."""
    how = f"attr_set={attributes}, attr_clr=0, propagation={propagation}, userns_fd={userns}"
    return call("mount_setattr", fd, '""', f"AT_EMPTY_PATH{flags}", f"{{{how}}}", 32,
                result=result, when=when, of=of)


def attach(mount: str, target: str = "<target>", when: str = "", of: str = "") -> Call:
    """As mb_attach: a detached mount gets its place."""
    return call("move_mount", mount, '""', target, '""',
                "MOVE_MOUNT_F_EMPTY_PATH|MOVE_MOUNT_T_EMPTY_PATH", when=when, of=of)


class Scene:
    """What follows from the plan so far: which paths of the stage exist, and what is open.

    The stage is empty at first, so of all that the plan itself makes it is known whether it exists.
    Of what lies in a root file system, a volume or behind a link it is not.
    """

    def __init__(self, plan: Plan) -> None:
        kinds = {type(step) for step in plan}
        self.has_init = CloneApp in kinds
        self.shares_pids = not any(isinstance(step, CloneInit) and "pid" in step.namespaces
                                   for step in plan)
        self.own_proc = False           # a proc of the box's own is mounted, and held
        self.in_app = False             # the application's own process acts
        self.terminal = False           # its streams are a terminal of the box's
        self.nothing_in = True          # it reads nothing of the caller's
        self.root: tuple[str, ...] = ()
        self._made: set[tuple[str, ...]] = set()
        self._ground: dict[tuple[str, ...], bool] = {(): True}

    @property
    def holds_proc(self) -> bool:
        return self.own_proc or self.shares_pids

    def parts(self, path: str, on_stage: bool = False) -> tuple[str, ...]:
        words = tuple(word for word in path.split("/") if word not in ("", "."))
        return words if on_stage else (*self.root, *words)

    def there(self, path: str, on_stage: bool = False) -> bool | None:
        """Does *path* exist? None: only the host knows."""
        parts = self.parts(path, on_stage)
        if parts in self._made or not parts:
            return True
        if ".." in parts:
            return None
        if parts in self._ground:
            return True if self._ground[parts] else None
        above = next(parts[:n] for n in range(len(parts) - 1, -1, -1) if parts[:n] in self._ground)
        return False if self._ground[above] else None

    def make(self, path: str, on_stage: bool = False) -> None:
        """It exists from here on, with all above it."""
        parts = self.parts(path, on_stage)
        self._made.update(parts[:n] for n in range(1, len(parts) + 1))

    def cover(self, path: str, empty: bool = False, on_stage: bool = False) -> None:
        """Something is mounted on *path*: empty, or with whatever is in it."""
        parts = self.parts(path, on_stage)
        self._made -= {one for one in self._made if one[:len(parts)] == parts and one != parts}
        self.make(path, on_stage)
        self._ground[parts] = empty

    def unsure(self, path: str) -> None:
        """It may have been made, or not."""
        parts = self.parts(path)
        self._made.discard(parts)
        self._ground[parts] = False

    def link(self, path: str) -> None:
        """What lies behind a link is elsewhere."""
        self.unsure(path)

