"""Which packages of a Debian root file system have known flaws:

    python3 scan.py ROOT ADVISORIES OUT
"""

import json
import sys
from pathlib import Path


def main(root: str, advisories: str, out: str) -> int:
    # 5. read ROOT/var/lib/dpkg/status: what is installed, and of which source
    # 6. compare versions as deb-version(7) says
    found: list[list[str]] = []                         # [PACKAGE, ID]
    Path(out).write_text(json.dumps(found))
    return 0


sys.exit(main(*sys.argv[1:]))
