"""A box in the words of other tools: nothing that was asked for is dropped in silence."""

from __future__ import annotations

import json
import shlex

import pytest
from hosts import HOST_FULL, HOST_UBUNTU_2404, HOSTS

from minibox.errors import SpecError
from minibox.explain.elsewhere import TOOLS, remarks, translate
from minibox.explain.elsewhere.draft import LACKS, asked
from minibox.record import replace
from minibox.request import box_spec
from minibox.spec import LAYERS, BoxSpec, Device, DeviceRate, Limits, Mount, Ulimit, User

PLAIN = BoxSpec(argv=("true",))
BIND = Mount(type="bind", source="/srv/in", target="/in", read_only=True)
TMPFS = Mount(type="tmpfs", target="/scratch", size_bytes=1 << 20, inodes=100)
RATE = DeviceRate(path="/dev/sda", per_second=1 << 20, kind="read_bps", major=8, minor=0)

VALUES = {
    "argv": [("sh", "-c", "echo 'a b'")], "environment": [(("NAME", "a b"),)],
    "workdir": ["/tmp/there"], "user": [User(uid=5), User(uid=0, gid=7)],
    "capabilities": [("NET_RAW", "CHOWN")], "seccomp": ["unconfined", '{"defaultAction": ""}'],
    "seccomp_log": [True], "landlock": [False], "unmask": [("ALL",), ("/proc/keys",)],
    "without": [(layer,) for layer in LAYERS], "hostname": ["other"], "rootfs": ["/srv/root"],
    "read_only": [True], "writable": [True], "keep": ["/srv/kept"], "root_by": ["chroot"],
    "mounts": [(BIND,), (TMPFS,), (replace(BIND, source="/a b:c"),)],
    "devices": [(Device(source="/dev/fuse", target="/dev/fuse", major=10, minor=229),)],
    "share": [("net",), ("pid",), ("ipc",), ("uts",)], "loopback": [True],
    "boottime_offset_s": [86400.0, 0.5], "monotonic_offset_s": [3600.0], "ids": ["one", "range"],
    "cgroups": ["enabled", "disabled"], "best_effort": [True], "init": [False], "stdin": [True],
    "terminal": [True], "stop_signal": [2], "stop_timeout_s": [1.0],
    "limits.memory_bytes": [64 << 20], "limits.swap_bytes": [1 << 20, -1], "limits.cpus": [0.5],
    "limits.cpuset": [(0, 2)], "limits.pids": [7], "limits.walltime_s": [2.0],
    "limits.cputime_s": [2.0], "limits.output_bytes": [1 << 20],
    "limits.tmpfs_bytes": [1 << 20], "limits.tmpfs_inodes": [1000], "limits.shm_bytes": [1 << 20],
    "limits.ulimits": [(Ulimit(name="nofile", soft=64, hard=-1),)],
    "limits.oom_score_adj": [100], "limits.device_rates": [(RATE,)]}
"""For each field, values that are not its default."""

WITH = {"writable": {"rootfs": "/srv/root"}, "root_by": {"rootfs": "/srv/root"},
        "limits.swap_bytes": {"limits": Limits(memory_bytes=64 << 20)}}
"""What else a field needs, to make sense."""

AS_IT_IS = {
    ("unshare", "landlock"), ("bwrap", "landlock"), ("runc", "landlock"),
    ("systemd-run", "landlock"),                    # none of them has it, so it is off
    ("unshare", "seccomp"), ("bwrap", "seccomp"), ("runc", "seccomp"),      # unconfined they are
    ("unshare", "unmask"), ("bwrap", "unmask"),     # nothing is masked
    ("unshare", "stdin"), ("bwrap", "stdin"), ("runc", "stdin"), ("systemd-run", "stdin"),
    ("unshare", "init"), ("runc", "init"), ("systemd-run", "init"),         # they have no init
    ("unshare", "ids"), ("bwrap", "ids"), ("runc", "ids"),                  # one id it is
    ("unshare", "cgroups"), ("bwrap", "cgroups"),   # they make none
    ("runc", "cgroups"), ("systemd-run", "cgroups"),                        # they make one
    ("bwrap", "loopback"), ("runc", "loopback"),    # lo is up
    ("unshare", "root_by"),                         # which knows chroot only
    ("unshare", "writable"),                        # a root is written through
    *((tool, "without") for tool in TOOLS)}         # of layers that it lacks anyway
"""What a tool does without a word for it."""


ANYWAY = {("runc", "environment"), ("systemd-run", "environment"), ("runc", "nested-user")}
"""Layers that are left out without a word: all of the environment is asked for then."""


def given(field: str, value: object, spec: BoxSpec = PLAIN) -> BoxSpec:
    where, _, name = field.rpartition(".")
    if not where:
        return replace(spec, **{field: value})
    return replace(spec, limits=replace(spec.limits, **{name: value}))


def test_every_field_of_a_request_is_tried() -> None:
    fields = {*BoxSpec.__fields__} - {"limits"} | {f"limits.{name}" for name in Limits.__fields__}
    assert set(VALUES) == fields
    assert all(field in asked(given(field, value, replace(PLAIN, **WITH.get(field, {}))))
               for field, values in VALUES.items() for value in values)


