"""Probes of the group files."""

from __future__ import annotations

from minibox.probe.record import Probe

PROBES: tuple[Probe, ...] = (
    Probe(id="files.host-canary", question="can it read a file of the host?",
          held=("held", "EPERM", "EACCES", "ENOENT"), why="secrets of the host are in files",
          layers=("view",)),
)
