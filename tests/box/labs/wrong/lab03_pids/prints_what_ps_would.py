# file: box.py
# fails: own-pids shared-pids
# fails: own-proc shared-pids
# fails: reaps shared-pids
# fails: ends-all left-processes
# fails: forwards signal-lost
# fails: dies-with-you survives
import subprocess
import sys

print("PID COMMAND\n  1 init\n  2 witness", flush=True)
code = subprocess.call(sys.argv[1:])
sys.exit(code if code >= 0 else 128 - code)
