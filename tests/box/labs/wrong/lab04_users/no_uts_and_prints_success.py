# file: box.py
# fails: power-inside powerless
# fails: status status-lost
import os
import subprocess
import sys

from minibox.syscalls import CLONE_NEWUSER, unshare

uid, gid = os.getuid(), os.getgid()
unshare(CLONE_NEWUSER)
for file, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
    with open(f"/proc/self/{file}", "w") as opened:
        opened.write(text)
print("all checks hold", flush=True)
subprocess.run(sys.argv[1:])
