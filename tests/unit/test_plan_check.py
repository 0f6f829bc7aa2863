"""The engine's checker takes every plan that Python writes, and none that it reads otherwise."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibox import steps
from minibox.core import plan_error
from minibox.errors import EngineError
from minibox.plan import HEADER, RECORD, Plan, decode, encode
from minibox.record import replace
from minibox.steps import (
    RANGES,
    CloneInit,
    Exec,
    Fail,
    MakeCgroup,
    MapIds,
    OpenTree,
    SetIds,
    Step,
    Watch,
)

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
EXEC = Exec(argv=("true",), environment=("PATH=/bin",), path="/bin")
START = CloneInit(namespaces=("user", "mnt"))


def number(kind: type[Step], field: str) -> st.SearchStrategy[int]:
    low, high = RANGES[field]
    return st.integers(-1 if kind.__defaults__.get(field) == -1 else low, high)


def value(kind: type[Step], field: str, of: str) -> st.SearchStrategy[object]:
    if of == "bool":
        return st.booleans()
    if of == "str":
        return TEXT
    if of == "int":
        return number(kind, field)
    if of == "tuple[str, ...]":
        return st.lists(TEXT, max_size=4).map(tuple)
    size = 3 if field in ("uids", "gids") else st.integers(0, 4)
    numbers = number(kind, field)
    if size == 3:
        return st.lists(st.tuples(numbers, numbers, numbers), max_size=3).map(
            lambda triples: sum(triples, ()))
    return st.lists(numbers, max_size=4).map(tuple)


def step(kind: type[Step]) -> st.SearchStrategy[Step]:
    fields = {field: value(kind, field, of) for field, of in kind.__fields__.items()}
    return st.builds(kind, **fields)


def part(name: str) -> st.SearchStrategy[tuple[Step, ...]]:
    kinds = [kind for kind in steps.KINDS
             if name in kind.parts and kind not in (CloneInit, Exec, steps.CloneApp)]
    return st.lists(st.sampled_from(kinds).flatmap(step), max_size=6).map(tuple)


PLANS = st.builds(
    lambda prepare, start, enter, app, finish: Plan(
        prepare=(*prepare, start), enter=enter, app=(*app, EXEC), finish=finish),
    part("prepare"), step(CloneInit), part("enter"), part("app"), part("finish"))


def smallest(kind: type[Step]) -> Step:
    """A step of this kind with some value in each field."""
    made = {"bool": True, "str": "text", "tuple[str, ...]": ("one", "two")}
    fields: dict[str, object] = {}
    for field, of in kind.__fields__.items():
        low = RANGES.get(field, (0, 0))[0]
        fields[field] = made.get(of, low if of == "int" else (low, low, low))
    return kind(**fields)


def every_kind() -> Plan:
    """A plan with a step of each kind, each where it may stand."""
    parts = {name: tuple(smallest(kind) for kind in steps.KINDS if kind.parts[:1] == (name,))
             for name in steps.PARTS}
    app = tuple(one for one in parts["app"] if not isinstance(one, Exec))
    return Plan(prepare=parts["prepare"], enter=parts["enter"], app=(*app, EXEC),
                finish=parts["finish"])


EVERY_KIND = every_kind()
PLAIN = Plan(prepare=(Watch(), START), enter=(), app=(EXEC,), finish=())


def test_a_plan_with_every_kind_of_step_is_taken() -> None:
    assert {type(one) for one in EVERY_KIND} == set(steps.KINDS)
    assert plan_error(encode(EVERY_KIND)) is None


@given(PLANS)
def test_what_python_writes_the_engine_takes_and_python_reads_back(plan: Plan) -> None:
    block = encode(plan)
    assert plan_error(block) is None
    assert decode(block) == plan


def test_every_truncation_is_refused() -> None:
    block = encode(EVERY_KIND)
    assert all(plan_error(block[:size]) for size in range(len(block)))


def refused_or_read_alike(block: bytes) -> bool:
    """Whatever the engine takes, Python reads, and writes so that it is taken again."""
    if plan_error(block) is not None:
        return True
    plan = decode(block)
    return plan_error(encode(plan)) is None and decode(encode(plan)) == plan


def test_a_plan_with_any_one_bit_flipped_is_refused_or_read_alike() -> None:
    block = bytearray(encode(EVERY_KIND))
    for at in range(len(block)):
        for bit in range(8):
            block[at] ^= 1 << bit
            assert refused_or_read_alike(bytes(block)), f"byte {at}, bit {bit}"
            block[at] ^= 1 << bit


@given(PLANS, st.data())
@settings(max_examples=200)
def test_a_plan_with_any_bytes_replaced_is_refused_or_read_alike(
        plan: Plan, data: st.DataObject) -> None:
    block = bytearray(encode(plan))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(block) - 1))
        new = data.draw(st.binary(min_size=1, max_size=8))
        block[at:at + len(new)] = new[:len(block) - at]
    assert refused_or_read_alike(bytes(block))


@given(st.binary(max_size=256))
def test_noise_is_refused(noise: bytes) -> None:
    assert plan_error(noise)


def patched(plan: Plan, at: int, form: str, value: bytes | int) -> bytes:
    block = bytearray(encode(plan))
    struct.pack_into(form, block, at, value)
    return bytes(block)


FIRST_STEP, FIRST_FIELD = HEADER.size, HEADER.size + RECORD.size
LAST_FIELD = HEADER.size + sum(RECORD.size + 8 * len(one.__fields__) for one in PLAIN) - 8
ARGV, PATH = (LAST_FIELD - 8 * (len(EXEC.__fields__) - 1 - [*EXEC.__fields__].index(name))
              for name in ("argv", "path"))
"""Where the fields of Exec, the last step, lie in PLAIN's binary form."""


