"""The Python API, in the manner of subprocess: here as whoever runs the tests, once as a user."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import minibox
from minibox import Box, BoxFailed, ExecError, HostError, Limits, SpecError

pytestmark = pytest.mark.needs("userns")

FOREVER = ["/bin/sleep", "60"]
TRAP = ["/bin/sh", "-c", "trap 'echo got; exit 3' TERM; echo up; while :; do sleep 0.02; done"]


def test_run_captures_text():
    result = minibox.run(["python3", "-c", "print(6 * 7)"], capture_output=True, text=True)
    assert (result.reason, result.returncode, result.stdout, result.stderr) == (
        "exited", 0, "42\n", "")


def test_run_captures_bytes_and_merges_stderr():
    result = minibox.run(["/bin/sh", "-c", "printf '\\377'; echo err >&2"], stdout=minibox.PIPE,
                         stderr=minibox.STDOUT)
    assert (result.stdout, result.stderr) == (b"\xfferr\n", None)


def test_text_that_is_none_is_replaced_and_no_exception():
    result = minibox.run(["/bin/sh", "-c", "printf '\\377\\r\\n'"], capture_output=True, text=True)
    assert result.stdout == "\ufffd\n"


def test_input_larger_than_a_pipe_is_fed_while_output_is_read():
    data = os.urandom(1 << 20)
    result = minibox.run(["/bin/cat"], input=data, capture_output=True)
    assert result.stdout == data


def test_input_that_is_not_read_is_no_error():
    result = minibox.run(["/bin/true"], input=b"x" * (1 << 20), capture_output=True)
    assert result.returncode == 0


def test_stdin_is_empty_unless_given(tmp_path):
    assert minibox.run(["/bin/cat"], capture_output=True).stdout == b""
    path = tmp_path / "in"
    path.write_text("from a file")
    with open(path) as file:
        assert minibox.run(["/bin/cat"], stdin=file, capture_output=True).stdout == b"from a file"


def test_output_goes_to_a_file(tmp_path):
    with open(tmp_path / "out", "wb") as file:
        minibox.run(["/bin/echo", "to a file"], stdout=file, stderr=minibox.DEVNULL)
    assert (tmp_path / "out").read_bytes() == b"to a file\n"


def test_check_raises_with_the_result():
    with pytest.raises(BoxFailed, match="exited with status 7") as caught:
        minibox.run(["/bin/sh", "-c", "echo why >&2; exit 7"], check=True, capture_output=True)
    assert caught.value.result.stderr == b"why\n"


def test_what_the_program_does_is_no_exception():
    result = minibox.run(FOREVER, limits=Limits(walltime=0.2))
    assert (result.reason, result.returncode) == ("walltime", -signal.SIGKILL)
    assert result.evidence["wall_limit_s"] == 0.2 and result.usage.wall_s < 5


def test_a_program_that_is_not_there_is_an_exec_error():
    with pytest.raises(ExecError, match="no-such: no such program in the box's PATH") as caught:
        minibox.run(["no-such"])
    assert caught.value.step == "exec" and caught.value.result.exit_status == 127


def test_a_request_that_cannot_be_is_refused():
    with pytest.raises(SpecError, match="memory: '64Q'"):
        minibox.run(["/bin/true"], limits=Limits(memory="64Q"))
    with pytest.raises(SpecError, match="give a list"):
        minibox.run("/bin/true")
    with pytest.raises(TypeError, match="bogus"):
        minibox.run(["/bin/true"], bogus=1)


@pytest.mark.needs("cgroup.memory", "cgroup.pids", "root")
def test_caps_hold_and_have_receipts():
    hog = "held = []\nwhile True: held.append(bytearray(1 << 20))"
    result = minibox.run(["python3", "-c", hog], limits=Limits(memory="32MiB", pids=8))
    assert result.reason == "memory" and result.usage.memory_peak_bytes <= 33 << 20
    caps = {receipt.cap: receipt.in_force for receipt in result.receipts}
    assert (caps["memory"], caps["pids"]) == (32 << 20, 8), caps


def test_popen_is_like_subprocess():
    with Box(stdout=minibox.PIPE, text=True) as box:
        process = box.popen(TRAP)
        assert process.stdout.readline() == "up\n" and process.poll() is None
        with pytest.raises(TimeoutError):
            process.wait(timeout=0.05)
        process.terminate()
        assert process.wait(20) == 3 and process.returncode == 3
        assert process.stdout.read() == "got\n" and process.result.reason == "exited"
        process.terminate()                                 # of no effect by now
        process.stdout.close()


@pytest.mark.parametrize("wait", ["wait", "poll"])
def test_what_it_wrote_is_there_after_its_end_too(wait):
    before = set(os.listdir("/proc/self/fd"))
    process = Box().popen(["/bin/sh", "-c", "echo out; echo err >&2; exit 3"], stdin=minibox.PIPE,
                          stdout=minibox.PIPE, stderr=minibox.PIPE, text=True)
    while getattr(process, wait)() is None:
        time.sleep(0.001)
    assert process.communicate("unread") == ("out\n", "err\n")
    assert (process.result.stdout, process.complete().stderr) == ("out\n", "err\n")
    assert process.returncode == 3 and set(os.listdir("/proc/self/fd")) == before


def test_communicate_goes_on_after_a_timeout():
    process = Box().popen(["/bin/sh", "-c", "echo one; cat; echo two"], stdin=minibox.PIPE,
                          stdout=minibox.PIPE, text=True)
    with pytest.raises(TimeoutError):
        slow = Box().popen(["/bin/sh", "-c", "echo early; sleep 0.5; echo late"],
                           stdout=minibox.PIPE, text=True)
        slow.communicate(timeout=0.1)
    assert slow.communicate() == ("early\nlate\n", None)
    assert process.communicate("middle\n") == ("one\nmiddle\ntwo\n", None)


def test_a_process_can_be_killed_and_stopped():
    with Box() as box:
        killed = box.popen(FOREVER)
        killed.kill()
        assert (killed.wait(20), killed.result.reason) == (-signal.SIGKILL, "stopped")
        deaf = ["/bin/sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.02; done"]
        stopped = box.popen(deaf, stdout=minibox.PIPE)
        stopped.stdout.readline()
        stopped.stop(timeout=0.1)
        assert (stopped.wait(20), stopped.result.reason) == (-signal.SIGKILL, "stopped")
        stopped.stdout.close()


def test_leaving_a_box_kills_what_still_runs():
    with Box() as box:
        process = box.popen(FOREVER)
    assert process.result.reason == "stopped"


def test_a_forgotten_process_is_killed_with_a_warning():
    process = minibox.Process(FOREVER)
    pid = process.pid
    with pytest.warns(ResourceWarning, match="still ran"):
        del process
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_box_overrides_its_own_settings():
    with Box(hostname="one", capture_output=True, text=True) as box:
        assert box.run(["/bin/hostname"]).stdout == "one\n"
        assert box.run(["/bin/hostname"], hostname="two").stdout == "two\n"


def test_an_interrupted_run_leaves_no_box():
    def interrupt():
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.3, interrupt)
    timer.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        minibox.run(FOREVER)
    timer.join()
    assert time.monotonic() - start < 20


def test_a_caller_that_is_killed_takes_its_boxes_along():
    code = ("import minibox, sys\np = minibox.Process(['/bin/sleep', '60'])\n"
            "print(p.pid, flush=True)\nsys.stdin.read()")
    caller = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    pidfd = os.pidfd_open(int(caller.stdout.readline()))
    caller.kill()
    caller.communicate()
    import select
    assert select.select([pidfd], [], [], 20)[0], "the engine ends by itself"
    os.close(pidfd)


def test_many_threads_run_boxes_at_once():
    outputs = {}

    def one(number):
        result = minibox.run(["/bin/echo", str(number)], capture_output=True, text=True)
        outputs[number] = result.stdout

    threads = [threading.Thread(target=one, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outputs == {number: f"{number}\n" for number in range(32)}


def test_a_hundred_boxes_at_once_cost_no_thread():
    async def together():
        runs = [minibox.run_async(["/bin/sh", "-c", f"read line; echo $line {number}"],
                                  input="in\n", capture_output=True, text=True)
                for number in range(100)]
        tasks = [asyncio.ensure_future(one) for one in runs]
        await asyncio.sleep(0)
        assert threading.active_count() == before
        return await asyncio.gather(*tasks)

    before = threading.active_count()
    results = asyncio.run(together())
    assert [result.stdout for result in results] == [f"in {n}\n" for n in range(100)]


def test_a_cancelled_run_kills_its_box():
    async def cancel():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await Box().run_async(FOREVER)

    start = time.monotonic()
    asyncio.run(cancel())
    assert time.monotonic() - start < 20


def test_too_many_open_files_leave_nothing_open():
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    minibox.run(["/bin/true"])                              # what is loaded late, is loaded
    for room in range(12):
        before = os.listdir("/proc/self/fd")
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(before) - 1 + room, hard))
        try:
            minibox.run(["/bin/true"], capture_output=True)
            break
        except (OSError, minibox.StepError) as error:
            assert "EMFILE" in str(error) or "Too many open files" in str(error)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert os.listdir("/proc/self/fd") == before
    assert room > 3, "the first attempts had no room"


def test_a_caller_without_standard_streams_can_run_boxes():
    code = ("import minibox, os\nos.close(0); os.close(1); os.close(2)\n"
            "r = minibox.run(['/bin/sh', '-c', 'echo out; echo err >&2'], capture_output=True)\n"
            "os._exit(0 if (r.stdout, r.stderr) == (b'out\\n', b'err\\n') else 1)")
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_stdout_and_stderr_can_change_places():
    code = "import minibox, sys\nminibox.run(['/bin/sh', '-c', 'echo out; echo err >&2'], " \
           "stdout=2, stderr=1)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("err\n", "out\n")


def test_an_unprivileged_user_has_the_same_api(user_boxed):
    code = ("import asyncio, minibox\n"
            "r = minibox.run(['id', '-u'], capture_output=True, text=True, user=1000)\n"
            "print(r.reason, r.stdout.strip())\n"
            "r = asyncio.run(minibox.run_async(['/bin/cat'], input=b'x', capture_output=True))\n"
            "print(r.reason, r.stdout)\n"
            "with minibox.Box() as box: p = box.popen(['/bin/sleep', '60'])\n"
            "print(p.result.reason)\n")
    done = user_boxed.command(sys.executable, "-c", code)
    assert (done.stdout, done.stderr) == ("exited 1000\nexited b'x'\nstopped\n", "")


@pytest.mark.needs("user")
def test_a_cap_without_its_cgroup_is_a_host_error(user_boxed):
    code = ("import minibox\ntry: minibox.run(['/bin/true'], limits=minibox.Limits(memory='64M'))\n"
            "except minibox.HostError as error: print(error.feature, error.hint)")
    done = user_boxed.command(sys.executable, "-c", code)
    assert issubclass(HostError, minibox.MiniboxError) and done.stderr == ""
    assert done.stdout == "" or done.stdout.startswith("memory "), done
