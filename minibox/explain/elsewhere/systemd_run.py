"""systemd-run(1): a transient service, with the sandboxing of systemd.exec(5)."""

from __future__ import annotations

from minibox.compiler.network import has_network
from minibox.compiler.process import environment
from minibox.compiler.rlimits import DEFAULTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minibox.explain.elsewhere.draft import Draft
    from minibox.spec import Mount

PROTECTED = ("ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs",
             "ProtectControlGroups")
"""What comes nearest to the masks and read-only paths of /proc."""

RATES = {"read_bps": "IOReadBandwidthMax", "write_bps": "IOWriteBandwidthMax",
         "read_iops": "IOReadIOPSMax", "write_iops": "IOWriteIOPSMax"}


def write(draft: Draft) -> None:
    spec = draft.spec
    draft.add("systemd-run", *["--user"] * bool(draft.host.uid), "--quiet", "--collect", "--wait",
              "--pty" if spec.terminal else "--pipe")
    draft.take("terminal", "argv", "workdir", "environment", "stdin")
    draft.add(f"--working-directory={spec.workdir}")
    for name, value in environment(spec).items():
        draft.add(f"--setenv={name}={value}")
    _who(draft)
    _namespaces(draft)
    _root(draft)
    _limits(draft)
    _walls(draft)
    _set(draft, "KillSignal", str(spec.stop_signal))
    _set(draft, "TimeoutStopSec", f"{spec.stop_timeout_s:g}")
    draft.take("stop_signal", "stop_timeout_s")
    draft.add("--", *spec.argv)
    _the_rest(draft)


def _set(draft: Draft, name: str, value: str) -> None:
    draft.add("-p", f"{name}={value}")


def _who(draft: Draft) -> None:
    spec = draft.spec
    if draft.host.uid:
        draft.cannot("user", "a user's own systemd runs all as that user")
        draft.differ(f"the program is user {draft.host.uid}, inside as outside")
        return
    draft.add(f"--uid={spec.user.uid}", f"--gid={draft.gid}")
    draft.take("user")
    draft.differ("ids are those of the host: uid 0 of the box is the host's root")


def _namespaces(draft: Draft) -> None:
    spec = draft.spec
    kinds = draft.kinds()
    _set(draft, "PrivateUsers", "yes")
    if "net" in kinds:
        _set(draft, "PrivateNetwork", "yes")
        _set(draft, "RestrictAddressFamilies",
             "AF_UNIX AF_INET AF_INET6" if has_network(spec) else "AF_UNIX")
    draft.take("loopback")
    if "ipc" in kinds:
        _set(draft, "PrivateIPC", "yes")
    if "uts" in kinds:
        _set(draft, "ProtectHostname", "yes")
        draft.differ("the host's name is seen, and cannot be changed")
    draft.cannot("hostname", "systemd sets one for a unit from 258 on (ProtectHostname=)")
    if "pid" in kinds:
        draft.differ("the PID namespace is the host's (PrivatePIDs= is there from systemd 257 on); "
                     "processes of other users are not seen")
        _set(draft, "ProtectProc", "invisible")


def _root(draft: Draft) -> None:
    spec, limits = draft.spec, draft.spec.limits
    if draft.own_view:
        _set(draft, "TemporaryFileSystem", "/:ro")
        for one in draft.host.system_paths:
            _set(draft, "BindReadOnlyPaths", f"-{one.path}")
        for place in draft.places():
            if place != "/run":                             # which systemd itself needs
                _set(draft, "TemporaryFileSystem", _sized(
                    draft, place, limits.tmpfs_bytes, limits.tmpfs_inodes))
        draft.take("limits.tmpfs_bytes", "limits.tmpfs_inodes")
        draft.differ("each place to write is a tmpfs by itself, with the whole --tmpfs-size")
    else:
        _set(draft, "RootDirectory", spec.rootfs)
        draft.take("rootfs", "writable")
        if not spec.writable:
            _set(draft, "ReadOnlyPaths", "/")
        if not (spec.writable or spec.read_only or spec.keep):
            draft.differ("what is written to the root is refused, not forgotten (RootEphemeral= of "
                         "systemd 254 forgets it)")
    draft.take("read_only", "mounts", "devices", "limits.shm_bytes")
    _set(draft, "MountAPIVFS", "yes")
    draft.differ("/sys is there, with the cgroups of the host")
    if draft.has("dev"):
        _set(draft, "PrivateDevices", "yes")
        _set(draft, "TemporaryFileSystem", _sized(draft, "/dev/shm", limits.shm_bytes, 0))
    for device in spec.devices:
        _set(draft, "BindPaths", f"{device.source}:{device.target}")
        _set(draft, "DeviceAllow", f"{device.source} rw")
    for mount in draft.mounts():
        _mount(draft, mount)


