"""Why something is missing on this host, and the exact mend: one table, for errors and doctor."""

from __future__ import annotations

import os
from errno import EINVAL, ENODEV, ENOSPC, ENOSYS, EPERM, errorcode

from minibox.cgroups import Hierarchy, available, lines, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Row = tuple[str, str, str]

SINCE: dict[str, tuple[int, int]] = {
    "devpts": (4, 7), "seccomp": (4, 14), "seccomp.notify": (5, 0), "tmpfs": (5, 2),
    "time": (5, 6), "proc": (5, 8),
    "clone_into_cgroup": (5, 7), "overlay": (5, 11), "idmap": (5, 12), "calls": (5, 12),
    "landlock": (5, 13), "landlock.refer": (5, 19), "landlock.truncate": (6, 2),
    "landlock.tcp": (6, 7), "landlock.scope": (6, 12), "cgroup": (4, 6)}
"""The Linux that brought what minibox needs of each feature."""

LIMITED_BY_CGROUP = ("memory", "pids", "cpu", "cpuacct", "cpuset", "blkio", "io",
                     "clone_into_cgroup")

OUTER = ("docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
         "--security-opt systempaths=unconfined (podman: --security-opt unmask=ALL)")
"""What an outer container needs to be given."""


def systemd() -> bool:
    """Is systemd the manager of this system? sd_booted(3)'s own test."""
    return os.path.isdir("/run/systemd/system")


def masks_of_proc(mountinfo: str) -> list[str]:
    """What is mounted on parts of /proc: with such, the kernel refuses a new, unmasked one. (Two
    directories are there to be mounted on, and hide nothing.)"""
    targets = (line.split(" ")[4] for line in lines(mountinfo) if " - " in line)
    return sorted({target for target in targets if target.startswith("/proc/")
                   and target not in ("/proc/sys/fs/binfmt_misc", "/proc/fs/nfsd")})


def engine(program: str) -> str:
    """What to do about an engine that cannot be started."""
    if not os.path.exists(program):
        return "Build it by `pip install .` or `make`, or set MINIBOX_ENGINE"
    if os.statvfs(program).f_flag & os.ST_NOEXEC:
        return "Its file system is mounted noexec: install minibox elsewhere, or set MINIBOX_ENGINE"
    return "Install minibox anew; the engine must be executable for all who use it"


def _user(error: int) -> tuple[str, str]:
    """Why user namespaces, or the rights in them, are refused."""
    def knob(name: str) -> str:
        return read("/proc/sys/" + name).strip()

    if knob("user/max_user_namespaces") == "0" or error == ENOSPC:
        return ("user.max_user_namespaces is " + knob("user/max_user_namespaces"),
                "sudo sysctl -w user.max_user_namespaces=15000")
    if knob("kernel/unprivileged_userns_clone") == "0" and os.getuid():
        return ("kernel.unprivileged_userns_clone is 0",
                "sudo sysctl -w kernel.unprivileged_userns_clone=1")
    if knob("kernel/apparmor_restrict_unprivileged_userns") == "1" and os.getuid():
        return ("AppArmor restricts them to programs with a profile (Ubuntu 23.10 and later)",
                "minibox doctor --apparmor-profile | sudo tee /etc/apparmor.d/minibox-engine "
                "&& sudo apparmor_parser -r /etc/apparmor.d/minibox-engine")
    if "\nSeccomp:\t2" in read("/proc/self/status"):
        return "a seccomp filter forbids it, as an outer container sets one", OUTER
    if error in (EINVAL, ENOSYS):
        return "this kernel is built without them", "use a kernel with CONFIG_USER_NS=y"
    mounts = (line.split(" ") for line in lines(read("/proc/self/mountinfo")))
    if not any(fields[4] == "/" for fields in mounts):
        return "this is a chroot, where no user namespace can be made", "leave it (or pivot_root)"
    return "the kernel refuses", "look for a security module's word in `journalctl -k -n 20`"


def _ranges(said: str) -> tuple[str, str]:
    """Why newuidmap does not give this user ids; *said* is what it printed."""
    for path in ("/usr/bin/newuidmap", "/usr/bin/newgidmap"):
        if not os.path.exists(path):
            return f"{path} is not there", "sudo apt install uidmap (Fedora: shadow-utils)"
        if not os.stat(path).st_mode & 0o4000 and "security.capability" not in os.listxattr(path):
            return f"{path} has no privilege", f"sudo chmod u+s {path}"
    if "\nNoNewPrivs:\t1" in read("/proc/self/status"):
        return ("no_new_privs is set, so newuidmap has no effect",
                "start minibox outside of what set it")
    granted = read("/etc/subuid") + "\n" + read("/etc/subgid")
    first = free_range(granted)
    last = first + 65535
    mend = f'sudo usermod --add-subuids {first}-{last} --add-subgids {first}-{last} "$USER"'
    return said.split("\n")[0] or "/etc/subuid and /etc/subgid grant this user no range", mend


