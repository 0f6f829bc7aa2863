"""minibox run: one program in a box; this process becomes the box's engine."""

from __future__ import annotations

import os
import sys

from minibox.cli.options import UsageError, parse
from minibox.errors import SpecError
from minibox.request import Limits, box_spec, plan_for
from minibox.steps import FilterCalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, NoReturn

    from minibox.cli.options import Values
    from minibox.plan import Plan

PAGE = """\
usage: minibox run [OPTION]... [--] PROGRAM [ARGUMENT]...

Run PROGRAM in a box of its own: it sees its own processes, network, users and files, gains no
privilege, and may use no more than you allow. Its exit status is passed on; 124 is a timeout, 125
minibox itself, 126 or 127 a program that cannot be executed or found, 128+N signal N.

What it may use (a SIZE is bytes or such as 64M, 1.5GiB; SECONDS such as 2, 0.5, 1m30s)
  -m, --memory SIZE             memory, with page cache and tmpfs; on excess the box is killed
      --memory-swap SIZE        memory and swap together; -1 for no limit on swap [as --memory]
      --cpus NUMBER             CPU seconds per second, such as 0.5
      --cpuset-cpus LIST        the CPUs it may run on, such as 0-1,3
      --pids-limit NUMBER       processes and threads
      --timeout SECONDS         wall time
      --cpu-time SECONDS        CPU time of all its processes together
      --output-limit SIZE       what it may write to stdout and stderr together
      --ulimit NAME=SOFT[:HARD] ...  a resource limit, such as nofile=256 or core=0
      --tmpfs-size SIZE         what it may write to files that are forgotten [256M]
      --shm-size SIZE           the size of /dev/shm [64M]
      --oom-score-adj NUMBER    how readily it goes when the machine is out of memory [500]
      --device-read-bps PATH:SIZE ...     bytes a second read from a block device,
                                          or from the one that a directory is on
      --device-write-bps PATH:SIZE ...    the same for writing
      --device-read-iops PATH:NUMBER ...  reads from a block device, per second
      --device-write-iops PATH:NUMBER ... the same for writing
      --best-effort             run without the caps that this machine lacks, and say which
      --cgroups auto|enabled|disabled     when to make a cgroup [auto: when a cap needs one]

Files
      --rootfs DIR|NAME         a root file system [a read-only view of this host's own programs]
      --read-only               nothing in it can be written
      --rw                      what is written stays, in DIR itself
      --keep DIR                what is written stays, in DIR
      --root-by pivot_root|chroot         how the root is changed [pivot_root]
  -v, --volume SOURCE:TARGET[:ro] ...     show a file or directory of this host
      --mount type=bind|tmpfs,... ...     the same in words: source=, target=, readonly, tmpfs-size=
      --tmpfs TARGET[:OPTIONS] ...        an empty place to write, such as /scratch:size=16m
      --device SOURCE[:TARGET] ...        show a device of this host
  -w, --workdir DIR             where it starts [/]

Who and where it is
  -u, --user UID[:GID]          its user and group, by number [0, which is not this host's root]
      --ids auto|one|range      how many ids the box has [auto]
  -e, --env NAME[=VALUE] ...    a variable of its environment; without a value, your own
      --env-file FILE ...       a file of such lines
      --hostname NAME           [minibox]
      --network none|loopback|host  no internet sockets; only among its own programs; or this host's
                                network [none]
      --pid private|host        processes [private]
      --ipc private|host        System V IPC and POSIX message queues [private]
      --uts private|host        the host's name [private]
      --time-offset SECONDS     shift its uptime; or monotonic=SECONDS,boottime=SECONDS

Walls, which are all up unless you take them down
      --cap-add NAME ...        a capability that it keeps, in its own user namespace; or ALL
      --cap-drop NAME ...       one that --cap-add ALL or --privileged would give
      --security-opt NAME=VALUE ...  seccomp=unconfined, or seccomp=FILE for another filter, in
                                Docker's JSON; landlock=off; unmask=PATH of /proc, or ALL
      --seccomp-log             say which system calls were refused, and how often
      --privileged              all capabilities, no filter, no Landlock, no masks: for lessons
      --without LAYER ...       leave one wall out, to see what it holds (see `minibox probe`)

How it runs and ends
  -i, --interactive             it reads your stdin [it reads nothing]
  -t, --tty                     it has a terminal of its own
      --no-init                 the program itself is PID 1
      --stop-signal SIGNAL      what asks it to end, when minibox gets SIGTERM [TERM]
      --stop-timeout SECONDS    how long until it is killed then [10]
      --result FILE|fd:N        write what came of it
      --result-format FORMAT    json, or as another tool has it: benchexec, isolate [json]
      --observe                 look at what goes on around it; say so if its times are not reliable
  -h, --help                    show this

minibox run -m 64M --cpus 0.5 --pids-limit 20 --timeout 10 -- ./untrusted
"""

LIMITS = {"memory": "memory", "memory-swap": "memory_swap", "cpus": "cpus", "cpuset-cpus": "cpuset",
          "pids-limit": "pids", "timeout": "walltime", "cpu-time": "cpu_time",
          "output-limit": "output", "ulimit": "ulimits", "tmpfs-size": "tmpfs", "shm-size": "shm",
          "oom-score-adj": "oom_score_adj", "device-read-bps": "device_read_bps",
          "device-write-bps": "device_write_bps", "device-read-iops": "device_read_iops",
          "device-write-iops": "device_write_iops"}
