"""Which runs an experiment has, and in which order: at random, so that what changes with time on
this machine spreads over all levels, and by a seed, so that it is the same order again."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minibox.testing.experiment.description import Experiment, Level

    Cell = dict[str, Level]


def cells(asked: Experiment) -> list[Cell]:
    """All combinations of levels, or a sample of them."""
    names = [factor.name for factor in asked.factors]
    found = [dict(zip(names, levels, strict=True))
             for levels in itertools.product(*(factor.levels for factor in asked.factors))]
    if asked.sample is not None and asked.sample < len(found):
        chosen = set(random.Random(asked.seed).sample(range(len(found)), asked.sample))
        found = [cell for number, cell in enumerate(found) if number in chosen]
    return found


def order(asked: Experiment) -> list[tuple[Cell, int]]:
    """Each cell as often as it is repeated, with the number of the repetition."""
    runs = [(cell, repetition) for cell in cells(asked) for repetition in range(asked.repetitions)]
    random.Random(asked.seed).shuffle(runs)
    return runs


def key(cell: Cell, repetition: int) -> str:
    """What tells a run from the others of its experiment."""
    return "/".join(f"{factor}={level.name}" for factor, level in cell.items()) + f"#{repetition}"
