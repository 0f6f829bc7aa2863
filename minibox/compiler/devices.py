"""/dev: the harmless devices, terminals and shared memory of the box's own, and nothing else."""

from __future__ import annotations

from minibox.compiler.draft import Draft
from minibox.errors import SpecError
from minibox.steps import (
    AttachTree,
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
    if not draft.has("dev"):
        _show_host(draft)
        return
    draft.need("devpts")
    enter += [MountTmpfs(target="/dev", size_bytes=64 << 10, inodes=128, mode=0o755,
                         options=draft.options("nosuid", "noexec"))]
    enter += [BindDevice(source=f"/dev/{name}", target=f"/dev/{name}", major=major, minor=minor)
              for name, major, minor in DEVICES]
    enter += [BindDevice(source=device.source, target=device.target, major=device.major,
                         minor=device.minor) for device in spec.devices]
    enter += [MakeLink(target=f"/dev/{name}", to=to) for name, to in LINKS]
    shm, inodes = draft.room(spec.limits.shm_bytes)
    enter += [MountDevpts(target="/dev/pts"),
              MountTmpfs(target="/dev/shm", size_bytes=shm, inodes=inodes, mode=0o1777,
                         options=draft.options("nosuid", "nodev"))]
    if spec.terminal:
        enter.append(OpenTerminal(uid=draft.ids.uid))
    shown = tuple(device.target for device in spec.devices)
    draft.receipt("devices", shown, tuple(f"/dev/{name}" for name, _, _ in DEVICES) + shown,
                  "bind mounts on a tmpfs")
    draft.receipt("shm-size", spec.limits.shm_bytes, shm or None, "tmpfs, size and inodes")


def _show_host(draft: Draft) -> None:
    if draft.spec.terminal or draft.spec.devices:
        raise SpecError("without", "dev", "a terminal or a device is shown in a /dev of the box's "
                        "own: leave --tty and --device out")
    draft.enter.append(AttachTree(tree=draft.tree("/dev", id_mapped=False), target="/dev",
                                  options=draft.options("nosuid")))


def close_dev(draft: Draft) -> None:
    """After the volumes, which may have put something there."""
    if draft.has("dev"):
        draft.enter.append(RemountReadOnly(target="/dev"))
        draft.receipt("dev", None, "read-only", "tmpfs, mount_setattr")
