# file: box.py
# fails: group-mapped no-group
import os
import sys

from minibox.syscalls import CLONE_NEWUSER, CLONE_NEWUTS, unshare

uid = os.getuid()
unshare(CLONE_NEWUSER | CLONE_NEWUTS)
with open("/proc/self/uid_map", "w") as opened:
    opened.write(f"0 {uid} 1")
os.execvp(sys.argv[1], sys.argv[1:])
