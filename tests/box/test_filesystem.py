"""The box's root: what is there, what can be written, what stays."""

from __future__ import annotations

import os

import pytest

pytestmark = pytest.mark.needs("userns")


def test_the_hosts_private_places_are_not_in_its_view(boxed):
    done = boxed("--", "/bin/sh", "-c", "ls -A /home /root /var/lib /run /tmp /mnt 2>/dev/null")
    names = [line for line in done.out.splitlines() if line and not line.endswith(":")]
    assert done.reason == "exited" and names == [], names


def test_the_hosts_system_directories_cannot_be_written(boxed):
    done = boxed("--", "/bin/sh", "-c",
                 "touch /usr/x; touch /etc/passwd.x; rm -f /bin/sh; echo end")
    assert done.out == "end\n" and not os.path.exists("/usr/x") and os.path.exists("/bin/sh")


def test_python_of_the_host_runs_with_nothing_downloaded(boxed):
    done = boxed("--", "python3", "-c", "import ssl, json; print(json.dumps([1]))")
    assert (done.status, done.out) == (0, "[1]\n"), done


@pytest.mark.needs("overlay")
def test_what_the_box_writes_is_forgotten(boxed, busybox):
    done = boxed("--rootfs", str(busybox), "--", "/bin/sh", "-c",
                 "echo changed >/bin/new; echo x >>/etc/there; rm /bin/true; ls /bin/new")
    assert (done.status, done.out) == (0, "/bin/new\n"), done
    assert not (busybox / "bin/new").exists() and (busybox / "bin/true").is_symlink()
    assert not (busybox / "etc/there").exists()


@pytest.mark.needs("overlay")
def test_what_the_box_writes_is_kept_on_request(boxed, busybox):
    keep = boxed.scratch / "kept"
    keep.mkdir()
    os.chown(keep, boxed.uid, boxed.gid)
    flags = ("--rootfs", str(busybox), "--keep", str(keep), "--", "/bin/sh", "-c")
    assert boxed(*flags, "echo one >/etc/first; rm /bin/true").status == 0
    done = boxed(*flags, "cat /etc/first; test -e /bin/true || echo gone")
    assert (done.status, done.out) == (0, "one\ngone\n"), done
    assert (busybox / "bin/true").is_symlink() and not (busybox / "etc/first").exists()


def test_a_read_only_root_refuses_writes(boxed, busybox):
    done = boxed("--rootfs", str(busybox), "--read-only", "--", "/bin/sh", "-c", "echo x >/etc/x")
    assert done.reason == "exited" and done.status != 0 and "Read-only" in done.err
    done = boxed("--read-only", "--", "/bin/sh", "-c", "echo x >/etc/x")
    assert done.status != 0 and "Read-only" in done.err, "the host's view as well"


def test_a_writable_root_is_written_through(boxed, busybox):
    done = boxed("--rootfs", str(busybox), "--rw", "--", "/bin/sh", "-c", "echo through >/etc/x")
    assert done.status == 0, done
    assert (busybox / "etc/x").read_text() == "through\n"
    assert (busybox / "etc/x").stat().st_uid == boxed.uid


def test_chroot_leaves_the_hosts_mounts_and_pivot_root_does_not(boxed, busybox):
    """The difference that the lesson is about, seen in the mount table."""
    flags = ("--rootfs", str(busybox), "--", "/bin/sh", "-c", "cat /proc/self/mountinfo | wc -l")
    pivoted, chrooted = (boxed("--root-by", by, *flags) for by in ("pivot_root", "chroot"))
    assert pivoted.status == chrooted.status == 0, (pivoted, chrooted)


def test_a_volume_is_there_and_read_only_when_asked(boxed):
    source = boxed.scratch / "data"
    source.mkdir()
    (source / "file").write_text("from the host\n")
    for path in (source, source / "file"):
        os.chown(path, boxed.uid, boxed.gid)
    done = boxed("-v", f"{source}:/data", "--", "/bin/sh", "-c",
                 "cat /data/file; echo new >/data/new")
    assert (done.status, done.out) == (0, "from the host\n"), done
    assert (source / "new").stat().st_uid == boxed.uid
    done = boxed("-v", f"{source}:/data:ro", "--", "/bin/sh", "-c", "echo more >/data/more")
    assert done.status != 0 and not (source / "more").exists()


def test_one_file_can_be_a_volume(boxed):
    source = boxed.scratch / "one.txt"
    source.write_text("only me\n")
    source.chmod(0o644)
    target = "/etc/deep/er/one.txt"
    done = boxed("-v", f"{source}:{target}:ro", "--", "/bin/cat", target)
    assert (done.status, done.out) == (0, "only me\n"), done


def test_an_absent_volume_is_named(boxed):
    done = boxed.minibox("run", "-v", "/not/there:/data", "--", "/bin/true")
    assert done.returncode == 125 and "/not/there" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("flags", [("--tmpfs", "/scratch:size=1m"),
                                   ("--mount", "type=tmpfs,target=/scratch,tmpfs-size=1m")])
def test_a_tmpfs_has_the_size_asked_for(boxed, flags):
    done = boxed(*flags, "--", "/bin/sh", "-c", "head -c 2000000 /dev/zero >/scratch/full")
    assert done.status != 0 and "No space" in done.err


def test_the_roots_own_tmpfs_is_capped(boxed):
    done = boxed("--tmpfs-size", "1m", "--", "/bin/sh", "-c",
                 "head -c 2000000 /dev/zero >/tmp/full")
    assert done.status != 0 and "No space" in done.err


def test_shm_has_the_size_asked_for(boxed):
    done = boxed("--shm-size", "1m", "--", "/bin/sh", "-c",
                 "head -c 2000000 /dev/zero >/dev/shm/full")
    assert done.status != 0 and "No space" in done.err


def test_the_devices_are_the_minimal_ones(boxed):
    done = boxed("--", "/bin/ls", "-A", "/dev")
    assert set(done.out.split()) == {"null", "zero", "full", "random", "urandom", "tty", "pts",
                                     "ptmx", "shm", "fd", "stdin", "stdout", "stderr"}
    done = boxed("--", "/bin/sh", "-c",
                 "echo x >/dev/null; head -c 4 /dev/zero | wc -c; touch /dev/x")
    assert done.out.split() == ["4"] and done.status != 0, "and nothing can be added"


def test_proc_is_masked(boxed):
    masked = [path for path in ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts")
              if os.path.exists(path)]
    done = boxed("--", "/bin/sh", "-c", 'for path; do wc -c <"$path"; done; ls -A /proc/acpi; '
                 "echo 1 >/proc/sys/kernel/core_pattern", "sh", *masked)
    assert masked and done.out.split() == ["0"] * len(masked) and done.status != 0, done


def test_the_working_directory_is_the_one_asked_for(boxed):
    assert boxed("-w", "/usr/bin", "--", "/bin/pwd").out == "/usr/bin\n"
    done = boxed.minibox("run", "-w", "/proc/self/fd/9", "--", "/bin/true")
    assert done.returncode in (125, 126) and "/proc/self/fd/9" in done.stderr
    assert "Traceback" not in done.stderr
