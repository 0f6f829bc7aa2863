"""Whatever people type or a file holds: a value, or a SpecError that says so shortly and soon."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import hosts
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import minibox.cli
import minibox.cli.run
import minibox.cli.seccomp
from minibox import claim, engine, hints, host, parse, report, rootfs, spec
from minibox import plan as plans
from minibox.cli.options import declared
from minibox.compiler import compile
from minibox.core import plan_error
from minibox.errors import EngineError, HostError, SpecError
from minibox.plan import Plan
from minibox.result import Result
from minibox.seccomp.numbers import MACHINES
from minibox.seccomp.profile import ACTIONS, KEYS, OPERATORS, from_profile
from minibox.spec import BoxSpec, Limits, Mount, Ulimit, User
from minibox.steps import CloneInit, Exec, FilterCalls

sys.path.insert(0, str(Path(__file__).parent))

import fuzz  # noqa: E402
from texts import NUMBERS, READERS, one_input, value_of  # noqa: E402

ANY = st.text(st.characters(), max_size=12)
"""Surrogates and NUL as well."""


def words(tokens: tuple[str, ...]) -> st.SearchStrategy[str]:
    """Texts that are nearly right."""
    return st.lists(st.sampled_from((*tokens, *NUMBERS)) | ANY, max_size=8).map("".join)


@pytest.mark.parametrize("name", READERS)
@given(st.data())
@settings(max_examples=300)
def test_any_text_is_a_value_or_a_spec_error(name: str, data: st.DataObject) -> None:
    read, tokens = READERS[name]
    value_of(read, "field", data.draw(words(tokens)))


@pytest.mark.parametrize("name", ["size", "swap", "duration", "offset", "decimal", "integer"])
@given(st.integers() | st.floats() | st.sampled_from([10**400, -10**5000, True, None, b"1", ()]))
def test_any_number_is_a_value_or_a_spec_error(name: str, number: Any) -> None:
    value_of(READERS[name][0], "field", number)


@pytest.mark.parametrize("name", READERS)
def test_a_text_as_long_as_the_kernel_lets_anybody_pass_is_read_in_a_second(name: str) -> None:
    read, tokens = READERS[name]
    for first in (*tokens, *NUMBERS):
        for second in ("", "1", *tokens):
            text = (first + second) * (131071 // len(first + second))
            before = time.process_time()
            value_of(read, "field", text)
            assert time.process_time() - before < 1, text[:20]


def test_no_kept_input_is_a_finding() -> None:
    tried = [*fuzz.seeds("text"), *fuzz.kept("text")]
    for data in tried:
        one_input(data)
    assert len(tried) > 200


PATHS = st.text(st.characters(exclude_characters="\0:,\n", exclude_categories=("Cs",)), min_size=1,
                max_size=20).map("/x".__add__)


@given(PATHS, PATHS, st.booleans())
def test_a_mount_is_read_as_it_was_written(source: str, target: str, read_only: bool) -> None:
    try:
        meant = Mount(type="bind", source=source, target=target, read_only=read_only)
    except SpecError:
        return
    ending = ("ro", "readonly") if read_only else ("rw", "readonly=false")
    assert parse.volume("volume", f"{source}:{target}:{ending[0]}") == meant
    assert parse.mount("mount", f"type=bind,src={source},dst={target},{ending[1]}") == meant


@given(st.integers(0, spec.MAX_ID), st.none() | st.integers(0, spec.MAX_ID))
def test_a_user_is_read_as_it_was_written(uid: int, gid: int | None) -> None:
    text = f"{uid}" if gid is None else f"{uid}:{gid}"
    assert parse.user("user", text) == User(uid=uid, gid=gid)


@given(st.sampled_from(Ulimit.NAMES), st.integers(-1, 2**62), st.integers(-1, 2**62))
def test_a_ulimit_is_read_as_it_was_written(name: str, soft: int, hard: int) -> None:
    try:
        meant = Ulimit(name=name, soft=soft, hard=hard)
    except SpecError:
        return
    assert parse.ulimit("ulimit", f"{name}={soft}:{hard}") == meant


@given(st.sets(st.integers(0, 8191), min_size=1))
def test_cpus_are_read_as_they_were_written(cpus: set[int]) -> None:
    assert parse.cpus("cpuset", ",".join(map(str, cpus))) == tuple(sorted(cpus))


NAMES = st.text(st.characters(exclude_characters="\0=\n\r#", exclude_categories=("Cs", "Zs", "Cc")),
                min_size=1, max_size=6).filter(lambda name: name == name.strip())
VALUES = st.text(st.characters(exclude_characters="\0\n\r", exclude_categories=("Cs",)), max_size=9)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=5), st.sampled_from(["\n", "\r\n"]))
@example([("A", "one\x85two\u2028three\x0b")], "\n")
def test_an_environment_file_is_read_as_it_was_written(
        pairs: list[tuple[str, str]], end: str) -> None:
    text = "# of a test" + end + end.join(f"{name}={value}" for name, value in pairs)
    assert parse.env_file("env-file", text) == tuple(pairs)


# ---- records ----

TEXTS = st.sampled_from(["", "/", "/a", "auto", "one", "range", "true", "default", "{}", "host",
                         "x" * 5000, "\0", "\ud800", "\udcff", "../a", "a b\n"]) | ANY
OF_TYPE: dict[str, st.SearchStrategy[Any]] = {
    "str": TEXTS, "bool": st.booleans(), "int": st.integers() | st.integers(0, 100),
    "float": st.floats() | st.integers(), "str | None": st.none() | TEXTS,
    "int | None": st.none() | st.integers() | st.integers(2**20, 2**40),
    "float | None": st.none() | st.floats() | st.integers(),
    "tuple[str, ...]": st.lists(TEXTS, max_size=3).map(tuple),
    "tuple[int, ...] | None": st.none() | st.lists(st.integers(-1, 9999), max_size=3).map(tuple),
    "tuple[tuple[str, str], ...]": st.lists(st.tuples(TEXTS, TEXTS), max_size=3).map(tuple),
}


def record(kind: type[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Some of its fields, each of its type, with any value."""
    fields = {}
    for field, of in kind.__fields__.items():
        if of in ("User", "Limits"):
            made = {"User": User, "Limits": Limits}[of]
            fields[field] = record(made).map(lambda given, made=made: maybe(made, given) or made())
        elif of in OF_TYPE:
            fields[field] = OF_TYPE[of]
        elif of.startswith("tuple["):
            made = getattr(spec, of[len("tuple["):].split(",")[0])
            fields[field] = st.lists(record(made), max_size=2).map(
                lambda all_given, made=made: tuple(filter(None, (
                    maybe(made, given) for given in all_given))))
    needed = [field for field in fields if field not in kind.__defaults__]
    return st.fixed_dictionaries({field: fields.pop(field) for field in needed}, optional=fields)


