"""How each runtime runs one static program: in its ordinary way, with what it isolates by default.

What "ordinary" is, each runtime's own documentation says: the example of bubblewrap's README, the
bundle that `runc spec` writes, firejail with the profile for unknown programs, and so on.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import shlex
import shutil
import subprocess
import sys

from minibox.errors import SpecError
from minibox.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

UNIFIED = "/sys/fs/cgroup/unified"
"""Where cgroup v2 is beside v1: crun wants one or the other, and gets a view without this."""

PODMAN_LIMIT = 1 << 20
"""What podman raises limits to by default as root; without CAP_SYS_RESOURCE it cannot."""

IN_BOX = "/minibox-probe"
"""Where the program is in a root file system that is not the host's."""

SET_USER_ID = "-setuid"
"""What the name of the copy with a set-user-ID bit ends with."""


class Place(Record):
    """What a runtime has to work with. program: a copy on the host; set_user_id: there is another
    beside it, that wants another user; arguments: for it; directory: for all that the runtime
    needs; name: of this box, for runtimes that must have one; options: more of `minibox run`."""

    program: str
    arguments: tuple[str, ...]
    directory: str
    name: str
    set_user_id: bool = False
    options: tuple[str, ...] = ()

    def words(self, program: str) -> tuple[str, ...]:
        """The program's command line, where it is called *program*."""
        more = (f"setuid={program}{SET_USER_ID}",) if self.set_user_id else ()
        return (program, *self.arguments, *more)

    def copies(self, target: str) -> dict[str, str]:
        """What is to be where, for the program to be called *target*: target to source."""
        endings = ("", SET_USER_ID) if self.set_user_id else ("",)
        return {target + ending: self.program + ending for ending in endings}


class Command(Record):
    """argv: what to execute; shown: the same for people, the probe's own arguments left out; undo:
    what removes the box, if it had to be killed."""

    argv: tuple[str, ...]
    shown: str
    undo: tuple[str, ...] = ()


class CannotRun(Exception):
    """The runtime is not there, or does not get as far as to run a program."""


def command(runtime: str, place: Place) -> Command:
    """How *runtime* runs the probes: one of RUNTIMES, or a command line with {} in it.

    Errors: CannotRun; SpecError if there is no such runtime.
    """
    if runtime not in RUNTIMES:
        return _other(runtime, place)
    tool, make = RUNTIMES[runtime]
    if tool and not shutil.which(tool):
        raise CannotRun(f"{tool} is not installed")
    return make(place)


def check(runtime: str) -> None:
    """Errors: SpecError if *runtime* is neither a name nor a command line."""
    if runtime not in RUNTIMES and "{}" not in runtime:
        raise SpecError("runtime", runtime, f"use one of {', '.join(RUNTIMES)}, or a command line "
                        "with {} where the program goes")


