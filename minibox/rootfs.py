"""Root file systems by name: built from recipes, kept under the user's data directory.

A build happens in a directory of its own beside the place it is meant for, locked as long as it
is at work, and is renamed when it is whole.  So a name always stands for a whole root file system, and
what a killed build left is known by its lock, which nobody holds.
"""

from __future__ import annotations

import os

from minibox.errors import HostError, SpecError
from minibox.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Progress = Callable[[int, str], None]

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
BUILDING = ".building"
"""What the directory's name ends in while it is being built; no name can."""


class Recipe(Record):
    """How to make one. needs: (command or file, what brings it); seconds, megabytes: about."""

    name: str
    directory: str
    description: str
    needs: tuple[tuple[str, str], ...]
    seconds: int
    megabytes: int


class Built(Record):
    """One that was made. bytes_: what its files hold, links counted once."""

    name: str
    path: str
    bytes_: int
    built_at: float


def directory() -> str:
    """Where this user's root file systems are."""
    if os.getuid() == 0:
        return "/var/lib/minibox/rootfs"
    base = os.environ.get("XDG_DATA_HOME", "")
    return (base if base.startswith("/") else os.path.expanduser("~/.local/share")) + "/minibox/rootfs"


def path_of(name: str) -> str:
    """Where the root file system *name* is, or would be. SpecError for what is no name."""
    good = (0 < len(name) <= 64 and name[0] in LETTERS and all(c in LETTERS + "_.-" for c in name)
            and not name.endswith(BUILDING))
    if not good:
        raise SpecError("rootfs", name, "a name has up to 64 of a-z 0-9 _ . - and begins with a letter or "
                        "digit; a directory is given with a slash in it, such as ./root")
    return f"{directory()}/{name}"


def find(name: str) -> str:
    """The path of a root file system that was built. SpecError if there is none of this name."""
    path = path_of(name)
    if os.path.isdir(path):
        return path
    hint = f"minibox rootfs build {name}" if name in recipe_names() else (
        f"build one of {', '.join(recipe_names())}, or give a directory with a slash in it")
    raise SpecError("rootfs", name, f"there is none of this name: {hint}")


# ---- recipes -------------------------------------------------------------------------------------

def recipes_directory() -> str:
    """The recipes: installed with the package, or beside it in a checkout."""
    package = os.path.dirname(os.path.abspath(__file__))
    installed = package + "/recipes"
    return installed if os.path.isdir(installed) else os.path.dirname(package) + "/rootfs"


def recipe_names() -> tuple[str, ...]:
    base = recipes_directory()
    names = os.listdir(base) if os.path.isdir(base) else []
    return tuple(sorted(name for name in names if os.path.exists(f"{base}/{name}/recipe.toml")))


def recipe(name: str) -> Recipe:
    """The recipe *name*. SpecError if there is none."""
    import tomllib

    path_of(name)
    if name not in recipe_names():
        raise SpecError("rootfs", name, f"there is no such recipe: use {', '.join(recipe_names())}")
    base = f"{recipes_directory()}/{name}"
    with open(base + "/recipe.toml", "rb") as file:
        values = tomllib.load(file)
    return Recipe(name=name, directory=base, description=values["description"],
                  needs=tuple(values.get("needs", {}).items()), seconds=values["seconds"],
                  megabytes=values["megabytes"])


# ---- building ------------------------------------------------------------------------------------

def build(name: str, *, force: bool = False, progress: Progress | None = None) -> str:
    """Build the root file system *name* from its recipe; its path.

    force: replace one that is there.  progress: called with per cent and what is being done.
    Errors: SpecError: no such recipe, it is there already, or it is being built; HostError: something
    is missing, with the mend, or the build failed, with its last words.
    """
    found, target = recipe(name), path_of(name)
    if os.path.lexists(target) and not force:
        raise SpecError("rootfs", name, f"it is there already ({target}): --force builds it anew")
    _look_for(found)
    os.makedirs(directory(), mode=0o755, exist_ok=True)
    sweep()
    work = target + BUILDING
    lock = _start(work, name)
    try:
        root = work + "/root"
        os.mkdir(root, 0o755)
        _run(found, root, progress or (lambda _percent, _what: None))
        if os.path.lexists(target):
            os.rename(target, work + "/old")
        os.rename(root, target)
    finally:
        _remove_tree(work)
        os.close(lock)
    return target


