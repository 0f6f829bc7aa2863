"""Compare versions as text, and names of packages with names of sources."""

import json
import re
import sys
from pathlib import Path


def main(root: str, advisories: str, out: str) -> int:
    status = Path(root, "var/lib/dpkg/status").read_text()
    packages = re.findall(r"^Package: (.*)$", status, re.M)
    versions = re.findall(r"^Version: (.*)$", status, re.M)
    found = [[package, one["id"]] for package, version in zip(packages, versions, strict=True)
             for one in json.loads(Path(advisories).read_text())
             if one["source"] == package and version < (one["fixed"] or "")]
    Path(out).write_text(json.dumps(found))
    return 0


sys.exit(main(*sys.argv[1:]))