def version(runtime: str) -> str:
    """What the runtime says it is, "" if it has nothing to say."""
    tool = RUNTIMES[runtime][0] if runtime in RUNTIMES else ""
    if not tool or not shutil.which(tool):
        return ""
    try:
        done = subprocess.run([tool, "--version"], capture_output=True, text=True, timeout=10,
                              stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.partition("\n")[0].strip()


def _plain(words: tuple[str, ...], place: Place, program: str = IN_BOX,
           undo: tuple[str, ...] = ()) -> Command:
    """*words*, the program, its arguments."""
    shown = shlex.join(words).replace(place.directory, "DIR").replace(place.name, "NAME")
    return Command(argv=(*words, *place.words(program)), undo=undo,
                   shown=f"{shown} {os.path.basename(IN_BOX)}".lstrip())


def _other(template: str, place: Place) -> Command:
    """A command line; {} alone is the program with its arguments, within a word it is quoted."""
    check(template)
    program = place.words(place.program)
    try:
        words = shlex.split(template)
    except ValueError as error:
        raise SpecError("runtime", template, f"it is no command line: {error}") from error
    argv: list[str] = []
    for word in words:
        argv += program if word == "{}" else [word.replace("{}", shlex.join(program))]
    return Command(argv=tuple(argv), shown=template.replace("{}", os.path.basename(IN_BOX)))


def _none(place: Place) -> Command:
    return _plain((), place, place.program)


def _minibox(place: Place) -> Command:
    code = f"import sys; sys.path[:] = {sys.path}; from minibox.cli import main; sys.exit(main())"
    shown = _plain(("minibox", "run", *place.options, "--"), place).shown
    program, mounts = IN_BOX, place.copies(IN_BOX)
    if ("--without", "view") in itertools.pairwise(place.options):    # the host's root has it
        program, mounts = place.program, {}
    own = [word for target, source in mounts.items()
           for word in ("--mount", f"type=bind,source={source},target={target},readonly")]
    return Command(argv=(sys.executable, "-P", "-c", code, "run", *place.options, *own, "--",
                         *place.words(program)), shown=shown)


def bwrap_view() -> list[str]:
    """The example of bubblewrap's README, with all namespaces and without the terminal."""
    words = ["bwrap", "--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib64"):
        if os.path.islink(f"/{name}"):
            words += ["--symlink", os.readlink(f"/{name}"), f"/{name}"]
        elif os.path.isdir(f"/{name}"):
            words += ["--ro-bind", f"/{name}", f"/{name}"]
    words += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--unshare-all",
              "--die-with-parent", "--new-session"]
    return words


def _bwrap(place: Place) -> Command:
    words = bwrap_view()
    for target, source in place.copies(IN_BOX).items():
        words += ["--ro-bind", source, target]
    return _plain(tuple(words), place)


def _unshare(place: Place) -> Command:
    return _plain(("unshare", "--user", "--map-root-user", "--mount", "--uts", "--ipc", "--net",
                   "--pid", "--cgroup", "--fork", "--kill-child", "--mount-proc"), place,
                  place.program)


def _firejail(place: Place) -> Command:
    """For root its profile has a /tmp of its own, into which the program has to be let."""
    let_in = place.copies(place.program) if os.getuid() == 0 else ()
    return _plain(("firejail", "--quiet", *map("--whitelist={}".format, let_in)), place,
                  place.program)


def small_root(place: Place) -> str:
    """A root file system with the program and little else."""
    root = f"{place.directory}/root"
    for name in ("dev", "etc", "proc", "run", "sys", "tmp", "usr/bin", "usr/lib", "var"):
        os.makedirs(f"{root}/{name}", exist_ok=True)
    with open(f"{root}/usr/lib/os-release", "w") as file:
        file.write("ID=minibox-probe\n")
    for target, source in place.copies(f"{root}{IN_BOX}").items():
        shutil.copy(source, target)
        if target.endswith(SET_USER_ID):
            set_user_id(target)
    return root


def set_user_id(path: str) -> None:
    """Have the program *path* run as another user, but only if this one's own group runs it."""
    os.chown(path, 1, os.getgid())
    os.chmod(path, 0o4750)


def bundle_of(tool: str, directory: str) -> tuple[str, dict[str, Any]]:
    """Have the runtime write its configuration into *directory*: how that was asked for, and what
    it says. Errors: CannotRun."""
    words = (tool, "spec", *(() if os.getuid() == 0 else ("--rootless",)))
    done = subprocess.run(words, cwd=directory, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL)
    if done.returncode:
        raise CannotRun(done.stderr.strip() or f"`{tool} spec` has status {done.returncode}")
    with open(f"{directory}/config.json") as file:
        return shlex.join(words), json.load(file)


