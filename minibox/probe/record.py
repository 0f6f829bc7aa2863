"""What is known about a probe."""

from __future__ import annotations

from minibox.record import Record


class Probe(Record):
    """One small attempt, and the answers that mean that the boundary holds.

    id: GROUP.WHAT-IT-IS, as the program prints it. question: "can it …?", in a line. held:
    outcomes that mean no, "held" among them; any other but "unprovable" means yes. why: what an
    attacker gains. layers: the walls (spec.LAYERS) each of which, left out alone, opens it.
    profiles: what may come of it too where that was asked for, as ("net=host", ("open",)).
    """

    id: str
    question: str
    held: tuple[str, ...]
    why: str
    cve: str = ""
    layers: tuple[str, ...] = ()
    profiles: tuple[tuple[str, tuple[str, ...]], ...] = ()
