"""What `minibox explain` says of system calls is what strace sees the engine make."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest
from straced import met, pattern, processes

from minibox import engine
from minibox.explain.record import Explained, explain
from minibox.plan import decode
from minibox.record import replace

pytestmark = [
    pytest.mark.needs("userns", "root", "strace", "timens", "overlay"),
    pytest.mark.skipif("MINIBOX_ENGINE" in os.environ, reason="sanitizers make calls of their own"),
]

REQUESTS = {
    "default": (),
    "rootfs": ("--rootfs", "BUSYBOX"),
    "read-only": ("--rootfs", "BUSYBOX", "--read-only"),
    "keep": ("--keep", "KEPT"),
    "volumes": ("-v", "SCRATCH:/data/deep", "-v", "SCRATCH/a-file:/data/file",
                "--tmpfs", "/scratch:size=16m", "--read-only"),
    "loopback": ("--network", "loopback", "--hostname", "b-x"),
    "user": ("--user", "1000", "-w", "/tmp/work", "-e", 'QUOTED=a "b"\n1'),
    "clocks": ("--time-offset", "monotonic=-1.5,boottime=100"),
    "terminal": ("-t",),
    "no-init": ("--no-init",),
    "chroot": ("--root-by", "chroot"),
    "capability": ("--cap-add", "NET_RAW", "--seccomp-log"),
    "affinity": ("--cgroups", "disabled", "--cpuset-cpus", "0"),
    "found-later": ("-e", "PATH=/none:/usr/bin"),
    "walls-down": ("--without", "descriptors", "--without", "signals", "--without", "nested-user",
                   "--without", "no-new-privs", "--without", "hidepid"),
    "host-network": ("--network", "host", "--uts", "host"),
    "loose-mounts": ("--without", "tmpfs-caps", "--without", "nosuid", "--without", "dev"),
}
NEVER_MET = {
    "before Linux 5.8": "newer here", "before Linux 5.19": "newer here",
    "where that file system cannot shift owners (EINVAL)": "those of the tests can",
    "where the stage could not be moved": "it can",
    "where the caller has closed it": "pytest has not",
    "where one is a terminal": "pytest's are none",
}
"""Conditions that no request here meets."""

WITH_CGROUPS = {
    "memory": ("-m", "64M", "--pids-limit", "20", "--cpus", "0.5"),
    "host-pids": ("--pid", "host", "--time-offset", "5"),
}


def matches(one: Explained, seen: str, by: str = "") -> set[tuple[str, str]]:
    """The calls of a step that one process makes are those that were seen of it. The conditions
    that held."""
    expected = [call for call in one.calls if call.by == by]
    same = bool(re.fullmatch(pattern(expected), seen))
    assert same, (
        f"step {one.number}, {one.name}: explained are\n"
        + "\n".join(f"  {call}  [{call.when or call.each}]" for call in expected)
        + f"\nbut strace saw\n{seen}")
    return met(expected, seen)


def compare(steps: tuple[Explained, ...], trace) -> set[tuple[str, str]]:
    """Each process of a box that was traced, with what was explained before. The conditions, each
    with its call, that held."""
    held = set()
    whole, init, app = processes(trace)
    whole.until("signalfd4")
    for process, part in ((whole, "prepare"), (init, "enter"), (app or init, "app")):
        own = [one for one in steps if one.part == part]
        if process is not whole and not (part == "app" and app is None):
            begun = next(one for one in steps
                         if one.name == ("clone-app" if process is app else "clone-init"))
            name = "app" if process is app else "init"
            at, seen = process.at, process.before_clock()
            process.at = at + len(seen.splitlines())
            held |= matches(begun, seen, name)
        for one in own:
            held |= matches(one, process.exec() if one.name == "exec" else process.step())
    finish = "".join(f"CLOCK\n{pattern(one.calls)}CLOCK\n" for one in steps if one.part == "finish")
    assert re.search(finish, whole.rest()), f"the last steps look otherwise:\n{whole.rest()}"
    return held


def traced(boxed, request, *arguments: str):
    """The plan of `minibox run ARGUMENTS`, explained, and run under strace."""
    places = {"BUSYBOX": lambda: str(request.getfixturevalue("busybox")),
              "KEPT": lambda: str(boxed.scratch / "kept"), "SCRATCH": lambda: str(boxed.scratch)}
    words = []
    for word in arguments:
        for name, place in places.items():
            if name in word:
                word = word.replace(name, place())
        words.append(word)
    (boxed.scratch / "kept").mkdir(exist_ok=True)
    (boxed.scratch / "a-file").touch()
    shutil.chown(boxed.scratch / "kept", boxed.uid, boxed.gid)
    plan, prefix = boxed.scratch / "plan", boxed.scratch / "trace"
    done = boxed.minibox("plan", "--output", str(plan), "run", *words, "--", "true")
    assert done.returncode == 0, done.stderr
    # by root, whoever runs the box: of a process that is not dumpable others see no strings
    command = ["strace", "-ff", "-v", "-s", "100000", "-o", str(prefix), *boxed.prefix,
               engine.path(), str(plan)]
    with open(boxed.scratch / "said", "w+") as said:        # a file is relayed, a pipe is not
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=said, timeout=120, env=boxed.environment, cwd="/")
        said.seek(0)
        assert done.returncode == 0, said.read()
    return explain(decode(plan.read_bytes())).steps, prefix


@pytest.mark.parametrize("name", REQUESTS)
def test_the_calls_that_are_explained_are_those_that_are_made(name, boxed, request) -> None:
    compare(*traced(boxed, request, *REQUESTS[name]))


@pytest.mark.needs("cgroup.memory", "cgroup.pids", "cgroup.cpu")
@pytest.mark.parametrize("name", WITH_CGROUPS)
def test_so_are_those_on_cgroups(name, root_boxed, request) -> None:
    compare(*traced(root_boxed, request, *WITH_CGROUPS[name]))


@pytest.mark.needs("subids")
def test_so_are_those_of_a_range_of_ids(user_boxed, request) -> None:
    compare(*traced(user_boxed, request, "--ids", "range"))


def test_no_call_is_explained_that_is_never_made(boxed, request) -> None:
    explained, held = set(), set()
    for name in ("default", "rootfs", "volumes", "user", "terminal", "loose-mounts", "capability",
                 "host-network", "walls-down"):
        steps, prefix = traced(boxed, request, *REQUESTS[name])
        explained |= {(call.when, call.name) for one in steps if one.part != "finish"
                      for call in one.calls if call.when and not call.each}
        held |= compare(steps, prefix)
        for path in prefix.parent.glob(f"{prefix.name}.*"):
            path.unlink()
    assert {one for one in explained - held if one[0] not in NEVER_MET} == set()


def test_a_call_that_is_not_explained_is_noticed(boxed, request) -> None:
    steps, prefix = traced(boxed, request)
    changed = tuple(replace(one, calls=one.calls[:-1]) if one.name == "pivot-root" else one
                    for one in steps)
    with pytest.raises(AssertionError, match="pivot-root: explained are"):
        compare(changed, prefix)
