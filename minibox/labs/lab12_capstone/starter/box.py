"""A container: python3 box.py ROOT COMMAND [ARGUMENT]..., without root."""

import sys

from minibox import syscalls as sc

root, command = sys.argv[1], sys.argv[2:]

# 1. a cgroup of its own, if there is /cgroup: 64 MiB, 32 processes            (labs 7, 8)
# 2. user, mount, PID, network, IPC and UTS namespaces; the map of ids          (labs 4, 9)
# 3. PID 1 of the box: it reaps, and ends with the command                      (lab 3)
# 4. the new root, read-only, with a /tmp and a /proc of its own                (lab 2)
# 5. no capability, no_new_privs, a filter of system calls, no descriptors      (labs 5, 6)
# 6. the command; its exit status is yours                                      (lab 1)

sc.execve(root + command[0], command, {"PATH": "/bin"})
