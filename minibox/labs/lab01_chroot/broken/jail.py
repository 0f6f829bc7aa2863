"""The command, started by a helper that does not wait, with all that we have."""

import os
import sys

directory = os.open(sys.argv[1], os.O_RDONLY)
os.set_inheritable(directory, True)
command = [sys.argv[1] + sys.argv[2], *sys.argv[3:]]
ended, until = os.pipe()
os.set_inheritable(until, True)                     # open until the command has ended
if os.fork() == 0:
    if os.fork() == 0:
        os.execv(command[0], command)
    os._exit(0)
os.wait()
os.close(until)
os.read(ended, 1)
