"""The walls of the default profile, each by what it refuses; and each loosened alone, visibly."""

from __future__ import annotations

import socket
import subprocess

import pytest

PYTHON = ("/usr/bin/python3", "-c")
LIBC = "import ctypes, os, sys; libc = ctypes.CDLL(None, use_errno=True); "
WITH_A_KEY = (LIBC + "libc.syscall(250, 1, None); "
              "assert libc.syscall(248, b'user', b'minibox-walls', b'x', 1, -3) > 0; "
              "os.execvp(sys.argv[1], sys.argv[1:])")
"""KEYCTL_JOIN_SESSION_KEYRING, add_key."""
FIND_KEY = LIBC + "print(libc.syscall(250, 10, -3, b'user', b'minibox-walls', 0) > 0)"
"""KEYCTL_SEARCH."""


def status_of(done: object, field: str) -> str:
    out: str = done.out                                     # type: ignore[attr-defined]
    return next(line.split(":", 1)[1].strip() for line in out.splitlines()
                if line.startswith(field + ":"))


# ---- Landlock ------------------------------------------------------------------------------------

@pytest.mark.needs("userns", "landlock")
@pytest.mark.parametrize("path", ["/new", "/etc/new", "/proc/self/comm"])
def test_what_is_no_place_to_write_is_refused_by_landlock_alone(boxed, path):
    script = f"echo x > {path}"
    refused = boxed("--", "/bin/sh", "-c", script)
    assert refused.status != 0 and "Permission denied" in refused.err
    assert boxed("--without", "landlock", "--", "/bin/sh", "-c", script).status == 0
    off = boxed("--security-opt", "landlock=off", "--", "/bin/sh", "-c", script)
    assert off.status == 0 and off.receipt("landlock")["in_force"] is None


@pytest.mark.needs("userns", "landlock")
def test_the_places_to_write_can_be_written_and_moved_between(boxed):
    done = boxed("-w", "/work", "--tmpfs", "/scratch", "--", "/bin/sh", "-ec",
                 "for d in /tmp /var/tmp /run /scratch /work /root /dev/shm; do echo x > $d/f; "
                 "done; "
                 "mkdir /tmp/a /tmp/b; mv /tmp/f /tmp/a/g; mv /tmp/a/g /tmp/b; ln /tmp/b/g /tmp/h; "
                 "truncate -s 0 /tmp/h; echo x > /dev/null")
    assert done.status == 0, done


@pytest.mark.needs("userns", "landlock.scope")
def test_an_abstract_socket_out_of_the_box_is_refused_even_with_the_hosts_network(root_boxed):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0minibox-walls")
        server.listen()
        reach = ("import socket\n"
                 "try: socket.socket(socket.AF_UNIX).connect('\\0minibox-walls'); print('in')\n"
                 "except PermissionError: print('refused')")
        assert root_boxed("--network", "host", "--", *PYTHON, reach).out == "refused\n"
        opened = root_boxed("--network", "host", "--without", "landlock", "--", *PYTHON, reach)
        assert opened.out == "in\n"


@pytest.mark.needs("userns", "landlock.scope", "delegation")
def test_a_signal_out_of_the_box_is_refused_even_among_the_hosts_processes(user_boxed, delegated):
    """In a process of the same user, whom no namespace keeps apart then."""
    with subprocess.Popen([*user_boxed.prefix, "/bin/cat"], stdin=subprocess.PIPE) as victim:
        reach = ("--", "/bin/sh", "-c", f"kill -0 {victim.pid} && echo in || echo refused")
        assert user_boxed("--pid", "host", *reach).out == "refused\n"
        assert user_boxed("--pid", "host", "--without", "landlock", *reach).out == "in\n"
        assert victim.stdin
        victim.stdin.close()


# ---- namespaces, keys ----------------------------------------------------------------------------

@pytest.mark.needs("userns")
@pytest.mark.parametrize("kind", ["--user", "--mount", "--pid", "--net", "--ipc", "--uts",
                                  "--cgroup", "--time"])
