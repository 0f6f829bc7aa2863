"""How fast does a box start, and how many fit? python3 measure.py [COUNT]

Starts your box.py COUNT times with a root that holds one program, and tells the median until that
program runs, and what each of COUNT boxes costs while all are there (PSS: each page shared by N
counts for one Nth). Then the same for a virtual machine, if this host has what it takes.
"""

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 20
PLACES = ("bin", "dev", "old", "proc", "tmp")


def pss_kib(pid: int) -> int:
    """What a process and all below it cost."""
    total = 0
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            total += int(line.split()[1])
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        total += pss_kib(int(child))
    return total


def boxes(root: str) -> None:
    command = [sys.executable, "box.py", root, "/bin/busybox"]
    times = []
    for _ in range(COUNT):
        began = time.perf_counter()
        done = subprocess.run([*command, "echo", "here"], stdout=subprocess.PIPE)
        times.append(time.perf_counter() - began)
        if done.stdout != b"here\n":
            sys.exit("box.py has not run the program: nothing to measure yet")
    print(f"a box, from start to end: median {statistics.median(times) * 1000:.1f} ms of {COUNT}")
    running = [subprocess.Popen([*command, "sleep", "60"]) for _ in range(COUNT)]
    try:
        time.sleep(2)
        costs = [pss_kib(one.pid) for one in running]
        print(f"{COUNT} boxes at once: {statistics.median(costs) / 1024:.1f} MiB each")
    finally:
        for one in running:
            one.kill()
            one.wait()


def machine(root: str) -> None:
    """A kernel, and a file system in memory that ends at once."""
    kernels = sorted(Path("/boot").glob("vmlinuz-*"))
    qemu = shutil.which("qemu-system-x86_64")
    if not qemu or not kernels or not os.access(kernels[-1], os.R_OK) or not shutil.which("cpio"):
        print("no virtual machine here: it takes qemu-system-x86_64, cpio and a kernel in /boot "
              "that you may read")
        return
    Path(root, "init").write_text("#!/bin/busybox sh\n/bin/busybox poweroff -f\n")
    Path(root, "init").chmod(0o755)
    files = subprocess.run(["find", "."], cwd=root, capture_output=True, check=True).stdout
    archive = subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=files,
                             capture_output=True, check=True).stdout
    Path(root, "archive").write_bytes(archive)
    command = [qemu, "-m", "128", "-nographic", "-no-reboot", "-kernel", str(kernels[-1]),
               "-initrd", f"{root}/archive", "-append", "console=ttyS0 panic=-1", "-accel"]
    if not (os.access("/dev/kvm", os.R_OK | os.W_OK) and boots("kvm", command, 20)):
        boots("tcg", command, 120)                          # emulated, each instruction


def boots(accelerator: str, command: list[str], patience_s: float) -> bool:
    """Whether a machine starts and ends in time, and what it took."""
    began, most = time.perf_counter(), 0
    with subprocess.Popen([*command, accelerator], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while process.poll() is None and time.perf_counter() < began + patience_s:
                with contextlib.suppress(OSError):          # it has just ended
                    most = max(most, pss_kib(process.pid))
                time.sleep(0.02)
            took = time.perf_counter() - began
        finally:
            process.kill()
    if process.returncode == 0:
        print(f"a machine ({accelerator}), from start to end: {took:.1f} s, {most / 1024:.0f} MiB")
    else:
        print(f"a machine ({accelerator}) did not boot in {took:.0f} s")
    return process.returncode == 0


with tempfile.TemporaryDirectory() as root:
    for name in PLACES:
        Path(root, name).mkdir()
    busybox = shutil.which("busybox")
    if not busybox:
        sys.exit("install a static busybox (busybox-static)")
    shutil.copy(busybox, f"{root}/bin/busybox")
    boxes(root)
    machine(root)
