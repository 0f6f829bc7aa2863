"""What a box does to ruin the machine: it alone suffers.

Every attack runs beside a ticker on the host and a neighbour: the ticker, a process that wants to
wake every 10 ms, may never be late by a second; the neighbour, boxes that run one after another,
must all end as they should; and the fixture of all tests looks for what is left.  More attacks are
where their mechanism is tested: caps in test_caps.py, output and streams in test_supervision.py,
terminals in test_terminal.py, links of root file systems in test_hostile_rootfs.py.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
from engines import Running, plan

from minibox.request import box_spec, plan_for

pytestmark = pytest.mark.needs("userns")

TICKER = """
import select, sys, time
longest, last = 0.0, time.monotonic()
while not select.select([sys.stdin], [], [], 0.01)[0]:
    now = time.monotonic()
    longest, last = max(longest, now - last), now
print(longest)
"""

PYTHON = ("/usr/bin/python3", "-c")


@contextlib.contextmanager
def watched(boxed):
    """The ticker and the neighbour, while an attack runs."""
    ticker = subprocess.Popen([sys.executable, "-c", TICKER], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    over, failed, ran = threading.Event(), [], [0]

    def neighbour():
        while not over.is_set():
            done = boxed.minibox("run", "--", "/bin/echo", "well")
            ran[0] += 1
            if (done.returncode, done.stdout) != (0, "well\n"):
                failed.append(done)

    beside = threading.Thread(target=neighbour)
    beside.start()
    try:
        yield
    finally:
        over.set()
        beside.join()
        longest = float(ticker.communicate("\n")[0])
    assert not failed and ran[0] > 0, failed
    assert longest < 1, f"the host stood still for {longest} s"


@pytest.fixture
def attack(boxed):
    """Run an attack, watched."""
    def run(*arguments):
        with watched(boxed):
            return boxed(*arguments)
    return run


@pytest.fixture
def capped(boxed, request):
    """A caller whose cgroups can be used: root, or a user with a delegated subtree."""
    if boxed.name == "user":
        request.getfixturevalue("delegated")


# ---- processes -----------------------------------------------------------------------------------

BOMB = "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass"


@pytest.mark.needs("cgroup.pids")
def test_a_fork_bomb_under_a_cap(attack, capped):
    done = attack("--pids-limit", "24", "--timeout", "3", "--", *PYTHON, BOMB)
    assert (done.reason, done.status) == ("walltime", 124), done
    assert done.result["usage"]["pids_peak"] <= 25 and done.result["usage"]["pids_refused"] > 0


def test_a_fork_bomb_without_any_cgroup(attack):
    done = attack("--pids-limit", "64", "--cgroups", "disabled", "--timeout", "2", "--", *PYTHON,
                  BOMB)
    assert (done.reason, done.status) == ("walltime", 124), done


def test_zombies_that_nobody_waits_for(attack):
    script = ("import os\nfor _ in range(900):\n  if os.fork() == 0: os._exit(0)\n"
              "os.execvp('/bin/true', ['true'])")
    done = attack("--", *PYTHON, script)
    assert (done.reason, done.status) == ("exited", 0), done
    assert done.result["usage"]["processes"] == 901


def test_daemons_that_forked_twice_and_ignore_all(attack):
    script = ("import os, signal, sys\nfor _ in range(50):\n"
              "  if os.fork() == 0:\n    os.setsid()\n    if os.fork(): os._exit(0)\n"
              "    for n in {*range(1, 65)} - {9, 19, 32, 33}: signal.signal(n, signal.SIG_IGN)\n"
              "    while True: signal.pause()\n")
    done = attack("--", *PYTHON, script)
    assert (done.reason, done.status) == ("exited", 0), done
    assert 51 <= done.result["usage"]["processes"] <= 101, "some had not forked twice by then"


def test_who_stops_itself_is_ended_by_its_time_limit(attack):
    done = attack("--timeout", "0.5", "--", "/bin/sh", "-c", "kill -STOP $$; echo on")
    assert (done.reason, done.out) == ("walltime", ""), done


@pytest.mark.needs("gcc")
def test_a_parent_that_waits_for_its_vforked_child(attack, boxed, tmp_path):
    """It cannot be interrupted meanwhile, but killed."""
    source, program = tmp_path / "vfork.c", boxed.scratch / "vfork"
    source.write_text("#include <unistd.h>\n"
                      "int main(void) { if (!vfork()) for (;;) pause(); return 0; }")
    subprocess.run(["gcc", "-static", "-o", program, source], check=True)
    try:
        program.chmod(0o755)
        done = attack("--timeout", "0.5", "-v", f"{program}:/vfork:ro", "--", "/vfork")
    finally:
        program.unlink()
    assert (done.reason, done.status) == ("walltime", 124), done


def test_sigterm_that_is_ignored(boxed):
    with watched(boxed):
        running = Running(boxed, plan(boxed, "sh", "-c", "trap '' TERM; echo up; sleep 60 & wait",
                                      stop_timeout_ns=200_000_000))
        running.await_line(b"up")
        running.process.send_signal(signal.SIGTERM)
        assert running.end()[0] == 137


# ---- memory and files ----------------------------------------------------------------------------

@pytest.mark.needs("cgroup.memory")
@pytest.mark.parametrize(("name", "script"), [
    ("anonymous", "held = []\nwhile True: held.append(bytearray(1 << 20))"),
    ("tmpfs", "f = open('/tmp/f', 'wb')\nwhile True: f.write(bytes(1 << 20))"),
    ("shm", "f = open('/dev/shm/f', 'wb')\nwhile True: f.write(bytes(1 << 20))"),
    ("shared", "import mmap\nheld = []\nwhile True:\n  held.append(mmap.mmap(-1, 1 << 20)); "
               "held[-1].write(bytes(1 << 20))"),
    ("many processes", "import os\n[os.fork() for _ in range(4)]\nheld = []\n"
                       "while True: held.append(bytearray(1 << 20))"),
])
def test_hogs_of_memory(attack, capped, name, script):
    done = attack("-m", "48M", "--tmpfs-size", "1G", "--shm-size", "1G", "--", *PYTHON, script)
    assert (done.reason, done.status) == ("memory", 137), done
    assert 30 << 20 <= done.result["usage"]["memory_peak_bytes"] <= 49 << 20


@pytest.mark.needs("cgroup.memory")
def test_a_hog_of_page_cache_lives_within_its_cap(attack, capped, boxed):
    big = boxed.scratch / "big"
    with open(big, "wb") as file:
        for _ in range(160):
            file.write(bytes(1 << 20))
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    big.chmod(0o644)
    try:
        done = attack("-m", "48M", "-v", f"{big}:/big:ro", "--", "/bin/sh", "-c",
                      "cat /big /big | wc -c")
    finally:
        big.unlink()
    assert (done.reason, done.out) == ("exited", f"{2 * 160 << 20}\n"), done
    assert done.result["usage"]["memory_peak_bytes"] <= 49 << 20


@pytest.mark.parametrize(("place", "option"), [("/tmp", "--tmpfs-size"),
                                               ("/dev/shm", "--shm-size")])
def test_a_filler_of_disk_gets_enospc_at_its_cap(attack, place, option):
    script = (f"import os\nfd = os.open('{place}/f', os.O_CREAT | os.O_WRONLY)\ndone = 0\n"
              "try:\n  while True: done += os.write(fd, bytes(1 << 16))\n"
              "except OSError as error: print(done, error.errno)")
    done = attack(option, "8M", "--", *PYTHON, script)
    written, errno = map(int, done.out.split())
    assert errno == 28 and 7 << 20 <= written <= 8 << 20, done


@pytest.mark.parametrize("place", ["/tmp", "/dev/shm"])
def test_a_filler_of_inodes_gets_enospc_at_its_cap(attack, place):
    script = (f"import os\nos.chdir('{place}')\nn = 0\ntry:\n  while True:\n"
              "    os.mknod(str(n)); n += 1\nexcept OSError as error: print(n, error.errno)")
    done = attack("--", *PYTHON, script)
    made, errno = map(int, done.out.split())
    assert errno == 28 and 90_000 <= made <= 100_000, done


def test_descriptors_run_out_in_the_box_only(attack):
    script = ("import os\nn = 0\ntry:\n  while True: os.open('/dev/null', 0); n += 1\n"
              "except OSError as error: print(n, error.errno)")
    assert attack("--", *PYTHON, script).out == "1021 24\n"


# ---- CPU -----------------------------------------------------------------------------------------

BURN = "import os\n[os.fork() for _ in range(3)]\nwhile True: pass"


@pytest.mark.needs("cgroup.cpu")
def test_a_hog_of_cpu_under_a_cap(attack, capped):
    done = attack("--cpus", "0.5", "--timeout", "2", "--", *PYTHON, BURN)
    assert done.reason == "walltime" and done.result["usage"]["cpu_s"] <= 1.3, done


def test_a_hog_of_cpu_time_over_many_processes(attack):
    done = attack("--cpu-time", "0.5", "--timeout", "20", "--", *PYTHON, BURN)
    assert (done.reason, done.status) == ("cputime", 124), done


# ---- output --------------------------------------------------------------------------------------

def test_a_flood_of_output_is_cut_off_and_counted(attack):
    done = attack("--output-limit", "1M", "--", "/bin/sh", "-c", "yes & yes >&2")
    usage = done.result["usage"]
    assert (done.reason, done.status) == ("output", 137), done.reason
    assert usage["stdout_kept_bytes"] + usage["stderr_kept_bytes"] == 1 << 20
    assert len(done.out) + len(done.err) >= 1 << 20
    assert usage["stdout_bytes"] + usage["stderr_bytes"] > 1 << 20


def test_a_flood_that_nobody_reads_holds_up_nobody(attack):
    """It is written to a pipe that is full at once: the box alone waits, until its time is over."""
    done = attack("--timeout", "1", "--", "/bin/sh", "-c", "exec yes > /dev/full; sleep 60")
    assert done.status in (1, 124), done


# ---- init and the engine -------------------------------------------------------------------------

@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGSEGV])
def test_init_cannot_be_killed_from_inside(attack, number):
    done = attack("--", "/bin/sh", "-c", f"kill -{int(number)} 1; kill -{int(number)} -1; echo on")
    assert (done.reason, done.out) == ("exited", "on\n"), done


@pytest.mark.parametrize("seed", range(20))
def test_an_init_that_is_killed_from_outside_takes_the_box_along(boxed, seed):
    running = Running(boxed, plan(boxed, "sh", "-c", "setsid sleep 60 & sleep 60"))
    until = time.perf_counter() + random.Random(seed).uniform(0.0005, 0.006)
    while time.perf_counter() < until:
        pass
    with open(f"/proc/{running.process.pid}/task/{running.process.pid}/children") as file:
        for pid in file.read().split():
            os.kill(int(pid), signal.SIGKILL)
    running.process.send_signal(signal.SIGTERM)             # where there was no init yet
    assert running.end()[0] in (125, 137, 143, -signal.SIGTERM)


def test_the_engine_killed_at_a_thousand_random_moments_leaves_nothing(root_boxed):
    """With a cgroup and without one; that stdout ends says that none of the box has it."""
    moments = random.Random(1)
    command = ("/bin/sh", "-c", "sleep 60 & sleep 60")
    plans = [plan_for(box_spec(command, cgroups=when)) for when in ("disabled", "enabled")]
    with watched(root_boxed):
        for round_ in range(1000):
            running = Running(root_boxed, plans[round_ % 10 == 0])
            until = time.perf_counter() + moments.uniform(0, 0.005)
            while time.perf_counter() < until:
                pass
            running.process.kill()
            assert running.end()[0] == -signal.SIGKILL
    assert root_boxed("--cgroups", "enabled", "--", "/bin/true").status == 0, "it sweeps"


def test_an_engine_that_was_stopped_goes_on(boxed):
    running = Running(boxed, plan(boxed, "sh", "-c", "echo up; read line; echo $line",
                                  stdin="caller"), stdin=subprocess.PIPE)
    running.await_line(b"up")
    running.process.send_signal(signal.SIGSTOP)
    running.process.send_signal(signal.SIGCONT)
    running.process.stdin.write(b"on\n")
    running.process.stdin.flush()
    assert running.end()[::2] == (0, b"on\n")


# ---- what is kept on disk ------------------------------------------------------------------------

def cache(boxed):
    """The file of facts about this host that the caller's runs keep in their own home."""
    found = list((boxed.scratch / ".cache/minibox").glob("host-*"))
    return found[0] if found else None


