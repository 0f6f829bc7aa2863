"""minibox explain: a plan in words, from the same data that the engine runs."""

from __future__ import annotations

import os
import sys

from minibox.cli.options import UsageError, parse
from minibox.errors import HostError, SpecError, visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minibox.cli.options import Values
    from minibox.facts import Host
    from minibox.plan import Plan
    from minibox.spec import BoxSpec

PAGE = """\
usage: minibox explain [OPTION]... run [OPTION]... [--] PROGRAM [ARGUMENT]...
       minibox explain [OPTION]... plan FILE
       minibox explain --as TOOL run [OPTION]... [--] PROGRAM [ARGUMENT]...
       minibox explain --save-host FILE

Say how `minibox run` with these options would make its box, in order, without making it: what each
step does, why, what leaks without it, which privilege it needs, and where that is written.

      --zoom mechanisms|steps|calls   how near to look: at whole mechanisms, at each step, or at
                          each system call as strace(1) shows it [steps]
      --only NAME ...     only steps of these names or mechanisms; several with commas
      --json              the same for a program to read
      --svg FILE          draw the box instead, as a picture; what --only names stands out
      --as TOOL           the command by which unshare, bwrap or systemd-run come nearest to this
                          box, or config.json for runc; on stderr, what they do not do
      --host FILE         for another host, whose facts are in FILE, or for one of those that come
                          along: v1-root, v2-root, v2-user (of cgroups, and who runs the box)
      --save-host FILE    write this host's facts there, for --host elsewhere
  -h, --help              show this; `minibox run --help` shows the options of run

minibox explain --zoom mechanisms run -m 64M -- ./untrusted
"""

AS = """
      --as TOOL  as above, among the options of run
"""


def main(argv: Sequence[str]) -> int:
    """Do as *argv* says; the exit status."""
    options, rest = parse(PAGE, argv)
    if options.get("help"):
        print(PAGE, end="")
        return 0
    if "save-host" in options:
        if rest or len(options) > 1:
            raise UsageError("--save-host goes alone: minibox explain --save-host FILE")
        from minibox.explain.hosts import save

        save(this_host(), options["save-host"])
        return 0
    tool = options.get("as") or as_option(rest)
    if tool:
        by_other_means(tool, options, rest)
        return 0
    plan = asked_for(options, rest)
    if plan is None:
        return 0
    if "svg" in options:
        draw(plan, options, rest)
    else:
        tell(plan, options)
    return 0


def tell(plan: Plan, options: Values) -> None:
    """The explanation of *plan* on stdout."""
    from minibox.explain.record import explain
    from minibox.explain.text import ZOOMS, show

    zoom = options.get("zoom", "steps")
    if zoom not in ZOOMS:
        raise SpecError("zoom", zoom, f"use {', '.join(ZOOMS)}")
    explanation = explain(plan, named(options))
    if "json" in options:
        import json

        json.dump(explanation.to_dict(), sys.stdout, indent=1)
        print()
    else:
        show(explanation, zoom, sys.stdout)


def named(options: Values) -> tuple[str, ...]:
    """What --only names, each time and with commas."""
    return tuple(name for words in options.get("only", ()) for name in words.split(",") if name)


