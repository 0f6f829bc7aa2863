"""Small attempts at what a box must hold: what each asks, and which answers mean that it holds.

The attempts are C, in one static program (csrc/probes), so that any runtime can run them; what is
known about each is here, one module for each group.

    from minibox import probe
    trial = probe.run("minibox")
    [finding.probe.id for finding in trial.open]
"""

from __future__ import annotations

import os

from minibox.errors import EngineError, SpecError
from minibox.probe.record import Probe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from minibox.probe.trial import Trial

GROUPS = ("files", "processes", "network", "devices", "kernel", "resources", "privileges", "leaks")

TIMEOUT_S = 120.0


def catalogue(only: Iterable[str] = ()) -> tuple[Probe, ...]:
    """All probes, or those of the groups and with the ids in *only*, in the program's order.

    Errors: SpecError.
    """
    probes = tuple(probe for group in GROUPS
                   for probe in __import__(f"minibox.probe.{group}", fromlist=["PROBES"]).PROBES)
    wanted = tuple(only)
    for word in wanted:
        if word not in GROUPS and word not in (probe.id for probe in probes):
            from difflib import get_close_matches

            near = get_close_matches(word, [*GROUPS, *(probe.id for probe in probes)], 1)
            raise SpecError("only", word, f"did you mean {near[0]}?" if near else
                            f"name a probe or a group: {', '.join(GROUPS)}")
    return tuple(probe for probe in probes if not wanted or probe.id in wanted
                 or probe.id.partition(".")[0] in wanted)


def program() -> str:
    """The static program that makes the attempts. Errors: EngineError if it is not built."""
    path = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                        "minibox-probe")
    if not os.access(path, os.X_OK):
        raise EngineError(f"{path} is not there: build it, by `make venv` in a checkout")
    return path


def run(runtime: str = "minibox", **options: Any) -> Trial:
    """Run the probes in *runtime*, and say of each boundary whether it holds: see `compare`."""
    return compare((runtime,), **options)[0]


def compare(runtimes: Sequence[str], *, options: Sequence[str] = (), only: Iterable[str] = (),
            asked: Iterable[str] = (), control: bool = True, timeout: float = TIMEOUT_S,
            tell: Callable[[str], None] = lambda name: None) -> tuple[Trial, ...]:
    """Run the probes in each of *runtimes*, with the same canaries.

    runtimes: names of minibox.probe.runtimes.RUNTIMES, or command lines with {} for the program.
    options: of `minibox run`, for a box of minibox; asked: what they loosen, in the words of
    Probe.profiles, such as "net=host". only: groups and ids. control: run them on the bare host as
    well: what is not open there proves nothing. timeout: seconds for each run. tell: is called with
    the name of each runtime before it runs.

    Errors: SpecError; HostError, EngineError: nothing can be tried here.
    """
    from minibox.probe.canaries import canaries
    from minibox.probe.runtimes import check
    from minibox.probe.trial import bare, trial

    for runtime in runtimes:
        check(runtime)
    probes, path, found = catalogue(only), program(), []
    with canaries() as made:
        outside = bare(probes, made, path, timeout) if control else None
        for runtime in runtimes:
            tell(runtime)
            own, none = runtime == "minibox", runtime == "none"
            found.append(trial(runtime, probes, made, path, options if own else (), timeout,
                               None if none else outside, frozenset(asked if own else ())))
    return tuple(found)