def maybe(kind: type[Any], fields: dict[str, Any]) -> Any:
    return value_of(lambda: kind(**fields))


@given(record(BoxSpec), st.sampled_from(sorted(hosts.HOSTS)))
@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow])
def test_any_box_is_refused_in_words_or_has_a_plan_that_the_engine_takes(
        fields: dict[str, Any], where: str) -> None:
    asked = maybe(BoxSpec, fields)
    if asked is None:
        return
    try:
        compiled = compile(asked, hosts.HOSTS[where])
    except (SpecError, HostError) as error:
        assert str(error)
        return
    block = plans.encode(compiled)
    assert plan_error(block) is None
    assert plans.decode(block) == compiled and str(compiled)


@given(record(Limits))
@settings(max_examples=500)
def test_any_limits_are_limits_or_a_spec_error(fields: dict[str, Any]) -> None:
    maybe(Limits, fields)


# ---- profiles ----

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY
    | st.sampled_from([*ACTIONS, *OPERATORS, "read", "CAP_CHOWN", "amd64"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(sorted(KEYS | {"caps", "arches", "index", "value", "op"})), inner,
        max_size=4), max_leaves=8)
RULES = st.fixed_dictionaries({"action": st.sampled_from(sorted(ACTIONS)) | JSON}, optional={
    "names": st.lists(st.sampled_from(["read", "write", "nosuch", "clone"])) | JSON,
    "args": JSON | st.lists(st.fixed_dictionaries({
        "index": st.integers(-1, 6), "op": st.sampled_from(OPERATORS) | JSON,
        "value": st.integers(0, 2**64 - 1) | JSON}), max_size=3),
    "includes": JSON, "excludes": JSON, "errnoRet": st.integers(0, 4096) | JSON})
PROFILES = st.fixed_dictionaries(
    {"defaultAction": st.sampled_from(sorted(ACTIONS)) | JSON},
    optional={"syscalls": st.lists(RULES, max_size=5) | JSON, "defaultErrnoRet": JSON})


@given(JSON | PROFILES, st.sampled_from(MACHINES))
@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow])
def test_any_json_is_a_filter_that_the_engine_takes_or_a_spec_error(
        asked: object, machine: str) -> None:
    program = value_of(from_profile, json.dumps(asked), machine, ("CHOWN",))
    if program is not None:
        step = FilterCalls(program=program, log=False)
        start, end = CloneInit(namespaces=()), Exec(argv=("a",), environment=(), path="")
        assert plan_error(plans.encode(
            Plan(prepare=(start,), enter=(), app=(step, end), finish=()))) is None


# ---- the command ----

EVERY_TOKEN = tuple(token for _, tokens in READERS.values() for token in tokens)


def argument(text: str) -> str:
    """What of *text* a process can be given."""
    return os.fsdecode(text.encode("utf-8", "replace").replace(b"\0", b"")).rstrip()


