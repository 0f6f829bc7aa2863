"""Traces put together by hand, and those of boxes that really ran."""

from __future__ import annotations

import json
from typing import Any

from minibox.trace.record import ROLE_OF, Change, Trace, Traced


def change(what: str, before: str | None, after: str | None, of: str = "init") -> Change:
    return Change(of=of, what=what, before=before, after=after)


def step(number: int, part: str, name: str, begin: int, end: int, *changes: Change,
         **more: Any) -> Traced:
    given: dict[str, Any] = {
        "mechanism": "", "sentence": f"Do {name}.", "state": "done", "call": "", "errno": "",
        "waits": name == "await", "note": ""} | more
    return Traced(number=number, part=part, by=ROLE_OF[part], name=name, begin_ns=begin,
                  end_ns=end, changes=changes, **given)


STEPS = (
    step(0, "prepare", "clone-init", 1_000_000, 1_400_000,
         change("ns/pid", "4026531836", "4026532201"),
         change("uid_map", "0 0 4294967295", "none")),
    step(1, "prepare", "map-ids", 3_000_000, 3_050_000, change("uid_map", "none", "0 1000 1")),
    step(2, "enter", "await", 1_500_000, 3_100_000),
    step(3, "enter", "mount-proc", 5_000_000, 5_100_000,
         change("mount /proc", None, "proc none rw,nosuid")),
    step(4, "enter", "set-hostname", 6_000_000, 6_002_000),
    step(5, "app", "drop-capabilities", 7_000_000, 7_030_000,
         change("CapEff", "000001ffffffffff", "0000000000000000", "app")),
    step(6, "app", "exec", 8_000_000, 8_400_000, sentence="Run <b>&,true.", note="from outside"))

TRACE = Trace(minibox="0.1.0", args=("<b>&", "true"), kernel="6.18", uid=1000,
              started_s=1_700_000_000.0, reason="exited", exit_status=0, summary="exited",
              exec_ns=8_000_000, end_ns=9_000_000, steps=STEPS)


def traced(boxed: Any, *arguments: str) -> tuple[Any, dict[str, Any]]:
    """`minibox trace run ARGUMENTS`: what was done, and the trace."""
    path = boxed.scratch / "trace.json"
    done = boxed.minibox("trace", "--json", str(path), "run", *arguments)
    assert path.exists() and path.read_text(), done.stderr
    return done, json.loads(path.read_text())


def named(trace: dict[str, Any], name: str, number: int = 0) -> dict[str, Any]:
    """One step of a trace in JSON."""
    found: list[dict[str, Any]] = [one for one in trace["steps"] if one["name"] == name]
    return found[number]


def changed(one: dict[str, Any], of: str | None = None) -> dict[str, Any]:
    """What a step changed, as name: (before, after)."""
    return {each["what"]: (each["before"], each["after"]) for each in one["changes"] or ()
            if of in (None, each["of"])}
