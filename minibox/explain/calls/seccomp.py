"""The calls of csrc/steps_seccomp.c."""

from __future__ import annotations

from minibox import steps
from minibox.explain.calls.notation import Call, Scene, call
from minibox.seccomp import program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from minibox.explain.calls.notation import Maker

ACTION = 0xFFFF0000
KILLS = (0x80000000, 0)
"""SECCOMP_RET_KILL_PROCESS and SECCOMP_RET_KILL_THREAD: linux/seccomp.h."""

FILTER, LISTEN = "SECCOMP_SET_MODE_FILTER", "SECCOMP_FILTER_FLAG_NEW_LISTENER"


def _listens(step: steps.FilterCalls) -> bool:
    """Has it a verdict that the engine is to see?"""
    told = (*KILLS, program.ERRNO & ACTION) if step.log else KILLS
    return any(word & 0xFFFF == program.RETURN and word >> 32 & ACTION in told
               for word in step.program)


def filter_calls(scene: Scene, step: steps.FilterCalls) -> Iterator[Call]:
    loaded = f"{{len={len(step.program)}, filter=...}}"
    if not _listens(step):
        yield call("seccomp", FILTER, 0, loaded)
        return
    yield call("seccomp", FILTER, f"{LISTEN}|SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", loaded,
               result="<listener> or -1 EINVAL")
    yield call("seccomp", FILTER, LISTEN, loaded, result="<listener>", when="before Linux 5.19")
    yield call("sendmsg", "<link>", "{msg_name=NULL, ...}", "MSG_NOSIGNAL", result="32")


CALLS: dict[type[steps.Step], Maker] = {steps.FilterCalls: filter_calls}