def draw(plan: Plan, options: Values, rest: Sequence[str]) -> None:
    """The picture of *plan*, in the file that --svg names."""
    from minibox.explain.hosts import load
    from minibox.explain.picture import svg

    for other in ("json", "zoom"):
        if other in options:
            raise UsageError(f"--svg makes a picture: leave --{other} out")
    host = None if rest[0] == "plan" else load(options["host"]) if "host" in options \
        else this_host()
    text, where = svg(plan, host, named(options)), options["svg"]
    try:
        with open(where, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise SpecError("svg", where, f"it cannot be written: {error.strerror}") from error


def asked_for(options: Values, rest: Sequence[str]) -> Plan | None:
    """The plan that *rest* names or asks for; None when it asks for help."""
    from minibox.cli import run

    if rest[:1] == ["plan"]:
        if "host" in options:
            raise UsageError("--host is for run: a saved plan was made for its host already")
        if len(rest) != 2:
            raise UsageError("name one saved plan, such as: minibox explain plan FILE")
        return saved(rest[1])
    if rest[:1] != ["run"]:
        raise UsageError("say what to explain, such as: minibox explain run -- /bin/true")
    if "host" not in options:
        try:
            return run.planned(run.PAGE, rest[1:])[0]
        except ImportError as error:
            raise no_facts(error) from error
        except HostError as error:
            hint = f"{error.hint}; or see how another host does it, by --host v2-user"
            raise HostError(error.feature, error.probe, hint) from error
    from minibox.compiler import compile
    from minibox.explain.hosts import load

    spec = requested(rest[1:], here=False)
    return compile(spec, load(options["host"])) if spec else None


def as_option(rest: Sequence[str]) -> str | None:
    """`--as TOOL` among the options of run."""
    from minibox.cli import run

    if rest[:1] != ["run"]:
        return None
    return parse(run.PAGE + AS, rest[1:])[0].get("as")


def by_other_means(tool: str, options: Values, rest: Sequence[str]) -> None:
    """The command of another tool on stdout; on stderr what it lacks, and does otherwise."""
    from minibox.explain.elsewhere import remarks, translate
    from minibox.explain.hosts import load

    for other in ("json", "zoom", "only", "svg"):
        if other in options:
            raise UsageError(f"--as writes a command: leave --{other} out")
    if rest[:1] != ["run"]:
        raise UsageError("--as is for run, such as: minibox explain --as bwrap run -- /bin/true")
    spec = requested(rest[1:], here="host" not in options)
    if spec is None:
        return
    host = load(options["host"]) if "host" in options else this_host()
    found = translate(tool, spec, host)
    sys.stdout.buffer.write(os.fsencode(found.config or found.shell()))     # as they were given
    sys.stdout.flush()
    for line in remarks(found):
        print(visible(line), file=sys.stderr)


def requested(argv: Sequence[str], *, here: bool) -> BoxSpec | None:
    """The box that options of run ask for; None when they ask for help. here: on this machine."""
    from minibox.cli import run
    from minibox.request import box_spec

    told, command = parse(run.PAGE + AS, argv)
    if told.get("help"):
        print(run.PAGE, end="")
        return None
    if not command:
        raise UsageError("name a program to run, such as: minibox explain run -- /bin/sh")
    for option in told:
        if option.startswith("device") and not here:
            raise SpecError(option, told[option][0], "only the host knows which device that is: "
                            "save the plan there by `minibox plan --output FILE run ...`, and see "
                            "`minibox explain plan FILE` here")
    return box_spec(command, here=here, **run.arguments(told))


def saved(path: str) -> Plan:
    """The plan in the file *path*, of `minibox plan --output`. Errors: SpecError."""
    from minibox.errors import EngineError
    from minibox.explain.record import check
    from minibox.plan import MAX_SIZE, decode

    try:
        with open(path, "rb") as file:
            plan = decode(file.read(MAX_SIZE + 1))
        check(plan)
        return plan
    except OSError as error:
        raise SpecError("plan", path, f"it cannot be read: {error.strerror}") from error
    except EngineError as error:
        raise SpecError("plan", path, f"{error}; make one by `minibox plan --output FILE run ...`, "
                        "with this version of minibox") from error


def this_host() -> Host:
    """Errors: HostError: the engine, by which facts are found, is not built here."""
    try:
        from minibox import host

        return host.find()
    except ImportError as error:
        raise no_facts(error) from error


def no_facts(error: ImportError) -> HostError:
    return HostError("facts of this host", f"what finds them is not built here ({error})",
                     "name another's: --host v2-user, or `minibox explain --save-host FILE` there "
                     "and --host FILE here")