def arguments(page: str) -> st.SearchStrategy[list[str]]:
    flags, value = sorted(declared(page)), words(EVERY_TOKEN).map(argument)
    word = st.sampled_from(flags) | value | st.tuples(st.sampled_from(flags), value).map("=".join)
    return st.lists(word, max_size=6)


@pytest.fixture(scope="module")
def on_a_full_machine() -> Iterator[None]:
    """A known one, on which nothing is looked for and nothing made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host, "find", lambda: hosts.HOST_FULL)
        patch.setattr(claim, "claim", lambda: False)
        yield


def said(argv: Sequence[str]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = minibox.cli.main(argv)
    return status, out.getvalue(), err.getvalue()


@given(arguments(minibox.cli.run.PAGE), st.lists(words(("true", "-c")).map(argument), max_size=2))
@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_any_arguments_of_run_are_a_plan_or_one_line_and_status_125(
        on_a_full_machine: None, options: list[str], command: list[str]) -> None:
    status, out, err = said(["plan", "run", *options, "--", *command])
    if status == 0:
        assert out.startswith(("minibox plan 1\n", "usage: "))
    else:
        assert status == 125 and err.splitlines()[-1].startswith("minibox: ") and len(err) < 2000


@given(arguments(minibox.cli.seccomp.PAGE), st.lists(words(("show",)).map(argument), max_size=2))
def test_any_arguments_of_seccomp_are_an_answer_or_one_line_and_status_125(
        options: list[str], rest: list[str]) -> None:
    status, out, err = said(["seccomp", "show", *options, *rest])
    assert (status, bool(out), err) == (0, True, "") or (
        status == 125 and err.startswith("minibox: ") and err.count("\n") == 1), (out, err)


@given(words(("a", "..", "/", ".", "busybox")))
def test_the_name_of_a_root_file_system_never_leads_elsewhere(name: str) -> None:
    path = value_of(rootfs.path_of, name)
    assert path is None or os.path.normpath(str(path)) == f"{rootfs.directory()}/{name}"


@given(st.lists(words(("run", "--help", "--version", "-h", "-")).map(argument), max_size=3))
def test_any_other_verb_is_refused_with_status_125(argv: list[str]) -> None:
    if argv[:1] and argv[0] in minibox.cli.VERBS:
        return
    status, out, err = said(argv)
    assert (status, err.startswith("minibox: "), out) == (125, True, "") or out and not err


@given(st.lists(words(("--plan", "--report", "--control", "--tell", "3", "1048576", "=")
                      ).map(argument), max_size=5))
@settings(max_examples=200, deadline=None)
def test_any_arguments_of_the_engine_are_refused_with_status_125(argv: list[str]) -> None:
    if argv[:1] == ["--probe"]:
        return
    done = subprocess.run([engine.path(), *argv], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=60)
    assert (done.returncode, done.stdout) == (125, b"")
    assert done.stderr.startswith(b"minibox-engine: ")


# ---- blocks that the engine writes, or that lie in files ----

CHANGES = st.lists(st.tuples(st.integers(0), st.binary(max_size=8)), max_size=6)


@given(st.binary(max_size=64), CHANGES)
def test_any_block_is_a_plan_or_an_engine_error(
        noise: bytes, changes: list[tuple[int, bytes]]) -> None:
    whole = plans.encode(compile(BoxSpec(argv=("true",)), hosts.HOST_FULL))
    for block in (noise, changed(whole, changes), changed(whole[:800], changes)):
        with suppress(EngineError):
            plans.decode(block)


@given(CHANGES)
@settings(max_examples=500)
def test_any_report_is_a_result_or_an_engine_error(changes: list[tuple[int, bytes]]) -> None:
    what = compile(BoxSpec(argv=("true",)), hosts.HOST_FULL)
    size = report.LAYOUT.size + len(what) * report.RECORD.size
    fields: list[Any] = [0] * len(report.LAYOUT.unpack(bytes(report.LAYOUT.size)))
    fields[:3], fields[-4:] = (report.MAGIC, report.VERSION, size), (len(what), 0, b"name", b"")
    block = report.LAYOUT.pack(*fields) + bytes(size - report.LAYOUT.size)
    with suppress(EngineError):
        result = Result(args=("true",), plan=what, report=report.decode(changed(block, changes)))
        assert str(result) and result.to_json()


def changed(block: bytes, changes: list[tuple[int, bytes]]) -> bytes:
    new = bytearray(block)
    for at, some in changes:
        at %= len(block)
        new[at:at + len(some)] = some[:len(block) - at]
    return bytes(new)


@given(st.text(st.characters(), max_size=40))
def test_no_text_of_the_box_reaches_the_terminal_as_it_is(text: str) -> None:
    """An interpreter's name is what the box wrote there."""
    step = Exec(argv=("./script",), environment=(), path="")
    for cause in range(len(report.CAUSES)):
        shown = hints.program(step, 2, cause, text)
        assert shown.isprintable() and len(shown) < 1000
