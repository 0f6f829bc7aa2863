"""What is made of a trace: words, a file, trace events, a comparison."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as some
from traces import STEPS, TRACE, change, step

from minibox.errors import SpecError
from minibox.record import replace
from minibox.trace import look, perfetto, text, words
from minibox.trace.compare import compare
from minibox.trace.look import Look
from minibox.trace.record import Trace, from_dict, load, to_json


def seen(values=None, mounts=None) -> Look:
    return Look(values=values or {}, mounts=mounts)


# ---- what differs ----

@pytest.mark.parametrize(("before", "after", "found"), [
    ({"CapEff": "1"}, {"CapEff": "0"}, [("CapEff", "1", "0")]),
    ({"CapEff": "1"}, {"CapEff": "1"}, []),
    # what cannot be seen at one of the looks is no difference
    ({"ns/pid": "1"}, {}, []), ({}, {"ns/pid": "1"}, []),
    ({"fd 0": "x", "fd 3": "y"}, {}, []), ({}, {"fd 0": "x", "fd 3": "y"}, []),
    ({"fd 0": "x", "fd 3": "y"}, {"fd 0": "x"}, [("fd 3", "y", None)]),
    ({"fd 0": "x"}, {"fd 0": "x", "fd 3": "y"}, [("fd 3", None, "y")]),
    ({"cgroup pids": "/"}, {"cgroup pids": "/box"}, [("cgroup pids", "/", "/box")])])
def test_what_differs_between_two_looks(before, after, found):
    assert [(one.what, one.before, one.after)
            for one in look.differences("init", seen(before), seen(after))] == found


def test_a_copied_table_of_mounts_is_the_same_for_all_its_new_numbers():
    old = seen({"ns/mnt": "1"}, {"20": ("/", "ext4 x"), "21": ("/proc", "proc none")})
    copy = seen({"ns/mnt": "2"}, {"70": ("/", "ext4 x"), "71": ("/proc", "proc none")})
    assert [one.what for one in look.differences("init", old, copy)] == ["ns/mnt"]
    changed = seen({"ns/mnt": "2"}, {"70": ("/", "ext4 x,ro"), "72": ("/dev", "tmpfs")})
    assert [(one.what, one.before, one.after)
            for one in look.differences("init", copy, changed)] == [
        ("mount /", "ext4 x", "ext4 x,ro"), ("mount /proc", "proc none", None),
        ("mount /dev", None, "tmpfs")]


def test_this_very_process_can_be_looked_at():
    import os

    found = look.at(os.getpid())
    assert found and found.mounts
    assert found.values["ns/pid"].isdigit() and found.values["root"] == "/"
    assert found.values["limit open files"].count("at most") == 1
    assert "fd 0" in found.values and found.values["exe"] == os.readlink("/proc/self/exe")
    assert [*look.differences("x", found, found)] == []
    assert look.at(2**22 + 1) is None


@pytest.mark.parametrize(("one", "said"), [
    (change("ns/uts", "1", "2"), "~ ns/uts 1 \u2192 2  (its own host name)"),
    (change("CapEff", "000001ffffffffff", "0000000000000000"),
     "~ CapEff 1ffffffffff \u2192 0  (no capability in force)"),
    (change("CapAmb", "0000000000000000", "0000000000002400"),
     "~ CapAmb 0 \u2192 2400  (NET_BIND_SERVICE, NET_RAW kept through exec)"),
    (change("uid_map", "none", "0 1000 1; 1 100000 65536"),
     "~ uid_map none \u2192 0 1000 1; 1 100000 65536  (id 0 inside is 1000 here; "
     "id 1 inside is 100000 here, and so on for 65536)"),
    (change("mount /proc", None, "proc none rw"), "+ mount /proc proc none rw"),
    (change("fd 4", "/x\x1b[2J", None), "- fd 4 /x\\x1b[2J"),
    (change("ns/ipc", "1", "2", of="app"),
     "~ app: ns/ipc 1 \u2192 2  (its own System V IPC and message queues)"),
    (change("memory.max", "max", "67108864", of="cgroup"), "~ memory.max max \u2192 67108864")],
    ids=lambda given: given if isinstance(given, str) else given.what)
def test_a_difference_in_words(one, said):
    assert [*map(str, words.lines(step(3, "enter", "x", 0, 1, one)))] == [said]


def test_many_mounts_that_go_are_one_line():
    gone = [change(f"mount /{n}", "x", None) for n in range(9)]
    found = [*words.lines(step(3, "enter", "pivot-root", 0, 1, *gone, change("root", "/a", "/")))]
    assert [one.text for one in found] == ["9 mounts: /0 /1 /2 /3 /4 /5 /6 /7 /8",
                                           "root /a \u2192 /"]


# ---- text ----

def test_the_text_has_a_line_for_each_step_and_below_it_its_changes():
    file = io.StringIO()
    text.show(STEPS, file)
    lines = file.getvalue().splitlines()
    assert lines[0] == "  0 engine   400 \u00b5s  Do clone-init."
    assert lines[1].startswith("      ~ init: ns/pid 4026531836 \u2192 4026532201")
    assert [line for line in lines if "seen from within only" in line]
    assert len([line for line in lines if not line.startswith("     ")]) == len(STEPS)


def test_the_bars_stand_one_after_the_other_and_a_gate_is_dotted():
    bars = text.waterfall(STEPS, 40)
    begins = [len(bar) - len(bar.lstrip()) for bar in bars]
    assert begins[0] == 0 and all(len(bar) == 40 for bar in bars)
    assert begins[1] <= begins[3] <= begins[4] <= begins[5] <= begins[6]
    assert set(bars[2].strip()) == {"\u00b7"} and "\u2588" * 10 in bars[0]
    # 982 us are busy; exec has 400 of them
    assert abs(bars[6].count("\u2588") - 40 * 400 / 982) < 2


@given(some.lists(some.tuples(some.integers(0, 10**6), some.integers(0, 10**6)), min_size=1),
       some.integers(8, 80))
def test_bars_are_as_wide_as_they_may_be(drawn, width):
    steps = [step(n, "enter", "x", begin, begin + took) for n, (begin, took) in enumerate(drawn)]
    assert {len(bar) for bar in text.waterfall(steps, width)} == {width}


@pytest.mark.parametrize(("ns", "said"), [(None, "?"), (0, "0 ns"), (999, "999 ns"),
                                          (1234, "1.23 \u00b5s"), (1_500_000, "1.5 ms"),
                                          (12 * 10**9, "12 s"), (5000 * 10**9, "5000 s")])
def test_a_duration_has_a_unit(ns, said):
    assert text.duration(ns) == said


# ---- the file ----

def test_a_trace_is_the_same_when_it_is_read_again(tmp_path):
    path = tmp_path / "trace"
    path.write_text(to_json(TRACE))
    assert load(str(path)) == TRACE


@pytest.mark.parametrize(("spoil", "said"), [
    (lambda told: told.update(minibox_trace=2), "format 2"),
    (lambda told: told.pop("steps"), "steps is None"),
    (lambda told: told["steps"][0].update(number=3), "step 0 contradicts itself"),
    (lambda told: told["steps"][1].update(part="nowhere"), "step 1 contradicts itself"),
    (lambda told: told["steps"][1].update(state="?"), "step 1 contradicts itself"),
    (lambda told: told["steps"][2].update(begin_ns="x"), "begin_ns is 'x'"),
    (lambda told: told["steps"][2].update(changes=[3]), "Change is 3"),
    (lambda told: told.update(args=[1]), "args is 1"),
    (lambda told: told.update(exit_status=None), "exit_status is None")])
def test_a_file_that_is_no_trace_is_refused_by_what_is_wrong(tmp_path, spoil, said):
    told = json.loads(to_json(TRACE))
    spoil(told)
    path = tmp_path / "trace"
    path.write_text(json.dumps(told))
    with pytest.raises(SpecError, match=said):
        load(str(path))


JSON = some.recursive(some.none() | some.booleans() | some.integers() | some.text(max_size=3),
                      lambda inner: some.lists(inner, max_size=3)
                      | some.dictionaries(some.sampled_from([*Trace.__fields__, "minibox_trace"]),
                                          inner, max_size=4), max_leaves=8)


@given(JSON)
def test_whatever_is_read_is_a_trace_or_refused(told):
    with pytest.raises((TypeError, ValueError)):
        from_dict(told)


@given(some.sampled_from([*Trace.__fields__]), JSON)
def test_a_trace_with_one_part_spoiled_is_a_trace_or_refused(field, value):
    try:
        assert isinstance(from_dict(json.loads(to_json(TRACE)) | {field: value}), Trace)
    except (TypeError, ValueError) as error:
        assert str(error)


# ---- trace events ----

def test_trace_events_keep_the_rules_of_the_format():
    told = json.loads(perfetto.events(TRACE))
    events = told["traceEvents"]
    assert told["displayTimeUnit"] in ("ms", "ns")
    assert {one["ph"] for one in events} == {"M", "X"}
    names = {one["pid"]: one["args"]["name"] for one in events if one["name"] == "process_name"}
    assert sorted(names.values()) == ["app", "engine", "init"]
    steps = [one for one in events if one["ph"] == "X"]
    assert [one["args"]["step"] for one in steps] == [one.number for one in STEPS]
    for one, of in zip(steps, STEPS, strict=True):
        assert isinstance(one["name"], str) and isinstance(one["cat"], str)
        assert all(isinstance(one[key], (int, float)) and one[key] >= 0 for key in ("ts", "dur"))
        assert names[one["pid"]] == of.by and one["tid"] == one["pid"]
    for pid in names:                                       # complete events of a thread must nest
        own = sorted((one["ts"], one["ts"] + one["dur"]) for one in steps if one["pid"] == pid)
        assert all(end <= begin for (_, end), (begin, _) in zip(own, own[1:], strict=False))
    assert steps[0]["args"]["changes"][0].startswith("~ init: ns/pid")
    assert steps[0]["dur"] == 400


def test_a_refusal_is_among_the_arguments():
    failed = replace(STEPS[3], state="failed", errno="EPERM", call="fsmount")
    events = json.loads(perfetto.events(replace(TRACE, steps=(*STEPS[:3], failed, *STEPS[4:]))))
    refused = [one["args"] for one in events["traceEvents"] if "errno" in one["args"]]
    assert [(one["step"], one["errno"], one["call"]) for one in refused] == [
        (3, "EPERM", "fsmount")]


# ---- two traces ----

def renumbered(*steps):
    return replace(TRACE, steps=tuple(replace(one, number=n) for n, one in enumerate(steps)))


def test_a_trace_differs_in_nothing_from_itself():
    assert not [line for line in compare(TRACE, TRACE) if line[:1] in "<>~" or line[6:7] in "AB"]


def test_steps_of_one_alone_times_and_other_changes_are_told():
    slower = replace(STEPS[3], end_ns=5_300_000)
    renamed = replace(STEPS[4], sentence="Set the host name to other.")
    kept = replace(STEPS[5], changes=(change("CapEff", "000001ffffffffff", "0000000000000400",
                                             "app"),))
    extra = step(0, "enter", "mount-tmpfs", 5_400_000, 5_500_000)
    found = [*compare(TRACE, renumbered(STEPS[0], STEPS[2], slower, extra, renamed, kept,
                                        STEPS[6]))]
    assert [line for line in found if line.startswith("< engine") and "Do map-ids." in line]
    assert [line for line in found if line.startswith("> init") and "Do mount-tmpfs." in line]
    assert [line for line in found if "100 \u00b5s   300 \u00b5s   x3.00  Do mount-proc." in line]
    assert [line for line in found if line.startswith("~ ") and "Do set-hostname." in line]
    assert [line for line in found if "B: Set the host name to other." in line]
    assert [line[6:] for line in found if "CapEff" in line] == [
        "A ~ CapEff 1ffffffffff \u2192 0  (no capability in force)",
        "B ~ CapEff 1ffffffffff \u2192 400  (NET_BIND_SERVICE in force)"]


def test_a_namespace_is_new_or_shared_and_not_a_number():
    other = replace(STEPS[0], changes=(change("ns/pid", "4026531836", "4026539999"),
                                       STEPS[0].changes[1]))
    assert not [line for line in compare(TRACE, renumbered(other, *STEPS[1:])) if "ns/pid" in line]
    shared = replace(STEPS[0], changes=STEPS[0].changes[1:])
    told = [line for line in compare(TRACE, renumbered(shared, *STEPS[1:])) if "ns/pid" in line]
    assert len(told) == 1 and told[0].startswith("      A ~ init: ns/pid shared \u2192 new  (")
