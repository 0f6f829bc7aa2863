"""Run a command with caps: python3 box.py --pids NUMBER --cpus SHARE COMMAND [ARGUMENT]..."""

import subprocess
import sys
from pathlib import Path

V2 = Path("/cgroup/cgroup.procs").exists()

pids, cpus, command = int(sys.argv[2]), float(sys.argv[4]), sys.argv[5:]

# 1. make a cgroup of your own: below /cgroup on v2, below /cgroup/pids and /cgroup/cpu on v1
# 2. write the cap on processes
# 3. write the share of CPU time: so many microseconds in each period
# 4. have the command run in it, and your own process not
# 5. when the command has ended, end what it left, and remove the cgroup

sys.exit(subprocess.run(command).returncode)
