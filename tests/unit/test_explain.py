"""A plan is explained in full, for any host, and on a machine that has no engine."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from hosts import HOST_FULL, HOST_V1_ROOT, HOSTS
from hypothesis import given
from hypothesis import strategies as st

from minibox import steps
from minibox.cli import main
from minibox.compiler import cgroups, compile
from minibox.errors import HostError, SpecError
from minibox.explain import hosts
from minibox.explain.calls import CALLS, NONE
from minibox.explain.calls.notation import quote
from minibox.explain.record import Explained, explain
from minibox.explain.text import LONGEST, ZOOMS, show
from minibox.facts import Host
from minibox.plan import Plan, encode
from minibox.request import box_spec
from minibox.steps import KINDS, PARTS, Step, name_of

VALUES = {"int": 1, "bool": True, "str": "/a", "tuple[str, ...]": ("/a", "/b"),
          "tuple[int, ...]": (0, 1, 1)}
STRANGE = {"stdin": "caller", "namespaces": ("user", "mnt"), "options": ("ro", "nosuid"),
           "file": "memory.max", "program": (6,)}

every_kind = pytest.mark.parametrize("kind", KINDS, ids=name_of)


def example(kind: type[Step]) -> Step:
    """A step of this kind with some value in each field."""
    return kind(**{field: STRANGE.get(field, VALUES[of]) for field, of in kind.__fields__.items()})


def alone(step: Step) -> Plan:
    return Plan(**{part: (step,) if part == type(step).parts[0] else () for part in PARTS})


def planned(host=HOST_FULL, *argv, **asked) -> Plan:
    return compile(box_spec(argv or ("true",), **asked), host)


def text(plan: Plan, zoom: str = "steps", only=()) -> str:
    file = io.StringIO()
    show(explain(plan, only), zoom, file)
    return file.getvalue()


@every_kind
def test_every_kind_of_step_is_explained_in_full(kind: type[Step]) -> None:
    one, = explain(alone(example(kind))).steps
    said = {field: getattr(one, field) for field in Explained.__fields__}
    may_lack = {"units", "man_pages", "v1", "v2", "fields", "number", "calls", "silent"}
    assert [field for field, value in said.items() if not value and field not in may_lack] == []
    shown = text(alone(example(kind)))
    assert not {"{", "}"} & set(shown)
    for words in (one.why, one.leaks, one.needs):
        assert words.split()[-1] in shown
    on_files = kind.mechanism == "cgroups" and kind not in (steps.SetAffinity, steps.UnshareCgroup)
    assert on_files == bool(one.v1) == bool(one.v2)


@pytest.mark.parametrize("name", HOSTS)
def test_a_plan_is_explained_step_by_step_in_its_order(name: str) -> None:
    plan = planned(HOSTS[name], best_effort=True, user=1000)
    found = explain(plan).steps
    assert [one.number for one in found] == list(range(len(plan)))
    assert [one.name for one in found] == [name_of(type(step)) for step in plan]
    assert {one.part: one.by for one in found} \
        == {"prepare": "engine", "enter": "init", "app": "app"} | (
            {"finish": "engine"} if plan.finish else {})


def test_without_an_init_the_application_is_pid_1() -> None:
    plan = planned(init=False)
    assert {one.by for one in explain(plan).steps if one.part == "app"} == {"init"}
    assert "by PID 1, which will be the program" in text(plan)


def test_each_kind_is_explained_once_and_each_step_is_shown() -> None:
    plan = planned()
    shown = text(plan)
    assert shown.count("why     as on the host (/bin -> usr/bin)") == 1
    assert all(f"{number:3} {name_of(type(step))}: " in shown for number, step in enumerate(plan))


def test_groups_follow_the_plan_and_belong_to_one_mechanism() -> None:
    groups = list(explain(planned()).groups())
    assert [one.number for group in groups for one in group] == list(range(len(planned())))
    assert all(len({(one.part, one.mechanism) for one in group}) == 1 for group in groups)
    assert all(one[0].mechanism != other[0].mechanism or one[0].part != other[0].part
               for one, other in zip(groups, groups[1:], strict=False))


def test_only_some_mechanisms_or_steps_are_shown() -> None:
    found = explain(planned(), ["seccomp", "pivot-root"]).steps
    assert [one.name for one in found] == ["pivot-root", "filter-calls"]
    assert "2 of " in text(planned(), only=["seccomp", "pivot-root"]).splitlines()[0]
    with pytest.raises(SpecError, match="did you mean seccomp"):
        explain(planned(), ["secomp"])


def test_steps_of_dev_are_of_devices_and_gates_of_what_they_wait_for() -> None:
    plan = planned(HOST_V1_ROOT, cgroups="enabled")
    found = {one.name for one in explain(plan, ["devices"]).steps}
    assert {"mount-tmpfs", "bind-device", "make-link", "mount-devpts"} <= found
    gates = [one.mechanism for one in explain(plan).steps if one.name == "await"]
    assert gates == ["ids", "cgroups"]


# ---- system calls --------------------------------------------------------------------------------

@every_kind
def test_every_kind_of_step_has_its_calls_or_says_why_it_makes_none(kind: type[Step]) -> None:
    one, = explain(alone(example(kind))).steps
    assert bool(one.calls) != bool(one.silent)
    assert (kind in CALLS) != (kind in NONE)
    shown = text(alone(example(kind)), "calls")
    assert all(f"{call.name}(" in shown for call in one.calls)
    assert one.silent in " ".join(shown.split())


@every_kind
def test_a_steps_calls_are_among_those_that_it_may_fail_by(kind: type[Step]) -> None:
    """The engine names the call that failed by one of these."""
    quiet = {"fstatfs", "geteuid", "getppid", "getpid", "rt_sigaction", "rt_sigprocmask", "capget"}
    names = {"openat": "open", "newfstatat": "fstat"}
    found = {call.name for call in explain(alone(example(kind))).steps[0].calls}
    assert {names.get(name, name) for name in found} - quiet <= set(steps.CALLS)


def calls(plan: Plan, name: str) -> list[str]:
    return [str(call) for one in explain(plan, [name]).steps for call in one.calls]


def test_strings_are_shown_in_the_notation_of_c() -> None:
    assert quote('a "b"\n\x01\x012\\\N{LATIN SMALL LETTER E WITH ACUTE}\udcff') \
        == '"a \\"b\\"\\n\\1\\0012\\\\\\303\\251\\377"'


def test_what_the_plan_itself_has_made_is_known_to_be_there() -> None:
    made = [one.calls for one in explain(planned(), ["make-dir"]).steps]
    assert "mkdirat" in {call.name for call in made[0]} and not any(call.when for call in made[0])
    again = Plan(prepare=(), app=(), finish=(), enter=(
        steps.UseRoot(path="."), steps.MakeDir(target="/a/b"), steps.MakeDir(target="/a")))
    assert [call.name for call in explain(again).steps[2].calls] == ["openat2"]


def test_what_lies_in_anothers_root_file_system_is_not_known() -> None:
    plan = planned(rootfs="/nowhere", here=False, cwd="/own")
    own, = (one for one in explain(plan).steps if one.fields.get("target") == "/own")
    assert {call.when for call in own.calls if call.name == "mkdirat"} == {"where it is missing"}


def test_a_filter_that_tells_is_loaded_with_a_listener() -> None:
    quiet, telling = (calls(planned(seccomp_log=log), "filter-calls") for log in (False, True))
    assert len(quiet) == 1 and quiet[0].startswith("seccomp(SECCOMP_SET_MODE_FILTER, 0, {len=")
    assert "NEW_LISTENER" in telling[0] and telling[-1].startswith("sendmsg(<link>")


def test_one_target_stands_for_all_in_the_text_and_all_are_in_the_json() -> None:
    shown = text(planned(), "calls", ["mask-paths"])
    assert shown.count("fsopen(") == 1 and "and so for /proc/asound, /proc/bus" in shown
    masks, = explain(planned(), ["mask-paths"]).to_dict()["steps"]
    assert {call["of"] for call in masks["calls"]} == set(masks["fields"]["targets"].split(","))


def test_long_strings_are_cut_between_characters() -> None:
    shown = text(alone(steps.MakeFile(target="/a", content="\n" * 100)), "calls")
    assert f'write(<file>, "{LONGEST * (chr(92) + "n")}"..., 100)' in " ".join(shown.split())


# ---- both versions of cgroups --------------------------------------------------------------------

def test_caps_have_their_files_of_both_versions() -> None:
    from minibox.request import Limits

    limits = Limits(memory="64M", cpus=0.5)
    on = {version: explain(planned(host, limits=limits), ["write-cgroup"]).steps
          for version, host in ((1, HOST_V1_ROOT), (2, HOST_FULL))}
    v2 = {(one.v1, one.v2) for one in on[2]}
    assert ("memory.limit_in_bytes", "memory.max = 67108864") in v2
    assert ("cpu.cfs_period_us, cpu.cfs_quota_us", "cpu.max = 50000 100000") in v2
    assert ("memory.limit_in_bytes = 67108864", "memory.max, memory.oom.group") in {
        (one.v1, one.v2) for one in on[1]}


def test_figures_have_their_files_of_both_versions() -> None:
    found = {one.fields["figure"]: (one.v1, one.v2)
             for one in explain(planned(cgroups="enabled"), ["read-cgroup"]).steps}
    of = {name: found[str(steps.FIGURES.index(name))] for name in ("cpu_ns", "memory_peak_bytes")}
    assert of == {"cpu_ns": ("cpuacct.usage", "cpu.stat usage_usec"),
                  "memory_peak_bytes": ("memory.max_usage_in_bytes", "memory.peak")}


def test_every_file_that_a_plan_writes_is_in_the_table() -> None:
    known = {file for files in cgroups.FILES.values() for names in files.values() for file in names}
    from minibox.request import Limits

    limits = Limits(memory="64M", cpus=0.5, cpuset="0", pids=9)
    for host in (HOST_FULL, HOST_V1_ROOT):
        written = {step.file for step in planned(host, limits=limits).prepare
                   if isinstance(step, steps.WriteCgroup)}
        assert written and written <= known


# ---- another host --------------------------------------------------------------------------------

@pytest.mark.parametrize("name", HOSTS)
def test_a_hosts_facts_come_back_from_json(name: str, tmp_path) -> None:
    path = str(tmp_path / "host.json")
    hosts.save(HOSTS[name], path)
    assert hosts.load(path) == HOSTS[name]


@pytest.mark.parametrize("broken", [
    "", "[]", "{}", '{"minibox_host": 2}', '{"minibox_host": 1, "uid": "0"}',
    '{"minibox_host": 1, "uid": true}', '{"minibox_host": 1, "colour": "red"}',
    '{"minibox_host": 1, "cpus": 3}', '{"minibox_host": 1, "why": [["a", "b"]]}',
    '{"minibox_host": 1, "controllers": [{"name": "pids"}]}',
    '{"minibox_host": 1, "controllers": [{"name": "pids", "version": 3, "parent": "/"}]}',
    '{"minibox_host": 1, "uid_range": [1, 2]}', '{"minibox_host": 1, "uid": null}'])
def test_what_is_no_hosts_facts_is_refused(broken: str, tmp_path) -> None:
    path = tmp_path / "host.json"
    path.write_text(broken)
    with pytest.raises(SpecError, match="these are no facts of a host"):
        hosts.load(str(path))


WORDS = ("{", "}", "[", "]", ",", ":", '"', "null", "1", "-1", "1e999", '"minibox_host":1',
         '"kernel":', '"why":', '"controllers":', '"uid_range":', '{"minibox_host":1}',
         '{"name":"pids","version":2,"parent":"/"}', hosts.to_json(HOST_V1_ROOT))


@given(st.lists(st.sampled_from(WORDS), max_size=12).map("".join) | st.text(max_size=40))
def test_any_text_is_the_facts_of_a_host_or_refused_shortly(text: str) -> None:
    try:
        found = hosts.from_json("a-file", text)
    except SpecError as error:
        assert error.field == "host" and len(str(error)) < 500
    else:
        assert hosts.from_json("a-file", hosts.to_json(found)) == found


NOWHERE = """
import os, sys
sys.modules["minibox._core"] = sys.modules["minibox.host"] = None
real = os.stat
def stat(path, *rest, **more):
    assert not str(path).startswith(("/proc", "/sys", "/nowhere")), path
    return real(path, *rest, **more)
