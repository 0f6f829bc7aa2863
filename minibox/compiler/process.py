"""The application's process: what watches it, its streams, session, environment, and exec."""

from __future__ import annotations

from minibox.compiler.draft import Draft
from minibox.compiler.ids import inside
from minibox.errors import HostError
from minibox.spec import HOST_VIEW, BoxSpec
from minibox.steps import (
    ChangeDir,
    CloneApp,
    CloseFiles,
    DieWithParent,
    Exec,
    NewSession,
    OpenStreams,
    SetUmask,
    StopWith,
    UseStreams,
    Watch,
)

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


UNSEEN = ("not seen: children of a program that ignores SIGCHLD, which the kernel reaps without "
          "adding up what they used; a cgroup sees them")
"""Source: times(2), NOTES; Linux 2.6.9."""


def ns(seconds: float | None) -> int:
    return 0 if seconds is None else round(seconds * 1e9)


def supervise(draft: Draft) -> None:
    """What the engine itself looks after."""
    spec, limits = draft.spec, draft.spec.limits
    resident = None if draft.groups.controller("memory") else limits.memory_bytes
    draft.prepare += [
        Watch(walltime_ns=ns(limits.walltime_s), cputime_ns=ns(limits.cputime_s),
              output_bytes=limits.output_bytes or 0, rss_bytes=resident or 0),
        StopWith(signal=spec.stop_signal, timeout_ns=ns(spec.stop_timeout_s)),
        OpenStreams(stdin="caller" if spec.stdin else "null", terminal=spec.terminal,
                    relay=limits.output_bytes is not None, owner=draft.ids.owner,
                    direct=not draft.has("streams"))]
    summed = spec.init or bool(draft.groups.places)
    if limits.cputime_s is not None and not summed and not spec.best_effort:
        raise HostError("cpu-time", "without a cgroup init adds up what its processes use, and "
                        "there is none", "leave --no-init out; or add --best-effort to cap each "
                        "process by itself")
    seen = limits.cputime_s is None or bool(draft.groups.places)
    for cap, asked, in_force, mechanism, note in (
            ("timeout", limits.walltime_s, limits.walltime_s, "the engine's timer, from exec on",
             ""),
            ("cpu-time", limits.cputime_s, limits.cputime_s if summed else None,
             "cgroup, read by the engine" if draft.groups.places else
             "/proc, read by init; RLIMIT_CPU for each process" if summed else
             "RLIMIT_CPU for each process", "" if seen else UNSEEN),
            ("output-limit", limits.output_bytes, limits.output_bytes, "the engine's relay", "")):
        draft.receipt(cap, asked, in_force, mechanism if asked is not None else "none", note)


def clone(draft: Draft) -> None:
    if draft.spec.init:
        nested = draft.has("nested-user")
        if nested:
            draft.need("user.nested")
            draft.receipt("nested-user", True, True, "clone3",
                          "init is in a user namespace above the application's")
        draft.enter.append(CloneApp(nested=nested, uids=inside(draft.ids.uids),
                                    gids=inside(draft.ids.gids),
                                    deny_setgroups=draft.ids.keep_groups))
        draft.receipt("init", True, True, "PID 1")
    else:
        draft.receipt("init", False, False, "none", "the application is PID 1, and must reap")


def settle(draft: Draft) -> None:
    if draft.has("session") or draft.spec.terminal:
        draft.app.append(NewSession(terminal=draft.spec.terminal))
        draft.receipt("session", None, "new", "setsid")
    draft.app.append(UseStreams())
    if draft.has("umask"):
        draft.app.append(SetUmask(mask=0o022))
    if draft.has("streams"):
        draft.receipt("streams", None, "terminal" if draft.spec.terminal else "pipes",
                      "the engine's relay", "no file or terminal of the host is passed")


def choose_directory(draft: Draft) -> None:
    draft.app.append(ChangeDir(path=draft.spec.workdir))


def environment(spec: BoxSpec) -> dict[str, str]:
    """The few defaults, and what was asked for on top of them."""
    defaults = {"PATH": PATH, "HOME": home(spec), "LANG": "C.UTF-8"}
    if spec.terminal:
        defaults["TERM"] = "xterm"
    return defaults | dict(spec.environment)


def home(spec: BoxSpec) -> str:
    """A directory of the user's own; only in the host's view do we know of one but root's."""
    return "/root" if spec.user.uid == 0 else "/home/box" if spec.rootfs == HOST_VIEW else "/"


def inherit_nothing(draft: Draft) -> None:
    if draft.has("descriptors"):
        draft.app.append(CloseFiles())
        draft.receipt("descriptors", None, "0, 1 and 2", "close_range")
    if draft.has("parent-death"):
        draft.app.append(DieWithParent())
        draft.receipt("parent-death", None, "SIGKILL", "PR_SET_PDEATHSIG")


def execute(draft: Draft) -> None:
    values = environment(draft.spec)
    draft.app.append(Exec(argv=draft.spec.argv, path=values["PATH"],
                          environment=tuple(f"{name}={value}" for name, value in values.items()),
                          inherit_signals=not draft.has("signals")))
    if draft.has("environment"):
        draft.receipt("environment", None, list(values), "execve")
