"""bubblewrap: namespaces and mounts, without cgroups; what it is told in order it does in order."""

from __future__ import annotations

from minibox.compiler.filesystem import NAME_SERVICE, SKELETON
from minibox.compiler.process import environment, home
from minibox.explain.elsewhere.draft import asked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minibox.explain.elsewhere.draft import Draft
    from minibox.spec import Mount


def write(draft: Draft) -> None:
    spec = draft.spec
    draft.add("bwrap")
    draft.add("--unshare-user")
    draft.add("--uid", str(spec.user.uid), "--gid", str(draft.gid))
    kinds = draft.kinds()
    for kind in kinds:
        draft.add(f"--unshare-{kind}")
    if "uts" in kinds:
        draft.add("--hostname", spec.hostname)
    if draft.has("parent-death"):
        draft.add("--die-with-parent")
    if draft.has("session"):
        draft.add("--new-session")
    if not spec.init:
        draft.add("--as-pid-1")
    if draft.has("capabilities"):
        draft.add("--cap-drop", "ALL")
        for name in spec.capabilities:
            draft.add("--cap-add", f"CAP_{name}")
    _root(draft)
    _proc_and_dev(draft)
    _volumes(draft)
    draft.add("--chdir", spec.workdir)
    _environment(draft)
    draft.add("--", *spec.argv)
    draft.take("argv", "user", "hostname", "init", "capabilities", "workdir", "environment",
               "stdin")
    _the_rest(draft, kinds)


def _root(draft: Draft) -> None:
    """A read-only view of the host, or the directory that was given."""
    spec = draft.spec
    if not draft.own_view:
        draft.add("--bind" if spec.writable else "--ro-bind", spec.rootfs, "/")
        draft.take("rootfs", "read_only", "writable")
        if not (spec.writable or spec.read_only or spec.keep):
            draft.differ("what is written to the root is refused, not forgotten (--tmp-overlay of "
                         "bubblewrap 0.11 forgets it)")
        return
    draft.take("read_only")
    for path, _ in (*SKELETON, (home(spec), 0)):
        draft.add("--dir", path)
    for place in draft.places():
        _tmpfs(draft, place, draft.spec.limits.tmpfs_bytes)
    if spec.user.uid and draft.places():
        draft.add("--dir", home(spec))
    for one in draft.host.system_paths:
        if one.kind == "link":
            draft.add("--symlink", one.to, one.path)
        else:
            draft.add("--ro-bind-try", one.path, one.path)
    if "net" in spec.share:
        for path in NAME_SERVICE:
            draft.add("--ro-bind-try", path, path)
    draft.differ("each place to write is a tmpfs by itself, with the whole --tmpfs-size")
    draft.differ("there is no /etc/passwd, /etc/group or /etc/hosts of the box's own")


def _tmpfs(draft: Draft, target: str, size: int, mode: int = 0o1777) -> None:
    sized = ("--size", str(size)) if draft.has("tmpfs-caps") else ()
    draft.add("--perms", f"{mode:o}", *sized, "--tmpfs", target)


def _proc_and_dev(draft: Draft) -> None:
    spec = draft.spec
    if "pid" in spec.share:
        draft.add("--bind", "/proc", "/proc")
    else:
        draft.add("--proc", "/proc")
    if draft.has("dev"):
        draft.add("--dev", "/dev")
        _tmpfs(draft, "/dev/shm", spec.limits.shm_bytes)
    else:
        draft.add("--dev-bind", "/dev", "/dev")
    for device in spec.devices:
        draft.add("--dev-bind", device.source, device.target)
    draft.take("devices", "limits.shm_bytes", *["limits.tmpfs_bytes"] * draft.own_view)


def _volumes(draft: Draft) -> None:
    spec = draft.spec
    for mount in draft.mounts():
        _volume(draft, mount)
    draft.take("mounts")
    if any(mount.inodes for mount in spec.mounts):
        draft.cannot("mounts", "a number of inodes cannot be given")
    if draft.own_view and not spec.read_only and spec.workdir.split("/")[1] not in (
            "", "proc", "dev"):
        draft.add("--dir", spec.workdir)
    if draft.own_view:
        draft.add("--remount-ro", "/")


def _volume(draft: Draft, mount: Mount) -> None:
    if mount.type == "bind":
        draft.add("--ro-bind" if mount.read_only else "--bind", mount.source, mount.target)
        return
    _tmpfs(draft, mount.target, mount.size_bytes or draft.spec.limits.tmpfs_bytes, mount.mode)
    if mount.read_only:
        draft.add("--remount-ro", mount.target)


def _environment(draft: Draft) -> None:
    spec = draft.spec
    own = draft.has("environment")
    if own:
        draft.add("--clearenv")
    for name, value in (environment(spec) if own else dict(spec.environment)).items():
        draft.add("--setenv", name, value)


def _the_rest(draft: Draft, kinds: tuple[str, ...]) -> None:
    spec = draft.spec
    draft.take("landlock", "loopback")
    if "net" in kinds and not spec.loopback:
        draft.differ("internet sockets may be used, over lo of the box's own")
    draft.cannot("terminal", "bwrap passes the caller's own terminal on")
    for field, as_asked in (("seccomp", "unconfined"), ("unmask", ("ALL",)), ("ids", "one"),
                            ("cgroups", "disabled")):
        if getattr(spec, field) == as_asked:
            draft.take(field)
    if spec.seccomp not in ("default", "unconfined"):
        draft.cannot("seccomp", "bwrap takes a compiled filter (--seccomp FD), not a profile")
    if any(name.startswith("limits.") for name in asked(spec)):
        draft.differ("there is no cgroup")
    if draft.host.uid == 0:
        draft.differ("whoever the box's user is, to the host's files it is root, who started it")
    draft.lack("seccomp", "landlock", "rlimits", "pids", "oom-score", "keyring", "masks",
               "hidepid", "boot-id", "nested-user", "namespace-limit", "streams", "descriptors",
               "umask", "signals")
