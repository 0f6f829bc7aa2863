"""What a test may need of this machine, as words; each is probed by doing it, once for a run.

`@pytest.mark.needs("userns", "cgroup.memory")` skips a test where one is missing, and
MINIBOX_REQUIRE=userns,cgroup.memory makes the missing one a failure instead.
"""

from __future__ import annotations

import ctypes
import functools
import glob
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--")
COMMANDS = ("afl-clang-fast", "bwrap", "chromium", "clang", "crun", "firejail", "gcc", "gcov",
            "mmdebstrap", "runc", "script", "strace")
CONTROLLERS = ("memory", "pids", "cpu", "cpuset")


def _try(*argv: str, user: bool = False) -> str:
    """Why *argv* fails, "" if it works. user: try it without privilege, if this is root."""
    prefix = NOBODY if user and os.geteuid() == 0 else ()
    try:
        done = subprocess.run([*prefix, *argv], capture_output=True, text=True, cwd="/",
                              stdin=subprocess.DEVNULL, timeout=60)
    except OSError as error:
        return f"{argv[0]}: {error.strerror}"
    return "" if done.returncode == 0 else done.stderr.strip() or f"status {done.returncode}"


def _root() -> str:
    return "" if os.geteuid() == 0 else "this run has none"


def _user() -> str:
    """An unprivileged account that can reach this checkout: made by the tests, or the caller."""
    if os.geteuid() != 0:
        return ""
    if not shutil.which("useradd"):
        return "useradd is missing"
    missing = _try(sys.executable, "-c", "import minibox", user=True)
    return missing and f"an unprivileged user cannot reach {Path(__file__).parents[1]}"


def _userns() -> str:
    return _try("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork",
                "--mount-proc", "true", user=True)


def _timens() -> str:
    return _try("unshare", "--user", "--map-root-user", "--time", "true", user=True)


def _landlock(version: int) -> str:
    """Landlock of this version of its interface at least, as landlock_create_ruleset tells."""
    libc = ctypes.CDLL(None, use_errno=True)
    has = libc.syscall(444, None, ctypes.c_size_t(0), 1)
    return "" if has >= version else f"this kernel has version {has}" if has > 0 else "it is off"


