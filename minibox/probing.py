"""Find by doing what this kernel allows this user: the slow half of `minibox.host`.

The engine tries each mechanism in a process of its own (csrc/probe.c); ids by newuidmap and the
cgroup controllers are tried from here.  What fails gets its reason and mend from minibox.mends.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pwd
import shutil
import subprocess

from minibox import engine, mends
from minibox.cgroups import read, write
from minibox.errors import EngineError
from minibox.facts import Controller, IdRange
from minibox.host import Probed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

NAMESPACES = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time")
PASSING = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC}
"""Errors of a machine that is busy or full just now."""

FOR_GOOD = {"ranges", "lease", "idmap", "time", "sysfs", "seccomp.notify", "landlock",
            "landlock.refer", "landlock.truncate", "landlock.tcp", "landlock.scope"}
"""What a machine may lack and boxes run all the same. Anything else that fails will be mended, and
must be seen to work at once, so its failure is not remembered."""

LIMITS = {1: {"memory": "memory.limit_in_bytes", "pids": "pids.max", "cpu": "cpu.cfs_quota_us",
              "cpuset": "cpuset.cpus"},
          2: {"memory": "memory.max", "pids": "pids.max", "cpu": "cpu.max",
              "cpuset": "cpuset.cpus"}}
"""The file that sets each controller's cap, by version of cgroups."""

FEATURE_FILES = {"cgroup.kill": "cgroup.kill", "memory.peak": "memory.peak",
                 "memory.max_usage_in_bytes": "memory.peak", "memory.swap.max": "swap",
                 "memory.memsw.limit_in_bytes": "swap"}
"""Files of a cgroup that are not there on every kernel, and the feature that each is."""


def subordinate(text: str, names: tuple[str, ...]) -> IdRange | None:
    """The largest range that /etc/subuid's *text* grants to one of *names* (a name or a number)."""
    best = None
    for line in text.splitlines():
        owner, _, numbers = line.partition(":")
        first, _, count = numbers.partition(":")
        if owner in names and first.isdecimal() and count.isdecimal():
            found = IdRange(first=int(first), count=int(count))
            if best is None or found.count > best.count:
                best = found
    return best


def user_names(uid: int) -> tuple[str, ...]:
    """What /etc/subuid may call this user."""
    try:
        return pwd.getpwuid(uid).pw_name, str(uid)
    except KeyError:
        return (str(uid),)


def attempts(cgroup: str, ids: tuple[str, ...]) -> tuple[dict[str, int], str]:
    """Have the engine try everything: name to 0 or errno; and what the helpers said."""
    program = engine.path()
    try:
        done = subprocess.run([program, "--probe", cgroup, *ids], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL)
    except OSError as error:
        raise EngineError(f"the engine {program} cannot be started: {error.strerror}. "
                          f"{mends.engine(program)}") from error
    if done.returncode:
        raise EngineError(f"minibox-engine --probe: status {done.returncode}: {done.stderr}")
    rows = (line.split("\t") for line in done.stdout.splitlines())
    return {name: int(number) for name, number in rows}, done.stderr.strip()


@contextlib.contextmanager
def trial_cgroup(parent: str) -> Iterator[str]:
    """A cgroup for a moment, named and locked as a box's is, so that no sweep takes it away."""
    path, fd = _locked_cgroup(parent)
    try:
        yield path
    finally:
        os.rmdir(path)
        os.close(fd)


def _locked_cgroup(parent: str) -> tuple[str, int]:
    while True:
        path = f"{parent}/minibox-{os.urandom(8).hex()[:15]}"        # as long as csrc/box.h has it
        os.mkdir(path)
        with contextlib.suppress(FileNotFoundError):        # swept before it was locked: once more
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.path.exists(path):
                return path, fd
            os.close(fd)


def try_controller(one: Controller) -> set[str]:
    """Make a cgroup and set its cap to what it is. The features that it shows; OSError if not."""
    with trial_cgroup(one.parent) as path:
        file = LIMITS[one.version].get(one.name)
        if file == "cpuset.cpus":
            write(f"{path}/{file}", read(f"{one.parent}/cpuset.cpus.effective")
                  or read(f"{one.parent}/cpuset.effective_cpus"))
        elif file:
            write(f"{path}/{file}", read(f"{path}/{file}"))
        return {feature for name, feature in FEATURE_FILES.items()
                if os.path.exists(f"{path}/{name}")}


def try_cgroups(controllers: tuple[Controller, ...]) -> tuple[set[str], dict[str, int]]:
    """The features that cgroups have here, and the errno of each controller that cannot be used."""
    features: set[str] = set()
    refused = {}
    for one in controllers:
        try:
            features |= try_controller(one)
        except OSError as error:
            refused[one.name] = error.errno or errno.EIO
    return features, refused


def probe(key: str, controllers: tuple[Controller, ...]) -> tuple[Probed, bool]:
    """What works here; and whether that is to be remembered."""
    uid = os.getuid()
    uids, gids = (subordinate(read(path), user_names(uid))
                  for path in ("/etc/subuid", "/etc/subgid"))
    helpers = shutil.which("newuidmap") or "", shutil.which("newgidmap") or ""
    ids: tuple[str, ...] = ()
    if uids and gids and all(helpers) and uid != 0:
        ids = *helpers, str(uids.first), str(uids.count), str(gids.first), str(gids.count)
    features, refused = try_cgroups(controllers)
    unified = next((one.parent for one in controllers if one.version == 2), "")
    with trial_cgroup(unified) if unified else contextlib.nullcontext("-") as cgroup:
        errors, said = attempts(cgroup, ids)
    if uid != 0:
        errors.setdefault("ranges", errno.ENOENT)           # nothing to try it with
    works = {name for name, number in errors.items() if number == 0}
    failed = refused | {name: number for name, number in errors.items() if number}
    ranged = "ranges" in works
    probed = Probed(
        key=key, namespaces=tuple(name for name in NAMESPACES if name in works),
        features=tuple(sorted(features | works - set(NAMESPACES))), refused=tuple(refused),
        uid_range=uids if ranged else None, gid_range=gids if ranged else None,
        uid_helper=helpers[0] if ranged else "", gid_helper=helpers[1] if ranged else "",
        why=mends.explain(failed, said))
    return probed, failed.keys() <= FOR_GOOD and not PASSING & set(failed.values())
