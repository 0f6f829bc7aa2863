"""The command `minibox`: one module for each verb, loaded when it is called for."""

from __future__ import annotations

import sys

from minibox.errors import MiniboxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

VERBS = {
    "run": "run a program in a box",
    "run-many": "run each line of a file in a box, several at a time",
    "trace": "run a program in a box, and show each step as it is taken and what it changes",
    "plan": "show the steps by which a box would be made",
    "explain": "say what each of these steps does, why, and what leaks without it",
    "doctor": "try what works on this machine, and say how to mend the rest",
    "probe": "try from inside what a box must hold, here and in other runtimes",
    "experiment": "run factors and levels many times, and report what each changes",
    "lab": "a course: see, break and mend what containers are made of",
    "seccomp": "show which system calls a box may make, and why",
    "rootfs": "build, list and remove root file systems",
    "delegate": "give a user cgroups of his own, as root",
}

PAGE = f"""\
usage: minibox VERB [OPTION]... [ARGUMENT]...

Run one application per box: isolated by namespaces, capped by cgroups, with an honest verdict.

{chr(10).join(f"  {verb:10}{what}" for verb, what in VERBS.items())}

      --version  show the version
  -h, --help     show this; `minibox VERB --help` tells more

minibox run -m 64M --cpus 0.5 --pids-limit 20 --timeout 10 -- ./untrusted
"""

ITSELF, INTERRUPTED = 125, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line *argv*, sys.argv's by default; its exit status."""
    try:
        return dispatch(sys.argv[1:] if argv is None else argv)
    except MiniboxError as error:
        print(f"minibox: {error}", file=sys.stderr)
    except BrokenPipeError:
        # The reader has gone: a second failure, when Python flushes, would only be noise.
        sys.stdout = None
    except OSError as error:
        print(f"minibox: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return INTERRUPTED
    return ITSELF


def end_by_interrupts() -> None:
    """Let Ctrl-C simply end this process, which has nothing to tidy up before it is the engine.

    As KeyboardInterrupt it can be raised in a callback of the import machinery, and is lost there.
    It is blocked meanwhile: one that Python has noted, but not acted on, when its handler goes is
    lost as well ("ignored due to race condition"), and to block it is to act on it.
    """
    # Not from signal, which loads enum: 6 ms.
    from _signal import (  # type: ignore[import-not-found]
        SIG_BLOCK,
        SIG_DFL,
        SIG_UNBLOCK,
        SIGINT,
        default_int_handler,
        getsignal,
        pthread_sigmask,
        signal,
    )

    if getsignal(SIGINT) is default_int_handler:            # and not ignored
        pthread_sigmask(SIG_BLOCK, (SIGINT,))
        signal(SIGINT, SIG_DFL)
        pthread_sigmask(SIG_UNBLOCK, (SIGINT,))


def dispatch(argv: Sequence[str]) -> int:
    verb, *rest = argv or ["--help"]
    if verb in VERBS:
        if verb == "run":
            end_by_interrupts()
        module = __import__(f"minibox.cli.{verb.replace('-', '_')}", fromlist=["main"])
        status = module.main(rest)
        assert isinstance(status, int)
        return status
    from minibox.cli.options import UsageError, parse

    options, rest = parse(PAGE, argv)
    if options.get("version"):
        from minibox import __version__

        print(f"minibox {__version__}")
        return 0
    if options.get("help") or not rest:
        print(PAGE, end="")
        return 0 if argv else ITSELF
    from difflib import get_close_matches

    near = get_close_matches(rest[0], VERBS, 1)
    hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(VERBS)}"
    raise UsageError(f"there is no verb {rest[0]!r}: {hint}")