def test_no_more_namespaces_of_any_kind_can_be_made(boxed, kind):
    loose = ("--security-opt", "seccomp=unconfined", "--security-opt", "landlock=off", "--cap-add",
             "SYS_ADMIN")
    refused = boxed(*loose, "--", "/usr/bin/unshare", kind, "/bin/true")
    assert refused.status != 0 and "No space left" in refused.err, refused
    assert boxed(*loose, "--without", "namespace-limit", "--", "/usr/bin/unshare", kind,
                 "/bin/true").status == 0


@pytest.mark.needs("userns")
def test_no_key_of_the_callers_session_is_found_in_the_box(boxed):
    def found(*options):
        loose = ("--security-opt", "seccomp=unconfined", *options)
        done = boxed.command(*PYTHON, WITH_A_KEY, *boxed.python, "-m", "minibox", "run", *loose,
                             "--", *PYTHON, FIND_KEY)
        assert done.returncode == 0, done
        return done.stdout.strip()

    assert found() == "False"
    assert found("--without", "keyring") == "True"


# ---- capabilities --------------------------------------------------------------------------------

@pytest.mark.needs("userns")
@pytest.mark.parametrize("user", ["0", "1000"])
def test_a_capability_that_is_added_is_the_only_one_in_all_sets(boxed, user):
    done = boxed("--cap-add", "net_raw", "--cap-add", "CAP_SYS_TIME", "--cap-drop", "SYS_TIME",
                 "-u", user, "--", "/bin/cat", "/proc/self/status")
    for field in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"):
        assert int(status_of(done, field), 16) == 1 << 13, field
    assert done.receipt("capabilities")["in_force"] == ["NET_RAW"]


@pytest.mark.needs("userns")
def test_privileged_takes_the_inner_walls_down_and_says_so(boxed):
    done = boxed("--privileged", "--", "/bin/cat", "/proc/self/status")
    assert int(status_of(done, "CapEff"), 16) >> 21 & 1 and status_of(done, "Seccomp") == "0"
    assert status_of(done, "NoNewPrivs") == "1"
    layers = {one["cap"]: one["in_force"] for one in done.result["receipts"]}
    assert layers["landlock"] is layers["namespace-limit"] is None
    assert "masks" not in layers or layers["masks"] is None
    own = ("unshare", "--mount", "--uts", "sh", "-c", "mount -t tmpfs none /mnt && hostname own "
           "&& hostname")
    assert boxed("--privileged", "--", *own).out == "own\n"
    assert boxed("--", *own).status != 0


@pytest.mark.needs("userns")
def test_the_host_is_safe_from_a_privileged_box(boxed):
    done = boxed("--privileged", "--", "/bin/sh", "-c", "mknod /tmp/kmsg c 1 11; cat /dev/mem; "
                 "echo 1 > /proc/sys/kernel/panic; mount -t tmpfs none /mnt; hostname changed")
    assert done.out == "" and done.err.count("\n") >= 5, done


# ---- masks ---------------------------------------------------------------------------------------

@pytest.mark.needs("userns")
def test_one_path_is_unmasked_and_no_other(boxed):
    see = ("/bin/sh", "-c", "wc -c < /proc/interrupts; wc -c < /proc/keys")
    masked, unmasked = boxed("--", *see), boxed("--security-opt", "unmask=/proc/interrupts", "--",
                                                *see)
    assert masked.out == "0\n0\n"
    first, second = map(int, unmasked.out.split())
    assert first > 0 and second == 0
    assert "/proc/interrupts" not in unmasked.receipt("masks")["in_force"]


# ---- bad input -----------------------------------------------------------------------------------

@pytest.mark.needs("userns")
@pytest.mark.parametrize(("option", "value", "said"), [
    ("--cap-add", "ROOT", "cap-add: 'ROOT'"), ("--cap-drop", "", "cap-drop: ''"),
    ("--security-opt", "seccomp=/no/such", "it cannot be read"),
    ("--security-opt", "seccomp=", "use seccomp=FILE"),
    ("--security-opt", "apparmor=unconfined", "use seccomp=FILE"),
    ("--security-opt", "unmask=/etc", "it has no mask"), ("--without", "walls", "the layers are"),
    ("--security-opt", "seccomp=/etc/hostname", "profile"),
])
def test_a_wall_that_is_not_there_is_named(boxed, option, value, said):
    done = boxed.minibox("run", option, value, "--", "/bin/true")
    assert done.returncode == 125 and said in done.stderr, done
    assert "Traceback" not in done.stderr
