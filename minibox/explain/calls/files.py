"""Paths of the box, walked beneath a descriptor: as csrc/files.c does it."""

from __future__ import annotations

from minibox.explain.calls.notation import Call, Scene, call, octal, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

RESOLVE = "RESOLVE_NO_MAGICLINKS|RESOLVE_IN_ROOT"
PATH, DIRECTORY = "O_RDONLY|O_CLOEXEC|O_PATH", "O_RDONLY|O_CLOEXEC|O_PATH|O_DIRECTORY"
NEW = "O_RDONLY|O_CREAT|O_NOCTTY|O_NONBLOCK|O_CLOEXEC, mode=0644"

MISSING = "where it is missing"


def beneath(root: str, path: str, flags: str, there: bool | None, name: str, *,
            resolve: str = RESOLVE, when: str = "", of: str = "") -> Call:
    """openat2 of *path*, which no link leads out of."""
    result = {True: name, False: "-1 ENOENT", None: f"{name} or -1 ENOENT"}[there]
    return call("openat2", root, quote(path), f"{{flags={flags}, resolve={resolve}}}", 24,
                result=result, when=when, of=of)


def on_stage(path: str, name: str) -> Call:
    """A directory of the stage, by no link at all."""
    return beneath("<stage>", path, DIRECTORY, True, name,
                   resolve="RESOLVE_NO_SYMLINKS|RESOLVE_BENEATH")


class Proc:
    """Looks up a step's targets, those in /proc beneath the proc that is verified first."""

    def __init__(self) -> None:
        self._open = False

    def find(self, path: str, flags: str = PATH, there: bool | None = None, name: str = "<target>",
             of: str = "") -> Iterator[Call]:
        if not path.startswith("/proc/"):
            yield beneath("<root>", path, flags, there, name, of=of)
            return
        if not self._open:
            self._open = True
            yield beneath("<root>", "proc", DIRECTORY, True, "<proc>", of=of)
            yield call("fstatfs", "<proc>", "{f_type=PROC_SUPER_MAGIC, ...}", of=of)
        yield beneath("<proc>", path.removeprefix("/proc/"), flags, there, name, of=of)


def make_dirs(scene: Scene, path: str, stage: bool = False, when: str = "",
              name: str = "<parent>") -> Iterator[Call]:
    """Open the directory *path*; what is missing of it is made, each from the root again."""
    root = "<stage>" if stage else "<root>"
    there = scene.there(path or ".", stage)
    yield beneath(root, path or ".", DIRECTORY, there, name, when=when)
    if there:
        return
    note = when or ("" if there is False else MISSING)
    yield beneath(root, ".", DIRECTORY, True, "<above>", when=note)
    end = 0
    while end < len(path):
        start = end
        while path[start:start + 1] == "/":
            start += 1
        end = start
        while end < len(path) and path[end] != "/":
            end += 1
        prefix, there = path[:end], scene.there(path[:end], stage)
        yield beneath(root, prefix, DIRECTORY, there, "<above>", when=note)
        if not there:
            missing = note or ("" if there is False else MISSING)
            yield call("mkdirat", "<above>", quote(path[start:end]), "0755", when=missing)
            yield beneath(root, prefix, DIRECTORY, True, name, when=missing)
            scene.make(prefix, stage)


def split(path: str) -> tuple[str, str]:
    """What the last name of *path* lies in, and that name."""
    path = path.rstrip("/")
    at = path.rfind("/") + 1
    return path[:at], path[at:]


def make_parent(scene: Scene, path: str, stage: bool = False, when: str = "") -> Iterator[Call]:
    yield from make_dirs(scene, split(path)[0], stage, when)


def make_target(scene: Scene, path: str, directory: bool | None, stage: bool = False
                ) -> Iterator[Call]:
    """Open *path* to mount on; a missing one is made. directory None: as the source is."""
    root = "<stage>" if stage else "<root>"
    there = scene.there(path, stage)
    yield beneath(root, path, PATH, there, "<target>")
    if not there:
        sure = there is False and directory is not None
        if directory is not False:
            yield from make_dirs(scene, path, stage, name="<target>",
                                 when="" if sure else "for a directory that is missing")
        if directory is not True:
            when = "" if sure else "for a file that is missing"
            yield from make_parent(scene, path, stage, when)
            yield beneath(root, path, NEW, True, "<file>", when=when)
            yield beneath(root, path, PATH, True, "<target>", when=when)
        scene.make(path, stage)
    yield call("fstat", "<target>", "{...}")
    yield call("fstat", root, "{...}")
    yield call("fstatfs", "<target>", "{...}")


def create(scene: Scene, path: str, mode: int, when: str = "") -> Iterator[Call]:
    """A new file in the place of whatever has that name."""
    yield from make_parent(scene, path, when=when)
    name, there = split(path)[1], scene.there(path)
    yield call("unlinkat", "<parent>", quote(name), 0, when=when,
               result={True: "0", False: "-1 ENOENT", None: "0 or -1 ENOENT"}[there])
    yield call("openat", "<parent>", quote(name),
               "O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC", octal(mode), result="<file>",
               when=when)
    scene.make(path)


def write_self(scene: Scene, file: str, text: str) -> Iterator[Call]:
    """A file of the process's own in /proc, which only a dumpable one may write."""
    from minibox.explain.calls.notation import write_file

    yield call("prctl", "PR_GET_DUMPABLE", result="<dumpable>")
    yield call("prctl", "PR_SET_DUMPABLE", "SUID_DUMP_USER")
    place = ("<proc>", "self/") if scene.holds_proc else ("-1", "/proc/self/")
    yield from write_file(place[0], place[1] + file, text)
    yield call("prctl", "PR_SET_DUMPABLE", "<dumpable>")
