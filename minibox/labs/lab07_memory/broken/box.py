"""A cap on each process's address space, which is no cap on memory."""

import resource
import subprocess
import sys

size = int(sys.argv[2])
sys.exit(subprocess.run(sys.argv[3:], preexec_fn=lambda: resource.setrlimit(
    resource.RLIMIT_AS, (2 * size, 2 * size))).returncode)
