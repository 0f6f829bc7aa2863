"""Trees that change while a box starts, programs laid out for the host, and results led astray."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys

import hostile
import pytest
from hostile import Outside

from minibox import steps
from minibox.engine import path as engine_path
from minibox.plan import Plan, encode

pytestmark = pytest.mark.needs("userns", "busybox")

RACER = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
pairs = [(os.fsencode(name), os.fsencode(name + ".other")) for name in sys.argv[1:]]
print("up", flush=True)
while True:
    for one, other in pairs:
        libc.renameat2(-100, one, -100, other, 2)       # RENAME_EXCHANGE
"""
"""Whoever else may write to the tree: what stands there is a directory now, and then a link."""

STARTS = int(os.environ.get("MINIBOX_HOSTILE_EXAMPLES", "10"))


@pytest.fixture
def outside(boxed):
    return Outside(boxed.scratch / "outside", boxed.uid, boxed.gid)


@pytest.fixture
def moving(boxed, busybox, outside):
    """The tree *busybox*, where directories and links out change places all the time."""
    names = [busybox / name for name in ("etc", "dev", "proc", "work", "mnt", "tmp")]
    for name in names:
        name.mkdir(exist_ok=True)
        name.with_name(name.name + ".other").symlink_to(outside.place / "directory")
    hostile.own(busybox, boxed.uid, boxed.gid)
    racer = subprocess.Popen([*boxed.prefix, sys.executable, "-c", RACER, *map(str, names)],
                             stdout=subprocess.PIPE)
    assert racer.stdout and racer.stdout.readline() == b"up\n"
    yield busybox
    racer.send_signal(signal.SIGKILL)
    racer.communicate()


@pytest.mark.needs("overlay")
@pytest.mark.parametrize("mode", ["overlay", "--rw", "--read-only"])
def test_a_tree_that_moves_while_boxes_start_leads_none_outside(boxed, moving, outside, mode):
    flags = () if mode == "overlay" else (mode,)
    statuses = set()
    for _ in range(STARTS):
        done = boxed.minibox("run", "--rootfs", str(moving), *flags, "-w", "/work", "--network",
                             "host", "--tmpfs", "/mnt", "--", "/bin/busybox", "sh", "-c",
                             "echo x >/proc/sys/kernel/core_pattern; cat /proc/kcore; "
                             "cat /etc/file secret ../secret", timeout=30)
        assert "Traceback" not in done.stderr and "canary" not in done.stdout, done
        assert "\n" not in done.stderr.rstrip("\n") or done.returncode < 125, done.stderr
        statuses.add(done.returncode)
    assert outside.changes() == []
    assert len(statuses) >= 1 and statuses <= {0, 1, 125, 126, 127}, statuses


MARK = """
#include <fcntl.h>
__attribute__((constructor)) static void mark(void)
{
    open("%s", O_CREAT | O_WRONLY, 0666);
}
int main(void) { return 0; }
"""


@pytest.mark.needs("gcc", "overlay")
def test_the_host_loads_and_runs_nothing_from_a_tree(boxed, busybox, outside):
    """Each file leaves a mark on the host if it is loaded or run there. In the box it cannot."""
    mark, source = outside.place / "mark", boxed.scratch / "mark.c"
    source.write_text(MARK % mark)
    library, program = boxed.scratch / "mark.so", boxed.scratch / "mark"
    for flags, target in ((("-shared", "-fPIC"), library), ((), program)):
        subprocess.run(["gcc", *flags, "-o", target, source], check=True)
    for place in ("lib64/ld-linux-x86-64.so.2", "lib/x86_64-linux-gnu/libc.so.6",
                  "lib/x86_64-linux-gnu/libnss_files.so.2", "usr/lib/libnss_systemd.so.2"):
        (busybox / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, busybox / place)
    for place in ("usr/bin/newuidmap", "usr/bin/newgidmap", "usr/bin/python3", "bin/minibox-engine",
                  "sbin/modprobe", "bin/unshare", "bin/mount", "core_helper"):
        (busybox / place).parent.mkdir(parents=True, exist_ok=True)
        (busybox / place).unlink(missing_ok=True)
        shutil.copy(program, busybox / place)
    (busybox / "etc/ld.so.preload").write_text("/lib/x86_64-linux-gnu/libc.so.6\n")
    for module in ("sitecustomize", "minibox", "json", "os", "encodings"):
        (busybox / f"{module}.py").write_text(f"open({str(mark)!r}, 'w')\n")
    hostile.own(busybox, boxed.uid, boxed.gid)
    minibox = (sys.executable, "-c", "import sys; sys.path.pop(0); from minibox.cli import main; "
               "sys.exit(main())", "run", "--rootfs", str(busybox))
    environment = boxed.environment | {"LD_LIBRARY_PATH": "/lib/x86_64-linux-gnu"}
    boxes = (("--", "/bin/busybox", "true"), ("--", "python3"), ("--", "/no/such"),
             ("--rw", "--", "/usr/bin/newuidmap"), ("--", "/bin/sh", "-c", "kill $$"),
             ("--ids", "one", "-e", "LD_PRELOAD=/usr/lib/libnss_systemd.so.2",
              "--result", str(boxed.scratch / "result"), "--", "/bin/busybox", "id"))
    statuses = [boxed.command(*minibox, *box, cwd=busybox, env=environment).returncode
                for box in boxes]
    assert statuses[0] == 0 and statuses[2] == 127 and statuses[-1] == 0, statuses
    assert not mark.exists() and outside.changes() == []
    subprocess.run([program], check=True)
    assert mark.exists(), "the control: run on the host, it leaves its mark"


