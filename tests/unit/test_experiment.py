"""What an experiment may ask, in which order it runs, and what its samples say."""

from __future__ import annotations

import random

import pytest

from minibox.errors import SpecError
from minibox.testing.experiment.description import beside, load, parse, shipped
from minibox.testing.experiment.design import cells, key, order
from minibox.testing.experiment.runner import figure, points
from minibox.testing.experiment.statistics import effects, summary

GOOD = """\
title = "T"
question = "Q?"
repetitions = 3
[workload]
command = ["true"]
[[factor]]
name = "memory"
[factor.levels]
none = []
some = { options = ["-m", "64M"], value = 64 }
[[factor]]
name = "filter"
[factor.levels]
on = []
off = ["--without", "seccomp"]
[measure]
wall = { from = "usage.wall_s", scale = 1000, unit = "ms" }
"""


@pytest.mark.parametrize("name", shipped())
def test_what_comes_with_minibox_can_be_asked(name: str) -> None:
    asked = load(name)
    assert asked.title and len(cells(asked)) > 1
    assert len(asked.text.splitlines()) <= 60               # a screenful


def test_six_come_with_minibox() -> None:
    assert set(shipped()) == {"namespaces", "chroot", "neighbour", "caps", "cost", "rootless"}


def test_the_noisy_neighbours_hogs_are_of_all_that_can_be_capped() -> None:
    asked = load("neighbour")
    levels = {level.neighbour for factor in asked.factors for level in factor.levels}
    assert levels - {None} == set(asked.neighbours) == {"cpu", "memory", "io", "pids"}
    capped = {word for cell in cells(asked) for word in beside(cell) if word.startswith("-")}
    assert {"--cpus", "-m", "--device-write-bps", "--pids-limit"} <= capped


@pytest.mark.parametrize(("replace", "by", "said"), [
    ("repetitions", "repetition", "did you mean repetitions?"),
    ("repetitions = 3", "repetitions = 0", "give a whole number from 1"),
    ("repetitions = 3", "repetitions = true", "give a whole number from 1"),
    ('title = "T"', "title = 3", "it has to be a str"),
    ('question = "Q?"', "", "question: ''"),
    ('command = ["true"]', 'command = "true"', "give a list of words"),
    ('command = ["true"]', 'command = ["true"]\nprobes = ["files"]', "either a command or probes"),
    ('command = ["true"]', 'probes = ["flies"]', "did you mean files?"),
    ('"usage.wall_s"', '"usage.wall"', "did you mean usage.wall_s?"),
    ('"usage.wall_s"', '"open"', 'use "usage.KEY"'),
    ('"--without", "seccomp"', '"--withuot", "seccomp"', "did you mean --without?"),
    ('"--without", "seccomp"', '"--without", "seccmop"', "this cannot be asked for"),
    ('"--without", "seccomp"', '"seccomp"', "no option of `minibox run`"),
    ('"-m", "64M"', '"-m", "lots"', "this cannot be asked for"),
    ("on = []", 'on = ["-m", "1G"]', "given twice"),
    ('name = "filter"', 'name = "memory"', "a name of its own"),
    ("value = 64", "value = true", "a value is a number"),
    ("value = 64", 'caller = "me"', "a caller is one of"),
    ("value = 64", 'neighbour = "hog"', "[neighbour] has none"),
    ("unit =", "per = \"cpus\", unit =", "per names one of the factors"),
    ("unit =", "take = \"best\", unit =", "take one of"), ("[measure]", "[measure", "line 16"),
])
def test_what_cannot_be_meant_is_named(replace: str, by: str, said: str) -> None:
    assert GOOD.count(replace) == 1
    with pytest.raises(SpecError) as caught:
        parse(GOOD.replace(replace, by))
    assert said in str(caught.value)


@pytest.mark.parametrize(("first", "second", "said"), [
    ('neighbour = "hog"', 'neighbour = "imp"', "one neighbour"),
    ('neighbour = "hog"', 'neighbour = "hog"', "one neighbour"),
    ('runtime = "bwrap"', 'runtime = "none"', "one runtime")])
