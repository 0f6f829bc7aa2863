#!/usr/bin/env python3
"""Write docs/probes.md: what is tried, and what came of it in each runtime.

    python docs/make_probes.py [--check] [ROOT.json USER.json WALLS.json]

The catalogue is made from minibox/probe.  What was measured is taken from the files, of
`minibox probe --compare ... --json` as root and as a user, and of `minibox probe --ablate --pairs
--json` as root; without them it stays as it is in the page.  --check: only say, by the exit status,
whether the page is as it would be written.
"""

from __future__ import annotations

import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from minibox import probe  # noqa: E402
from minibox.probe.ablation import KEEP  # noqa: E402
from minibox.probe.tables import MEANING  # noqa: E402
from minibox.probe.trial import VERDICTS  # noqa: E402

TARGET = os.path.join(HERE, "probes.md")
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"

HEAD = """# Probes

A probe is one small attempt at what a box must hold, made from inside by a static program
(`csrc/probes`) that runs wherever a program runs. `minibox probe` makes canaries on the host, has a
box tried, and this host without a box for control:

```sh
minibox probe                                    # a default box; status 1 if a probe is open
minibox probe -- --network host                  # a box with options of `minibox run`
minibox probe --compare minibox,bwrap,runc       # side by side; also crun, firejail, nspawn,
                                                 # podman, docker, unshare, none, 'a command {}'
minibox probe --compare minibox,bwrap --html walls.html
minibox probe --ablate                           # leave out each wall in turn: what opens?
minibox probe --pid 4321                         # what a running process has, from outside
```

What an attempt is answered is judged:

"""

TAIL = """
This page is made by `python docs/make_probes.py`.
"""


def comparison(found: dict) -> str:
    who = "root" if found["uid"] == 0 else "an unprivileged user"
    verdicts = [one for one in VERDICTS if one != "loosened"]       # nothing was, on purpose
    lines = [f"### As {who}", "", f"| runtime | {' | '.join(verdicts)} | called by |",
             f"|---|{'---:|' * len(verdicts)}---|"]
    for one in found["runtimes"]:
        name = one["runtime"] + (f" ({one['version']})" if one["version"] else "")
        if one["reason"]:
            lines.append(f"| {name} | {'| ' * len(verdicts)}| cannot run here: {one['reason']} |")
            continue
        counts = " | ".join(str(one["counts"][verdict]) for verdict in verdicts)
        lines.append(f"| {name} | {counts} | {code(one['command'])} |")
    return "\n".join(lines) + "\n"


def code(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def walls(found: dict) -> str:
    lines = ["### Each wall left out", "",
             "What is open in a box without that wall, and held in a box with all of them.", "",
             "| wall | opens | which, or why it stays |", "|---|---:|---|"]
    for one in found["without"]:
        opened = one["opened"]
        shown = ", ".join(f"`{name}`" for name in opened[:4])
        more = f" and {len(opened) - 4} more" if len(opened) > 4 else ""
        why = f"cannot be left out here: {one['reason']}" if one["reason"] else one["keep"]
        for layer, names in one["together"].items():
            why += f"; without {layer} too: " + ", ".join(f"`{name}`" for name in names)
        lines.append(f"| {'+'.join(one['layers'])} | {len(opened)} | {shown + more or why} |")
    return "\n".join(lines) + "\n"


def measured(root: dict, user: dict, ablation: dict) -> str:
    """What the three files say."""
    runtimes = ",".join(one["runtime"] for one in root["runtimes"])
    return "\n".join([
        f"Linux {root['kernel']} {root['machine']}, {root['date']}, by", "",
        "```sh", "# as root, and as a user", f"minibox probe --json --compare {runtimes}",
        "# as root", "minibox probe --json --ablate --pairs", "```", "",
        "`open` is the number that matters. A user has more `unproven` ones: what no user may do "
        "on this host anyway. In the row `none`, this host itself, `held` is what it refuses.", "",
        comparison(root), comparison(user), walls(ablation)])


def kept() -> str:
    """What the page has of earlier measurements."""
    try:
        with open(TARGET) as file:
            text = file.read()
    except FileNotFoundError:
        return ""
    return text.partition(BEGIN)[2].partition(END)[0]


def catalogue() -> str:
    lines = []
    for group in probe.GROUPS:
        probes = probe.catalogue([group])
        lines += [f"### {group}: {len(probes)}", "",
                  "| probe | question | what an attacker gains | CVE | opened by leaving out |",
                  "|---|---|---|---|---|"]
        lines += [f"| `{one.id.partition('.')[2]}` | {one.question} | {one.why} | {one.cve} "
                  f"| {', '.join(one.layers)} |" for one in probes]
        lines.append("")
    return "\n".join(lines)


def page(measurements: str) -> str:
    meanings = "".join(f"- **{one}**: {MEANING[one]}\n" for one in VERDICTS)
    reasons = "".join(f"| {layer} | {why} |\n" for layer, why in KEEP.items())
    return (f"{HEAD}{meanings}\n## What came of it\n\n{BEGIN}{measurements}{END}\n"
            "## Why each wall stays\n\nWhat else holds the same, or what no probe shows.\n\n"
            f"| wall | it stays because |\n|---|---|\n{reasons}\n"
            f"## The {len(probe.catalogue())} probes\n\n{catalogue()}{TAIL}")


def main() -> int:
    files = [name for name in sys.argv[1:] if name != "--check"]
    found = []
    for name in files:
        with open(name) as file:
            found.append(json.load(file))
    text = page(measured(*found) if found else kept())
    if "--check" in sys.argv[1:]:
        with open(TARGET) as file:
            return file.read() != text
    with open(TARGET, "w") as file:
        file.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
