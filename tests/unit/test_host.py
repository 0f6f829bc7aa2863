"""Reading what hosts tell: texts as five kinds of them give them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from minibox import cgroups, host, mends, probing
from minibox.cgroups import Hierarchy
from minibox.facts import IdRange
from minibox.host import Probed

DEBIAN_12 = """\
22 27 0:20 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
27 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
30 22 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 \
rw,nsdelegate,memory_recursiveprot
"""
DEBIAN_12_SSH = "0::/user.slice/user-1000.slice/session-3.scope\n"

UBUNTU_2404 = """\
29 1 252:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,discard
41 26 0:28 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 \
rw,nsdelegate,memory_recursiveprot
99 29 7:0 / /snap/core22/1621 ro,nodev,relatime shared:60 - squashfs /dev/loop0 ro
"""
UBUNTU_2404_DESKTOP = (
    "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.gnome.Terminal.slice/"
    "vte-spawn-5b1a.scope\n")

HYBRID = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
HYBRID_OWN = "9:name=systemd:/\n4:memory:/jobs/17\n2:cpuacct,cpu:/\n0::/\n"

DOCKER_V1 = """\
610 500 0:55 / / rw,relatime - overlay overlay rw,lowerdir=/a:/b,upperdir=/c,workdir=/d
620 611 0:60 / /proc/acpi ro,relatime - tmpfs tmpfs ro
621 611 0:22 /bus /proc/bus ro,nosuid,nodev,noexec,relatime - proc proc rw
640 630 0:33 /docker/4f0c /sys/fs/cgroup/memory ro,nosuid,nodev,noexec,relatime master:15 - \
cgroup cgroup rw,memory
"""
DOCKER_V1_OWN = "6:memory:/docker/4f0c\n1:name=systemd:/docker/4f0c\n"

DOCKER_V2 = """\
700 600 0:28 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate
"""

WSL2 = """\
66 77 8:32 / / rw,relatime - ext4 /dev/sdc rw,discard,errors=remount-ro
80 74 0:31 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw,mode=755
81 80 0:32 / /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime - cgroup2 cgroup2 rw
83 80 0:34 / /sys/fs/cgroup/pids rw,nosuid,nodev,noexec,relatime - cgroup cgroup rw,pids
90 66 0:40 / /mnt/c\\040drive rw,noatime - 9p drvfs rw,dirsync
"""
WSL2_OWN = "3:pids:/\n1:name=systemd:/\n0::/\n"


def one(version: int, controllers: tuple[str, ...], mount: str, own: str) -> Hierarchy:
    return Hierarchy(version=version, controllers=controllers, mount=mount, own=own)


@pytest.mark.parametrize(("mountinfo", "cgroup", "mode", "expected"), [
    (DEBIAN_12, DEBIAN_12_SSH, "v2",
     [one(2, (), "/sys/fs/cgroup", "/sys/fs/cgroup/user.slice/user-1000.slice/session-3.scope")]),
    (UBUNTU_2404, UBUNTU_2404_DESKTOP, "v2",
     [one(2, (), "/sys/fs/cgroup", "/sys/fs/cgroup" + UBUNTU_2404_DESKTOP[3:-1])]),
    (HYBRID, HYBRID_OWN, "hybrid",
     [one(1, ("cpuacct", "cpu"), "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct"),
      one(1, ("memory",), "/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory/jobs/17"),
      one(2, (), "/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified")]),
    (DOCKER_V1, DOCKER_V1_OWN, "v1",
     [one(1, ("memory",), "/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory")]),
    (DOCKER_V2, "0::/\n", "v2", [one(2, (), "/sys/fs/cgroup", "/sys/fs/cgroup")]),
    (WSL2, WSL2_OWN, "hybrid",
     [one(2, (), "/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified"),
      one(1, ("pids",), "/sys/fs/cgroup/pids", "/sys/fs/cgroup/pids")]),
    ("27 1 254:0 / / rw - ext4 /dev/vda rw\n", "0::/\n", "none", []),
])
def test_the_hierarchies_of_a_host_are_those_that_it_mounts(mountinfo, cgroup, mode, expected):
    found = cgroups.hierarchies(mountinfo, cgroup)
    assert list(found) == expected
    assert cgroups.mode(found) == mode


def test_a_mount_that_does_not_show_our_own_cgroup_is_not_taken_for_it():
    elsewhere = DEBIAN_12.replace("0:26 / /sys", "0:26 /machine.slice /sys")
    assert cgroups.hierarchies(elsewhere, DEBIAN_12_SSH)[0].own == ""
    outside = cgroups.hierarchies(DEBIAN_12, "0::/../../session-3.scope\n")
    assert outside[0].own == ""


def test_a_mount_point_with_blanks_is_read_back():
    text = DEBIAN_12.replace("/sys/fs/cgroup", "/my\\040c\\134groups")
    assert cgroups.hierarchies(text, "0::/a\n")[0].own == "/my c\\groups/a"


def test_masks_of_proc_are_those_that_a_container_engine_lays():
    assert mends.masks_of_proc(DOCKER_V1) == ["/proc/acpi", "/proc/bus"]
    binfmt = "40 22 0:9 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw\n"
    assert mends.masks_of_proc(DEBIAN_12 + binfmt) == []


# ---- which directory is the parent: on real directories, made here -------------------------------

def tree(top: Path, **handed_down: str) -> Hierarchy:
    """A directory of the shape of cgroup v2, one within the other; the last is our own."""
    directory = top
    for name, controllers in handed_down.items():
        directory = directory if name == "root" else directory / name
        directory.mkdir(exist_ok=True)
        (directory / "cgroup.procs").touch()
        (directory / "cgroup.subtree_control").write_text(controllers + "\n")
    return one(2, (), str(top), str(directory))


def test_on_v2_the_nearest_that_hands_most_down_is_the_parent(tmp_path):
    found = tree(tmp_path, root="cpu memory pids", slice="memory pids", app="memory pids", own="")
    names = [(c.name, c.parent) for c in cgroups.controllers((found,), uid=1)]
    assert names == [(name, str(tmp_path)) for name in ("cpu", "memory", "pids")]
    (tmp_path / "slice/app/cgroup.subtree_control").write_text("cpu memory pids misc\n")
    assert {c.parent for c in cgroups.controllers((found,), uid=1)} == {f"{tmp_path}/slice/app"}


def test_on_v2_without_controllers_handed_down_none_is_usable(tmp_path):
    assert cgroups.controllers((tree(tmp_path, root="", own="memory"),), uid=1)[0].parent \
        == f"{tmp_path}/own"
    assert cgroups.controllers((tree(tmp_path, root="", own=""),), uid=1) == ()


def test_on_v1_our_own_cgroup_comes_first_and_a_delegated_one_second(tmp_path):
    own, delegated = tmp_path / "jobs", tmp_path / "minibox/user-1234"
    for directory in (own, delegated):
        directory.mkdir(parents=True)
    here = one(1, ("cpu", "cpuacct"), str(tmp_path), str(own))
    assert {c.parent for c in cgroups.controllers((here,), uid=1234)} == {str(own)}
    hidden = one(1, ("cpu", "cpuacct"), str(tmp_path), "")
    assert {c.parent for c in cgroups.controllers((hidden,), uid=1234)} == {str(delegated)}
    assert cgroups.controllers((hidden,), uid=1235) == ()


# ---- subordinate ids -----------------------------------------------------------------------------

DISKSTATS = """\
   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0
   8       0 sda 86327 15467 6024770 42239 56582 54884 8012792 33103 0 30896 96051
   8       1 sda1 86000 15467 6024000 42000 56582 54884 8012792 33103 0 30896 96051
   8      16 sdb 0 0 0 0 12 0 96 1 0 1 1
