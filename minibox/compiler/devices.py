"""/dev: the harmless devices, terminals and shared memory of the box's own, and nothing else."""

from __future__ import annotations

from minibox.compiler.draft import Draft
from minibox.steps import (
    BindDevice,
    MakeLink,
    MountDevpts,
    MountTmpfs,
    OpenTerminal,
    RemountReadOnly,
)

DEVICES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9),
           ("tty", 5, 0))
"""Name, major and minor, as in Documentation/admin-guide/devices.txt."""

LINKS = (("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
         ("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx"))


def mount_dev(draft: Draft) -> None:
    spec, enter = draft.spec, draft.enter
    draft.need("devpts")
    enter += [MountTmpfs(target="/dev", size_bytes=64 << 10, inodes=128, mode=0o755,
                         options=("nosuid", "noexec"))]
    enter += [BindDevice(source=f"/dev/{name}", target=f"/dev/{name}", major=major, minor=minor)
              for name, major, minor in DEVICES]
    enter += [BindDevice(source=device.source, target=device.target, major=device.major,
                         minor=device.minor) for device in spec.devices]
    enter += [MakeLink(target=f"/dev/{name}", to=to) for name, to in LINKS]
    shm = spec.limits.shm_bytes
    enter += [MountDevpts(target="/dev/pts"),
              MountTmpfs(target="/dev/shm", size_bytes=shm, inodes=spec.limits.tmpfs_inodes,
                         mode=0o1777, options=("nosuid", "nodev"))]
    if spec.terminal:
        enter.append(OpenTerminal(uid=draft.ids.uid))
    shown = tuple(device.target for device in spec.devices)
    draft.receipt("devices", shown, tuple(f"/dev/{name}" for name, _, _ in DEVICES) + shown,
                  "bind mounts on a tmpfs")
    draft.receipt("shm-size", shm, shm, "tmpfs, size and inodes")


def close_dev(draft: Draft) -> None:
    """After the volumes, which may have put something there."""
    draft.enter.append(RemountReadOnly(target="/dev"))
    draft.receipt("read-only /dev", None, True, "mount_setattr")
