"""The picture of a box says what its plan says, and can be read: in a real browser too."""

from __future__ import annotations

import json
import re
from html import unescape
from xml.etree import ElementTree

import browser
import pytest
from hosts import HOST_FULL, HOST_NO_CGROUP, HOST_UBUNTU_2404, HOST_V1_ROOT, HOSTS

from minibox.compiler import compile
from minibox.errors import SpecError
from minibox.explain.frames import Frame, columns, wrapped
from minibox.explain.picture import MECHANISMS, svg, whole
from minibox.plan import Plan
from minibox.request import Limits, box_spec
from minibox.spec import LAYERS

SVG = "{http://www.w3.org/2000/svg}"
CAPPED = {"limits": Limits(memory="64M", cpus=0.5)}
ROOTFS = {"rootfs": "/srv/alpine", "here": False, "volumes": ["/srv/in:/in:ro", "/srv/out:/out"],
          "tmpfs": ["/in/scratch:size=16m"]}
LONG = {"rootfs": "/srv/" + "x" * 300, "here": False, "env": {"WORD" * 50: "1"},
        "volumes": ["/srv/\u6e2c\u8a66\u6a94\u6848\ufdfd\U0001f600" + "\u6e2c" * 60 + ":/caf\u00e9",
                    "/a<b>&c\"d:/quoted"]}
CASES = {
    "default": (HOST_FULL, {}), "v1": (HOST_V1_ROOT, CAPPED), "v2": (HOST_UBUNTU_2404, CAPPED),
    "rootfs": (HOST_FULL, ROOTFS), "host-network": (HOST_NO_CGROUP, {"network": "host"}),
    "loopback": (HOST_FULL, {"network": "loopback"}), "no-init": (HOST_FULL, {"init": False}),
    "privileged": (HOST_FULL, {"privileged": True, "root_by": "chroot"}),
    "long": (HOST_FULL, LONG), "nothing": (HOST_FULL, {"without": LAYERS}),
    "best-effort": (HOST_NO_CGROUP, {**CAPPED, "best_effort": True, "time_offset": 86400})}


def planned(host=HOST_FULL, **asked) -> Plan:
    return compile(box_spec(("true",), **asked), host)


def drawn(host=HOST_FULL, **asked) -> Frame:
    return whole(planned(host, **asked), host)


def the(frame: Frame, title: str) -> Frame:
    """The one frame within whose title begins so."""
    one, = (inner for inner in frame.frames() if inner.title.startswith(title))
    return one


def text(frame: Frame) -> str:
    return "\n".join(line.text for line in frame.lines)


def beside(frame: Frame, title: str) -> bool:
    """Is there such a frame right in this one?"""
    return any(inner.title.startswith(title) for row in frame.rows for inner in row)


# ---- what is drawn follows the plan --------------------------------------------------------------

def test_processes_are_who_the_plan_makes_them() -> None:
    frame = drawn(HOST_UBUNTU_2404, user=5)
    assert "user 1000" in text(the(frame, "engine"))
    assert "id 5 is 1000 on the host" in text(the(frame, "user namespace of the box"))
    assert "uid 5, gid 5, on the host uid 1000" in text(the(frame, "the application: true"))
    leased = drawn(HOST_FULL, user=5)
    assert "ids 0 to 65535 are 0 to 65535 of the leased range" \
        in text(the(leased, "user namespace of the box"))
    assert "uid 0, gid 0, on the host id 0 of" in text(the(leased, "init: PID 1"))
    assert "uid 5, gid 5, on the host id 5 of" in text(the(leased, "the application"))


def test_user_namespaces_are_nested_as_the_plan_nests_them() -> None:
    outer = the(drawn(), "user namespace of the box")
    inner = the(outer, "user namespace of the application")
    assert beside(outer, "init") and not beside(outer, "the application")
    assert beside(inner, "the application") and not beside(inner, "mnt")
    alone = the(drawn(init=False), "user namespace of the box")
    assert beside(alone, "the application") and not beside(alone, "init")
    assert text(the(alone, "pid namespace")) == "PID 1 is the application"


@pytest.mark.parametrize(("kind", "option"), [("net", "network"), ("pid", "pid"), ("ipc", "ipc"),
                                              ("uts", "uts")])
def test_a_namespace_that_is_shared_is_drawn_as_the_hosts(kind: str, option: str) -> None:
    own, shared = drawn(), drawn(**{option: "host"})
    assert beside(the(own, "user namespace of the box"), f"{kind} namespace")
    assert beside(shared, f"{kind} namespace of the host")
    assert not beside(the(shared, "user namespace of the box"), f"{kind} namespace")
    assert [the(one, f"{kind} namespace").kind for one in (own, shared)] == ["own", "host"]


