"""Run a command as root of a user namespace of its own: python3 box.py COMMAND [ARGUMENT]..."""

import os
import sys

# 1. make a user namespace, and with it a UTS namespace (minibox.syscalls has unshare)
# 2. map your own user and group to 0 inside
# 3. execute the command

os.execvp(sys.argv[1], sys.argv[1:])
