"""Plans: as golden text for named hosts, and what must hold of every one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hosts
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from minibox import plan, spec, steps
from minibox.compiler import compile
from minibox.errors import HostError, SpecError
from minibox.facts import Host
from minibox.plan import Plan
from minibox.record import replace
from minibox.spec import BoxSpec, Device, DeviceRate, Limits, Mount, Ulimit, User

GOLDEN = Path(__file__).parents[1] / "golden"

DEFAULT = BoxSpec(argv=("true",))
ROOTFS = replace(DEFAULT, rootfs="/srv/root")

SPECS = {
    "default": DEFAULT,
    "caps": replace(DEFAULT, limits=Limits(
        memory_bytes=64 << 20, cpus=0.5, cpuset=(0, 1), pids=20, walltime_s=2.0, cputime_s=1.5,
        output_bytes=1 << 20)),
    "best-effort": replace(DEFAULT, best_effort=True, limits=Limits(
        memory_bytes=64 << 20, swap_bytes=0, cpus=0.5, pids=20, device_rates=(
            DeviceRate(path="/dev/sda", per_second=1 << 20, kind="read_bps", major=8, minor=0),))),
    "device-rates": replace(DEFAULT, limits=Limits(device_rates=(
        DeviceRate(path="/dev/sda", per_second=1 << 20, kind="read_bps", major=8, minor=0),
        DeviceRate(path="/dev/sda", per_second=100, kind="write_iops", major=8, minor=0)))),
    "rootfs": replace(ROOTFS, user=User(uid=1000, gid=100), workdir="/work", mounts=(
        Mount(type="bind", source="/home/me/data", target="/work/data", read_only=True),
        Mount(type="tmpfs", target="/work", size_bytes=1 << 20, inodes=99, mode=0o700))),
    "read-only": replace(ROOTFS, read_only=True),
    "rw": replace(ROOTFS, writable=True, workdir="/work"),
    "keep": replace(DEFAULT, keep="/home/me/kept"),
    "chroot": replace(ROOTFS, root_by="chroot"),
    "shared": replace(DEFAULT, share=("net", "pid", "ipc", "uts")),
    "terminal": replace(DEFAULT, terminal=True, stdin=True, user=User(uid=1000),
                        environment=(("TERM", "vt100"), ("HOME", "/tmp"))),
    "no-init": replace(DEFAULT, init=False, devices=(
        Device(source="/dev/fuse", target="/dev/fuse", major=10, minor=229),)),
    "clocks": replace(DEFAULT, boottime_offset_s=86400.0, hostname="later"),
    "range": replace(DEFAULT, ids="range", user=User(uid=70000)),
    "one": replace(DEFAULT, ids="one", user=User(uid=7, gid=8)),
    "limits": replace(DEFAULT, read_only=True, limits=Limits(
        ulimits=(Ulimit(name="nofile", soft=64, hard=128), Ulimit(name="cpu", soft=9, hard=-1)),
        tmpfs_bytes=1 << 20, tmpfs_inodes=64, shm_bytes=4096, oom_score_adj=0)),
}

PAIRS = [*((what, host) for what in ("default", "caps") for host in hosts.HOSTS),
         ("best-effort", "v1-rootless"), ("best-effort", "no-cgroup"),
         ("device-rates", "full"), ("device-rates", "v1-root"), ("device-rates", "ubuntu-2404"),
         ("rootfs", "full"), ("rootfs", "ubuntu-2404"), ("rootfs", "v1-rootless"),
         ("read-only", "v1-rootless"), ("rw", "full"), ("keep", "ubuntu-2404"), ("chroot", "full"),
         ("shared", "ubuntu-2404"), ("shared", "no-cgroup"), ("terminal", "full"),
         ("no-init", "v1-rootless"), ("clocks", "no-cgroup"), ("range", "full"),
         ("range", "ubuntu-2404"), ("range", "v1-rootless"), ("range", "container"),
         ("one", "full"), ("one", "no-cgroup"), ("limits", "no-cgroup")]


def receipts(compiled: Plan) -> dict[str, dict[str, Any]]:
    """By cap; each cap has one."""
    found: list[dict[str, Any]] = json.loads(compiled.notes)["receipts"]
    assert len({one["cap"] for one in found}) == len(found)
    return {one["cap"]: one for one in found}


def as_text(asked: BoxSpec, host: Host) -> str:
    """The plan and its receipts, or why there is none."""
    try:
        compiled = compile(asked, host)
    except (SpecError, HostError) as error:
        return f"{type(error).__name__}: {error}\n"
    lines = [f"  {cap}: {json.dumps(one['in_force'])} by {one['mechanism']}"
             + (f" ({one['note']})" if one["note"] else "")
             for cap, one in receipts(compiled).items()]
    return plan.to_text(compiled) + "receipts\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize(("what", "host"), PAIRS, ids="-on-".join)
def test_a_plan_is_as_it_was(what: str, host: str, pytestconfig: pytest.Config) -> None:
    """After a change that is meant: pytest --update-golden, and read the difference."""
    path = GOLDEN / f"{what}-on-{host}.txt"
    text = as_text(SPECS[what], hosts.HOSTS[host])
    if pytestconfig.getoption("--update-golden"):
        path.write_text(text)
    assert text == path.read_text()


def test_every_golden_plan_is_one_that_is_compiled() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {f"{a}-on-{b}.txt" for a, b in PAIRS}
    assert {what for what, _ in PAIRS} == set(SPECS)


# ---- what must hold of every plan ----------------------------------------------------------------

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
PATHS = NAMES.map(lambda name: "/" + name)
WORDS = st.sampled_from(("a", "b", "c", "data", "srv"))
IDS = st.integers(0, spec.MAX_ID)
KINDS_SHARED = st.lists(st.sampled_from(("net", "pid", "ipc", "uts")), unique=True).map(tuple)


def fields(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=strategies)


def tuples(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, max_size=2).map(tuple)


def rates(paths: st.SearchStrategy[str]) -> st.SearchStrategy[DeviceRate]:
    return st.builds(DeviceRate, path=paths, per_second=st.integers(1, 2**62), minor=st.just(0),
                     major=st.integers(0, 99), kind=st.sampled_from(("read_bps", "write_iops")))


ANY_LIMITS = fields(
    memory_bytes=st.integers(0, 2**62), swap_bytes=st.integers(-1, 2**62), cpus=st.floats(0, 9),
    cpuset=tuples(st.integers(0, 9)), pids=st.integers(0, 2**22), walltime_s=st.floats(0, 2e9),
    cputime_s=st.floats(0, 2e9), output_bytes=st.integers(0, 2**62), shm_bytes=st.integers(),
    tmpfs_bytes=st.integers(), tmpfs_inodes=st.integers(0, 2**32),
    oom_score_adj=st.integers(-1001, 1001), device_rates=tuples(rates(PATHS)))
ANY_BOX = fields(
    environment=tuples(st.tuples(NAMES, NAMES)), workdir=PATHS, hostname=NAMES, rootfs=PATHS,
    user=st.builds(User, uid=IDS, gid=st.none() | IDS), read_only=st.booleans(),
    writable=st.booleans(), keep=PATHS, root_by=st.sampled_from(("pivot_root", "chroot")),
    share=KINDS_SHARED, boottime_offset_s=st.floats(-2e9, 2e9), best_effort=st.booleans(),
    ids=st.sampled_from(("auto", "one", "range")), stop_timeout_s=st.floats(0, 1e10),
    cgroups=st.sampled_from(("auto", "enabled", "disabled")), init=st.booleans(),
    stdin=st.booleans(), terminal=st.booleans())
ANY_MOUNT = fields(type=st.sampled_from(("bind", "tmpfs")), target=PATHS, source=PATHS,
                   read_only=st.booleans(), mode=st.integers(0, 0o10000))


@st.composite
def any_host(draw: st.DrawFn) -> Host:
    """One of the named hosts, less some of what it has."""
    host = draw(st.sampled_from(list(hosts.HOSTS.values())))
    names = (*hosts.FEATURES, *hosts.NAMESPACES, *hosts.V2, "memory", "pids", "cpu", "cpuacct")
    lacking = draw(st.sets(st.sampled_from(names), max_size=2))
    return replace(
        host, features=tuple(one for one in host.features if one not in lacking),
        namespaces=tuple(one for one in host.namespaces if one not in lacking),
        controllers=tuple(one for one in host.controllers if one.name not in lacking))


@given(any_host(), ANY_BOX, ANY_LIMITS, st.lists(ANY_MOUNT, max_size=2))
@settings(max_examples=300, deadline=None)
def test_anything_asked_of_any_host_is_planned_or_refused_in_words(
        host: Host, values: dict[str, Any], limits: dict[str, Any],
        mounts: list[dict[str, Any]]) -> None:
    try:
        asked = BoxSpec(argv=("true",), limits=Limits(**limits), **values, mounts=tuple(
            Mount(**{"type": "tmpfs", "target": f"/{n}"} | one) for n, one in enumerate(mounts)))
        compiled = compile(asked, host)
    except (SpecError, HostError) as error:
        assert str(error) and error.hint
    else:
        assert compile(asked, host) == compiled == plan.decode(plan.encode(compiled))


LIMITS = st.builds(
    lambda given: Limits(**given), fields(
        memory_bytes=st.integers(1 << 20, 2**40), cpus=st.floats(0.01, 4), pids=st.integers(1, 99),
        cpuset=st.just((0, 1)), cputime_s=st.floats(0.001, 9), device_rates=tuples(rates(PATHS))))
MOUNTS = st.lists(st.builds(
    lambda name, of, ro: Mount(type=of, target=f"/{name}", source="/s" if of == "bind" else "",
                               read_only=ro),
    WORDS, st.sampled_from(("bind", "tmpfs")), st.booleans()),
    max_size=3, unique_by=lambda mount: mount.target).map(tuple)
ROOTS = st.sampled_from((
    {}, {"read_only": True}, {"keep": "/k"}, {"rootfs": "/r"}, {"rootfs": "/r", "read_only": True},
    {"rootfs": "/r", "writable": True}, {"rootfs": "/r", "keep": "/k"},
    {"rootfs": "/r", "root_by": "chroot"}))
BOXES = fields(workdir=WORDS.map("/{}".format), user=st.builds(User, uid=IDS, gid=IDS),
               share=KINDS_SHARED, ids=st.sampled_from(("auto", "one")), terminal=st.booleans(),
               boottime_offset_s=st.just(1.0))


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """What compile makes of boxes that most hosts can make."""
    host = draw(st.sampled_from(list(hosts.HOSTS.values())))
    values = {"best_effort": True} | draw(ROOTS) | draw(BOXES)
    if not values.keys() & {"share", "boottime_offset_s"}:
        values["init"] = draw(st.booleans())
    try:
        return compile(BoxSpec(argv=("true",), limits=draw(LIMITS), mounts=draw(MOUNTS), **values),
                       host)
    except HostError:
        reject()


laws = settings(max_examples=50, deadline=None)


@given(plans())
@laws
def test_a_plan_starts_one_box_and_executes_one_program_last(compiled: Plan) -> None:
    kinds = [type(step) for step in compiled]
    assert kinds.count(steps.Exec) == 1 and isinstance(compiled.app[-1], steps.Exec)
    assert kinds.count(steps.CloneInit) == 1 and kinds.count(steps.CloneApp) <= 1
    assert all(part in type(step).parts for part in steps.PARTS for step in getattr(compiled, part))


@given(plans())
@laws
def test_every_number_of_a_plan_is_in_the_range_that_the_engine_takes(compiled: Plan) -> None:
    for step in compiled:
        for field, kind in step.__fields__.items():
            if kind in ("int", "tuple[int, ...]"):
                value = getattr(step, field)
                low, high = steps.RANGES[field]
                for number in value if isinstance(value, tuple) else (value,):
                    default = step.__defaults__.get(field) == -1 == number
                    assert default or low <= number <= high, (step, field)


@given(plans())
@laws
def test_registers_are_filled_before_they_are_used(compiled: Plan) -> None:
    trees, cgroups = set(), set()
    for step in compiled:
        if isinstance(step, steps.OpenTree):
            assert step.tree not in trees
            trees.add(step.tree)
        elif isinstance(step, steps.AttachTree):
            trees.remove(step.tree)
        elif isinstance(step, steps.MakeCgroup):
            assert step.cgroup not in cgroups
            cgroups.add(step.cgroup)
        elif isinstance(step, steps.RemoveCgroup):
            cgroups.remove(step.cgroup)
        else:
            assert getattr(step, "cgroup", -1) in cgroups | {-1}
    assert not trees and not cgroups, "each tree is attached, each cgroup removed"


@given(plans())
@laws
def test_the_gates_that_init_waits_at_are_those_that_are_opened(compiled: Plan) -> None:
    opened = [step.gate for step in compiled.prepare if isinstance(step, steps.Release)]
    assert opened == [step.gate for step in compiled.enter if isinstance(step, steps.Await)]
    assert opened[0] == steps.GATE_IDS


@given(plans())
@laws
def test_privilege_is_dropped_last_and_for_good(compiled: Plan) -> None:
    kinds = [type(step) for step in compiled.app]
    dropped = kinds.index(steps.DropCapabilities)
    assert compiled.app[dropped] == steps.DropCapabilities(keep=0)
    assert kinds[dropped:] == [steps.DropCapabilities, steps.CloseFiles, steps.DieWithParent,
                               steps.FilterCalls, steps.Exec]
    order = [steps.SetRlimit, steps.SetIds, steps.NoNewPrivileges, steps.DropCapabilities]
    assert [kinds.index(kind) for kind in order] == sorted(kinds.index(kind) for kind in order)


@given(plans())
@laws
def test_box_ids_are_never_the_hosts_root(compiled: Plan) -> None:
    """But for root of a container, who has no other id to give."""
    for step in compiled.prepare:
        if isinstance(step, steps.MapIdsWithHelpers):
            assert 0 not in step.uids[1::3] + step.gids[1::3]
        elif isinstance(step, steps.MapIds) and 0 in step.uids[1::3]:
            assert step.leased or len(step.uids) == len(step.gids) == 3 and step.deny_setgroups


@given(plans())
@laws
def test_nothing_of_the_host_is_attached_with_set_uid_or_devices(compiled: Plan) -> None:
    for step in compiled.enter:
        if isinstance(step, steps.AttachTree):
            assert {"nosuid", "nodev"} <= set(step.options)
        if isinstance(step, steps.MountTmpfs):
            assert "nosuid" in step.options and step.inodes and step.size_bytes


@given(plans())
@laws
def test_each_layer_has_its_receipt(compiled: Plan) -> None:
    expected = {"ids", "user", "user namespace", "mnt namespace", "pid namespace", "net namespace",
                "ipc namespace", "uts namespace", "cgroup namespace", "root", "rootfs", "proc",
                "masks", "read-only-paths", "boot-id", "devices", "dev", "shm-size", "tmpfs-size",
                "memory", "cpus", "cpuset", "pids", "device-rates", "timeout", "cpu-time",
                "output-limit", "oom-score-adj", "capabilities", "no-new-privs", "keyring",
                "landlock", "seccomp", "namespace-limit", "propagation", "session", "network",
                "descriptors", "environment", "streams", "parent-death", "init"}
    assert expected - receipts(compiled).keys() == set()


# ---- walls that are left out ---------------------------------------------------------------------

@pytest.mark.parametrize("layer", spec.LAYERS)
def test_a_layer_that_is_left_out_changes_the_plan_and_says_so(layer: str) -> None:
    asked = BoxSpec(argv=("true",))
    whole, less = (compile(one, hosts.HOST_FULL)
                   for one in (asked, replace(asked, without=(layer,))))
    if layer != "environment":              # minibox.request adds the caller's variables
        assert tuple(whole) != tuple(less)
    receipt = receipts(less)[layer]
    assert (receipt["in_force"], receipt["note"]) == (None, "left out")


def test_a_layer_of_another_name_is_refused() -> None:
    with pytest.raises(SpecError, match="without"):
        BoxSpec(argv=("true",), without=("walls",))


def test_landlock_refuses_no_more_than_the_kernel_can() -> None:
    def rule(host: Host, **fields: Any) -> steps.RestrictLandlock | None:
        plan = compile(BoxSpec(argv=("true",), **fields), host)
        found = [step for step in plan.app if isinstance(step, steps.RestrictLandlock)]
        return found[0] if found else None

    def with_features(*names: str) -> Host:
        kept = tuple(one for one in hosts.HOST_FULL.features if not one.startswith("landlock"))
        return replace(hosts.HOST_FULL, features=(*kept, *names))

    full = rule(hosts.HOST_FULL)
    assert full and (full.tcp, full.scopes) == (3, 3) and full.writes >> 14 & 1
    assert not {"/", "/usr", "/proc", "/etc"} & set(full.writable)
    old = rule(with_features("landlock", "landlock.refer"))
    assert old and (old.tcp, old.scopes) == (0, 0) and not old.writes >> 14
    assert rule(with_features("landlock")) is None, "without REFER no file could be moved"
    assert rule(with_features()) is None
    network = rule(hosts.HOST_FULL, share=("net",))
    assert network and network.tcp == 0
    mounter = rule(hosts.HOST_FULL, capabilities=("SYS_ADMIN",))
    assert mounter and mounter.writes == 0 and mounter.scopes == 3
    assert rule(hosts.HOST_FULL, landlock=False) is None


@pytest.mark.parametrize(("fields", "writable"), [
    ({"read_only": True}, ("/dev",)),
    ({"rootfs": "/root-fs"}, ("/",)),
    ({"rootfs": "/root-fs", "read_only": True}, ("/dev",)),
    ({"workdir": "/work", "user": User(uid=1000)},
     ("/dev", "/home", "/mnt", "/opt", "/root", "/run", "/srv", "/tmp", "/var", "/work")),
    ({"mounts": (Mount(type="tmpfs", target="/scratch"), Mount(type="tmpfs", target="/tmp/a")),
      "read_only": True}, ("/dev", "/scratch", "/tmp/a")),
    ({"mounts": (Mount(type="bind", source="/a", target="/data", read_only=True),),
      "read_only": True}, ("/dev",)),
])
def test_landlock_lets_write_where_the_box_may_write(fields: dict[str, Any],
                                                     writable: tuple[str, ...]) -> None:
    plan = compile(BoxSpec(argv=("true",), **fields), hosts.HOST_FULL)
    rules = [step for step in plan.app if isinstance(step, steps.RestrictLandlock)]
    assert [rule.writable for rule in rules] == [writable]


# ---- caps: in force, or refused ------------------------------------------------------------------

@pytest.mark.parametrize(("limits", "feature"), [
    (Limits(memory_bytes=1 << 20), "memory"), (Limits(cpus=1), "cpus"),
    (Limits(device_rates=SPECS["device-rates"].limits.device_rates), "device-rates")])
def test_a_cap_without_its_controller_is_refused_with_the_mend(limits: Limits,
                                                               feature: str) -> None:
    asked = replace(DEFAULT, limits=limits)
    with pytest.raises(HostError) as refused:
        compile(asked, hosts.HOST_NO_CGROUP)
    assert refused.value.feature == feature and "minibox delegate" in refused.value.hint
    given_up = receipts(compile(replace(asked, best_effort=True), hosts.HOST_NO_CGROUP))[feature]
    assert given_up["in_force"] is None and given_up["note"]


def test_a_cap_is_refused_when_cgroups_are_switched_off() -> None:
    asked = replace(DEFAULT, cgroups="disabled", limits=Limits(memory_bytes=1 << 20))
    with pytest.raises(HostError, match="--cgroups disabled"):
        compile(asked, hosts.HOST_FULL)


def test_a_swap_cap_that_is_not_accounted_for_is_refused_only_if_asked() -> None:
    host = hosts.HOST_V1_ROOTLESS
    asked = replace(DEFAULT, limits=Limits(memory_bytes=1 << 20))
    assert receipts(compile(asked, host))["memory-swap"]["in_force"] is None
    with pytest.raises(HostError, match="swapaccount=1"):
        compile(replace(asked, limits=Limits(memory_bytes=1 << 20, swap_bytes=0)), host)


def test_cpus_that_the_caller_may_not_use_are_refused() -> None:
    with pytest.raises(HostError, match="CPU 4 .* choose from 0, 1, 2, 3"):
        compile(replace(DEFAULT, limits=Limits(cpuset=(1, 4))), hosts.HOST_FULL)


@pytest.mark.parametrize("host", hosts.HOSTS.values(), ids=hosts.HOSTS)
def test_a_box_without_caps_makes_no_cgroup(host: Host) -> None:
    compiled = compile(DEFAULT, host)
    assert not any(isinstance(step, steps.MakeCgroup) for step in compiled)
    assert receipts(compiled)["pids"]["in_force"] == (None if host.kernel < (5, 14) else 1024)


def test_on_v2_a_box_is_born_in_its_cgroup_and_on_v1_it_moves() -> None:
    asked = SPECS["caps"]
    born = compile(asked, hosts.HOST_FULL)
    assert next(s for s in born.prepare if isinstance(s, steps.CloneInit)).cgroup == 0
    assert not any(isinstance(step, steps.EnterCgroup) for step in born)
    moved = compile(asked, hosts.HOST_V1_ROOT)
    assert next(s for s in moved.prepare if isinstance(s, steps.CloneInit)).cgroup == -1
    entered = [step.cgroup for step in moved.prepare if isinstance(step, steps.EnterCgroup)]
    made = [step.cgroup for step in moved.prepare if isinstance(step, steps.MakeCgroup)]
    assert entered == made == [0, 1, 2, 3], "cpu and cpuacct are one"


def test_a_memory_cap_on_v1_ends_the_whole_box() -> None:
    limits = Limits(memory_bytes=1 << 20)
    on_v1 = compile(replace(DEFAULT, limits=limits), hosts.HOST_V1_ROOT)
    assert any(isinstance(step, steps.WatchOom) for step in on_v1)
    on_v2 = compile(replace(DEFAULT, limits=limits), hosts.HOST_FULL)
    assert [step.value for step in on_v2.prepare if isinstance(step, steps.WriteCgroup)
            and step.file == "memory.oom.group"] == ["1"]


@pytest.mark.parametrize(("uncounted", "rates", "told"), [
    ((), (), True), (("8:0",), (), False),
    (("8:0",), ("device-rates",), True), (("8:0", "8:16"), ("device-rates",), False)])
def test_bytes_of_some_disks_only_are_not_told(uncounted: tuple[str, ...], rates: tuple[str, ...],
                                               told: bool) -> None:
    asked = SPECS[rates[0]] if rates else replace(DEFAULT, cgroups="enabled")
    made = compile(asked, replace(hosts.HOST_V1_ROOT, uncounted_disks=uncounted))
    read = [one.file for one in made.finish if isinstance(one, steps.ReadCgroup)]
    assert ("blkio.throttle.io_service_bytes" in read) is told and "memory.oom_control" in read


def test_a_cpuset_of_v1_that_comes_with_another_controller_is_not_left_empty() -> None:
    together = tuple(replace(one, parent="/sys/fs/cgroup/all")
                     for one in hosts.HOST_V1_ROOT.controllers)
    compiled = compile(replace(DEFAULT, limits=Limits(pids=5)),
                       replace(hosts.HOST_V1_ROOT, controllers=together))
    written = {step.file: step.value for step in compiled.prepare
               if isinstance(step, steps.WriteCgroup)}
    assert written == {"pids.max": "6", "cpuset.cpus": "0,1,2,3", "cpuset.mems": "0"}


# ---- ids -----------------------------------------------------------------------------------------

def maps(asked: BoxSpec, host: Host) -> tuple[tuple[int, ...], tuple[int, ...]]:
    step = next(step for step in compile(asked, host).prepare
                if isinstance(step, (steps.MapIds, steps.MapIdsWithHelpers)))
    return step.uids, step.gids


@pytest.mark.parametrize(("user", "host", "uids"), [
    (User(), hosts.HOST_FULL, (0, 0, 65536)),
    (User(uid=70000), hosts.HOST_FULL, (0, 0, 65536, 70000, 65536, 1)),
    (User(), hosts.HOST_NO_CGROUP, (0, 1000, 1)),
    (User(uid=7), hosts.HOST_NO_CGROUP, (7, 1000, 1)),
    (User(), hosts.HOST_UBUNTU_2404, (0, 1000, 1, 1, 100000, 65535)),
    (User(uid=7), hosts.HOST_UBUNTU_2404, (0, 100000, 7, 7, 1000, 1, 8, 100007, 65528)),
    (User(uid=65535), hosts.HOST_UBUNTU_2404, (0, 100000, 65535, 65535, 1000, 1)),
    (User(uid=70000), hosts.HOST_UBUNTU_2404, (0, 100000, 65536, 70000, 1000, 1)),
    (User(), hosts.HOST_CONTAINER, (0, 0, 1)),
])
def test_the_applications_id_is_the_callers_or_leased(user: User, host: Host,
                                                      uids: tuple[int, ...]) -> None:
    assert maps(replace(DEFAULT, user=user, rootfs="/r"), host)[0] == uids


def test_the_hosts_own_view_takes_one_id_unless_a_range_is_asked_for() -> None:
    assert maps(DEFAULT, hosts.HOST_UBUNTU_2404) == ((0, 1000, 1), (0, 1000, 1))
    assert len(maps(replace(DEFAULT, ids="range"), hosts.HOST_UBUNTU_2404)[0]) == 6


@given(IDS, IDS, st.integers(1, 200_000), st.sampled_from(("auto", "one", "range")))
def test_each_map_has_the_applications_ids_and_no_id_twice(uid: int, gid: int, count: int,
                                                           ids: str) -> None:
    granted = hosts.IdRange(first=100000, count=count)
    ranged = replace(hosts.HOST_UBUNTU_2404, uid_range=granted, gid_range=granted)
    for host in (ranged, hosts.HOST_FULL):
        asked = replace(ROOTFS, user=User(uid=uid, gid=gid), ids=ids)
        for own, extents in zip((uid, gid), maps(asked, host), strict=True):
            triples = [extents[n:n + 3] for n in range(0, len(extents), 3)]
            assert any(first <= own < first + size for first, _, size in triples)
            for side in (0, 1):
                ends = sorted((one[side], one[side] + one[2]) for one in triples)
                assert all(a[1] <= b[0] for a, b in zip(ends, ends[1:], strict=False))
            assert all(size > 0 for _, _, size in triples)
            if host is ranged:
                outside = [one for one in triples if one[1] != 1000]
                assert all(at >= 100000 and at + size <= 100000 + count for _, at, size in outside)


def test_what_a_caller_gives_is_id_mapped_but_not_the_hosts_own_or_layers_of_old_overlays() -> None:
    host = replace(hosts.HOST_FULL, id_mapped_mounts=False)      # /usr cannot, a volume may
    given = replace(DEFAULT, mounts=(Mount(type="bind", source="/srv", target="/srv"),))
    assert {step.source for step in compile(given, host).prepare
            if isinstance(step, steps.OpenTree) and step.id_mapped} == {"/srv"}
    old = replace(hosts.HOST_FULL, kernel=(5, 15))
    trees = {step.source: step.id_mapped for step in compile(ROOTFS, old).prepare
             if isinstance(step, steps.OpenTree)}
    assert trees == {"/srv/root": False}, "an overlay's layers could not be mapped yet"


def test_more_places_than_a_plan_can_hold_are_refused() -> None:
    many = tuple(Mount(type="bind", source="/srv", target=f"/v{n}") for n in range(70))
    with pytest.raises(SpecError, match="at most 64 places"):
        compile(replace(DEFAULT, mounts=many), hosts.HOST_FULL)
    many = tuple(Mount(type="tmpfs", target=f"/t{n}") for n in range(600))
    with pytest.raises(SpecError, match="too many"):
        compile(replace(DEFAULT, mounts=many), hosts.HOST_FULL)


def test_cpu_time_without_an_init_or_a_cgroup_is_refused():
    asked = replace(DEFAULT, init=False, limits=Limits(cputime_s=1.0))
    with pytest.raises(HostError) as caught:
        compile(asked, hosts.HOST_NO_CGROUP)
    assert (caught.value.feature, "--no-init" in caught.value.hint) == ("cpu-time", True)
    made = compile(replace(asked, best_effort=True), hosts.HOST_NO_CGROUP)
    assert receipts(made)["cpu-time"]["in_force"] is None
    assert compile(replace(asked, init=True), hosts.HOST_NO_CGROUP)