"""
COUNTED = "8:0 Read 530706432\n8:0 Write 281600000\n8:0 Total 812306432\n"


@pytest.mark.parametrize(("service_bytes", "uncounted"), [
    ("Total 0\n", ("8:0", "8:16")), (COUNTED + "Total 812306432\n", ("8:16",)),
    (COUNTED + COUNTED.replace("8:0", "8:16") + "Total 1624612864\n", ())])
def test_disks_in_use_that_v1_does_not_count_are_found(service_bytes, uncounted):
    disks = ("loop0", "sda", "sdb")
    assert cgroups.uncounted_disks(service_bytes, DISKSTATS, disks) == uncounted


def test_what_would_have_a_disk_counted_is_said():
    blkio = Hierarchy(version=1, controllers=("blkio",), mount="/cg/blkio", own="/cg/blkio")
    assert [row[2] for row in mends.uncounted(("8:16",), (blkio,))] == [
        "as root: echo 8:16 0 > /cg/blkio/blkio.throttle.read_bps_device"]


def test_the_largest_range_of_a_user_by_name_or_number_is_taken():
    text = "# who\nalice:100000:65536\nbob:165536:65536\n1000:300000:131072\nalice:7\n\nalice:x:y\n"
    assert probing.subordinate(text, ("alice", "1000")) == IdRange(first=300000, count=131072)
    assert probing.subordinate(text, ("alice",)) == IdRange(first=100000, count=65536)
    assert probing.subordinate(text, ("carol",)) is None


def test_the_range_that_is_offered_is_nobodys():
    assert mends.free_range("") == 100_000
    assert mends.free_range("alice:100000:65536\nbob:x\nnonsense\ncarol:231072:65536\n") == 296_608


# ---- what is remembered --------------------------------------------------------------------------

PROBED = Probed(key="k 1", namespaces=("user", "mnt"), features=("overlay",), refused=("cpu",),
                uid_range=IdRange(first=100000, count=65536), uid_helper="/usr/bin/newuidmap",
                gid_range=IdRange(first=200000, count=65536), gid_helper="/usr/bin/newgidmap",
                why=(("time", "Linux 5.6 brought it", "boot a newer kernel"),))


@pytest.mark.parametrize("probed", [PROBED, Probed(key="k 1")])
def test_what_is_remembered_is_what_was_found(probed):
    assert host.load(host.dump(probed), "k 1") == probed


def test_facts_of_another_kernel_or_caller_are_not_believed():
    assert host.load(host.dump(PROBED), "k 2") is None


def test_damaged_facts_are_not_believed():
    text = host.dump(PROBED)
    lines = text.splitlines(keepends=True)
    damaged = [text[:cut] for cut in range(len(text) - 1)]
    damaged += ["".join(lines[:i] + lines[i + 1:]) for i in range(len(lines))]
    damaged += [text.replace("\t65536", "\t-1"), text.replace("uid\t", "oid\t"),
                text.replace("why\ttime", "why\ta\ttime"), "\0" * 100]
    assert [host.load(one, "k 1") for one in damaged] == [None] * len(damaged)


@pytest.mark.parametrize(("text", "numbers"), [
    ("6.18.44-fc-v769", (6, 18)), ("6.1.0-28-amd64", (6, 1)), ("5.15.153.1-microsoft-standard-WSL2",
                                                              (5, 15)), ("6.12-rc3", (6, 12))])
def test_a_release_is_read_to_its_second_number(text, numbers):
    assert host.release(text) == numbers


def test_facts_that_others_could_have_written_are_not_believed(tmp_path, monkeypatch):
    if os.getuid() == 0:
        monkeypatch.setattr(host, "directory", lambda: str(tmp_path / "minibox"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    host._remember(PROBED)
    path = Path(host._path())
    assert host._remembered("k 1") == PROBED
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    path.chmod(0o640)
    assert host._remembered("k 1") is None
    path.chmod(0o600)
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))
    assert host._remembered("k 1") is None


def test_facts_of_earlier_boots_go_when_new_ones_come(tmp_path, monkeypatch):
    monkeypatch.setattr(host, "directory", lambda: str(tmp_path / "minibox"))
    old = tmp_path / "minibox/host-00000000-0000-0000-0000-000000000000-1-2"
    old.parent.mkdir(mode=0o700)
    old.touch()
    host._remember(PROBED)
    assert [path.name for path in old.parent.iterdir()] == [os.path.basename(host._path())]


def test_a_mount_of_any_name_hides_no_other():
    text = "1 0 0:1 / /a\x0bb\x85c rw - fuse x rw\n2 1 0:2 / /proc/kcore ro - tmpfs x ro\n"
    assert len(cgroups.lines(text)) == 2 and mends.masks_of_proc(text) == ["/proc/kcore"]
