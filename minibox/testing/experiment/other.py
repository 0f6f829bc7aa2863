"""One run in another runtime, as a command, so that it can be another user's too:

    python -m minibox.testing.experiment.other '["bwrap", ["--network", "none"], ["true"]]'

It prints what came of it as JSON: usage, stdout, reason.
"""

from __future__ import annotations

import json
import subprocess
import sys

from minibox.cli import run
from minibox.cli.options import parse
from minibox.errors import MiniboxError
from minibox.record import as_dict
from minibox.testing import elsewhere


def main() -> int:
    runtime, words, command = json.loads(sys.argv[1])
    values, _ = parse(run.PAGE, words)
    names = run.LIMITS | run.FIELDS
    try:
        found = elsewhere.run(runtime, command, {names.get(name, name): value for name, value
                                                 in values.items()},
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    except MiniboxError as error:
        print(error, file=sys.stderr)
        return 125
    print(json.dumps({"usage": as_dict(found.usage), "stdout": found.stdout,
                      "stderr": found.stderr, "reason": found.reason,
                      "summary": found.summary, "exit_status": found.exit_status}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
