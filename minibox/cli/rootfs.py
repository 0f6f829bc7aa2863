"""minibox rootfs: build, list and remove root file systems."""

from __future__ import annotations

import sys

from minibox.cli.options import UsageError, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PAGE = """\
usage: minibox rootfs build NAME [--force]
       minibox rootfs ls [--json]
       minibox rootfs rm NAME...

Root file systems for `minibox run --rootfs NAME`, kept under your data directory.

      --force       build anew what is there already
      --json        for programs
  -h, --help        show this
"""


def main(argv: Sequence[str]) -> int:
    """Do as *argv* says; the exit status."""
    options, rest = parse(PAGE, argv)
    words = []
    while rest:                                             # options may stand anywhere
        words.append(rest[0])
        more, rest = parse(PAGE, rest[1:])
        options |= more
    verb, *names = words or [""]
    if options.get("help"):
        print(PAGE, end="")
        print_recipes()
        return 0
    if verb == "build" and len(names) == 1:
        build(names[0], force=bool(options.get("force")))
    elif verb == "ls" and not names:
        ls(as_json=bool(options.get("json")))
    elif verb == "rm" and names:
        from minibox import rootfs

        for name in names:
            rootfs.remove(name)
    else:
        raise UsageError("say build NAME, ls, or rm NAME: see minibox rootfs --help")
    return 0


def print_recipes() -> None:
    from minibox import rootfs

    print("\nrecipes:")
    for name in rootfs.recipe_names():
        found = rootfs.recipe(name)
        print(f"  {name:16}{found.description} (about {found.megabytes} MB, {found.seconds} s)")


def build(name: str, *, force: bool) -> None:
    """Build with a bar on a terminal, a line for each stage elsewhere."""
    from minibox import rootfs

    check = noted_signals()
    if not sys.stderr.isatty():
        shown = ""

        def show(percent: int, what: str) -> None:
            nonlocal shown
            check()
            if what != shown:
                shown = what
                print(f"{name}: {percent:3} % {what}", file=sys.stderr)

        path = rootfs.build(name, force=force, progress=show)
    else:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        def update(percent: int, what: str) -> None:
            check()
            bar.update(task, completed=percent, description=what)

        with Progress(TextColumn(name), BarColumn(), TextColumn("{task.percentage:3.0f} %"),
                      TimeElapsedColumn(), TextColumn("{task.description}"),
                      console=Console(stderr=True)) as bar:
            task = bar.add_task("", total=100)
            path = rootfs.build(name, force=force, progress=update)
    print(path)
    print(f"try: minibox run --rootfs {name} -- sh -c 'echo hello'", file=sys.stderr)


def noted_signals() -> Callable[[], None]:
    """From now on signals are noted; calling the answer ends this process if one came.

    So they interrupt a build where it can be undone, and never the undoing.
    """
    from signal import SIG_IGN, SIGHUP, SIGINT, SIGTERM, getsignal, signal

    noted: list[int] = []
    for number in (SIGHUP, SIGINT, SIGTERM):
        if getsignal(number) != SIG_IGN:                    # as nohup has it
            signal(number, lambda number, _frame: noted.append(number))

    def check() -> None:
        if noted:
            sys.exit(128 + noted[0])

    return check


def ls(*, as_json: bool) -> None:
    from minibox import rootfs

    found = rootfs.ls()
    if as_json:
        import json

        print(json.dumps([{"name": one.name, "path": one.path, "bytes": one.bytes_,
                           "built_at": one.built_at} for one in found], indent=2))
        return
    for one in found:
        print(f"{one.name:20} {one.bytes_ / 1e6:8.1f} MB  {one.path}")
    if not found:
        print(f"none yet: minibox rootfs build {rootfs.recipe_names()[0]}", file=sys.stderr)
