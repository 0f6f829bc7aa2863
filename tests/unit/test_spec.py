"""What may be asked for: each impossible value is refused at once, by name of field and value."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from minibox.errors import SpecError
from minibox.record import Record, as_dict, replace
from minibox.request import box_spec
from minibox.spec import BoxSpec, Device, DeviceRate, Limits, Mount, Ulimit, User

TRUE = ("/bin/true",)


def bind(target: str) -> Mount:
    return Mount(type="bind", source="/srv", target=target)


@pytest.mark.parametrize(("fields", "field"), [
    ({"argv": ()}, "command"), ({"argv": ("",)}, "command"), ({"argv": ("a\0b",)}, "command"),
    ({"argv": ("x" * 131072,)}, "command"), ({"argv": ("é" * 65536,)}, "command"),
    ({"argv": ("x" * 100_000,) * 63}, "command"), ({"argv": ("\ud800",)}, "command"),
    ({"environment": (("A", "\ud800"),)}, "env"), ({"workdir": "/\ud800"}, "workdir"),
    ({"environment": (("", "x"),)}, "env"), ({"environment": (("A=B", "x"),)}, "env"),
    ({"environment": (("A", "x\0"),)}, "env"),
    ({"workdir": ""}, "workdir"), ({"workdir": "here"}, "workdir"),
    ({"workdir": "/" + "x" * 4095}, "workdir"),
    ({"hostname": ""}, "hostname"), ({"hostname": "x" * 65}, "hostname"),
    ({"hostname": "a b"}, "hostname"), ({"hostname": "a\n127.0.0.1 b"}, "hostname"),
    ({"rootfs": "here"}, "rootfs"), ({"keep": "here"}, "keep"), ({"root_by": "switch"}, "root-by"),
    ({"writable": True}, "rw"),
    ({"rootfs": "/r", "writable": True, "read_only": True}, "--rw"),
    ({"rootfs": "/r", "keep": "/k", "read_only": True}, "--keep"),
    ({"share": ("user",)}, "share"), ({"share": ("mnt",)}, "share"), ({"ids": "two"}, "ids"),
    ({"cgroups": "maybe"}, "cgroups"), ({"boottime_offset_s": float("inf")}, "time-offset"),
    ({"monotonic_offset_s": float("nan")}, "time-offset"),
    ({"stop_timeout_s": -1}, "stop-timeout"), ({"stop_signal": 0}, "stop-signal"),
    ({"stop_signal": 65}, "stop-signal"),
    ({"mounts": (bind("/a"), bind("/./a//"))}, "mount target"),
    ({"init": False, "share": ("pid",)}, "init"), ({"init": False, "boottime_offset_s": 1}, "init"),
])
def test_a_box_that_cannot_be_is_refused_by_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(SpecError) as refused:
        BoxSpec(**({"argv": TRUE} | fields))
    assert refused.value.field == field and refused.value.hint


@pytest.mark.parametrize(("fields", "field"), [
    ({"memory_bytes": 0}, "memory"), ({"memory_bytes": 2**63}, "memory"),
    ({"memory_bytes": float("nan")}, "memory"), ({"swap_bytes": 0}, "memory-swap"),
    ({"memory_bytes": 1 << 20, "swap_bytes": -2}, "memory-swap"),
    ({"cpus": 0}, "cpus"), ({"cpus": float("nan")}, "cpus"), ({"cpus": 5000}, "cpus"),
    ({"cpuset": ()}, "cpuset-cpus"), ({"cpuset": (8192,)}, "cpuset-cpus"),
    ({"pids": 0}, "pids-limit"), ({"walltime_s": 0}, "timeout"),
    ({"walltime_s": float("inf")}, "timeout"), ({"cputime_s": -1}, "cpu-time"),
    ({"output_bytes": 0}, "output-limit"), ({"tmpfs_bytes": 1}, "tmpfs-size"),
    ({"tmpfs_inodes": 1}, "tmpfs-inodes"), ({"shm_bytes": 1}, "shm-size"),
    ({"oom_score_adj": 1001}, "oom-score-adj"),
    ({"ulimits": (Ulimit(name="core", soft=0, hard=0),) * 2}, "ulimit"),
])
def test_a_limit_that_cannot_be_is_refused_by_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(SpecError) as refused:
        Limits(**fields)
    assert refused.value.field == field and refused.value.hint


@pytest.mark.parametrize(("make", "fields"), [
    (User, {"uid": -1}), (User, {"uid": 2**32 - 1}), (User, {"uid": 0, "gid": 2**32 - 1}),
    (Ulimit, {"name": "files", "soft": 0, "hard": 0}),
    (Ulimit, {"name": "as", "soft": 2, "hard": 1}),
    (Mount, {"type": "nfs", "target": "/a"}), (Mount, {"type": "bind", "target": "/a"}),
    (Mount, {"type": "tmpfs", "target": "/"}), (Mount, {"type": "tmpfs", "target": "/a/../b"}),
    (Mount, {"type": "tmpfs", "target": "//proc/self"}),
    (Mount, {"type": "tmpfs", "target": "/dev/"}),
    (Mount, {"type": "tmpfs", "target": "/a", "mode": 0o10000}),
    (Device, {"source": "fuse", "target": "/dev/fuse", "major": 10, "minor": 229}),
    (DeviceRate, {"path": "/dev/sda", "per_second": 0, "kind": "read_bps", "major": 8, "minor": 0}),
])
def test_a_part_that_cannot_be_is_refused(make: type[Record], fields: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        make(**fields)


def test_a_mount_may_lie_below_dev() -> None:
    assert bind("/dev/data").target == "/dev/data"


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(SpecError) as refused:
        BoxSpec(argv=("x" * 200_000,))
    assert len(str(refused.value)) < 300 and "200002 characters" in str(refused.value)


# ---- records -------------------------------------------------------------------------------------

class Point(Record):
    x: int
    y: str = "here"


class Place(Point):
    z: tuple[int, ...] = ()


def test_a_record_has_its_fields_and_those_above_in_order() -> None:
    assert as_dict(Place(x=1, z=(2,))) == {"x": 1, "y": "here", "z": (2,)}
    assert repr(Place(x=1)) == "Place(x=1, y='here', z=())"


def test_a_record_cannot_be_changed() -> None:
    point = Point(x=1)
    with pytest.raises(AttributeError, match="immutable"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError, match="immutable"):
        del point.x
    with pytest.raises(AttributeError):
        point.w = 2  # type: ignore[attr-defined]


def test_a_record_takes_its_fields_by_name_and_no_others() -> None:
    with pytest.raises(TypeError, match="needs a value for 'x'"):
        Point()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="no field 'w'"):
        Point(x=1, w=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Point(1)  # type: ignore[call-arg]


def test_records_are_equal_by_class_and_values() -> None:
    assert Point(x=1) == Point(x=1, y="here") != Point(x=2)
    assert Point(x=1) != Place(x=1)
    assert len({Point(x=1), Point(x=1), Place(x=1)}) == 2


def test_a_changed_copy_is_checked_again() -> None:
    assert replace(Point(x=1), y="there") == Point(x=1, y="there")
    with pytest.raises(SpecError):
        replace(Limits(), pids=0)


def test_a_spec_can_be_sent_to_another_process() -> None:
    spec = BoxSpec(argv=TRUE, limits=Limits(pids=3), mounts=(bind("/a"),))
    assert pickle.loads(pickle.dumps(spec)) == spec


def test_a_limit_that_is_given_as_an_argument_is_told_its_place() -> None:
    with pytest.raises(TypeError, match=r"'memory': say limits=minibox.Limits\(memory=...\)$"):
        box_spec(TRUE, memory="64M")
    with pytest.raises(TypeError, match="no argument 'memry'$"):
        box_spec(TRUE, memry="64M")
