"""/dev: the harmless devices, terminals and shared memory of the box's own, and nothing else."""

from __future__ import annotations

from minibox.compiler.draft import Draft
from minibox.errors import HostError
from minibox.steps import (
    BindDevice,
    MakeDir,
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
    if "devpts" not in draft.host.features:
        raise HostError("devpts", *draft.host.mend("devpts"))
    enter += [MakeDir(target="/dev"),
              MountTmpfs(target="/dev", size_bytes=64 << 10, inodes=128, mode=0o755,
                         options=("nosuid", "noexec"))]
    enter += [BindDevice(source=f"/dev/{name}", target=f"/dev/{name}", major=major, minor=minor)
              for name, major, minor in DEVICES]
    enter += [BindDevice(source=device.source, target=device.target, major=device.major,
                         minor=device.minor) for device in spec.devices]
    enter += [MakeLink(target=f"/dev/{name}", to=to) for name, to in LINKS]
    enter += [MakeDir(target="/dev/pts"), MountDevpts(target="/dev/pts"), MakeDir(target="/dev/shm"),
              MountTmpfs(target="/dev/shm", size_bytes=spec.limits.shm_bytes,
                         inodes=spec.limits.tmpfs_inodes, mode=0o1777, options=("nosuid", "nodev"))]
    if spec.terminal:
        enter.append(OpenTerminal(uid=spec.user.uid))
    enter.append(RemountReadOnly(target="/dev"))
    draft.receipt("devices", [device.target for device in spec.devices],
                  [f"/dev/{name}" for name, _, _ in DEVICES] + [device.target for device in spec.devices],
                  "a tmpfs with bind mounts, read-only")
    draft.receipt("shm-size", spec.limits.shm_bytes, spec.limits.shm_bytes, "tmpfs")
