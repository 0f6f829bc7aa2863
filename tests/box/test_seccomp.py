"""The filter of system calls in real boxes: what it refuses, what it tells, and whom it kills."""

from __future__ import annotations

import json

import pytest

PYTHON = ("/usr/bin/python3", "-c")
CALL = "import ctypes; libc = ctypes.CDLL(None, use_errno=True); "


@pytest.fixture
def profile(boxed):
    """A profile in Docker's JSON: all is allowed but for *rules*."""
    path = boxed.scratch / "profile.json"

    def write(*rules, default="SCMP_ACT_ALLOW"):
        path.write_text(json.dumps({"defaultAction": default, "syscalls": [*rules]}))
        path.chmod(0o644)
        return "--security-opt", f"seccomp={path}"

    yield write
    path.unlink(missing_ok=True)


KILL = {"names": ["getpriority"], "action": "SCMP_ACT_KILL_PROCESS"}
GET = CALL + "libc.getpriority(0, 0)"


# ---- what is refused, and told -------------------------------------------------------------------

@pytest.mark.needs("userns")
def test_a_box_has_a_filter_of_which_the_receipt_gives_the_size(boxed):
    done = boxed("--", "/bin/grep", "^Seccomp", "/proc/self/status")
    assert done.out == "Seccomp:\t2\nSeccomp_filters:\t1\n"
    receipt = done.receipt("seccomp")
    assert receipt["asked"] == "default" and 50 < receipt["in_force"] < 200
    off = boxed("--security-opt", "seccomp=unconfined", "--", "/bin/grep", "^Seccomp:",
                "/proc/self/status")
    assert off.out == "Seccomp:\t0\n" and off.receipt("seccomp")["in_force"] is None


@pytest.mark.needs("userns")
@pytest.mark.parametrize("options", [(), ("--no-init",)])
def test_every_refusal_is_counted_and_named(boxed, options):
    script = CALL + ("\nfor _ in range(1000): libc.mount(None, None, None, 0, None)\n"
                     "for _ in range(7): libc.syscall(435, 0, 0)\n"
                     "libc.syscall(999)\nprint(ctypes.get_errno())")
    done = boxed("--seccomp-log", *options, "--", *PYTHON, script)
    assert (done.status, done.out) == (0, "38\n"), done
    refused = {one["call"]: (one["action"], one["count"]) for one in done.result["refused"]}
    assert refused["mount"] == ("EPERM", 1000) and refused["clone3"] == ("ENOSYS", 7)
    assert refused["number 999"] == ("ENOSYS", 1)
    assert "minibox: refused by seccomp: mount x1000 (EPERM), clone3 x7 (ENOSYS)" in done.err


@pytest.mark.needs("userns")
def test_without_the_log_nothing_is_counted_and_all_is_refused(boxed):
    script = CALL + "print(libc.mount(None, None, None, 0, None), ctypes.get_errno())"
    done = boxed("--", *PYTHON, script)
    assert done.out == "-1 1\n" and done.result["refused"] == []


@pytest.mark.needs("userns")
def test_many_threads_are_answered(boxed):
    script = ("import ctypes, threading\nlibc = ctypes.CDLL(None)\n"
              "def refuse():\n  for _ in range(100): libc.mount(None, None, None, 0, None)\n"
              "threads = [threading.Thread(target=refuse) for _ in range(20)]\n"
              "[one.start() for one in threads]; [one.join() for one in threads]; print('all')")
    done = boxed("--seccomp-log", "--", *PYTHON, script)
    assert done.out == "all\n"
    assert {"call": "mount", "action": "EPERM", "count": 2000} in done.result["refused"]


@pytest.mark.needs("userns")
def test_a_box_that_makes_all_calls_there_are_does_not_fill_the_table(boxed):
    script = CALL + "[libc.syscall(number) for number in range(1000, 1500)]; print('all')"
    done = boxed("--seccomp-log", "--", *PYTHON, script)
    assert done.out == "all\n"
    refused = done.result["refused"]
    assert len(refused) == 64 and sum(one["count"] for one in refused) >= 500
    assert refused[0]["call"] is None, "the others, together"


@pytest.mark.needs("userns", "gcc")
def test_common_programs_need_nothing_that_is_refused(boxed):
    """But for calls that libc tries first and can do without."""
    script = ("set -e; cd /tmp; echo 'int main(void) { return 0; }' > a.c; gcc -o a a.c; ./a; "
              "git init -q r; cd r; git config user.email a@b.c; git config user.name n; "
              "echo x > f; git add f; git commit -qm x; git log --oneline | wc -l; "
              "python3 -c 'import asyncio, multiprocessing, sqlite3, subprocess, threading; "
              "asyncio.run(asyncio.sleep(0)); print(subprocess.check_output([\"id\", \"-u\"]))'; "
              "tar cf a.tar f; tar xf a.tar; find . | xargs ls -l > /dev/null; sort f; "
              "perl -e 'print 1'")
    done = boxed("--seccomp-log", "--", "/bin/bash", "-c", script)
    assert done.status == 0, done
    assert {one["call"] for one in done.result["refused"]} <= {"clone3", "openat2", "socket"}, done


# ---- who is killed -------------------------------------------------------------------------------

@pytest.mark.needs("userns")
@pytest.mark.parametrize("options", [(), ("--no-init",), ("--seccomp-log",)])
def test_a_kill_by_the_filter_has_the_call_in_the_verdict(boxed, profile, options):
    done = boxed(*profile(KILL), *options, "--", *PYTHON, GET)
    assert (done.status, done.reason) == (159, "seccomp"), done
    assert done.result["evidence"] == {"signal": 31, "call": "getpriority"}
    assert done.result["returncode"] == -31
    assert "made the system call getpriority" in done.result["summary"]


