"""The calls of csrc/steps_process.c."""

from __future__ import annotations

from minibox import steps
from minibox.explain.calls.files import DIRECTORY, PATH, beneath, write_self
from minibox.explain.calls.ids import CAPABILITIES
from minibox.explain.calls.notation import Call, Scene, call, octal, quote
from minibox.spec import CAPABILITIES as NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from minibox.explain.calls.notation import Maker

RESOURCES = ("CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS",
             "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME")
"""By their numbers: asm-generic/resource.h."""

SECUREBITS = ("SECBIT_NOROOT|SECBIT_NOROOT_LOCKED|SECBIT_NO_SETUID_FIXUP|"
              "SECBIT_NO_SETUID_FIXUP_LOCKED|SECBIT_KEEP_CAPS_LOCKED|SECBIT_NO_CAP_AMBIENT_RAISE|"
              "SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED")


def _limit(value: int) -> str:
    if value < 0:
        return "RLIM64_INFINITY"
    return f"{value // 1024}*1024" if value > 1024 and value % 1024 == 0 else str(value)


def set_rlimit(scene: Scene, step: steps.SetRlimit) -> Iterator[Call]:
    name = f"RLIMIT_{RESOURCES[step.resource]}"
    soft, hard = _limit(step.soft), _limit(step.hard)
    if step.or_less:
        yield call("prlimit64", 0, name, "NULL", "{rlim_cur=..., rlim_max=...}")
    yield call("prlimit64", 0, name, f"{{rlim_cur={soft}, rlim_max={hard}}}", "NULL")


def set_affinity(scene: Scene, step: steps.SetAffinity) -> Iterator[Call]:
    yield call("sched_setaffinity", 0, 1024, f"[{' '.join(map(str, sorted(set(step.cpus))))} ...]")


def set_oom_score(scene: Scene, step: steps.SetOomScore) -> Iterator[Call]:
    yield from write_self(scene, "oom_score_adj", str(step.adjustment))


def set_umask(scene: Scene, step: steps.SetUmask) -> Iterator[Call]:
    yield call("umask", octal(step.mask), result="000")


def change_dir(scene: Scene, step: steps.ChangeDir) -> Iterator[Call]:
    yield beneath("<root>", step.path, DIRECTORY, True, "<directory>")
    yield call("fchdir", "<directory>")


def drop_capabilities(scene: Scene, step: steps.DropCapabilities) -> Iterator[Call]:
    each = "for each capability that the kernel has, unless it is kept"
    yield call("prctl", "PR_CAPBSET_READ", "<capability>", result="", each=each)
    yield call("prctl", "PR_CAPBSET_DROP", "<capability>", each=each)
    yield call("prctl", "PR_CAP_AMBIENT", "PR_CAP_AMBIENT_CLEAR_ALL", 0, 0, 0)
    yield call("capget", CAPABILITIES, "{...}")
    yield call("capset", CAPABILITIES, "{...}")
    for number, name in enumerate(NAMES):
        if step.keep >> number & 1:
            yield call("prctl", "PR_CAP_AMBIENT", "PR_CAP_AMBIENT_RAISE", f"CAP_{name}", 0, 0)
    yield call("prctl", "PR_SET_SECUREBITS", SECUREBITS)
    yield call("capget", CAPABILITIES, "{...}")
    sets = "0" if not step.keep else "..."
    yield call("capset", CAPABILITIES,
               f"{{effective={sets}, permitted={sets}, inheritable={sets}}}")


def no_new_privileges(scene: Scene, step: steps.NoNewPrivileges) -> Iterator[Call]:
    yield call("prctl", "PR_SET_NO_NEW_PRIVS", 1, 0, 0, 0)


def join_keyring(scene: Scene, step: steps.JoinKeyring) -> Iterator[Call]:
    yield call("keyctl", "KEYCTL_JOIN_SESSION_KEYRING", "NULL", result="<keyring>")


def restrict_landlock(scene: Scene, step: steps.RestrictLandlock) -> Iterator[Call]:
    yield call("landlock_create_ruleset", "{handled_access_fs=...}", 24, 0, result="<ruleset>")
    when = "where it is there, and to be reached"
    for path in step.writable:
        yield beneath("<root>", path, PATH, None, "<place>", of=path)
        yield call("fstat", "<place>", "{...}", when=when, of=path)
        yield call("landlock_add_rule", "<ruleset>", "LANDLOCK_RULE_PATH_BENEATH",
                   "{allowed_access=..., parent_fd=<place>}", 0, when=when, of=path)
    yield call("landlock_restrict_self", "<ruleset>", 0)


def close_files(scene: Scene, step: steps.CloseFiles) -> Iterator[Call]:
    yield call("close_range", 3, 2**32 - 1, "CLOSE_RANGE_CLOEXEC")


def die_with_parent(scene: Scene, step: steps.DieWithParent) -> Iterator[Call]:
    yield call("prctl", "PR_SET_PDEATHSIG", "SIGKILL")
    if scene.in_app and scene.has_init:
        yield call("getppid", result="<init>")
    else:
        yield call("recvmsg", "<link>", "...", "MSG_PEEK|MSG_DONTWAIT|MSG_CMSG_CLOEXEC", result="")


def exec_(scene: Scene, step: steps.Exec) -> Iterator[Call]:
    size = 8 * (len(step.argv) + len(step.environment) + 2)
    yield call("mmap", "NULL", size, "PROT_READ|PROT_WRITE", "MAP_PRIVATE|MAP_ANONYMOUS", -1, 0,
               result="<address>")
    if not step.inherit_signals:
        yield call("rt_sigaction", "<signal>", "{sa_handler=SIG_DFL, ...}", "NULL", 8, result="",
                   each="for each signal, from 1 to 64")
        yield call("rt_sigprocmask", "SIG_SETMASK", "[]", "NULL", 8)
    name = step.argv[0] if step.argv else ""
    paths = [name] if "/" in name or not name else [
        f"{directory or '.'}/{name}" for directory in step.path.split(":")]
    words, environment = (f"[{', '.join(map(quote, texts))}]"
                          for texts in (step.argv, step.environment))
    for path in paths:
        more = {"when": "until one is found", "of": path} if len(paths) > 1 else {}
        yield call("newfstatat", "<proc>", '"self/exe"', "{...}", 0, **more)
        yield call("newfstatat", "AT_FDCWD", quote(path), "{...}", 0, result="0 or -1 ENOENT",
                   **more)
        yield call("execve", quote(path), words, environment, result="0 or -1 ENOENT", **more)


CALLS: dict[type[steps.Step], Maker] = {
    steps.SetRlimit: set_rlimit, steps.SetAffinity: set_affinity,
    steps.SetOomScore: set_oom_score, steps.SetUmask: set_umask, steps.ChangeDir: change_dir,
    steps.DropCapabilities: drop_capabilities, steps.NoNewPrivileges: no_new_privileges,
    steps.JoinKeyring: join_keyring, steps.RestrictLandlock: restrict_landlock,
    steps.CloseFiles: close_files, steps.DieWithParent: die_with_parent, steps.Exec: exec_,
}
