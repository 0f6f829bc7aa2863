"""Resource limits: what the kernel counts for each process, or for each user of a namespace."""

from __future__ import annotations

from minibox.compiler.draft import Draft
from minibox.spec import Ulimit
from minibox.steps import SetOomScore, SetRlimit

DEFAULTS = (Ulimit(name="core", soft=0, hard=0), Ulimit(name="nofile", soft=1024, hard=1024),
            Ulimit(name="memlock", soft=64 << 10, hard=64 << 10))

DEFAULT_PIDS = 1024
"""Processes and threads of a box that asks for no number."""

COUNTED_PER_NAMESPACE = (5, 14)
"""The kernel from which RLIMIT_NPROC counts each user namespace by itself."""


def set_them(draft: Draft) -> None:
    limits = draft.spec.limits
    defaults = DEFAULTS if draft.has("rlimits") else ()
    chosen = {limit.name: limit for limit in (*defaults, *_processes(draft), *_cpu(draft),
                                              *_data(draft), *limits.ulimits)}
    draft.app += [SetRlimit(resource=limit.resource, soft=limit.soft, hard=limit.hard,
                            or_less=limit in DEFAULTS) for limit in chosen.values()]
    for limit in chosen.values():
        asked = [limit.soft, limit.hard] if limit in limits.ulimits else None
        draft.receipt(f"ulimit {limit.name}", asked, [limit.soft, limit.hard], "setrlimit")
    if not draft.has("oom-score"):
        return
    score = limits.oom_score_adj
    draft.app.append(SetOomScore(adjustment=score))
    draft.receipt("oom-score-adj", score, score, "/proc/self/oom_score_adj")


def _processes(draft: Draft) -> list[Ulimit]:
    """The cap on processes, where no cgroup holds it. Older kernels count all that this user has
    on the host, so there a number for the box alone cannot be had."""
    asked = draft.spec.limits.pids
    if asked is not None and draft.groups.controller("pids") or not draft.has("pids"):
        return []
    if draft.host.kernel < COUNTED_PER_NAMESPACE and not draft.ids.leased:
        if asked is None:
            draft.receipt("pids", None, None, "none", "only a cgroup could, before Linux 5.14")
        else:
            draft.refuse("pids", asked, "pids")
        return []
    number = asked or DEFAULT_PIDS
    draft.receipt("pids", asked, number, "RLIMIT_NPROC, counted for each user namespace")
    return [Ulimit(name="nproc", soft=number, hard=number)]


def _cpu(draft: Draft) -> list[Ulimit]:
    """A second wall for CPU time: what one process alone may use, in whole seconds."""
    asked = draft.spec.limits.cputime_s
    if asked is None:
        return []
    seconds = int(asked) + 1
    return [Ulimit(name="cpu", soft=seconds, hard=seconds + 1)]


def _data(draft: Draft) -> list[Ulimit]:
    """The best that can be done for memory without a cgroup."""
    asked = draft.spec.limits.memory_bytes
    if asked is None or draft.groups.controller("memory"):
        return []
    return [Ulimit(name="data", soft=asked, hard=asked)]