@pytest.mark.needs("userns")
def test_a_kill_in_a_thread_is_the_applications(boxed, profile):
    script = ("import ctypes, threading, time\nlibc = ctypes.CDLL(None)\n"
              "threading.Thread(target=lambda: libc.getpriority(0, 0)).start()\ntime.sleep(60)")
    done = boxed(*profile(KILL), "--", *PYTHON, script)
    assert (done.reason, done.result["evidence"]["call"]) == ("seccomp", "getpriority"), done


@pytest.mark.needs("userns")
def test_a_child_that_is_killed_leaves_the_box_alive(boxed, profile):
    script = (f"import os, ctypes\nif os.fork() == 0:\n  {GET}\n  os._exit(0)\n"
              "print(os.wait()[1])")
    done = boxed(*profile(KILL), "--", *PYTHON, script)
    assert (done.reason, done.status, done.out) == ("exited", 0, "9\n"), done
    assert done.result["refused"] == [{"call": "getpriority", "action": "kill", "count": 1}]


@pytest.mark.needs("userns")
def test_who_kills_itself_was_not_killed_by_the_filter(boxed, profile):
    script = (f"import os, ctypes, signal\nif os.fork() == 0:\n  {GET}\nos.wait()\n"
              "os.kill(os.getpid(), signal.SIGKILL)")
    assert boxed(*profile(KILL), "--", *PYTHON, script).reason == "signaled"


@pytest.mark.needs("userns")
def test_a_trap_ends_who_does_not_catch_it(boxed, profile):
    trap = {"names": ["getpriority"], "action": "SCMP_ACT_TRAP"}
    done = boxed(*profile(trap), "--", *PYTHON, GET)
    assert (done.reason, done.status) == ("seccomp", 159)
    assert done.result["evidence"] == {"signal": 31, "call": None}


@pytest.mark.needs("userns")
def test_who_waits_for_an_answer_can_be_killed(boxed):
    """A whole box of askers is ended by its time limit, with nothing left."""
    script = ("import ctypes, os\nlibc = ctypes.CDLL(None)\nfor _ in range(8): os.fork()\n"
              "while True: libc.mount(None, None, None, 0, None)")
    done = boxed("--seccomp-log", "--pids-limit", "300", "--timeout", "0.5", "--", *PYTHON, script)
    assert done.reason == "walltime"


# ---- a profile of one's own ----------------------------------------------------------------------

@pytest.mark.needs("userns")
def test_a_profile_gives_its_own_errno(boxed, profile):
    rule = {"names": ["getpriority"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99}
    done = boxed(*profile(rule), "--", *PYTHON, GET + "; print(ctypes.get_errno())")
    assert done.out == "99\n" and done.receipt("seccomp")["asked"] == "profile"


@pytest.mark.needs("userns")
def test_a_profile_that_forbids_exec_is_a_failure_of_that_step(boxed, profile):
    rule = {"names": ["execve"], "action": "SCMP_ACT_ERRNO"}
    done = boxed(*profile(rule), "--", "/bin/true")
    assert (done.status, done.reason) == (126, "setup"), done
    assert done.result["evidence"]["name"] == "exec"


@pytest.mark.needs("userns")
def test_a_profile_that_forbids_the_handing_over_is_refused_with_the_reason(boxed, profile):
    options = profile(KILL, {"names": ["sendmsg"], "action": "SCMP_ACT_ERRNO"})
    done = boxed(*options, "--", "/bin/true")
    assert (done.status, done.reason) == (125, "setup")
    assert "sendmsg" in done.err and done.result["evidence"]["name"] == "filter-calls", done


# ---- what people are shown -----------------------------------------------------------------------

@pytest.mark.parametrize(("options", "said"), [
    ((), "io_uring"), (("--groups",), "pivot_root"), (("--bpf",), "return EPERM"),
    (("--syscall", "mount"), "mount (165 on x86_64): EPERM, allowed with --cap-add SYS_ADMIN"),
    (("--syscall", "165"), "mount (165 on x86_64)"),
    (("--syscall", "clone3"), "ENOSYS"),
    (("--syscall", "ioctl"), "request (argument 1) is TIOCSTI"),
    (("--syscall", "mount", "--cap-add", "SYS_ADMIN"), "x86_64): allowed"),
    (("--syscall", "chmod"), "mode (argument 1) has S_ISGID or S_ISUID"),
    (("--syscall", "socket", "--network", "host"), "domain (argument 0) is AF_INET or AF_INET6"),
])
def test_the_policy_is_shown(root_boxed, options, said):
    done = root_boxed.minibox("seccomp", "show", "--machine", "x86_64", *options)
    assert done.returncode == 0 and said in done.stdout, done
    told = root_boxed.minibox("seccomp", "show", "--machine", "x86_64", "--json", *options)
    assert json.loads(told.stdout)


@pytest.mark.parametrize(("argv", "said"), [
    (("show", "--syscall", "mout"), "did you mean mount?"), ((), "say what to do"),
    (("show", "--machine", "vax"), "use x86_64 or aarch64"), (("show", "x"), "takes no argument"),
    (("show", "--bpf", "--groups"), "different things"), (("show", "--cap-add", "X"), "cap-add")])
def test_a_question_that_makes_no_sense_is_named(root_boxed, argv, said):
    done = root_boxed.minibox("seccomp", *argv)
    assert done.returncode == 125 and said in done.stderr and "Traceback" not in done.stderr, done


def test_a_log_without_a_filter_is_refused(root_boxed):
    done = root_boxed.minibox("run", "--seccomp-log", "--security-opt", "seccomp=unconfined",
                              "--", "/bin/true")
    assert done.returncode == 125 and "seccomp-log" in done.stderr
