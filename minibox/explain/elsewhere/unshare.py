"""unshare(1) of util-linux: namespaces, and nothing else."""

from __future__ import annotations

from minibox.compiler.process import environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minibox.explain.elsewhere.draft import Draft

WORDS = {"pid": ("--pid", "--fork"), "net": ("--net",), "ipc": ("--ipc",), "uts": ("--uts",),
         "cgroup": ("--cgroup",)}


def write(draft: Draft) -> None:
    spec = draft.spec
    draft.add("unshare")
    draft.add("--user", f"--map-user={spec.user.uid}", f"--map-group={draft.gid}")
    draft.take("user")
    draft.add("--mount")
    kinds = draft.kinds()
    for kind in kinds:
        draft.add(*WORDS[kind])
    if "pid" in kinds:
        draft.add("--mount-proc")
        if draft.has("parent-death"):
            draft.add("--kill-child=KILL")
        if spec.init:
            draft.differ("the program is PID 1, and must reap")
        else:
            draft.take("init")
    else:
        draft.lack("parent-death")
    if not draft.has("propagation"):
        draft.add("--propagation=unchanged")
    _clocks(draft)
    _root(draft)
    draft.add(f"--wd={spec.workdir}")
    draft.take("workdir", "argv", "environment")
    values = [f"{name}={value}" for name, value in environment(spec).items()]
    if draft.has("environment"):
        draft.add("env", "-i", *values, *spec.argv)
    else:
        draft.add("env", *(f"{name}={value}" for name, value in spec.environment), *spec.argv)
    _the_rest(draft, kinds)


def _clocks(draft: Draft) -> None:
    spec = draft.spec
    for name, field in (("boottime", "boottime_offset_s"), ("monotonic", "monotonic_offset_s")):
        seconds = getattr(spec, field)
        if seconds is None:
            continue
        if seconds != int(seconds):
            draft.cannot(field, "unshare takes whole seconds")
        else:
            draft.add("--time", f"--{name}={int(seconds)}")
            draft.take(field)


def _root(draft: Draft) -> None:
    spec = draft.spec
    if draft.own_view:
        draft.differ("the root is the host's: all files are seen, and written as their modes let")
    else:
        draft.add(f"--root={spec.rootfs}")
        draft.take("rootfs")
        draft.differ("the root is changed by chroot(2): the host's mounts are still there")
        if spec.root_by == "chroot" or not draft.has("pivot-root"):
            draft.take("root_by")
        if spec.writable:
            draft.take("writable")
        else:
            draft.differ("what is written to the root goes through")


def _the_rest(draft: Draft, kinds: tuple[str, ...]) -> None:
    spec = draft.spec
    if "uts" in kinds:
        draft.cannot("hostname", "unshare does not set it; hostname(1) can, as the program")
        if spec.hostname == "minibox":
            draft.differ("the host's name is seen, until hostname(1) sets another")
    if "net" in kinds:
        draft.cannot("loopback", "unshare leaves lo down; ip(8) can bring it up, as the program")
        draft.differ("lo is down")
    draft.cannot("capabilities", "all of them are kept, in the user namespace of the box")
    draft.cannot("mounts", "unshare mounts nothing; mount(8) can, as the program")
    if spec.ids == "one":
        draft.take("ids")
    if spec.cgroups == "disabled":
        draft.take("cgroups")
    if spec.seccomp == "unconfined":
        draft.take("seccomp")
    if spec.unmask == ("ALL",):
        draft.take("unmask")
    draft.take("landlock", "stdin")
    if draft.host.uid == 0:
        draft.differ("uid 0 of the box is the host's root, who started it")
    draft.lack("seccomp", "landlock", "capabilities", "no-new-privs", "rlimits", "pids",
               "oom-score", "keyring", "session", "masks", "read-only-paths", "hidepid", "boot-id",
               "dev", "nested-user", "namespace-limit", "streams", "descriptors", "umask",
               "signals", "tmpfs-caps", "nosuid", "nodev")