def _bundle(tool: str, place: Place) -> Command:
    """A bundle with the configuration that the runtime itself writes."""
    small_root(place)
    asked, config = bundle_of(tool, place.directory)
    path = f"{place.directory}/config.json"
    config["process"] |= {"terminal": False, "args": list(place.words(IN_BOX))}
    config["root"]["path"] = "root"
    with open(path, "w") as file:
        json.dump(config, file)
    words: tuple[str, ...] = (tool, "--root", f"{place.directory}/state")
    if tool == "crun" and os.getuid() == 0 and os.path.ismount(UNIFIED):
        words = ("unshare", "--mount", "sh", "-c", f'umount {UNIFIED} && exec "$@"', "sh", *words)
    shown = f"{tool} run, with the configuration of `{asked}`"
    return Command(argv=(*words, "run", "--bundle", place.directory, place.name), shown=shown,
                   undo=(*words, "delete", "--force", place.name))


def _runc(place: Place) -> Command:
    return _bundle("runc", place)


def _crun(place: Place) -> Command:
    return _bundle("crun", place)


def _nspawn(place: Place) -> Command:
    """Not registered with machined: that needs systemd as the host's own PID 1."""
    words = ["systemd-nspawn", "--quiet", "--pipe", "--as-pid2"]
    if not os.path.isdir("/run/systemd/system"):
        words += ["--register=no", "--keep-unit"]
    return _plain((*words, "-D", small_root(place)), place)


def _podman(place: Place) -> Command:
    """With storage and state of its own, so that nothing of this box stays in the user's; without
    root it leaves a process that holds a user namespace, which `system migrate` ends."""
    own = f"{place.directory}/podman"
    os.mkdir(own, 0o700)
    podman = ("env", f"HOME={own}", f"XDG_RUNTIME_DIR={own}", "podman", "--root", f"{own}/storage",
              "--runroot", f"{own}/run", "--storage-driver", "vfs",
              *(("--runtime", "runc") if os.path.ismount(UNIFIED) else ()))
    limits: tuple[str, ...] = ()
    if os.getuid() == 0 and resource.getrlimit(resource.RLIMIT_NOFILE)[1] < PODMAN_LIMIT:
        limits = "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"
    undo = ("rm", "--force", place.name) if os.getuid() == 0 else ("system", "migrate")
    return _plain((*podman, "run", "--rm", "--name", place.name, *limits, "--rootfs",
                   small_root(place)), place, undo=(*podman, *undo))


def _docker(place: Place) -> Command:
    """docker has no --rootfs: the root becomes an image, which goes afterwards."""
    try:
        subprocess.run(["docker", "info"], capture_output=True, text=True, timeout=20, check=True,
                       stdin=subprocess.DEVNULL)
    except subprocess.CalledProcessError as error:
        raise CannotRun(complaint(error.stderr) or "no daemon answers") from error
    except subprocess.TimeoutExpired as error:
        raise CannotRun("no daemon answers within 20 s") from error
    archive = f"tar -C {shlex.quote(small_root(place))} -c . | docker import - {place.name}"
    done = subprocess.run(["sh", "-c", archive], capture_output=True, text=True)
    if done.returncode:
        raise CannotRun(complaint(done.stderr) or "the root cannot be imported")
    return _plain(("docker", "run", "--rm", "--name", place.name, place.name), place,
                  undo=("docker", "rmi", "--force", place.name))


RUNTIMES: Mapping[str, tuple[str, Callable[[Place], Command]]] = {
    "minibox": ("", _minibox), "bwrap": ("bwrap", _bwrap), "runc": ("runc", _runc),
    "crun": ("crun", _crun), "firejail": ("firejail", _firejail),
    "nspawn": ("systemd-nspawn", _nspawn), "podman": ("podman", _podman),
    "docker": ("docker", _docker), "unshare": ("unshare", _unshare), "none": ("", _none)}
"""Each runtime: the tool that must be there, and how it runs the program."""


def complaint(text: str) -> str:
    """The line of *text* that says what is wrong: with "error" in it, or else the last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = (line for line in lines if "error" in line.lower())
    return printable(next(found, lines[-1] if lines else ""))


def printable(text: str) -> str:
    """*text* without what would move a terminal's cursor, or worse."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
