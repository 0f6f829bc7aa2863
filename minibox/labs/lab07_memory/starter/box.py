"""Run a command with a cap on its memory: python3 box.py --memory BYTES COMMAND [ARGUMENT]..."""

import subprocess
import sys
from pathlib import Path

V2 = Path("/cgroup/cgroup.procs").exists()
PARENT = Path("/cgroup" if V2 else "/cgroup/memory")

size, command = sys.argv[2], sys.argv[3:]

# 1. make a cgroup of your own below PARENT
# 2. write the cap: memory, and what may go to swap
# 3. have the command run in it, from its first instruction on
# 4. when the command has ended, end what it left, and remove the cgroup
# 5. exit as the command did: its status, or 128 + N for signal N

sys.exit(subprocess.run(command).returncode)
