"""Root file systems by name: built from recipes, kept under the user's data directory.

A build happens in a workspace beside the place it is meant for, locked as long as it is in use,
and is renamed when it is whole.  So a name always stands for a whole root file system, and what a
killed build left is known by its lock, which nobody holds.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from minibox.errors import HostError, SpecError
from minibox.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Progress = Callable[[int, str], None]

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
TICK_S = 0.1
RENAME_EXCHANGE = 2


class Recipe(Record):
    """How to make one. needs: (command or file, what brings it); ids: without root it needs a
    range of ids; seconds, megabytes: about."""

    name: str
    directory: str
    description: str
    needs: tuple[tuple[str, str], ...]
    ids: bool
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
    base = os.environ.get("XDG_DATA_HOME", "")
    if not base.startswith("/"):                            # the specification ignores such a value
        base = "/var/lib" if os.getuid() == 0 else os.path.expanduser("~/.local/share")
    return base + "/minibox/rootfs"


def path_of(name: str) -> str:
    """Where the root file system *name* is, or would be. SpecError for what is no name."""
    if not 0 < len(name) <= 64 or name[0] not in LETTERS or set(name) - set(LETTERS + "_.-"):
        raise SpecError("rootfs", name, "a name has up to 64 of a-z 0-9 _ . - and begins with a "
                        "letter or digit; a directory is given with a slash in it, such as ./root")
    return f"{directory()}/{name}"


def find(name: str) -> str:
    """The path of a root file system that was built. SpecError if there is none of this name."""
    path = path_of(name)
    if os.path.isdir(path):
        return path
    hint = f"minibox rootfs build {name}" if name in recipe_names() else (
        f"see `minibox rootfs ls`, build one of {', '.join(recipe_names())}, or give a directory "
        "with a slash in it")
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
                  needs=tuple(values.get("needs", {}).items()), ids=values.get("ids", False),
                  seconds=values["seconds"], megabytes=values["megabytes"])


# ---- building ------------------------------------------------------------------------------------

def build(name: str, *, force: bool = False, progress: Progress | None = None) -> str:
    """Build the root file system *name* from its recipe; its path.

    force: replace one that is there, at one stroke.  progress: called with per cent and what is
    being done, every tenth of a second; what it raises ends the build.
    Errors: SpecError: no such recipe, it is there already, or it is being built; HostError:
    something is missing, with the mend, or the build failed, with its last words.
    """
    found, target = recipe(name), path_of(name)
    _look_for(found)
    with Workspace(name) as work:
        there = os.path.lexists(target)
        if there and not force:
            raise SpecError("rootfs", name, f"it is there already, as {target}: --force builds it "
                            "anew")
        root = work.path + "/root"
        os.mkdir(root, 0o755)
        tell = progress or (lambda _percent, _what: None)
        _run(found, root, tell, work.lock)
        tell(95, "writing to disk")
        _settle(root)
        _libc("syncfs", work.lock)          # or a power cut could leave the name with half of it
        tell(100, "done")
        if there:
            _libc("renameat2", work.lock, b"root", -1, os.fsencode(target), RENAME_EXCHANGE)
        else:
            os.rename(root, target)
    return target


def _look_for(found: Recipe) -> None:
    import shutil

    for what, mend in found.needs:
        there = os.path.exists(what) if what.startswith("/") else shutil.which(what)
        if not there:
            raise HostError(f"rootfs {found.name}", f"its recipe uses {what}, which is not here",
                            mend)
    if found.ids and os.getuid():
        from minibox import host

        facts = host.find()
        if facts.uid_range is None or facts.gid_range is None:
            raise HostError(f"rootfs {found.name}", *facts.mend("ranges"))


class Workspace:
    """A directory beside the root file systems, locked while it is in use, and gone afterwards.

    Its name begins with a dot, as no root file system's can.
    """

    def __init__(self, name: str) -> None:
        self.name, self.path = name, f"{directory()}/.{name}"

    def __enter__(self) -> Workspace:
        from fcntl import LOCK_EX

        os.makedirs(directory(), exist_ok=True)
        while True:
            sweep()
            try:
                os.mkdir(self.path, 0o700)
            except FileExistsError:
                raise SpecError("rootfs", self.name, "it is being built or removed by another "
                                "minibox: wait for that") from None
            lock = _locked(self.path, LOCK_EX)
            if lock is not None:                            # else swept in the moment between
                self.lock = lock
                return self

    def __exit__(self, *_error: object) -> None:
        try:
            _remove_tree(self.path)
        finally:
            os.close(self.lock)


def _locked(path: str, how: int) -> int | None:
    """A descriptor that holds the lock of the directory *path*; None if it cannot be had."""
    import fcntl

    try:
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(lock, how)
        if os.path.samestat(os.fstat(lock), os.stat(path)):
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(lock)
    return None


def sweep() -> None:
    """Remove what builds left that were killed: their locks are nobody's."""
    from fcntl import LOCK_EX, LOCK_NB

    for entry in os.listdir(directory()):
        path = f"{directory()}/{entry}"
        if entry.startswith(".") and (lock := _locked(path, LOCK_EX | LOCK_NB)) is not None:
            try:
                _remove_tree(path)
            finally:
                os.close(lock)


