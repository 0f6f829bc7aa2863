"""Experiments: factors and their levels, a workload, repetitions; raw samples first, then a report.

    from minibox.testing import experiment
    asked = experiment.load("caps")
    experiment.run(asked, "caps.jsonl")
    experiment.write_page(["caps.jsonl"], "caps.html")

`description` reads what is asked for, `design` orders the runs, `runner` makes them, `samples`
keeps them, `statistics`, `pictures` and `page` say what came of them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from minibox.testing.experiment.description import Experiment, load, shipped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Experiment", "load", "run", "shipped", "write_page"]


def run(asked: Experiment, samples: str | os.PathLike[str], *,
        progress: Callable[[int, int], None] | None = None) -> int:
    """Make the runs of *asked* that *samples*, a file of JSON Lines, does not have; how many.

    progress: called with how many are there and how many there will be.

    Errors: SpecError when the file belongs to another experiment; HostError when nothing of it can
    run here.
    """
    from minibox.testing.experiment.runner import run_all

    return run_all(asked, os.fspath(samples), progress or (lambda _done, _all: None))


def write_page(samples: Sequence[str | os.PathLike[str]], page: str | os.PathLike[str]) -> None:
    """Write what came of an experiment as one HTML file, from one or several hosts' samples.

    Errors: SpecError for samples that are none, or of several experiments; HostError without
    numpy and matplotlib.
    """
    from minibox.testing.experiment.page import write

    write([os.fspath(one) for one in samples], os.fspath(page))