BROKEN = [
    (b"", "too short"),
    (patched(PLAIN, 0, "<8s", b"minicow\0"), "does not begin"),
    (patched(PLAIN, 8, "<I", 2), "another version"),
    (patched(PLAIN, 12, "<I", 1), "the size that it says"),
    (patched(PLAIN, 16, "<I", 2000), "too many steps"),
    (patched(PLAIN, 16, "<I", 1), "part where it cannot be done"),
    *((patched(PLAIN, at, "<I", 1), "areas do not follow") for at in range(32, 56, 4) if at != 44),
    (patched(PLAIN, 44, "<I", 0), "areas do not follow"),
    (patched(PLAIN, FIRST_STEP, "<H", 0), "no known kind"),
    (patched(PLAIN, FIRST_STEP, "<H", 999), "no known kind"),
    (patched(PLAIN, FIRST_STEP + 2, "<H", 8), "wrong size"),
    (patched(PLAIN, FIRST_STEP + 4, "<I", 1), "wrong size"),
    (patched(PLAIN, FIRST_FIELD, "<q", -1), "out of range"),
    (patched(PLAIN, 28, "<I", 1), "cut short"),
    (patched(PLAIN, PATH, "<I", FIRST_FIELD), "a string lies outside"),
    (patched(PLAIN, PATH + 4, "<I", 3), "does not end with NUL"),
    (patched(PLAIN, ARGV, "<I", LAST_FIELD + 9), "not aligned"),
    (patched(PLAIN, ARGV + 4, "<I", 999), "a list lies outside"),
    (encode(replace(PLAIN, prepare=(OpenTree(tree=64, source="/"), START))), "out of range"),
    (encode(replace(PLAIN, app=(SetIds(uid=2**32, gid=0), EXEC))), "out of range"),
    (encode(replace(PLAIN, prepare=(MakeCgroup(cgroup=-1, parent="/"), START))), "out of range"),
    (encode(replace(PLAIN, prepare=(START, MapIds(uids=(0, 0), gids=(), deny_setgroups=True)))),
     "triples"),
    (encode(replace(PLAIN, app=(EXEC, EXEC))), "the one exec"),
    (encode(replace(PLAIN, app=(EXEC, Fail(errno=5)))), "the one exec"),
    (encode(replace(PLAIN, app=(steps.UseStreams(),))), "the one exec"),
    (encode(replace(PLAIN, app=())), "nothing to execute"),
    (encode(replace(PLAIN, enter=(Fail(errno=5),), app=())), "nothing to execute"),
    (encode(replace(PLAIN, prepare=())), "start one box"),
    (encode(replace(PLAIN, prepare=(START, START))), "start one box"),
    (encode(replace(PLAIN, enter=(smallest(steps.CloneApp),) * 2)), "more than one application"),
    (encode(replace(PLAIN, app=(steps.ChangeDir(path="a\0b"), EXEC))), "NUL inside"),
]
"""Plans that are refused, and a part of what is said of them."""


@pytest.mark.parametrize(("block", "words"), BROKEN)
def test_a_broken_plan_is_refused_in_words(block: bytes, words: str) -> None:
    assert words in (plan_error(block) or "taken")


def test_a_plan_that_cannot_be_read_is_refused_at_once() -> None:
    """Two to the 31 steps of size 0, all the same; strings of 10 GB in all."""
    endless = bytearray(patched(PLAIN, 16, "<I", 2**31))
    struct.pack_into("<H", endless, FIRST_STEP + 2, 0)
    shared = encode(replace(PLAIN, app=(replace(EXEC, argv=("a" * 100_000,) * 100_000),)))
    for block in (bytes(endless), shared, patched(PLAIN, FIRST_STEP + 2, "<H", 0)):
        with pytest.raises(EngineError, match="this is not a plan"):
            decode(block)


def test_fail_may_stand_in_the_place_of_any_step() -> None:
    for index, broken in enumerate(PLAIN):
        failing = [Fail(errno=5) if n == index else one for n, one in enumerate(PLAIN)]
        plan = Plan(prepare=tuple(failing[:2]), enter=(), app=tuple(failing[2:]), finish=())
        assert plan_error(encode(plan)) is None, broken


def test_a_small_plan_cannot_ask_for_a_long_check() -> None:
    """100,000 items that all name one string of 100,000 bytes are 10 GB to look at."""
    text = "a" * 100_000
    plan = replace(PLAIN, app=(replace(EXEC, argv=(text,) * 100_000),))
    assert "too long together" in (plan_error(encode(plan)) or "taken")
