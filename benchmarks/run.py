#!/usr/bin/env python3
"""How long a box takes, beside its peers and beside the bare limit, in one run.

    python benchmarks/run.py [--rounds 100]

Every contender runs /bin/true of a static busybox with the same mechanics: all namespaces, /proc,
a minimal /dev, a tmpfs on /tmp, the root file system read-only.  They take turns, in a new random
order each round, so that a machine whose speed drifts is the same for all.  Times are medians; the
ratios are what counts on a noisy machine.  What does not run here says why.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

HERE = os.path.dirname(os.path.abspath(__file__))
DEVNULL = subprocess.DEVNULL
GIGABYTE = 1 << 30

BIG_CALLER = """
import sys, time, minibox
options = dict(rootfs={rootfs!r}, read_only=True, tmpfs=["/tmp"], ids="one")
ballast = bytearray(b"x") * {size}
for line in sys.stdin:
    start = time.perf_counter_ns()
    result = minibox.run(["/bin/true"], **options)
    assert result.reason == "exited" and result.returncode == 0, result
    print(time.perf_counter_ns() - start, flush=True)
"""


def command(*argv: str) -> Callable[[], int]:
    """A contender that is a whole command, timed by subprocess.run as a Python caller would."""
    def once() -> int:
        start = time.perf_counter_ns()
        subprocess.run(argv, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, check=True)
        return time.perf_counter_ns() - start
    return once


class Server:
    """A process that times one round for each line it reads: the API in a caller of its own."""

    def __init__(self, *argv: str) -> None:
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)

    def __call__(self) -> int:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate()


def bundle(work: str, rootfs: str, runtime: str) -> str:
    """An OCI bundle with the same mechanics, made from the runtime's own default."""
    where = os.path.join(work, runtime)
    os.mkdir(where)
    rootless = ["--rootless"] if os.geteuid() else []
    subprocess.run([runtime, "spec", *rootless], cwd=where, check=True)
    path = os.path.join(where, "config.json")
    with open(path) as file:
        config = json.load(file)
    config["process"].update(args=["/bin/true"], terminal=False)
    config["process"].pop("oomScoreAdj", None)
    config["process"].pop("rlimits", None)
    config["root"] = {"path": rootfs, "readonly": True}
    config["mounts"] = [mount for mount in config["mounts"]
                        if mount["destination"] in ("/proc", "/dev", "/dev/pts", "/dev/shm")]
    for mount in config["mounts"]:                                # a box with one id has no group 5
        mount["options"] = [word for word in mount.get("options", []) if word != "gid=5"]
    config["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"})
    linux = config["linux"]
    linux["namespaces"] = [{"type": kind} for kind in
                           ("pid", "network", "ipc", "uts", "mount", "cgroup", "user")]
    linux["uidMappings"] = [{"containerID": 0, "hostID": os.geteuid(), "size": 1}]
    linux["gidMappings"] = [{"containerID": 0, "hostID": os.getegid(), "size": 1}]
    linux.pop("resources", None)
    with open(path, "w") as file:
        json.dump(config, file)
    return where


