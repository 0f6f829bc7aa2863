"""minibox explain: a plan in words, from the same data that the engine runs."""

from __future__ import annotations

import sys

from minibox.cli.options import UsageError, parse
from minibox.errors import HostError, SpecError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minibox.cli.options import Values
    from minibox.facts import Host
    from minibox.plan import Plan

PAGE = """\
usage: minibox explain [OPTION]... run [OPTION]... [--] PROGRAM [ARGUMENT]...
       minibox explain [OPTION]... plan FILE
       minibox explain --save-host FILE

Say how `minibox run` with these options would make its box, in order, without making it: what each
step does, why, what leaks without it, which privilege it needs, and where that is written.

      --zoom mechanisms|steps|calls   how near to look: at whole mechanisms, at each step, or at
                          each system call as strace(1) shows it [steps]
      --only NAME ...     only steps of these names or mechanisms; several with commas
      --json              the same for a program to read
      --svg FILE          draw the box instead, as a picture; what --only names stands out
      --host FILE         for another host, whose facts are in FILE; this one is not looked at
      --save-host FILE    write this host's facts there, for --host elsewhere
  -h, --help              show this; `minibox run --help` shows the options of run

minibox explain --zoom mechanisms run -m 64M -- ./untrusted
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
    from minibox.compiler import compile
    from minibox.explain.hosts import load
    from minibox.request import box_spec

    told, command = parse(run.PAGE, rest[1:])
    if told.get("help"):
        print(run.PAGE, end="")
        return None
    if not command:
        raise UsageError("name a program to run, such as: minibox explain run -- /bin/sh")
    for option in told:
        if option.startswith("device"):
            raise SpecError(option, told[option][0], "only the host knows which device that is: "
                            "save the plan there by `minibox plan --output FILE run ...`, and see "
                            "`minibox explain plan FILE` here")
    return compile(box_spec(command, here=False, **run.arguments(told)), load(options["host"]))


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
                     "name another's: `minibox explain --save-host FILE` there, --host FILE here")
