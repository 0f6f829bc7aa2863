"""Run a command with another root: python3 jail.py ROOT COMMAND [ARGUMENT]..."""

import sys

from minibox.syscalls import execve

root, command = sys.argv[1], sys.argv[2:]

# 1. fork: what follows is the child's work; the parent waits, and exits as the child did
# 2. a user namespace, for the capability that chroot takes; map your own ids to themselves
# 3. chroot; and what else is still outside?
# 4. nothing that was open, no privilege, no variable of ours goes along
# 5. the command

execve(root + command[0], command, {"PATH": "/bin"})
