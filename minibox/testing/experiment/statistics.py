"""What the samples say, and how sure: medians, with bootstrap confidence intervals.

The bootstrap asks what else might have come out: it draws as many samples from those that there
are, again and again, and takes the middle 95 % of what the medians are then (Efron, 1979).  It
assumes nothing about how the figures are spread, but that they are independent, which the random
order is for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

DRAWS = 4000
MIDDLE = (2.5, 97.5)


class Summary(NamedTuple):
    """runs: how many there are; low, high: the 95 % interval of the median."""

    runs: int
    median: float
    low: float
    high: float
    least: float
    most: float


class Effect(NamedTuple):
    """What a level changes beside the factor's first: the median difference and its 95 % interval;
    relative: to the median of the first."""

    factor: str
    level: str
    base: str
    median: float
    low: float
    high: float
    relative: float | None


def medians(values: Sequence[float], seed: int) -> NDArray[Any]:
    """The medians of DRAWS draws."""
    data = numpy.asarray(values, dtype=float)
    chosen = numpy.random.default_rng(seed).integers(0, len(data), (DRAWS, len(data)))
    found: NDArray[Any] = numpy.median(data[chosen], axis=1)
    return found


def summary(values: Sequence[float], seed: int) -> Summary:
    low, high = numpy.percentile(medians(values, seed), MIDDLE)
    return Summary(len(values), float(numpy.median(values)), float(low), float(high),
                   float(min(values)), float(max(values)))


def effects(groups: dict[tuple[tuple[str, str], ...], list[float]],
            factors: Sequence[tuple[str, Sequence[str]]], seed: int) -> list[Effect]:
    """Of each level but the first of each factor: the difference from the first, of medians of
    cells that are alike in all other factors, averaged over those.

    groups: the values of each cell, which is (factor, level) for each factor.
    """
    found = []
    for name, levels in factors:
        base, *others = levels
        for level in others:
            differences, bases = [], []
            for cell, values in groups.items():
                twin = tuple((factor, base if factor == name else one) for factor, one in cell)
                if dict(cell)[name] == level and groups.get(twin) and values:
                    differences.append(medians(values, seed) - medians(groups[twin], seed + 1))
                    bases.append(float(numpy.median(groups[twin])))
            if differences:
                mean = numpy.mean(differences, axis=0)
                low, high = numpy.percentile(mean, MIDDLE)
                middle, at = float(numpy.median(mean)), float(numpy.mean(bases))
                found.append(Effect(name, level, base, middle, float(low), float(high),
                                    middle / at if at else None))
    return found