def contenders(work: str, rootfs: str) -> dict[str, Callable[[], int]]:
    bare = os.path.join(work, "bare")
    subprocess.run(["cc", "-O2", "-static", "-o", bare, os.path.join(HERE, "bare.c")], check=True)
    flags = ["--rootfs", rootfs, "--read-only", "--tmpfs", "/tmp", "--ids", "one"]
    minibox = [sys.executable, "-m", "minibox"]
    script = os.path.join(os.path.dirname(sys.executable), "minibox")
    if os.access(script, os.X_OK):
        minibox = [script]
    saved = os.path.join(work, "plan")
    subprocess.run([*minibox, "plan", "--output", saved, "run", *flags, "/bin/true"],
                   check=True)
    import minibox as api
    from minibox.engine import path as engine_path

    def api_once() -> int:
        start = time.perf_counter_ns()
        result = api.run(["/bin/true"], rootfs=rootfs, read_only=True, tmpfs=["/tmp"], ids="one")
        took = time.perf_counter_ns() - start
        assert result.reason == "exited" and result.returncode == 0, result
        return took

    def bare_once() -> int:
        done = subprocess.run([bare, "1", rootfs, "/bin/true"], capture_output=True, check=True)
        return int(done.stdout)

    found: dict[str, Callable[[], int]] = {
        "bare C program": bare_once,
        "minibox.run": api_once,
        "minibox.run, small caller": Server(
            sys.executable, "-c", BIG_CALLER.format(size=1, rootfs=rootfs)),
        "minibox.run, 1 GB caller": Server(
            sys.executable, "-c", BIG_CALLER.format(size=GIGABYTE, rootfs=rootfs)),
        "engine, saved plan": command(engine_path(), saved),
        "minibox run (command)": command(*minibox, "run", *flags, "/bin/true"),
        "python -c pass": command(sys.executable, "-c", "pass"),
        "bwrap --unshare-all": command(
            "bwrap", "--unshare-all", "--ro-bind", rootfs, "/", "--proc", "/proc", "--dev", "/dev",
            "--tmpfs", "/tmp", "/bin/true"),
        "firejail": command(
            "firejail", "--quiet", "--noprofile", "--net=none", "--private-dev", "--private-tmp",
            "/bin/busybox", "true"),
    }
    for runtime in ("crun", "runc"):
        if shutil.which(runtime):
            where, state = bundle(work, rootfs, runtime), os.path.join(work, runtime + "-state")
            without = ["--cgroup-manager=disabled"] if runtime == "crun" else []
            found[runtime] = command(runtime, *without, "--root", state, "run", "--bundle", where,
                                     f"bench-{os.getpid()}-{runtime}")
    return found


def measure(found: dict[str, Callable[[], int]],
            rounds: int) -> tuple[dict[str, float], dict[str, str]]:
    """Milliseconds of each contender's median, and why the others do not run."""
    failed: dict[str, str] = {}
    times: dict[str, list[int]] = {name: [] for name in found}
    for number in range(rounds + 2):                              # two rounds to warm up
        for name in random.sample(sorted(found), len(found)):
            if name in failed:
                continue
            try:
                took = found[name]()
            except (OSError, ValueError, subprocess.CalledProcessError) as error:
                failed[name] = str(error).split("\n")[0][:90]
                continue
            if number >= 2:
                times[name].append(took)
    ran = {name: all_ for name, all_ in times.items() if name not in failed}
    return {name: statistics.median(all_) / 1e6 for name, all_ in ran.items()}, failed


def table(medians: dict[str, float], failed: dict[str, str], rounds: int) -> str:
    bare, bwrap = medians.get("bare C program"), medians.get("bwrap --unshare-all")
    lines = [f"medians of {rounds} rounds, {'root' if os.geteuid() == 0 else 'unprivileged'}, "
             f"{os.cpu_count()} CPUs, Linux {os.uname().release}", "",
             "| contender | ms | x bare | x bwrap |", "|---|---:|---:|---:|"]
    for name, value in sorted(medians.items(), key=lambda item: item[1]):
        ratios = [f"{value / of:.2f}" if of else "-" for of in (bare, bwrap)]
        lines.append(f"| {name} | {value:.2f} | {' | '.join(ratios)} |")
    lines += [f"| {name} | does not run here: {why} | - | - |" for name, why in failed.items()]
    return "\n".join(lines)


def hide_hybrid() -> None:
    """crun runs on cgroup v1 or v2, not on both: begin anew where the second is not seen."""
    unified = "/sys/fs/cgroup/unified"
    if os.geteuid() == 0 and os.path.ismount(unified):
        script = f'umount {unified} && exec "$@"'
        os.execvp("unshare", ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable,
                              *sys.argv])


def main() -> None:
    hide_hybrid()
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="minibox-bench-") as work:
        os.chmod(work, 0o755)
        rootfs = os.path.join(work, "rootfs")
        for directory in ("bin", "proc", "dev", "tmp", "etc"):
            os.makedirs(os.path.join(rootfs, directory))
        shutil.copy("/bin/busybox", os.path.join(rootfs, "bin"))
        os.symlink("busybox", os.path.join(rootfs, "bin/true"))
        found = contenders(work, rootfs)
        try:
            medians, failed = measure(found, options.rounds)
        finally:
            for contender in found.values():
                if isinstance(contender, Server):
                    contender.close()
        print(table(medians, failed, options.rounds))


if __name__ == "__main__":
    main()