@pytest.mark.parametrize(("network", "said"), [("none", "internet sockets are refused"),
                                               ("loopback", "lo alone, up")])
def test_the_network_says_what_there_is(network: str, said: str) -> None:
    assert text(the(drawn(network=network), "net namespace")).endswith(said)


def test_a_cap_shows_its_figure_in_its_hierarchy() -> None:
    v2 = the(drawn(HOST_UBUNTU_2404, **CAPPED), "cgroup v2, cpu memory pids: a cgroup in /sys/fs")
    assert "memory 64 MiB: memory.max = 67108864, memory.oom.group = 1" in text(v2)
    assert "cpus 0.5: cpu.max = 50000 100000" in text(v2) and "born in it" in text(v2)
    frame = drawn(HOST_V1_ROOT, **CAPPED)
    titles = [one.title for one in frame.frames() if one.kind == "cgroup"]
    assert [title.partition(":")[0] for title in titles] \
        == ["cgroup v1, cpu cpuacct", "cgroup v1, memory", "cgroup v1, pids"]
    assert "memory 64 MiB: memory.limit_in_bytes = 67108864" in text(the(frame, titles[1]))
    assert "no cap" in text(the(frame, titles[2])) and "moves" in text(the(frame, titles[2]))
    assert beside(drawn(), "no cgroup of its own")


def test_what_the_engine_enforces_stands_with_the_engine() -> None:
    limits = Limits(walltime=2, cpu_time=1.5, output="1M")
    said = text(the(drawn(limits=limits), "engine"))
    assert all(words in said for words in ("2 s of wall time", "1.5 s of CPU time", "1 MiB of"))


def test_a_cap_that_is_not_in_force_is_drawn_as_such() -> None:
    missing = the(drawn(HOST_NO_CGROUP, best_effort=True, **CAPPED), "Not there")
    assert missing.kind == "open"
    assert "memory 67108864: not in force: no cgroup here is yours" in text(missing)
    assert "Not there" not in {one.title for one in drawn().frames()}


def test_mounts_are_a_tree_with_sizes_options_and_masks() -> None:
    root = the(drawn(**ROOTFS), "mnt namespace: a new root by pivot_root")
    found = {line.text.partition(":")[0]: line for line in root.lines}
    assert found["upper"].text.startswith("upper: tmpfs of the box's own, at most 256 MiB")
    assert "the host's /srv/alpine, ro, nosuid, nodev" in found["lower"].text
    assert "the host's /srv/in, ro" in found["/in"].text
    assert "the host's /srv/out, nosuid" in found["/out"].text
    assert "at most 16 MiB" in found["/in/scratch"].text
    assert [found[path].depth for path in ("/", "/in", "/in/scratch", "/dev", "/dev/shm")] \
        == [0, 1, 2, 1, 2]
    masks = next(line.text for line in root.lines if line.text.startswith("covered"))
    assert masks.startswith("covered, 26 paths: acpi") and "kcore" in masks
    assert "covered" not in text(the(drawn(privileged=True), "mnt namespace"))


@pytest.mark.parametrize(("asked", "said"), [
    ({}, "/: tmpfs of the box's own, at most 256 MiB"),
    ({"read_only": True}, "read-only, once it is complete"),
    ({"keep": "/srv/kept"}, "upper: the host's /srv/kept"),
    ({"rootfs": "/srv/r", "read_only": True}, "/: the host's /srv/r, ro, nosuid"),
    ({"rootfs": "/srv/r", "writable": True}, "/: the host's /srv/r, nosuid"),
    ({"root_by": "chroot"}, "the host's mounts are still in this namespace")])
def test_each_kind_of_root_is_told(asked: dict, said: str) -> None:
    assert said in text(the(drawn(here=False, **asked), "mnt namespace"))


def test_walls_are_up_or_down_as_in_the_plan() -> None:
    up, down = drawn(), drawn(without=LAYERS)
    names = ("rlimits", "keyring", "descriptors", "session", "more namespaces", "capabilities",
             "no_new_privs", "Landlock", "seccomp")
    assert [the(up, name).kind for name in names] == ["wall"] * len(names)
    assert [the(down, name).kind for name in names] == ["open"] * len(names)
    program = next(step for step in planned().app if hasattr(step, "program")).program
    assert text(the(up, "seccomp")) == f"a filter of {len(program)} instructions"
    assert "core 0, nofile 1024, memlock 64 KiB" in text(the(up, "rlimits"))
    assert text(the(drawn(cap_add=["NET_RAW", "CHOWN"]), "capabilities")) == "CHOWN NET_RAW"
    assert "no TCP" in text(the(up, "Landlock"))
    assert "TCP" not in text(the(drawn(network="loopback"), "Landlock"))