@pytest.mark.parametrize("damage", ["cut short", "zeros", "garbage", "empty", "a directory",
                                    "unreadable", "of another boot"])
def test_a_cache_that_was_damaged_by_a_power_cut_is_made_anew(user_boxed, damage):
    assert user_boxed("--", "/bin/true").status == 0
    path = cache(user_boxed)
    assert path, "it is kept"
    whole = path.read_bytes()
    path.unlink()
    if damage == "a directory":
        path.mkdir()
    else:
        path.write_bytes({"cut short": whole[:len(whole) // 2], "zeros": bytes(len(whole)),
                          "garbage": os.urandom(len(whole)), "empty": b"", "unreadable": whole,
                          "of another boot": whole.replace(b"key", b"yek", 1)}[damage])
        path.chmod(0 if damage == "unreadable" else 0o600)
        os.chown(path, user_boxed.uid, user_boxed.gid)
    done = user_boxed("--", "/bin/echo", "on")
    assert (done.status, done.out) == (0, "on\n"), done
    if damage == "a directory":
        path.rmdir()


@pytest.mark.needs("root")
def test_a_full_disk_under_the_cache_is_done_without(root_boxed, tmp_path):
    """In a mount namespace of the test's own, with a tmpfs of one page for /var/cache and HOME."""
    script = ("mount -t tmpfs -o size=4k,nr_inodes=3 none /var/cache && "
              "head -c 1M /dev/zero > /var/cache/full; exec \"$@\"")
    done = root_boxed.command("unshare", "--mount", "sh", "-c", script, "sh", *root_boxed.python,
                              "-m", "minibox", "run", "--", "/bin/echo", "on")
    assert (done.returncode, done.stdout) == (0, "on\n"), done
