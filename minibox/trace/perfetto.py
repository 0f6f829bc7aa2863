"""A trace in the Trace Event Format, which ui.perfetto.dev and chrome://tracing show.

Source: "Trace Event Format", the Chromium project: complete events ("X") with times in
microseconds, metadata events ("M") that name processes.
"""

from __future__ import annotations

from minibox.trace import words
from minibox.trace.record import ROLES
from minibox.trace.text import placed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minibox.trace.record import Trace, Traced


def events(trace: Trace) -> str:
    """The JSON: a process for each of the box's, with an event for each step that it took."""
    import json

    found: list[dict[str, Any]] = []
    for number, role in enumerate(ROLES, 1):
        found.append({"ph": "M", "name": "process_name", "pid": number, "tid": number,
                      "args": {"name": role}})
        found.append({"ph": "M", "name": "process_sort_index", "pid": number, "tid": number,
                      "args": {"sort_index": number}})
    places = placed(trace.steps)
    for step in trace.steps:
        if step.number in places:
            begin, end = places[step.number]
            pid = ROLES.index(step.by) + 1
            found.append({"ph": "X", "name": step.name, "pid": pid, "tid": pid, "ts": begin / 1000,
                          "dur": (end - begin) / 1000, "args": _arguments(step),
                          "cat": "wait" if step.waits else step.mechanism or step.part})
    return json.dumps({"traceEvents": found, "displayTimeUnit": "ns", "otherData": {
        "command": " ".join(trace.args), "verdict": trace.summary, "kernel": trace.kernel}})


def _arguments(step: Traced) -> dict[str, Any]:
    told: dict[str, Any] = {"step": step.number, "what": step.sentence, "state": step.state}
    if step.errno:
        told |= {"errno": step.errno, "call": step.call}
    if changes := [str(line) for line in words.lines(step)]:
        told["changes"] = changes
    return told
