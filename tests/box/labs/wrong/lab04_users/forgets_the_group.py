# file: box.py
# fails: group-mapped no-group
import os
import sys

from minibox import core

uid = os.getuid()
core.call("unshare", core.lib.CLONE_NEWUSER | core.lib.CLONE_NEWUTS)
with open("/proc/self/uid_map", "w") as opened:
    opened.write(f"0 {uid} 1")
os.execvp(sys.argv[1], sys.argv[1:])