def test_levels_that_ask_for_two_of_what_there_is_one_are_named(
        first: str, second: str, said: str) -> None:
    text = GOOD.replace("value = 64", first).replace(
        'off = ["--without", "seccomp"]', f"off = {{ {second} }}").replace(
        "[measure]", '[neighbour]\nhog = ["yes"]\nimp = ["no"]\n[measure]')
    with pytest.raises(SpecError, match=f"memory some, filter off.*{said}"):
        parse(text)


def test_every_combination_runs_as_often_as_it_is_repeated_in_one_random_order() -> None:
    asked = parse(GOOD)
    keys = [key(*one) for one in order(asked)]
    assert len(keys) == len(set(keys)) == 2 * 2 * 3
    assert keys == [key(*one) for one in order(parse(GOOD))] != sorted(keys)
    assert keys != [key(*one) for one in order(parse(f"seed = 7\n{GOOD}"))]


def test_a_sample_of_the_combinations_is_of_them() -> None:
    few = cells(parse(f"sample = 2\n{GOOD}"))
    assert len(few) == 2 and all(one in cells(parse(GOOD)) for one in few)


# ---- figures ----

RESULT = {"usage": {"cpu_s": 1.0, "wall_s": 4.0, "memory_peak_bytes": None}}


@pytest.mark.parametrize(("given", "out", "wanted"), [
    ('{ from = "usage.wall_s", scale = 1000 }', "", 4000.0),
    ('{ from = "usage.cpu_s / usage.wall_s" }', "", 0.25),
    ('{ from = "usage.cpu_s", per = "memory" }', "", 1 / 64),
    ('{ from = "usage.memory_peak_bytes" }', "", None),
    ('{ from = "stdout" }', "6.5\n", 6.5), ('{ from = "stdout" }', "many\n", None),
    ('{ from = "stdout.a" }', '{"a": 3}', 3.0), ('{ from = "stdout.b" }', '{"a": 3}', None),
    ('{ from = "stdout", series = true }', "0 1\n1 9\nnoise\n2 5\n", 5.0),
    ('{ from = "stdout", series = true, take = "max" }', "0 1\n1 9\n2 5\n", 9.0),
])
def test_a_figure_is_read_where_it_is_and_none_where_it_is_not(
        given: str, out: str, wanted: float | None) -> None:
    start = GOOD[:GOOD.index("[measure]")]
    (metric,) = parse(f"{start}[measure]\nfigure = {given}\n").metrics
    assert figure(metric, RESULT, out, {"memory": 64.0, "filter": None}) == wanted


def test_points_are_lines_of_two_numbers() -> None:
    assert points("0.5 2\nhello\n1 2 3\n1.0 -4\n") == [[0.5, 2.0], [1.0, -4.0]]


# ---- statistics ----

def test_the_interval_of_a_median_holds_the_true_one_nineteen_times_of_twenty() -> None:
    chance = random.Random(4)
    held = 0
    for turn in range(200):
        found = summary([chance.gauss(10, 2) for _ in range(25)], turn)
        assert found.low <= found.median <= found.high
        held += found.low <= 10 <= found.high
    assert held >= 180


def test_an_effect_is_found_and_none_is_not() -> None:
    chance = random.Random(5)
    groups = {(("a", a), ("b", b)): [chance.gauss(10 + 3 * (a == "on"), 1) for _ in range(40)]
              for a in ("off", "on") for b in ("x", "y")}
    found = {one.factor: one for one in effects(groups, [("a", ["off", "on"]), ("b", ["x", "y"])],
                                                1)}
    assert found["a"].low > 2 and found["a"].high < 4
    assert found["a"].relative == pytest.approx(0.3, abs=0.1)
    assert found["b"].low < 0 < found["b"].high


def test_time_series_stand_one_below_the_other() -> None:
    from minibox.testing.experiment.pictures import lines

    picture = lines({"alone": [[0, 1], [1, 3]], "beside a hog": [[0, 30], [1, 90]]}, "ms")
    assert [picture.count(f'id="axes_{number}"') for number in (1, 2, 3)] == [1, 1, 0]
    assert picture.index(">alone<") < picture.index('id="axes_2"') < picture.index(">beside a hog<")