# ---- the SVG -------------------------------------------------------------------------------------

def test_the_mechanisms_given_stand_out_and_others_are_pale() -> None:
    plain = svg(planned(), HOST_FULL).partition("</style>")[2]
    assert ' dim"' not in plain and ' lit"' not in plain
    root = ElementTree.fromstring(svg(planned(), HOST_FULL, ["seccomp"]))
    classes = {one.text: one.get("class", "") for one in root.iter(f"{SVG}text")}
    assert {said for said, of in classes.items() if "lit" in of} \
        == {"seccomp", text(the(drawn(), "seccomp"))}
    assert "dim" in classes["Landlock"] and "dim" not in classes["the application: true"]
    with pytest.raises(SpecError, match="use capabilities, cgroups"):
        svg(planned(), HOST_FULL, ["secomp"])


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_each_mechanism_has_its_place_in_the_picture(mechanism: str) -> None:
    assert ' lit"' in svg(planned(HOST_V1_ROOT, **CAPPED), HOST_V1_ROOT, [mechanism])


@pytest.mark.parametrize("name", CASES)
def test_it_stands_alone_is_told_and_is_always_the_same(name: str) -> None:
    host, asked = CASES[name]
    plan = planned(host, **asked)
    found = svg(plan, host)
    assert found == svg(plan, host)
    root = ElementTree.fromstring(found)
    assert [one.tag.removeprefix(SVG) for one in root][:2] == ["title", "desc"]
    assert root.get("role") == "img" and root[0].text == "A box for true"
    for frame in whole(plan, host).frames():
        assert " ".join(frame.title.split()) in " ".join((root[1].text or "").split())
    assert not re.search(r"href|url\(|@import|<script|<image", found)


def test_a_saved_plan_is_drawn_without_a_host() -> None:
    frame = whole(planned(**CAPPED), None)
    assert frame.title == "The host" and "memory 64 MiB" in text(the(frame, "cgroup: a cgroup in"))
    assert [svg(planned(HOSTS[name]), None)[:4] for name in HOSTS] == ["<svg"] * len(HOSTS)


def test_lines_hold_to_their_width_and_lose_nothing() -> None:
    words = "a " + "b" * 30 + " caf\u00e9 \u6e2c\u8a66\u6a94\u6848 end"
    lines = wrapped(words, 9)
    assert all(columns(line) <= 9 for line in lines)
    assert "".join(lines).replace(" ", "") == words.replace(" ", "")
    assert wrapped("a\x1b[2Jb", 20) == ["a\\x1b[2Jb"]


# ---- in a browser --------------------------------------------------------------------------------

MEASURE = """
<script>
const boxes = [...document.querySelectorAll("svg")].map(svg =>
    [...svg.querySelectorAll("rect:not(.paper), text")].map(one => {
        const {x, y, width, height} = one.getBBox();
        return [one.tagName, one.textContent, x, y, x + width, y + height]; }));
document.body.dataset.said = JSON.stringify(boxes);
</script></html>"""


@pytest.mark.needs("chromium")
def test_no_text_leaves_its_frame_or_meets_another(tmp_path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<!doctype html><html><meta charset="utf-8"><body>' + "".join(
        svg(planned(host, **asked), host, ["ids"] * (name == "v1"))
        for name, (host, asked) in CASES.items()) + MEASURE)
    said = re.search(r'data-said="([^"]*)"', browser.browse(page))
    assert said
    pictures = json.loads(unescape(said[1]))
    assert len(pictures) == len(CASES)
    for boxes in pictures:
        assert leaving(boxes) == [] and meeting(boxes) == []


def leaving(boxes: list) -> list[str]:
    """Texts that stick out of their frame: the last one that was begun before them."""
    found, frame = [], None
    for tag, words, *box in boxes:
        if tag == "rect":
            frame = box
        elif not (frame and frame[0] < box[0] and frame[1] < box[1] and box[2] < frame[2]
                  and box[3] < frame[3]):
            found.append(words)
    return found


def meeting(boxes: list) -> list[tuple[str, str]]:
    """Pairs of texts that overlap."""
    texts = [(words, box) for tag, words, *box in boxes if tag == "text"]
    return [(one, other) for at, (one, a) in enumerate(texts) for other, b in texts[at + 1:]
            if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]]


def test_the_measure_sees_what_leaves_and_what_meets() -> None:
    frame, inside, out = (["rect", "", 0, 0, 100, 50], ["text", "in", 5, 5, 60, 20],
                          ["text", "out", 50, 10, 120, 30])
    assert leaving([frame, inside, out]) == ["out"]
    assert meeting([frame, inside, out]) == [("in", "out")]