os.stat = stat
from minibox.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""minibox where no extension is built, and where nobody may look at this machine."""


def nowhere(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", NOWHERE, *argv], capture_output=True, text=True)


@pytest.mark.parametrize("zoom", ZOOMS)
def test_another_host_is_explained_without_a_look_at_this_one(zoom: str, tmp_path) -> None:
    path = str(tmp_path / "host.json")
    hosts.save(HOST_V1_ROOT, path)
    done = nowhere("explain", "--zoom", zoom, "--host", path, "run", "--rootfs", "/nowhere/root",
                   "-v", "/nowhere/data:/data", "-m", "64M", "--", "true")
    assert (done.returncode, done.stderr) == (0, "")
    assert "/nowhere/data" in done.stdout or zoom == "mechanisms"


@pytest.mark.parametrize(("name", "files"), [
    ("v1-root", {"memory.limit_in_bytes", "cpu.cfs_quota_us", "pids.max"}),
    ("v2-root", {"memory.max", "cpu.max", "pids.max", "cpuset.cpus", "system.slice"}),
    ("v2-user", {"memory.max", "cpu.max", "pids.max", "user@1000.service"})])
def test_hosts_that_come_along_show_what_this_one_may_not_have(name, files) -> None:
    options = "-m 64M --cpus 0.5 --pids-limit 20" + " --cpuset-cpus 1" * (name != "v2-user")
    done = nowhere("explain", "--zoom", "calls", "--host", name, "run", *options.split(), "true")
    assert (done.returncode, done.stderr) == (0, "")
    assert [one for one in files if one not in done.stdout] == []


def test_a_host_that_comes_along_has_all_facts_that_there_are() -> None:
    for name in hosts.KNOWN:
        told = json.loads(Path(hosts.__file__).with_name("known").joinpath(f"{name}.json")
                          .read_text())
        assert told.keys() == Host.__fields__.keys() | {"minibox_host"}


def test_where_a_box_is_refused_the_mend_names_a_host_that_has_it(monkeypatch, capsys) -> None:
    def refuse(*_: object) -> None:
        raise HostError("memory", "no cgroup here is yours to write", "add --best-effort")

    monkeypatch.setattr("minibox.cli.run.planned", refuse)
    assert main(["explain", "run", "-m", "64M", "true"]) == 125
    said = capsys.readouterr().err
    assert "add --best-effort; or see how another host does it" in said and "--host v2-user" in said


def test_a_saved_plan_is_explained_without_an_engine(tmp_path) -> None:
    path = tmp_path / "plan"
    path.write_bytes(encode(planned()))
    done = nowhere("explain", "--json", "plan", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert len(json.loads(done.stdout)["steps"]) == len(planned())


@pytest.mark.parametrize("wrong", [
    steps.SetRlimit(resource=99, soft=1, hard=1), steps.Watch(), steps.SetIds(uid=-1, gid=0),
    steps.SetAffinity(cpus=(9999,)), steps.FilterCalls(program=(2**63,))], ids=repr)
def test_a_file_that_holds_no_plan_of_ours_is_refused(wrong: Step, tmp_path) -> None:
    path = tmp_path / "plan"
    path.write_bytes(encode(Plan(prepare=(), enter=(), app=(wrong,), finish=())))
    done = nowhere("explain", "plan", str(path))
    assert done.returncode == 125 and done.stderr.count("\n") == 1
    assert "this is not a plan" in done.stderr and name_of(type(wrong)) in done.stderr


def test_what_a_plan_says_cannot_steer_the_terminal(tmp_path) -> None:
    path = tmp_path / "plan"
    path.write_bytes(encode(alone(steps.MakeFile(target="/a\x1b[2J\udcff", content="\x9b"))))
    for zoom in ZOOMS:
        done = nowhere("explain", "--zoom", zoom, "plan", str(path))
        assert done.returncode == 0 and done.stdout.replace("\n", "").isprintable(), done


def test_colours_are_for_terminals_only(tmp_path) -> None:
    path = tmp_path / "plan"
    path.write_bytes(encode(planned()))
    master, terminal = pty.openpty()
    command = [sys.executable, "-c", NOWHERE, "explain", "--only", "seccomp", "plan", str(path)]
    subprocess.run(command, stdout=terminal, check=True, env=os.environ | {"TERM": "xterm"})
    os.close(terminal)
    shown = os.read(master, 1 << 16).decode()
    os.close(master)
    plain = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "\x1b[" in shown and "\x1b" not in plain
    assert "filter-calls" in shown and "filter-calls" in plain


@pytest.mark.parametrize(("argv", "said"), [
    (("explain",), "say what to explain"),
    (("explain", "run"), "name a program to run"),
    (("explain", "plan"), "name one saved plan"),
    (("explain", "plan", "/etc/passwd"), "this is not a plan"),
    (("explain", "plan", "/none"), "No such file or directory"),
    (("explain", "--host", "/none", "run", "x"), "No such file or directory"),
    (("explain", "--host", "HOST", "plan", "/none"), "--host is for run"),
    (("explain", "--host", "HOST", "--zoom", "far", "run", "x"), "use mechanisms, steps, calls"),
    (("explain", "--host", "HOST", "--only", "x", "run", "x"), "the mechanisms are"),
    (("explain", "--host", "HOST", "run", "--rootfs", "alpine", "x"), "the whole path there"),
    (("explain", "--host", "HOST", "run", "-v", "./x:/x", "x"), "absolute"),
    (("explain", "--host", "HOST", "run", "--device", "/dev/fuse", "x"), "explain plan FILE"),
    (("explain", "--host", "HOST", "run", "--device-read-bps", "/dev/sda:1M", "x"), "explain plan"),
    (("explain", "--save-host", "/none/x"), "facts of this host"),
    (("explain", "run", "x"), "name another's: --host v2-user"),
    (("explain", "--host", "v3", "run", "x"), "come with minibox: v1-root, v2-root, v2-user"),
    (("explain", "--save-host", "/x", "run", "x"), "--save-host goes alone"),
])
def test_what_cannot_be_explained_is_one_clear_line(argv, said, tmp_path) -> None:
    path = str(tmp_path / "host.json")
    hosts.save(HOST_FULL, path)
    done = nowhere(*(path if word == "HOST" else word for word in argv))
    assert (done.returncode, done.stdout) == (125, "")
    assert said in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_a_picture_of_the_box_is_drawn_into_a_file(tmp_path) -> None:
    host, picture, saved = (str(tmp_path / name) for name in ("host.json", "box.svg", "plan"))
    hosts.save(HOST_V1_ROOT, host)
    asked = ("run", "-m", "64M", "--", "true")
    done = nowhere("explain", "--svg", picture, "--only", "cgroups,ids", "--host", host, *asked)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    drawn = Path(picture).read_text()
    assert drawn.startswith("<svg") and "memory 64 MiB" in drawn and "cgroup v1, memory" in drawn
    Path(saved).write_bytes(encode(planned(HOST_FULL)))
    assert nowhere("explain", "--svg", picture, "plan", saved).returncode == 0
    assert "cgroup v1" not in Path(picture).read_text()


@pytest.mark.parametrize(("options", "said"), [
    (("--json",), "leave --json out"), (("--zoom", "steps"), "leave --zoom out"),
    (("--only", "pivot-root"), "use capabilities, cgroups, devices")])
def test_what_a_picture_cannot_be_is_refused(options, said: str, tmp_path) -> None:
    host, picture = tmp_path / "host.json", tmp_path / "box.svg"
    hosts.save(HOST_FULL, str(host))
    done = nowhere("explain", "--svg", str(picture), *options, "--host", str(host), "run", "true")
    assert done.returncode == 125 and said in done.stderr and done.stderr.count("\n") == 1
    assert not picture.exists()


def test_a_picture_that_cannot_be_written_is_one_line(tmp_path) -> None:
    host = str(tmp_path / "host.json")
    hosts.save(HOST_FULL, host)
    done = nowhere("explain", "--svg", str(tmp_path), "--host", host, "run", "true")
    assert done.returncode == 125
    assert done.stderr.startswith("minibox: svg") and "Is a directory" in done.stderr


@pytest.mark.parametrize("tool", ["unshare", "bwrap", "runc", "systemd-run"])
def test_another_tools_command_is_told_for_another_host(tool: str, tmp_path) -> None:
    path = str(tmp_path / "host.json")
    hosts.save(HOST_V1_ROOT, path)
    asked = ("--memory", "64M", "--output-limit", "1M", "--", "true")
    done = nowhere("explain", "--host", path, "run", "--as", tool, *asked)
    assert (done.returncode, tool in done.stdout or tool == "runc") == (0, True)
    assert f"limits.output_bytes=1048576: {tool} has no word for it" in done.stderr
    assert nowhere("explain", "--as", tool, "--host", path, "run", *asked).stdout == done.stdout
