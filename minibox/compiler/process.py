"""The application's process: what watches it, its streams, session, environment, directory, and exec."""

from __future__ import annotations

from minibox.compiler import cgroups, ids
from minibox.compiler.draft import Draft
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


def ns(seconds: float | None) -> int:
    return 0 if seconds is None else round(seconds * 1e9)


def supervise(draft: Draft) -> None:
    """What the engine itself looks after."""
    spec, limits = draft.spec, draft.spec.limits
    watched = limits.memory_bytes if not cgroups.enforces(draft, "memory") else None
    draft.prepare += [
        Watch(walltime_ns=ns(limits.walltime_s), cputime_ns=ns(limits.cputime_s),
              output_bytes=limits.output_bytes or 0, rss_bytes=watched or 0),
        StopWith(signal=spec.stop_signal, timeout_ns=ns(spec.stop_timeout_s)),
        OpenStreams(stdin="caller" if spec.stdin else "null", terminal=spec.terminal,
                    relay=limits.output_bytes is not None)]
    for cap, asked, mechanism in (
            ("timeout", limits.walltime_s, "the engine's timer, from exec"),
            ("cpu-time", limits.cputime_s, "watched by the engine, RLIMIT_CPU"),
            ("output-limit", limits.output_bytes, "the engine's relay")):
        if asked is not None:
            draft.receipt(cap, asked, asked, mechanism)


def clone(draft: Draft) -> None:
    if draft.spec.init:
        uids, gids = ids.maps(draft)
        draft.enter.append(CloneApp(nested=True, uids=ids.inside(uids), gids=ids.inside(gids),
                                    deny_setgroups=ids.mode(draft) == "one"))
    draft.receipt("init", draft.spec.init, draft.spec.init, "PID 1, in a user namespace above"
                  if draft.spec.init else "none",
                  "" if draft.spec.init else "the application is PID 1 and must reap; it could trace itself free "
                  "of the engine's death")


def settle(draft: Draft) -> None:
    draft.app += [NewSession(terminal=draft.spec.terminal), UseStreams(), SetUmask(mask=0o022)]
    draft.receipt("streams", None, "terminal" if draft.spec.terminal else "pipes", "the engine's relay",
                  "no file or terminal of the host is passed")


def choose_directory(draft: Draft) -> None:
    draft.app.append(ChangeDir(path=draft.spec.workdir))


def environment(draft: Draft) -> tuple[str, ...]:
    """NAME=VALUE: the few defaults, and what was asked for on top of them."""
    values = {"PATH": PATH, "HOME": home(draft), "LANG": "C.UTF-8"}
    if draft.spec.terminal:
        values["TERM"] = "xterm"
    return tuple(f"{name}={value}" for name, value in (values | dict(draft.spec.environment)).items())


def home(draft: Draft) -> str:
    return "/root" if draft.spec.user.uid == 0 else "/"


def execute(draft: Draft) -> None:
    variables = environment(draft)
    path = next(value for name, _, value in (one.partition("=") for one in variables) if name == "PATH")
    draft.app += [CloseFiles(), DieWithParent(),
                  Exec(argv=draft.spec.argv, environment=variables, path=path)]
    draft.receipt("descriptors", None, "0, 1 and 2", "close_range")
    draft.receipt("environment", None, [one.partition("=")[0] for one in variables], "execve")
