# file: scan.py
# fails: versions epoch
"""Which packages of a Debian root file system have known flaws:

    python3 scan.py ROOT ADVISORIES OUT
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

Part = tuple[tuple[tuple[int, ...], int], ...]


def weight(char: str) -> int:
    """Of a character that is no digit: "~" is before the end, which is 0, and that before all
    letters, and those before the rest."""
    return -1 if char == "~" else ord(char) if char.isalpha() else ord(char) + 256


def part(text: str) -> Part:
    """Text and numbers in turn. The last pair that is found is empty: the end."""
    return tuple(((*map(weight, letters), 0), int(digits or 0))
                 for letters, digits in re.findall(r"(\D*)(\d*)", text))


def order(version: str) -> tuple[int, Part, Part]:
    """What to compare versions by: deb-version(7)."""
    _, colon, rest = version.partition(":")
    if not colon:
        rest = version
    upstream, dash, revision = rest.rpartition("-")
    if not dash:
        upstream, revision = rest, "0"
    return 0, part(upstream), part(revision)


def installed(status: str) -> Iterator[tuple[str, str, str]]:
    """Package, source and the source's version of all that is installed."""
    for paragraph in status.split("\n\n"):
        fields: dict[str, str] = dict(re.findall(r"^(\S+):[ \t]*(.*)$", paragraph, re.M))
        if fields.get("Status", "").endswith(" installed"):     # and no leftover configuration
            source, _, version = fields.get("Source", fields["Package"]).partition(" ")
            yield fields["Package"], source, version.strip("()") or fields["Version"]


def main(root: str, advisories: str, out: str) -> int:
    known = json.loads(Path(advisories).read_text())
    status = Path(root, "var/lib/dpkg/status").read_text()
    found = [[package, one["id"]]
             for package, source, version in installed(status)
             for one in known
             if one["source"] == source
             and (one["fixed"] is None or order(version) < order(one["fixed"]))]
    Path(out).write_text(json.dumps(found))
    return 1 if found else 0


sys.exit(main(*sys.argv[1:]))
