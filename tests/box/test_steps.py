"""What single steps do when what they meet is hostile or missing: plans changed in one place."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from plans import run

from minibox import steps
from minibox.compiler import compile
from minibox.engine import path as engine_path
from minibox.host import find
from minibox.plan import Plan, encode
from minibox.record import replace
from minibox.report import REASONS, Report
from minibox.spec import BoxSpec, Mount
from minibox.steps import CALLS, PARTS, Step

pytestmark = pytest.mark.needs("userns")


def plan(*argv: str, **fields: object) -> Plan:
    return compile(BoxSpec(argv=argv or ("/bin/true",), **fields), find())


def with_step(old: Plan, kind: type[Step], change: Callable[[Step], Step]) -> Plan:
    """The plan with its first step of this kind changed."""
    parts, todo = {}, True
    for part in PARTS:
        made = []
        for step in getattr(old, part):
            hit = todo and isinstance(step, kind)
            made.append(change(step) if hit else step)
            todo = todo and not hit
        parts[part] = tuple(made)
    assert not todo, f"the plan has no {kind.__name__}"
    return replace(old, **parts)


def failure(found: Report, of: Plan) -> tuple[str, int, str]:
    """The step that failed, its errno, its call."""
    assert found.reason == REASONS.index("setup"), found
    return type(list(of)[found.failed_step]).__name__, found.errno, CALLS[found.call]


def test_another_device_is_not_shown():
    wrong = with_step(plan(), steps.BindDevice, lambda step: replace(step, minor=step.minor + 1))
    assert failure(run(wrong), wrong)[:2] == ("BindDevice", errno.ENXIO)


def test_a_file_in_a_devices_place_is_not_shown():
    wrong = with_step(plan(), steps.BindDevice, lambda step: replace(step, source="/etc/passwd"))
    assert failure(run(wrong), wrong)[:2] == ("BindDevice", errno.ENXIO)


def test_a_working_directory_through_a_descriptor_is_refused():
    """The way out that CVE-2024-21626 took."""
    wrong = with_step(plan(), steps.ChangeDir, lambda step: replace(step, path="/proc/self/fd/7"))
    name, err, call = failure(run(wrong), wrong)
    assert (name, call) == ("ChangeDir", "openat2") and err in (errno.ELOOP, errno.ENOENT)


@pytest.mark.parametrize("option", ["rw", "", "nosuid,nodev"])
def test_an_unknown_mount_option_is_no_option(option):
    wrong = with_step(plan(), steps.AttachTree, lambda step: replace(step, options=(option,)))
    assert failure(run(wrong), wrong)[:2] == ("AttachTree", errno.EINVAL)


def test_a_file_is_not_mounted_on_a_directory(tmp_path):
    (tmp_path / "file").touch()
    wrong = plan(mounts=(Mount(type="bind", source=str(tmp_path / "file"), target="/tmp"),))
    assert failure(run(wrong), wrong)[:2] == ("AttachTree", errno.EISDIR)


def test_what_a_helper_says_is_in_the_detail(tmp_path):
    helper = tmp_path / "newuidmap"
    helper.write_text("#!/bin/sh\necho not today >&2\nexit 1\n")
    helper.chmod(0o755)
    wrong = with_step(plan(), steps.MapIds, lambda step: steps.MapIdsWithHelpers(
        uids=(0, 1, 1), gids=(0, 1, 1), uid_helper=str(helper), gid_helper="/bin/true"))
    found = run(wrong)
    assert failure(found, wrong) == ("MapIdsWithHelpers", errno.EPERM, "execve")
    assert found.detail == "not today"


def test_an_absent_helper_is_named_by_its_errno():
    wrong = with_step(plan(), steps.MapIds, lambda step: steps.MapIdsWithHelpers(
        uids=(0, 1, 1), gids=(0, 1, 1), uid_helper="/none", gid_helper="/none"))
    assert failure(run(wrong), wrong) == ("MapIdsWithHelpers", errno.ENOENT, "faccessat2")


def lease(path: Path, count: int = 1) -> Callable[[Step], Step]:
    return lambda step: replace(step, path=str(path), count=count)


@pytest.mark.needs("root")
def test_leases_end_with_their_box(tmp_path):
    one = with_step(plan(), steps.LeaseIds, lease(tmp_path / "leases/ids"))
    assert [run(one).reason for _ in range(2)] == [REASONS.index("exited")] * 2


@pytest.mark.needs("root")
def test_a_lease_is_not_given_twice(tmp_path):
    (tmp_path / "leases").mkdir(0o700)
    with open(os.open(tmp_path / "leases/ids", os.O_RDWR | os.O_CREAT, 0o600), "wb") as file:
        lock = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, lock)
        only = with_step(plan(), steps.LeaseIds, lease(tmp_path / "leases/ids"))
        assert failure(run(only), only)[:2] == ("LeaseIds", errno.EUSERS)
        first = next(step.first for step in only if isinstance(step, steps.LeaseIds))
        size = next(step.size for step in only if isinstance(step, steps.LeaseIds))
        other = with_step(plan(), steps.LeaseIds, lease(tmp_path / "leases/ids", count=2))
        assert run(other).lease == first + size


@pytest.mark.needs("root")
@pytest.mark.parametrize("spoil", ["link", "writable", "owned", "directory"])
def test_a_lease_file_that_is_not_roots_own_is_refused(tmp_path, spoil):
    leases = tmp_path / "leases"
    leases.mkdir(0o700)
    (leases / "ids").touch(0o600)
    if spoil == "link":
        (leases / "ids").rename(tmp_path / "elsewhere")
        (leases / "ids").symlink_to(tmp_path / "elsewhere")
    elif spoil == "writable":
        (leases / "ids").chmod(0o666)
    elif spoil == "owned":
        os.chown(leases / "ids", 65534, 65534)
    else:
        leases.chmod(0o777)
    wrong = with_step(plan(), steps.LeaseIds, lease(leases / "ids"))
    assert failure(run(wrong), wrong)[:2] in (("LeaseIds", errno.EPERM), ("LeaseIds", errno.ELOOP))


@pytest.mark.needs("overlay", "root")
def test_changes_that_cannot_be_kept_are_no_silent_read_only(user_boxed, busybox_of_user):
    keep = user_boxed.scratch / "keep"
    for directory in ("upper", "work"):                     # root's
        (keep / directory).mkdir(parents=True)
    done = user_boxed("--keep", str(keep), "--rootfs", str(busybox_of_user), "--", "/bin/true")
    assert done.status == 125 and "not this user's to write" in done.err, done


@pytest.fixture
def busybox_of_user(user_boxed):
    root = user_boxed.scratch / "root"
    for directory in ("bin", "proc", "dev"):
        (root / directory).mkdir(parents=True)
    (root / "bin/true").write_bytes(Path("/bin/busybox").read_bytes())
    (root / "bin/true").chmod(0o755)
    return root


def test_links_of_a_hostile_root_lead_nowhere(boxed, busybox):
    """/etc, /dev and /proc point out of the root; what set-up makes there must land inside."""
    outside = boxed.scratch / "outside"
    (outside / "etc").mkdir(parents=True)
    (outside / "etc/passwd").write_text("host\n")
    for path in (outside, outside / "etc", outside / "etc/passwd"):
        os.chown(path, boxed.uid, boxed.gid)
    before = sorted(outside.rglob("*"))
    for name, to in (("etc", f"{outside}/etc"), ("dev", "../../../../../.." + str(outside)),
                     ("proc", str(outside))):
        (busybox / name).rmdir()
        (busybox / name).symlink_to(to)
    for mode in ("--rw", "--read-only", "--env=A=b"):               # the last one: an overlay
        boxed(mode, "--rootfs", str(busybox), "-v", f"{outside}/etc:/dev/volume",
              "--", "/bin/sh", "-c", "echo boxed >/etc/passwd; echo boxed >/proc/file")
        assert sorted(outside.rglob("*")) == before
        assert (outside / "etc/passwd").read_text() == "host\n"


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.needs("root")
def test_init_holds_the_lease_of_its_ids_and_little_else(tmp_path):
    """A killed engine must not hand out ids that processes of its box still have."""
    ids = tmp_path / "leases/ids"
    saved = tmp_path / "plan"
    saved.write_bytes(encode(with_step(plan("/bin/cat", stdin=True), steps.LeaseIds, lease(ids))))
    with subprocess.Popen([engine_path(), saved], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          bufsize=0) as engine:
        engine.stdin.write(b"up\n")
        assert engine.stdout.readline() == b"up\n"
        [init] = children(engine.pid)
        held, deadline = set(), time.monotonic() + 10
        while "lease" not in held or len(held) > 5:         # init lets go while its app starts
            assert time.monotonic() < deadline, held
            held = {os.readlink(path).replace(str(ids), "lease")
                    for path in Path(f"/proc/{init}/fd").iterdir()}
        engine.stdin.close()
        assert engine.wait() == 0
