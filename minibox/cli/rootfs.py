"""minibox rootfs: build, list and remove root file systems."""

from __future__ import annotations

import sys

from minibox.cli.options import UsageError, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE = """\
usage: minibox rootfs build [--force] NAME
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
    verb, *names = rest or [""]
    more, names = parse(PAGE, names)
    options |= more
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
    import signal

    from minibox import rootfs

    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    if not sys.stderr.isatty():
        path = rootfs.build(name, force=force, progress=lambda percent, what: print(
            f"{name}: {percent:3} % {what}", file=sys.stderr))
    else:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        with Progress(TextColumn("{task.fields[name]}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"),
                      TimeElapsedColumn(), TextColumn("{task.description}"),
                      console=Console(stderr=True)) as bar:
            task = bar.add_task("", name=name, total=100)
            path = rootfs.build(name, force=force, progress=lambda percent, what: bar.update(
                task, completed=percent, description=what))
    print(path)
    print(f"try: minibox run --rootfs {name} -- /bin/sh -c 'echo hello'", file=sys.stderr)


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