def _run(found: Recipe, root: str, progress: Progress, lock: int) -> None:
    """Run the recipe's program. It holds *lock* too: if it outlives us, its place is not swept."""
    import signal
    import subprocess
    import tempfile

    with tempfile.TemporaryFile() as words, subprocess.Popen(
            [found.directory + "/build", root], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=words, pass_fds=[lock], umask=0o022, start_new_session=True) as process:
        assert process.stdout
        try:
            progress(0, "")
            _follow(process.stdout.fileno(), progress)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.stdout.read()                           # its end is the last of them's
            raise
        if status := process.wait():
            words.seek(0)
            said = words.read().decode(errors="replace").split("\n")
            last = [line.strip() for line in said if line.strip()][-3:]
            raise HostError(f"rootfs {found.name}", f"its build ended with status {status}",
                            " | ".join(last) or "it said nothing")


def _follow(stdout: int, progress: Progress) -> None:
    """Tell *progress* what the recipe's program says, until it has said all."""
    from select import select

    percent, what, rest = 0, "", b""
    while True:
        if select([stdout], [], [], TICK_S)[0]:
            chunk = os.read(stdout, 4096)
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                number, _, words = line.decode(errors="replace").partition(" ")
                if number.isdecimal():
                    percent, what = min(int(number), 100), words
                    progress(percent, what)
        else:
            progress(percent, what)


def _settle(root: str) -> None:
    """Take set-id bits off: boxes ignore them, and on the host an old `su` is a danger."""
    for where, _directories, files in os.walk(root):
        for file in files:
            mode = os.lstat(f"{where}/{file}").st_mode
            if stat.S_ISREG(mode) and mode & 0o6000:
                os.chmod(f"{where}/{file}", mode & 0o1777)
    os.chmod(root, 0o755)
    os.utime(root)


def _libc(name: str, *arguments: int | bytes) -> None:
    """A call that Python lacks."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) < 0:
        number = ctypes.get_errno()
        raise HostError("rootfs", f"{name}: {os.strerror(number)}", "use another file system, or "
                        "`minibox rootfs rm` and build again")


def _remove_tree(path: str) -> None:
    """Remove *path* and all below it: by `rm`, which goes to any depth, and follows no link even if
    a box that still writes there puts one in its way.

    Directories may be read-only, and files may have other ids of the user's range, who worked on
    them in a user namespace: root of such a one may remove those.
    """
    import subprocess

    as_root = ["unshare", "--user", "--map-root-user"]
    for way in ([], [*as_root, "--map-auto"], as_root):
        if os.path.lexists(path):
            subprocess.run([*way, "rm", "-rf", "--", path], capture_output=True)
    if os.path.lexists(path):
        raise HostError("rootfs", f"{path} cannot be removed", f"sudo rm -rf {path}")


# ---- what is there -------------------------------------------------------------------------------

def ls() -> tuple[Built, ...]:
    """The root file systems that were built, by name."""
    base = directory()
    entries = os.scandir(base) if os.path.isdir(base) else ()
    return tuple(Built(name=entry.name, path=entry.path, bytes_=_size(entry.path),
                       built_at=entry.stat().st_mtime)
                 for entry in sorted(entries, key=lambda entry: entry.name)
                 if entry.is_dir() and not entry.name.startswith("."))


def _size(path: str) -> int:
    """What can be reached of it, by paths that the kernel takes: a box may have written there."""
    seen: set[tuple[int, int]] = set()
    total, pending = 0, [path]
    while pending:
        with suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                about = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(about.st_mode):
                    pending.append(entry.path)
                elif (about.st_dev, about.st_ino) not in seen:
                    seen.add((about.st_dev, about.st_ino))
                    total += about.st_size
    return total


def remove(name: str) -> None:
    """Remove the root file system *name*: out of the way at once, then file by file."""
    target = find(name)
    with Workspace(name) as work:
        os.rename(target, work.path + "/old")