def _look_for(found: Recipe) -> None:
    import shutil

    for what, mend in found.needs:
        there = os.path.exists(what) if what.startswith("/") else shutil.which(what)
        if not there:
            raise HostError(f"rootfs {found.name}", f"its recipe uses {what}, which is not here", mend)


def _start(work: str, name: str) -> int:
    """Make the directory of a build and lock it; the lock's descriptor."""
    import fcntl

    try:
        os.mkdir(work, 0o755)
        lock = os.open(work, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileExistsError, FileNotFoundError) as error:
        raise SpecError("rootfs", name, "it is being built by somebody else at this moment") from error
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not os.path.exists(work):                            # swept in the moment between
        os.close(lock)
        return _start(work, name)
    return lock


def sweep() -> None:
    """Remove what builds left that were killed: their locks are nobody's."""
    import fcntl

    for entry in os.listdir(directory()):
        if not entry.endswith(BUILDING):
            continue
        path = f"{directory()}/{entry}"
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove_tree(path)
        except BlockingIOError:
            pass                                            # at work
        finally:
            os.close(lock)


def _run(found: Recipe, root: str, progress: Progress) -> None:
    """Run the recipe's script; its lines on stdout are the progress, stderr is kept for a failure."""
    import subprocess
    import tempfile

    with tempfile.TemporaryFile("w+", errors="replace") as words:
        with subprocess.Popen([found.directory + "/build", root], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=words, text=True, errors="replace",
                              start_new_session=True) as process:
            assert process.stdout
            try:
                for line in process.stdout:
                    percent, _, what = line.strip().partition(" ")
                    if percent.isdecimal():
                        progress(min(int(percent), 100), what)
            except BaseException:
                _end(process)
                raise
        status = process.returncode
        if status:
            words.seek(0)
            last = [line.strip() for line in words if line.strip()][-3:]
            raise HostError(f"rootfs {found.name}", f"its build ended with status {status}",
                            " | ".join(last) or "it said nothing")


def _end(process: subprocess.Popen[str]) -> None:
    """End a build and all that it started: asked first, as it may have mounts to undo."""
    import signal
    import subprocess

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            break
    process.wait()


def _remove_tree(path: str) -> None:
    """Remove *path* and all below it, without following links; directories may be read-only."""
    import shutil

    def make_writable(_function: object, where: str, _error: object) -> None:
        os.chmod(os.path.dirname(where), 0o700)
        if os.path.isdir(where) and not os.path.islink(where):
            os.chmod(where, 0o700)
            shutil.rmtree(where, onerror=make_writable)
        elif os.path.lexists(where):
            os.unlink(where)

    shutil.rmtree(path, onerror=make_writable)
    if os.path.lexists(path):
        os.rmdir(path)


# ---- what is there -------------------------------------------------------------------------------

def ls() -> tuple[Built, ...]:
    """The root file systems that were built, by name."""
    base = directory()
    names = sorted(os.listdir(base)) if os.path.isdir(base) else []
    return tuple(Built(name=name, path=f"{base}/{name}", bytes_=_size(f"{base}/{name}"),
                       built_at=os.stat(f"{base}/{name}").st_mtime)
                 for name in names if not name.endswith(BUILDING))


def _size(path: str) -> int:
    seen: set[tuple[int, int]] = set()
    total = 0
    for where, _directories, files in os.walk(path):
        for file in files:
            about = os.lstat(f"{where}/{file}")
            if (about.st_dev, about.st_ino) not in seen:
                seen.add((about.st_dev, about.st_ino))
                total += about.st_size
    return total


def remove(name: str) -> None:
    """Remove the root file system *name*: out of the way at once, then file by file."""
    target = find(name)
    sweep()
    work = target + BUILDING
    lock = _start(work, name)
    try:
        os.rename(target, work + "/old")
    finally:
        _remove_tree(work)
        os.close(lock)
