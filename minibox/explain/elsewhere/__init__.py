"""The same box by another tool: the nearest command line, what it lacks, what it does otherwise."""

from __future__ import annotations

import shlex

from minibox.compiler import filesystem, namespaces
from minibox.errors import SpecError
from minibox.explain.elsewhere import bwrap, runc, systemd_run, unshare
from minibox.explain.elsewhere.draft import Draft, Translation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from minibox.facts import Host
    from minibox.spec import BoxSpec

TOOLS: Mapping[str, Callable[[Draft], None]] = {
    "unshare": unshare.write, "bwrap": bwrap.write, "runc": runc.write,
    "systemd-run": systemd_run.write}


def translate(tool: str, spec: BoxSpec, host: Host) -> Translation:
    """The box that *spec* asks for, as *tool* comes nearest to it on *host*.

    What of the request the tool has no word for is in the answer: each field that is not as it is
    by default is either expressed or named there.

    Errors: SpecError for a tool that there is not.
    """
    if tool not in TOOLS:
        raise SpecError("as", tool, f"use {', '.join(TOOLS)}")
    draft = Draft(filesystem.view(namespaces.shared(spec)), host)
    TOOLS[tool](draft)
    return draft.translation(tool, spec)


def remarks(of: Translation) -> Iterator[str]:
    """Lines about how it is run, what the tool leaves out, and what it does otherwise."""
    if of.config:
        yield ("Put it into DIR/config.json, beside an empty directory DIR/root, and: "
               + shlex.join(of.argv))
    if of.beyond:
        yield f"{of.tool} cannot express, of what was asked for:"
        yield from (f"  {one.field}={one.value}: {one.why}" for one in of.beyond)
    else:
        yield f"{of.tool} expresses all that was asked for."
    yield "What it does otherwise:"
    yield from (f"  {text}" for text in of.differs)