def _overlay() -> str:
    script = ("mount -t tmpfs none /mnt && cd /mnt && mkdir lower upper work root && "
              "mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work,userxattr none root")
    return _try("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, user=True)


def _idmap() -> str:
    """Clone a mount and give it the ids of a user namespace, as root of a box has its volumes."""
    if _root():
        return _root()
    sleeper = subprocess.Popen(["unshare", "--user", "cat"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    assert sleeper.stdin and sleeper.stdout
    try:
        sleeper.stdin.write(b"up\n")
        sleeper.stdin.flush()
        sleeper.stdout.readline()                           # now it is in its namespace
        for kind in ("uid", "gid"):
            Path(f"/proc/{sleeper.pid}/{kind}_map").write_text("0 1000000 65536")
        return _map_mount(sleeper.pid)
    except OSError as error:
        return str(error)
    finally:
        sleeper.communicate()


def _map_mount(pid: int) -> str:
    open_tree, mount_setattr, empty_path, clone, idmap = 428, 442, 0x1000, 1, 0x100000
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/proc/{pid}/ns/user") as namespace, tempfile.TemporaryDirectory() as directory:
        tree = libc.syscall(open_tree, -100, directory.encode(), clone | os.O_CLOEXEC)
        if tree < 0:
            return f"open_tree: {os.strerror(ctypes.get_errno())}"
        try:
            attributes = (ctypes.c_uint64 * 4)(idmap, 0, 0, namespace.fileno())
            failed = libc.syscall(mount_setattr, tree, b"", empty_path, attributes, 32)
            return failed and f"mount_setattr: {os.strerror(ctypes.get_errno())}" or ""
        finally:
            os.close(tree)


def _subids() -> str:
    """Helpers that may map ranges; the ranges themselves come with the tests' own account."""
    if os.geteuid() != 0:
        return _try("unshare", "--user", "--map-auto", "true")
    for name in ("newuidmap", "newgidmap"):
        path = shutil.which(name)
        if not path:
            return f"{name} is missing"
        if not os.stat(path).st_mode & 0o4000 and "security.capability" not in os.listxattr(path):
            return f"{path} has no privilege"
    return ""


def _cgroup(controller: str) -> str:
    """A cgroup can be made where this process is, and *controller* is there to cap it."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            return _make_cgroup(f"/sys/fs/cgroup/{names}{path}")
    own = Path("/proc/self/cgroup").read_text().splitlines()[-1].split(":", 2)[2]
    controllers = Path(f"/sys/fs/cgroup{own}/cgroup.controllers")
    if not controllers.exists() or controller not in controllers.read_text().split():
        return "no hierarchy has it here"
    return _make_cgroup(str(controllers.parent))


def _io() -> str:
    """The controller that counts IO, under its name on v1 or on v2."""
    return _cgroup("blkio") and _cgroup("io")


SLICE = """
import ctypes, os, struct
number = {"x86_64": 314, "aarch64": 274}[os.uname().machine]    # sched_setattr(2)
attributes = struct.pack("=IIQiIQQQ", 48, 0, 0, 0, 0, 100000, 0, 0)
assert ctypes.CDLL(None).syscall(number, 0, attributes, 0) == 0
assert [line.split()[-1] for line in open("/proc/self/sched") if "se.slice" in line] == ["100000"]
"""


def _slices() -> str:
    """A process may choose its own slice of CPU time, and the kernel shows it (Linux 6.12)."""
    failed = _try(sys.executable, "-c", SLICE)
    return failed and f"no slices of a process's own: {failed.splitlines()[-1]}"


def _make_cgroup(parent: str) -> str:
    if os.geteuid() != 0 and "/user" not in parent:
        return "nothing is delegated to this user"
    try:
        os.rmdir(tempfile.mkdtemp(prefix="needs-", dir=parent))
    except OSError as error:
        return str(error)
    return ""


def _v2() -> str:
    """Boxes get cgroups of v2."""
    there = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    return "" if there else "this machine has cgroups of v1"


def _smt() -> str:
    """Hardware threads that share a core."""
    paths = glob.glob("/sys/devices/system/cpu/cpu*/topology/thread_siblings_list")
    return "" if any(set("-,") & set(Path(path).read_text()) for path in paths) else "it has none"


def _numa() -> str:
    """Memory of several nodes."""
    nodes = glob.glob("/sys/devices/system/node/node[0-9]*")
    return "" if len(nodes) > 1 else "it has one node"


def _swap() -> str:
    return "" if len(Path("/proc/swaps").read_text().splitlines()) > 1 else "it has none"


def _psi() -> str:
    """And the kernel counts how long they wait (pressure stalls)."""
    return _v2() or _try("cat", "/proc/pressure/cpu")


def _delegation() -> str:
    """The unprivileged caller has, or can be given, a subtree of cgroups."""
    if os.geteuid() == 0 and Path("/run/systemd/system").exists():
        return "systemd hands cgroups out here, to users that log in"
    return _cgroup("memory")


def _vm() -> str:
    """All that tests/vm/vm-run needs; whether the machine then boots is for its tests to say."""
    if _root():
        return _root()
    files = ("/usr/lib/qemu/virtiofsd", "/bin/busybox", "/boot/vmlinuz-*", "/usr/sbin/mkfs.ext4")
    missing = [name for name in files if not glob.glob(name)]
    return f"{missing[0]} is missing" if missing else _try("qemu-system-x86_64", "--version")


def _busybox() -> str:
    if os.path.exists("/bin/busybox"):
        interpreted = b"/ld-linux" in Path("/bin/busybox").read_bytes()[:4096]
        return "/bin/busybox is not static" if interpreted else _try("/bin/busybox", "true")
    return "/bin/busybox is missing"


PROBES: dict[str, Callable[[], str]] = {
    "root": _root, "user": _user, "userns": _userns, "timens": _timens, "overlay": _overlay,
    "landlock": functools.partial(_landlock, 2), "landlock.scope": functools.partial(_landlock, 6),
    "idmap": _idmap, "subids": _subids, "delegation": _delegation, "vm": _vm, "busybox": _busybox,
    "psi": _psi, "slices": _slices, "smt": _smt, "numa": _numa, "swap": _swap,
    "cgroup.io": _io, "cgroup.v2": _v2,
    **{f"cgroup.{name}": functools.partial(_cgroup, name) for name in CONTROLLERS},
    **{name: functools.partial(_try, name, "--version") for name in COMMANDS},
}
"""Each word and what finds the reason why this machine lacks it, "" if it does not."""


@functools.cache
def lacking(word: str) -> str:
    """Why this machine has no *word*, "" if it has; UsageError if there is no such word."""
    if word not in PROBES:
        raise pytest.UsageError(f"tests need {word!r}, which is none of: {' '.join(PROBES)}")
    return PROBES[word]()


def required() -> frozenset[str]:
    """The words that must be there, from MINIBOX_REQUIRE."""
    words = frozenset(filter(None, os.environ.get("MINIBOX_REQUIRE", "").split(",")))
    if unknown := words - PROBES.keys():
        raise pytest.UsageError(f"MINIBOX_REQUIRE: {' '.join(sorted(unknown))} is none of: "
                                f"{' '.join(PROBES)}")
    return words


def require(*words: str) -> None:
    """Skip the running test where one of *words* is missing; fail it where that one must not be."""
    for word in words:
        if reason := lacking(word):
            refuse = pytest.fail if word in required() else pytest.skip
            refuse(f"needs {word}: {reason}")