@pytest.mark.needs("overlay")
@pytest.mark.parametrize("program", ["/bin/link", "link", "bin/link"])
def test_the_engine_is_not_what_a_box_runs(boxed, busybox, program):
    """A link to /proc/self/exe is the engine, until the program is executed; and the engine's file
    may be the caller's own, whose mode could be changed through /proc/PID/exe."""
    (busybox / "bin/link").symlink_to("/proc/self/exe")
    done = boxed.minibox("run", "--rootfs", str(busybox), "--", program)
    assert done.returncode == 126 and "Permission denied" in done.stderr, done
    assert "usage" not in done.stderr


@pytest.mark.needs("overlay")
def test_a_plan_in_the_tree_is_not_run_by_the_engine(boxed, busybox):
    """What the attack would be: the engine is the caller's own, the plan comes from the tree. It
    forks, and its child reaches it by /proc. (The filter would refuse it clone3.)"""
    engine = boxed.scratch / "engine"
    shutil.copy(engine_path(), engine)
    engine.chmod(0o755)
    os.chown(engine, boxed.uid, boxed.gid)
    app = steps.Exec(argv=("/bin/sh", "-c", "for exe in /proc/*/exe; do chmod 777 $exe; done"),
                     path="/bin", environment=())
    evil = Plan(prepare=(steps.CloneInit(namespaces=(), cgroup=-1),), enter=(), app=(app,),
                finish=(), notes="{}")
    (busybox / "plan").write_bytes(encode(evil))
    (busybox / "bin/link").symlink_to("/proc/self/exe")
    (busybox / "bin/chmod").symlink_to("busybox")
    hostile.own(busybox, boxed.uid, boxed.gid)
    done = boxed.minibox("run", "--rootfs", str(busybox), "--security-opt", "seccomp=unconfined",
                         "--", "/bin/link", "/plan",
                         env=boxed.environment | {"MINIBOX_ENGINE": str(engine)})
    assert done.returncode == 126, done
    assert stat.S_IMODE(engine.stat().st_mode) == 0o755


# ---- results -------------------------------------------------------------------------------------

@pytest.fixture
def shared(boxed):
    path = boxed.scratch / "shared"
    path.mkdir()
    hostile.own(path, boxed.uid, boxed.gid)
    return path


def test_a_result_goes_where_it_was_opened_whatever_the_box_puts_there(boxed, shared, outside):
    file = shared / "result.json"
    done = boxed.minibox("run", "-v", f"{shared}:/shared", "--result", str(file), "--", "/bin/sh",
                         "-c", f"mv /shared/result.json /shared/moved; "
                         f"ln -s {outside.place}/secret /shared/result.json")
    assert done.returncode == 0 and outside.changes() == [], done
    assert '"reason": "exited"' in (shared / "moved").read_text()


@pytest.mark.parametrize("kind", ["link", "dangling", "fifo", "directory", "socket"])
def test_a_result_follows_nothing_that_an_earlier_box_left(boxed, shared, outside, kind):
    file = shared / "result.json"
    how = {"link": f"ln -s {outside.place}/secret", "dangling": f"ln -s {outside.place}/new",
           "fifo": "mkfifo", "directory": "mkdir"}.get(kind)
    if how:
        left = boxed("-v", f"{shared}:/shared", "--", "/bin/sh", "-c", f"{how} /shared/result.json")
        assert left.status == 0, left
    else:
        hostile.put(shared, "/result.json", hostile.Thing("socket"), outside.place)
    done = boxed.minibox("run", "--result", str(file), "--", "/bin/true", timeout=30)
    assert done.returncode == 125 and done.stderr.startswith("minibox: result: "), done
    assert str(file) in done.stderr and "Traceback" not in done.stderr
    assert outside.changes() == []


def test_a_result_may_go_to_a_pipe_by_its_name(boxed):
    done = boxed.command("sh", "-c", '"$@" 2>&1 | cat', "sh", *boxed.python, "-m", "minibox", "run",
                         "--result", "/dev/stderr", "--", "/bin/echo", "out")
    assert done.stdout.startswith("out\n") and '"reason": "exited"' in done.stdout, done


@pytest.fixture
def evil(boxed):
    """The place of a root file system by name; pytest cannot remove what is thousands deep."""
    root = boxed.scratch / "data/minibox/rootfs/evil"
    root.mkdir(parents=True)
    yield root
    subprocess.run(["rm", "-rf", root], check=True)


def test_rootfs_ls_and_rm_follow_no_link_and_go_to_any_depth(boxed, outside, evil):
    """A box that wrote to the tree may have left both."""
    environment = boxed.environment | {"XDG_DATA_HOME": str(boxed.scratch / "data")}
    root = evil
    (root / "out").symlink_to(outside.place / "directory")
    (root / "closed").mkdir()
    (root / "closed/in").write_text("")
    (root / "closed").chmod(0)
    top = os.open(root, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=top)
        below = os.open("d", os.O_RDONLY, dir_fd=top)
        if os.geteuid() == 0:
            os.chown("d", boxed.uid, boxed.gid, dir_fd=top)
        os.close(top)
        top = below
    os.close(top)
    for path in (*root.parents[:3], root, root / "closed"):
        if os.geteuid() == 0:
            os.chown(path, boxed.uid, boxed.gid)
    for verb in (("ls",), ("rm", "evil")):
        done = boxed.minibox("rootfs", *verb, env=environment)
        assert (done.returncode, done.stderr) == (0, ""), done
    assert not root.exists() and outside.changes() == []
