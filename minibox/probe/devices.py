"""Probes of the group devices."""

from __future__ import annotations

from minibox.probe.record import Probe

PROBES: tuple[Probe, ...] = (
    Probe(id="devices.memory", question="can it open the machine's memory?",
          held=("held", "EPERM", "EACCES", "ENOENT"), why="all of the machine is in it",
          layers=("dev",)),
)
