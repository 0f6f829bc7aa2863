"""Probes of the group resources."""

from __future__ import annotations

from minibox.probe.record import Probe

PROBES: tuple[Probe, ...] = (
    Probe(id="resources.core-dumps", question="can it dump core?",
          held=("held",), why="a dump goes where the host says, by a program of the host's",
          layers=("rlimits",)),
)
