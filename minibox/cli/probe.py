"""minibox probe: try from inside what a box must hold, in this runtime and in others."""

from __future__ import annotations

import contextlib
import os
import sys
import time

from minibox.cli import run
from minibox.cli.options import UsageError, parse
from minibox.errors import SpecError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from minibox.cli.options import Values

PAGE = """\
usage: minibox probe [OPTION]... [-- OPTION-OF-RUN...]

Make small attempts at what a box must hold, from inside, and say of each whether it held, is
open, or proves nothing. What `minibox run` with the options after -- would give is tried; or
another runtime; or a process is looked at. Nothing on this host is changed. The exit status is 1 if
a probe is open.

      --runtime NAME        minibox, bwrap, runc, crun, firejail, nspawn, podman, docker, unshare,
                            none (this host itself), or a command line with {} for the program
      --compare NAME,...    several runtimes side by side; the exit status is for the first
      --ablate              leave out each wall of the box in turn, and show what opens
      --layers LAYER,...    only these, or several at once, such as masks+hidepid
      --pairs               and, where nothing opens, with each other wall as well (some minutes)
      --pid PID             what a running process has, from outside
      --only NAME,...       only these probes or groups of them
      --list                say what would be tried, and try nothing
      --no-control          do not try this host itself, where what is not open proves nothing
      --timeout SECONDS     for each run [120]
      --json                write the findings as JSON
      --html FILE           write them as a page that stands alone
  -h, --help                show this

minibox probe --compare minibox,bwrap,runc --html walls.html
minibox probe -- --network host
"""


def main(argv: Sequence[str]) -> int:
    """Do as *argv* says; the exit status."""
    options, rest = parse(PAGE, argv)
    if options.get("help"):
        print(PAGE, end="")
        return 0
    if rest and "--" not in argv:
        raise UsageError(f"probe takes no argument, but was given {rest[0]!r}")
    modes = [name for name in ("runtime", "compare", "ablate", "pid", "list") if name in options]
    if len(modes) > 1:
        raise UsageError(f"--{modes[0]} and --{modes[1]} are different things: choose one")
    for name in ("layers", "pairs"):
        if name in options and "ablate" not in options:
            raise UsageError(f"--{name} says what --ablate leaves out: give --ablate as well")
    if "pid" in options:
        return _process(options)
    if "list" in options:
        return _list(options)
    return _ablate(options, rest) if "ablate" in options else _try(options, rest)


def asked_for(rest: Sequence[str]) -> frozenset[str]:
    """What the box's options *rest* loosen on purpose, in the words of Probe.profiles."""
    given, more = parse(run.PAGE, rest)
    if more:
        raise UsageError(f"{more[0]!r} is no option of `minibox run`: the program that is run in "
                         "the box is the probes' own")
    return frozenset(f"{'net' if name == 'network' else name}={value}"
                     for name, value in given.items() if isinstance(value, str))


def _words(options: Values, name: str) -> tuple[str, ...]:
    return tuple(filter(None, str(options.get(name, "")).split(",")))


def _timeout(options: Values) -> float:
    from minibox.parse import duration
    from minibox.probe import TIMEOUT_S

    return duration("timeout", options["timeout"]) if "timeout" in options else TIMEOUT_S


def _list(options: Values) -> int:
    from minibox.probe import catalogue

    probes = catalogue(_words(options, "only"))
    if options.get("json"):
        from minibox.record import as_dict

        _print_json([as_dict(probe) for probe in probes])
    else:
        from minibox.probe.tables import of_catalogue, show

        show(of_catalogue(probes))
    return 0


def _try(options: Values, rest: Sequence[str]) -> int:
    from minibox.probe import compare, tables

    several = "compare" in options
    runtimes = (_words(options, "compare") if several
                else (str(options.get("runtime", "minibox")),))
    if not runtimes:
        raise UsageError("--compare needs names, such as minibox,bwrap")
    if rest and "minibox" not in runtimes:
        raise UsageError("what follows -- are options of a box of minibox, which is not tried here")
    with _progress() as tell:
        trials = compare(runtimes, options=rest, only=_words(options, "only"),
                         asked=asked_for(rest), control="no-control" not in options,
                         timeout=_timeout(options), tell=tell)
    if "html" in options:
        from minibox.probe.page import of_trials

        _write(str(options["html"]), of_trials(trials))
    if options.get("json"):
        _print_json(_about() | {"runtimes": [trial.as_json() for trial in trials]})
    elif "html" not in options:
        tables.show(tables.of_comparison(trials, os.getuid()) if several
                    else tables.of_trial(trials[0], os.getuid()))
    first = trials[0]
    return 125 if first.reason else 1 if first.open else 0


def _ablate(options: Values, rest: Sequence[str]) -> int:
    from minibox.probe import tables
    from minibox.probe.ablation import ablate

    asked_for(rest)
    with _progress() as tell:
        found = ablate(_words(options, "layers"), pairs="pairs" in options, options=rest,
                       only=_words(options, "only"), timeout=_timeout(options), tell=tell)
    whole = found.whole
    if whole.reason:
        print(f"minibox: no box can run here: {whole.reason}", file=sys.stderr)
        return 125
    if "html" in options:
        from minibox.probe.page import of_ablations

        _write(str(options["html"]), of_ablations(found.without))
    if options.get("json"):
        _print_json(_about() | {"whole": whole.as_json(),
                                "without": [one.as_json() for one in found.without]})
    elif "html" not in options:
        tables.show(tables.of_ablation(found.without, os.getuid()))
    return 1 if whole.open else 0


def _process(options: Values) -> int:
    from minibox.probe.process import examine

    pid = str(options["pid"])
    if not pid.isdecimal() or len(pid) > 9:
        raise SpecError("pid", pid, "give the number of a process")
    found = examine(int(pid))
    if options.get("json"):
        _print_json(found.as_json())
    else:
        print("\n".join(found.lines()))
    return 0


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Says on stderr, if that is a terminal, what is being tried."""
    terminal = sys.stderr.isatty()

    def tell(name: str) -> None:
        if terminal:
            line = f"probing {name}" if name else ""
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)

    try:
        yield tell
    finally:
        tell("")


def _about() -> dict[str, Any]:
    from minibox import __version__

    return {"minibox": __version__, "kernel": os.uname().release, "machine": os.uname().machine,
            "uid": os.getuid(), "date": time.strftime("%Y-%m-%d")}


def _print_json(found: Any) -> None:
    import json

    print(json.dumps(found, indent=2))


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise SpecError("html", path, f"it cannot be written: {error.strerror}") from error
