"""Probes of the group leaks."""

from __future__ import annotations

from minibox.probe.record import Probe

PROBES: tuple[Probe, ...] = (
    Probe(id="leaks.hostname", question="does it know the host's name?",
          held=("held", "EPERM", "EACCES", "ENOENT"), why="it tells which machine this is",
          layers=("uts",)),
)