"""Options that become a field of Limits."""

FIELDS = {"rootfs": "rootfs", "read-only": "read_only", "rw": "writable", "keep": "keep",
          "root-by": "root_by", "volume": "volumes", "mount": "mounts", "tmpfs": "tmpfs",
          "device": "devices", "workdir": "cwd", "user": "user", "ids": "ids", "env": "env",
          "env-file": "env_files", "hostname": "hostname", "network": "network", "pid": "pid",
          "ipc": "ipc", "uts": "uts", "time-offset": "time_offset", "interactive": "stdin",
          "tty": "terminal", "stop-signal": "stop_signal", "stop-timeout": "stop_timeout",
          "cgroups": "cgroups", "best-effort": "best_effort", "cap-add": "cap_add",
          "cap-drop": "cap_drop", "security-opt": "security_opts", "seccomp-log": "seccomp_log",
          "privileged": "privileged", "without": "without"}
"""Options that become an argument of box_spec."""

FORMATS = ("json", "benchexec", "isolate")
"""As minibox.exports has them, which a start does not load."""


def main(argv: Sequence[str]) -> int:
    """Do as *argv* says; it returns only for --help, or raises."""
    plan, options = planned(PAGE, argv)
    if plan is not None:
        form = options.get("result-format", "json")
        if form not in FORMATS:
            raise SpecError("result-format", form, f"use {', '.join(FORMATS)}")
        if "result-format" in options and "result" not in options:
            raise SpecError("result-format", form, "name the file by --result")
        become_engine(plan, options.get("result"), form, observe="observe" in options)
    return 0


def become_engine(plan: Plan, result: str | None, form: str = "json",
                  observe: bool = False) -> NoReturn:
    """Run *plan* in this process's place; what came of it goes to *result*, if that is given, in
    that form."""
    from minibox.engine import replace
    from minibox.plan import encode

    block, fd = encode(plan), -1 if result is None else open_result(result)
    always = (fd >= 0 or observe
              or any(isinstance(step, FilterCalls) and step.log for step in plan.app))
    first = _first_look(plan) if observe else ""
    replace(block, "--tell-always" if always else "--tell", *teller(fd, form, first))


def _first_look(plan: Plan) -> str:
    """What the command that tells of the box compares its own look with."""
    import json

    from minibox.surroundings import Observer

    return json.dumps(Observer(plan).first)


def planned(page: str, argv: Sequence[str]) -> tuple[Plan | None, Values]:
    """The plan that *argv* asks for, None if it asks for help, and the options as given."""
    options, command = parse(page, argv)
    if options.get("help"):
        print(page, end="")
        return None, options
    if not command:
        raise UsageError("name a program to run, such as: minibox run -- /bin/sh")
    spec = box_spec(command, **arguments(options))
    plan = plan_for(spec)
    if spec.best_effort:
        for cap in missing_caps(plan):
            print(f"minibox: warning: {cap}", file=sys.stderr)
    return plan, options


def arguments(options: Values) -> dict[str, Any]:
    """*options* as `minibox.run` takes them."""
    limits, fields = ({table[name]: value for name, value in options.items() if name in table}
                      for table in (LIMITS, FIELDS))
    return {"limits": Limits(**limits), "init": "no-init" not in options} | fields


def missing_caps(plan: Plan) -> Iterator[str]:
    """What was asked for and is not in force."""
    import json

    for receipt in json.loads(plan.notes)["receipts"]:
        if receipt["in_force"] is None and receipt["asked"] is not None:
            yield f"{receipt['cap']} is not in force: {receipt['note']}"


def open_result(where: str, option: str = "result") -> int:
    """A descriptor that survives exec, for the result: a file, or `fd:N` that the caller opened."""
    from minibox.engine import above_streams

    try:
        if where.startswith("fd:") and where[3:].isdecimal():
            fd = int(where[3:])
            os.fstat(fd)
        else:
            # A box that may write there may have put a link or a FIFO in its place.
            careful = 0 if where.startswith(("/dev/", "/proc/")) else os.O_NOFOLLOW
            fd = above_streams(os.open(where, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK
                                       | careful, 0o666))
            os.set_blocking(fd, True)
        os.set_inheritable(fd, True)
    except OSError as error:
        from errno import ELOOP, ENXIO

        why = {ELOOP: "it is a symbolic link: name the file itself",
               ENXIO: "it is a FIFO that nobody reads, or a socket"}.get(error.errno or 0)
        hint = f"it cannot be written: {why or error.strerror}"
        raise SpecError(option, where, hint) from error
    return fd


def teller(result: int, form: str = "json", first: str = "") -> tuple[str, ...]:
    """The command that says what came of the box, with the very modules of this process.

    result: a descriptor to write it to, -1 for none; form: one of FORMATS; first: of what was
    around it, when it is observed.
    """
    code = f"import sys; sys.path[:] = {sys.path}; from minibox.cli.tell import main; main()"
    # -P: nothing is loaded from the directory that this happens to run in.
    return sys.executable, "-P", "-c", code, str(result), form, first