def _mount(draft: Draft, mount: Mount) -> None:
    limits = draft.spec.limits
    if set(mount.source + mount.target) & set(" :\\\"'%\t\n"):
        draft.cannot("mounts", "a path with blanks, colons, quotes, % or \\ is not written here")
    elif mount.type == "bind":
        _set(draft, "BindReadOnlyPaths" if mount.read_only else "BindPaths",
             f"{mount.source}:{mount.target}")
    else:
        _set(draft, "TemporaryFileSystem", _sized(
            draft, mount.target, mount.size_bytes or limits.tmpfs_bytes,
            mount.inodes or limits.tmpfs_inodes, mount.mode) + ",ro" * mount.read_only)


def _sized(draft: Draft, target: str, size: int, inodes: int, mode: int = 0o1777) -> str:
    caps = f",size={size}" + (f",nr_inodes={inodes}" if inodes else "")
    return f"{target}:mode={mode:o}{caps if draft.has('tmpfs-caps') else ''}"


def _limits(draft: Draft) -> None:
    limits = draft.spec.limits
    swap = 0 if limits.swap_bytes is None else limits.swap_bytes
    for field, name, value in (
            ("memory_bytes", "MemoryMax", limits.memory_bytes),
            ("swap_bytes", "MemorySwapMax", None if limits.memory_bytes is None else
             "infinity" if swap == -1 else swap),
            ("cpus", "CPUQuota", limits.cpus and f"{limits.cpus * 100:g}%"),
            ("cpuset", "AllowedCPUs", limits.cpuset and ",".join(map(str, limits.cpuset))),
            ("pids", "TasksMax", limits.pids),
            ("walltime_s", "RuntimeMaxSec", limits.walltime_s)):
        if value is not None:
            _set(draft, name, str(value))
        draft.take(f"limits.{field}")
    draft.cannot("limits.cputime_s", "LimitCPU= holds for each process by itself")
    for rate in limits.device_rates:
        _set(draft, RATES[rate.kind], f"{rate.path} {rate.per_second}")
    defaults = DEFAULTS if draft.has("rlimits") else ()
    for one in {one.name: one for one in (*defaults, *limits.ulimits)}.values():
        soft, hard = ("infinity" if value < 0 else str(value) for value in (one.soft, one.hard))
        _set(draft, f"Limit{one.name.upper()}", f"{soft}:{hard}")
    if draft.has("oom-score"):
        _set(draft, "OOMScoreAdjust", str(limits.oom_score_adj))
    draft.take("limits.device_rates", "limits.ulimits", "limits.oom_score_adj")


def _walls(draft: Draft) -> None:
    spec = draft.spec
    if draft.has("capabilities"):
        names = " ".join(f"CAP_{name}" for name in spec.capabilities)
        _set(draft, "CapabilityBoundingSet", names)
        _set(draft, "AmbientCapabilities", names)
        draft.take("capabilities")
    _set(draft, "NoNewPrivileges", "yes" if draft.has("no-new-privs") else "no")
    if draft.has("namespace-limit"):
        _set(draft, "RestrictNamespaces", "yes")
    if draft.has("keyring"):
        _set(draft, "KeyringMode", "private")
    if draft.has("umask"):
        _set(draft, "UMask", "0022")
    if draft.has("masks") and spec.unmask != ("ALL",):
        for name in PROTECTED:
            _set(draft, name, "yes")
        draft.differ("less of /proc is covered: kmsg, kallsyms, kcore and settings, by "
                     "ProtectKernel...=")
    if not spec.unmask or spec.unmask == ("ALL",):
        draft.take("unmask")
    else:
        draft.cannot("unmask", "ProtectKernel...= cover what they cover, not a path of choice")
    if draft.has("seccomp") and spec.seccomp == "default":
        _set(draft, "SystemCallFilter", "@system-service")
        _set(draft, "SystemCallErrorNumber", "EPERM")
        _set(draft, "SystemCallArchitectures", "native")
        draft.differ("the filter of system calls is systemd's own list, @system-service")
    elif spec.seccomp == "unconfined":
        draft.take("seccomp")
    else:
        draft.cannot("seccomp", "SystemCallFilter= takes names and groups, not a profile")


def _the_rest(draft: Draft) -> None:
    spec = draft.spec
    if not spec.init:
        draft.take("init")
    if spec.cgroups == "enabled":
        draft.take("cgroups")
    draft.take("landlock")
    draft.layers.add("environment")                         # all of it is asked for then
    draft.lack("cgroup", "landlock", "boot-id", "nested-user", "streams", "parent-death")
