"""Named hosts for tests of the compiler: each is one kind of machine that people have."""

from __future__ import annotations

from minibox.facts import Controller, Host, IdRange, SystemPath
from minibox.record import replace

NAMESPACES = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time")
FEATURES = ("calls", "devpts", "landlock", "overlay", "proc", "seccomp", "seccomp.notify", "sysfs",
            "tmpfs", "user.nested")
LANDLOCK = ("landlock.refer", "landlock.truncate", "landlock.tcp", "landlock.scope")
V2 = ("cgroup.kill", "clone_into_cgroup", "memory.peak", "swap")

SYSTEM_PATHS = (
    SystemPath(path="/usr", kind="dir"),
    SystemPath(path="/bin", kind="link", to="usr/bin"),
    SystemPath(path="/lib", kind="link", to="usr/lib"),
    SystemPath(path="/lib64", kind="link", to="usr/lib64"),
    SystemPath(path="/etc/ld.so.cache", kind="file"),
    SystemPath(path="/etc/localtime", kind="link", to="/usr/share/zoneinfo/UTC"),
    SystemPath(path="/etc/ssl/certs", kind="dir"),
)


def v2(parent: str, *names: str) -> tuple[Controller, ...]:
    return tuple(Controller(name=name, version=2, parent=parent) for name in names)


def v1(parents: str, *names: str) -> tuple[Controller, ...]:
    """Each in a hierarchy of its own but cpu and cpuacct, which distributions mount together."""
    together = {"cpu": "cpu,cpuacct", "cpuacct": "cpu,cpuacct"}
    return tuple(Controller(name=name, version=1, parent=parents.format(together.get(name, name)))
                 for name in names)


HOST_FULL = Host(
    kernel=(6, 18), namespaces=NAMESPACES, cgroup_mode="v2",
    controllers=v2("/sys/fs/cgroup", "cpuset", "cpu", "io", "memory", "pids"),
    id_mapped_mounts=True, features=(*FEATURES, *LANDLOCK, *V2, "idmap", "lease"),
    cpus=(0, 1, 2, 3), memory_bytes=16 << 30, system_paths=SYSTEM_PATHS)
"""Root's own machine, everything new."""

HOST_V1_ROOT = replace(
    HOST_FULL, cgroup_mode="v1", features=(
        *FEATURES, *LANDLOCK, "idmap", "lease", "memory.peak", "swap"),
    controllers=v1("/sys/fs/cgroup/{}", "cpu", "cpuacct", "cpuset", "memory", "blkio", "pids"))
"""Root on cgroup v1, as on machines that are some years old, and on many virtual ones."""

HOST_V1_ROOTLESS = Host(
    kernel=(5, 10), uid=1000, gid=1000, groups=(27, 1000), namespaces=NAMESPACES, cgroup_mode="v1",
    controllers=v1("/sys/fs/cgroup/{}/minibox/user-1000", "cpu", "cpuacct", "memory", "pids"),
    features=tuple(one for one in FEATURES if one not in ("overlay", "landlock")), cpus=(0, 1),
    system_paths=SYSTEM_PATHS,
    why=(("ranges", "/etc/subuid and /etc/subgid grant this user no range", "sudo usermod ..."),
         ("landlock", "Linux 5.13 brought it, this is 5.10", "boot a newer kernel"),
         ("overlay", "Linux 5.11 brought it, this is 5.10", "boot a newer kernel"),
         ("cpuset", "no cgroup here is yours to write", "sudo minibox delegate user"),
         ("swap", "this kernel does not account for swap", "boot with swapaccount=1")))
"""A user of Debian 11 to whom root delegated cgroups; no ranges of ids, one gid of many groups."""

HOST_UBUNTU_2404 = Host(
    kernel=(6, 8), uid=1000, gid=1000, groups=(4, 27, 1000), namespaces=NAMESPACES,
    cgroup_mode="v2", controllers=v2(
        "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice", "cpu", "memory",
        "pids"),
    uid_range=IdRange(first=100000, count=65536), gid_range=IdRange(first=100000, count=65536),
    uid_helper="/usr/bin/newuidmap", gid_helper="/usr/bin/newgidmap",
    features=(*FEATURES, *LANDLOCK[:3], *V2), cpus=tuple(range(8)), system_paths=SYSTEM_PATHS,
    why=(("cpuset", "systemd does not hand it down", "see `minibox doctor`"),
         ("io", "systemd does not hand it down", "see `minibox doctor`")))
"""A user of a desktop, with what systemd delegates and adduser grants."""

HOST_NO_CGROUP = Host(
    kernel=(6, 1), uid=1000, gid=1000, groups=(1000,), namespaces=NAMESPACES,
    features=(*FEATURES, *LANDLOCK[:1]), cpus=(0, 1), system_paths=SYSTEM_PATHS,
    why=tuple((name, "no cgroup here is yours to write", "sudo minibox delegate user")
              for name in ("memory", "pids", "cpu", "cpuset", "io")))
"""A user, with no cgroup to use."""

HOST_CONTAINER = replace(
    HOST_NO_CGROUP, uid=0, gid=0, why=(*HOST_NO_CGROUP.why, (
        "lease", "EPERM: this root may not map ids of its choice", "start minibox outside")))
"""Root of a container of a user's: it may map its own id and no other."""

HOSTS = {"full": HOST_FULL, "v1-root": HOST_V1_ROOT, "v1-rootless": HOST_V1_ROOTLESS,
         "ubuntu-2404": HOST_UBUNTU_2404, "no-cgroup": HOST_NO_CGROUP,
         "container": HOST_CONTAINER}