@pytest.mark.parametrize("host", ["full", "ubuntu-2404"])
@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("field", VALUES)
def test_each_field_is_expressed_or_named(field: str, tool: str, host: str) -> None:
    base = replace(PLAIN, **WITH.get(field, {}))
    before = translate(tool, base, HOSTS[host])
    for value in VALUES[field]:
        found = translate(tool, given(field, value, base), HOSTS[host])
        beyond = {one.field for one in found.beyond}
        changed = (found.groups, found.config) != (before.groups, before.config)
        assert field in beyond or field in found.taken
        assert field in beyond or changed or (tool, field) in AS_IT_IS


@pytest.mark.parametrize(("tool", "field"), sorted(AS_IT_IS))
def test_what_is_said_to_need_no_word_needs_none(tool: str, field: str) -> None:
    base = replace(PLAIN, **WITH.get(field, {}))
    before = translate(tool, base, HOST_FULL)
    same = [translate(tool, given(field, value, base), HOST_FULL) for value in VALUES[field]]
    assert any((one.groups, one.config) == (before.groups, before.config)
               and field not in {one.field for one in one.beyond} for one in same)


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_is_left_out_lacking_or_named(tool: str, layer: str) -> None:
    before = translate(tool, PLAIN, HOST_FULL)
    found = translate(tool, given("without", (layer,)), HOST_FULL)
    named = [one.why for one in found.beyond if one.field == "without"]
    changed = (found.groups, found.config) != (before.groups, before.config)
    lacking = LACKS[layer] in before.differs and LACKS[layer] not in found.differs
    assert named or changed or lacking or (tool, layer) in ANYWAY
    assert not named or named == [f"{tool} cannot leave out {layer}"]


def test_every_layer_has_words_for_its_absence() -> None:
    assert set(LACKS) == set(LAYERS)


@pytest.mark.parametrize("tool", ["unshare", "bwrap", "systemd-run"])
def test_a_command_line_is_quoted_for_a_shell(tool: str) -> None:
    spec = box_spec(("sh", "-c", "echo \"$HOME\" 'it is'; exit 3"), env={"A": "x y\n'z'"})
    found = translate(tool, spec, HOST_FULL)
    assert shlex.split(found.shell().replace("\\\n", "")) == list(found.argv)
    assert found.argv[0] == tool and found.argv[-3:] == spec.argv and found.config == ""


def test_runc_has_a_configuration_with_caps_masks_and_mounts() -> None:
    spec = BoxSpec(argv=("true",), mounts=(BIND,), limits=Limits(memory_bytes=64 << 20, cpus=0.5))
    found = translate("runc", spec, HOST_FULL)
    config = json.loads(found.config)
    assert config["process"]["args"] == ["true"] and config["root"]["readonly"]
    assert config["linux"]["resources"]["memory"] == {"limit": 64 << 20, "swap": 64 << 20}
    assert config["linux"]["resources"]["cpu"] == {"quota": 50000, "period": 100000}
    assert "/proc/kcore" in config["linux"]["maskedPaths"]
    assert {"type": "network"} in config["linux"]["namespaces"]
    bind, = (one for one in config["mounts"] if one["destination"] == "/in")
    assert bind["source"] == "/srv/in" and "ro" in bind["options"]
    assert found.argv == ("runc", "run", "--bundle", "DIR", "NAME")
    user = translate("runc", spec, HOST_UBUNTU_2404)
    assert [one.field for one in user.beyond] == ["limits.memory_bytes", "limits.cpus"]
    assert json.loads(user.config)["linux"]["uidMappings"] \
        == [{"containerID": 0, "hostID": 1000, "size": 1}]


def test_what_a_tool_lacks_is_said_unless_it_was_left_out() -> None:
    filtered = "there is no filter of system calls"
    assert filtered in translate("bwrap", PLAIN, HOST_FULL).differs
    for spec in (given("seccomp", "unconfined"), given("without", ("seccomp",))):
        assert filtered not in translate("bwrap", spec, HOST_FULL).differs


def test_remarks_name_what_is_beyond_and_what_differs() -> None:
    spec = given("mounts", (TMPFS,), given("limits.memory_bytes", 64 << 20))
    lines = list(remarks(translate("unshare", spec, HOST_FULL)))
    assert lines[0] == "unshare cannot express, of what was asked for:"
    assert lines[1].startswith("  mounts=/scratch: unshare mounts nothing")
    assert "  limits.memory_bytes=67108864: unshare has no word for it" in lines
    assert lines[-1].startswith("  nothing is told but an exit status")
    assert next(remarks(translate("systemd-run", PLAIN, HOST_FULL))) \
        == "systemd-run expresses all that was asked for."


def test_a_tool_that_there_is_not_is_refused() -> None:
    with pytest.raises(SpecError, match="use unshare, bwrap, runc, systemd-run"):
        translate("docker", PLAIN, HOST_FULL)
