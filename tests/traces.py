"""Traces put together by hand."""

from __future__ import annotations

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