def free_range(granted: str) -> int:
    """The first id of 65536 that nobody has, given the lines of /etc/subuid and /etc/subgid."""
    ends = [100_000]
    for line in granted.splitlines():
        _, first, count = (line + "::").split(":")[:3]
        if first.isdecimal() and count.isdecimal():
            ends.append(int(first) + int(count))
    return max(ends)


def explain(failed: Mapping[str, int], said: str) -> tuple[Row, ...]:
    """Rows for Host.why, for what failed with which errno; said: what newuidmap printed."""
    return tuple((name, *_explain(name, error, said)) for name, error in failed.items())


def _explain(name: str, error: int, said: str) -> tuple[str, str]:
    from minibox.host import release

    system, since = os.uname(), SINCE.get(name, (0, 0))
    masks = masks_of_proc(read("/proc/self/mountinfo")) if name == "proc" else []
    code = errorcode.get(error, str(error))
    if name == "ranges":
        return _ranges(said)
    if release(system.release) < since:
        return (f"Linux {since[0]}.{since[1]} brought it, this is {system.release}",
                "boot a newer kernel")
    if masks and error == EPERM:
        return (f"parts of /proc are covered ({', '.join(masks[:3])}{', ...' if masks[3:] else ''})"
                ", so the kernel refuses a new one", OUTER)
    if error == ENODEV:
        return "this kernel has no such file system", f"sudo modprobe {name}"
    if name == "lease":
        return f"{code}: this root may not map ids of its choice", "start minibox outside of the " \
            "container; inside, its boxes have one id each"
    if name == "idmap":
        return (f"{code}: the file system of /usr cannot be ID-mapped", "boxes do without: files "
                "that are not for all to read stay closed to them; ext4, xfs and btrfs can")
    if name.startswith("landlock"):
        return (f"{code}: this kernel has it switched off",
                f"boot with lsm=landlock,{read('/sys/kernel/security/lsm') or '...'}")
    if name.startswith("seccomp"):
        return f"{code}: this kernel is built without it", "use one with CONFIG_SECCOMP_FILTER=y"
    if name in LIMITED_BY_CGROUP:
        return f"{code}: a cgroup was refused, or its cap", "see `minibox delegate --help`"
    reason, mend = _user(error)
    return f"{code}: {reason}", mend


def no_controller(names: Sequence[str], found: tuple[Hierarchy, ...]) -> tuple[Row, ...]:
    """Rows for Host.why, for the controllers that this user has no cgroup for."""
    known = {name for one in found for name in (*one.controllers, *available(one.mount))}
    not_ours = _no_cgroup(found)
    return tuple((name, *(not_ours if name in known or not found else _unknown(name)))
                 for name in names)


def uncounted(disks: Sequence[str], found: tuple[Hierarchy, ...]) -> tuple[Row, ...]:
    """Rows for Host.why, for the disks whose bytes are not counted."""
    mount = next((one.mount for one in found if "blkio" in one.controllers), "")
    return tuple(("io figures",
                  f"this kernel counts the bytes of disk {disk} only once it has had a rate",
                  f"as root: echo {disk} 0 > {mount}/blkio.throttle.read_bps_device")
                 for disk in disks)


def _unknown(name: str) -> tuple[str, str]:
    """Why no mounted hierarchy has this controller, by the table of all that the kernel has."""
    rows = [line.split() for line in read("/proc/cgroups").splitlines()]
    enabled = next((row[-1] for row in rows if row[0] == name), "")
    if enabled == "1":
        return (f"the {name} controller is in use, but not here",
                "an outer container, or a mount of cgroup v1, has to hand it down")
    return (f"this kernel has no {name} controller, or it is switched off",
            f"boot with cgroup_enable={name} (Raspberry Pi: in cmdline.txt)")


def _no_cgroup(found: tuple[Hierarchy, ...]) -> tuple[str, str]:
    if not found:
        return "no cgroup file system is mounted", "sudo mount -t cgroup2 cgroup2 /sys/fs/cgroup"
    if all(os.statvfs(one.mount).f_flag & os.ST_RDONLY for one in found):
        return ("cgroups are mounted read-only, as an outer container does", "start that container "
                "with its own cgroups writable (docker run --privileged --cgroupns=private)")
    if systemd():
        return ("systemd has not handed this cgroup to you", "systemd-run --user --scope "
                "-p Delegate=yes -- COMMAND" if os.getuid() else
                "systemd-run --scope -p Delegate=yes -- COMMAND")
    return "no cgroup here is yours to write", 'sudo "$(which minibox)" delegate "$USER"'
