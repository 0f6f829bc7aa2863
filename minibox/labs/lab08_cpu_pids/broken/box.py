"""A low priority and a limit on CPU time, which are no caps on one box."""

import os
import resource
import subprocess
import sys

os.nice(19)
_, hard = resource.getrlimit(resource.RLIMIT_CPU)
resource.setrlimit(resource.RLIMIT_CPU, (60 if hard < 0 else min(60, hard), hard))
sys.exit(subprocess.run(sys.argv[5:]).returncode)
