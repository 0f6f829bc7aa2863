"""Things of the host that no box may reach, made for one run of the probes and then removed.

A process of its own, the keeper, makes and holds them.  It removes them when its stdin ends, and
so even when whoever runs the probes is killed.  Only a key has to be the caller's own: that one
ends by itself after ten minutes.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack

from minibox.errors import HostError
from minibox.record import Record
from minibox.spec import NAMESPACES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE = "MINIBOX_PROBE_CANARY"
LOW_PIDS = 4096
"""What a box may itself have: the canary process gets a larger number, to be told from them."""

KEY_CALLS = {"x86_64": (248, 250), "aarch64": (217, 219)}
"""The numbers of add_key and keyctl."""
SESSION_KEYRING, KEYCTL_UNLINK, KEYCTL_SET_TIMEOUT, KEY_SECONDS = -3, 9, 15, 600
IPC_CREAT, IPC_EXCL, IPC_RMID = 0o1000, 0o2000, 0


class Canaries(Record):
    """What is there. values: the arguments of minibox-probe, by name; environment: the variable for
    the runtime's; directory: the caller's alone, and gone afterwards; fd: of that directory."""

    values: dict[str, str]
    environment: dict[str, str]
    directory: str
    fd: int

    @property
    def arguments(self) -> tuple[str, ...]:
        return tuple(f"{name}={value}" for name, value in self.values.items())


@contextlib.contextmanager
def canaries() -> Iterator[Canaries]:
    """All canaries, for as long as the context lasts."""
    nonce = os.urandom(8).hex()
    code = f"import sys; sys.path[:] = {sys.path}; from minibox.probe.canaries import keep; keep()"
    with ExitStack() as stack:
        values = _known() | stack.enter_context(_key(f"minibox-probe-{nonce}"))
        keeper = stack.enter_context(subprocess.Popen(
            [sys.executable, "-P", "-c", code, nonce], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, cwd="/", start_new_session=True,
            env=os.environ | {VARIABLE: nonce}))
        assert keeper.stdout
        made = json.loads(keeper.stdout.readline() or '{"error": "the keeper of canaries died"}')
        if "error" in made:
            raise HostError("canaries of the host", made["error"], "TMPDIR names a directory where "
                            "they can be made.")
        fd = os.open(made["directory"], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, fd)
        values |= made["values"] | {"nonce": nonce, "env": VARIABLE, "dirfd": str(fd)}
        yield Canaries(values=values, environment={VARIABLE: nonce}, directory=made["directory"],
                       fd=fd)


def _known() -> dict[str, str]:
    """What is there without our making."""
    found = {"hostname": os.uname().nodename, "uid": str(os.getuid()),
             "home": os.path.expanduser("~")}
    for kind in NAMESPACES:
        with contextlib.suppress(OSError):
            found[f"{kind}ns"] = str(os.stat(f"/proc/self/ns/{kind}").st_ino)
    for name, path in (("machine_id", "/etc/machine-id"),
                       ("boot_id", "/proc/sys/kernel/random/boot_id")):
        with contextlib.suppress(OSError), open(path) as file:
            found[name] = file.read().strip()
    return {name: value for name, value in found.items() if value}


@contextlib.contextmanager
def _key(description: str) -> Iterator[dict[str, str]]:
    """A key in this process's session keyring, which the runtimes inherit from it."""
    calls = KEY_CALLS.get(os.uname().machine)
    libc = ctypes.CDLL(None)
    libc.syscall.restype = ctypes.c_long
    added = -1
    if calls:
        added = libc.syscall(calls[0], b"user", description.encode(), b"x", ctypes.c_size_t(1),
                             SESSION_KEYRING)
    if not calls or added < 0:
        yield {}
        return
    libc.syscall(calls[1], KEYCTL_SET_TIMEOUT, added, KEY_SECONDS)
    try:
        yield {"key": description}
    finally:
        libc.syscall(calls[1], KEYCTL_UNLINK, added, SESSION_KEYRING)


# ---- the keeper ----------------------------------------------------------------------------------

def keep() -> None:
    """Make canaries, say on stdout which, and remove them when stdin ends."""
    nonce = sys.argv[1]
    with ExitStack() as stack:
        try:
            directory = tempfile.mkdtemp(prefix="minibox-probe-")
        except OSError as error:
            print(json.dumps({"error": str(error)}), flush=True)
            return
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        values = {"file": f"{directory}/canary", "unix": f"{directory}/socket",
                  "mount": f"{directory}/mount"}
        os.chmod(directory, 0o711)                          # as most of a host: names are needed
        with open(values["file"], "w") as file:
            file.write(nonce)
        os.mkdir(values["mount"])
        for make in (_sockets, _shared_file, _shared_segment):
            with contextlib.suppress(OSError):              # this host has none
                values |= make(stack, nonce, directory)
        process = _process()
        stack.callback(os.waitpid, process, 0)
        values["pid"] = str(process)
        print(json.dumps({"directory": directory, "values": values}), flush=True)
        while os.read(0, 1):
            pass


def _sockets(stack: ExitStack, nonce: str, directory: str) -> dict[str, str]:
    found = {}
    for name, family, address in (
            ("unix", socket.AF_UNIX, f"{directory}/socket"),
            ("abstract", socket.AF_UNIX, f"\0minibox-probe-{nonce}"),
            ("tcp", socket.AF_INET, ("127.0.0.1", 0)), ("tcp6", socket.AF_INET6, ("::1", 0))):
        one = stack.enter_context(socket.socket(family))
        with contextlib.suppress(OSError):
            one.bind(address)
            one.listen()
            bound = one.getsockname()
            found[name] = (str(bound[1]) if isinstance(bound, tuple)
                           else os.fsdecode(bound).removeprefix("\0"))
    return found


def _shared_file(stack: ExitStack, nonce: str, _directory: str) -> dict[str, str]:
    path = f"/dev/shm/minibox-probe-{nonce}"
    with open(path, "x") as file:
        stack.callback(os.unlink, path)
        file.write(nonce)
    return {"shm": os.path.basename(path)}


def _shared_segment(stack: ExitStack, nonce: str, _directory: str) -> dict[str, str]:
    libc = ctypes.CDLL(None)
    key = int(nonce[:7], 16)
    segment = libc.shmget(key, ctypes.c_size_t(4096), IPC_CREAT | IPC_EXCL | 0o600)
    if segment < 0:
        return {}
    stack.callback(libc.shmctl, segment, IPC_RMID, None)
    return {"shmkey": str(key)}


def _process() -> int:
    """A process that does nothing but wait for the end of stdin, too."""
    while True:
        pid = os.fork()
        if pid == 0:
            if os.getpid() > LOW_PIDS:
                os.read(0, 1)
            os._exit(0)
        if pid > LOW_PIDS:
            return pid
        os.waitpid(pid, 0)
