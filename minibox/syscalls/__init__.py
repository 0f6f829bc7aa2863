"""One function for one system call: what a small container is made of, to do by hand.

    from minibox.syscalls import CLONE_NEWNS, CLONE_NEWUSER, mount, unshare, write_id_map

    uid, gid = os.getuid(), os.getgid()
    unshare(CLONE_NEWUSER | CLONE_NEWNS)
    write_id_map("self", [(0, uid, 1)], [(0, gid, 1)])
    mount("tmpfs", "/mnt", "tmpfs")

Everything that a container needs is here, also what Python's own os module has: so there is one
place to look, and every failure is a SyscallError, which says the call with its arguments, as
strace would, and what the errno means for it.  Flags have the kernel's names.

| module | |
|---|---|
| `processes` | processes, namespaces, ids, limits |
| `mounts` | mounts, roots, paths, descriptors |
| `privileges` | capabilities, no_new_privs, seccomp, Landlock, keys |
| `flags` | the kernel's constants |
| `errors` | SyscallError, and what errnos mean |
"""

from __future__ import annotations

from minibox.syscalls import flags, mounts, privileges, processes
from minibox.syscalls.errors import SyscallError
from minibox.syscalls.flags import *  # noqa: F403
from minibox.syscalls.mounts import *  # noqa: F403
from minibox.syscalls.privileges import *  # noqa: F403
from minibox.syscalls.processes import *  # noqa: F403

TYPE_CHECKING = False
if TYPE_CHECKING:
    def __getattr__(name: str) -> int:
        """The constants, which type checkers do not see."""

FUNCTIONS = (*processes.__all__, *mounts.__all__, *privileges.__all__)
"""All functions, by subject."""

__all__ = ["SyscallError", *FUNCTIONS, *flags.__all__]                              # noqa: PLE0604
