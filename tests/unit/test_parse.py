"""Text forms: what they stand for, and that nothing else is taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibox import parse
from minibox.errors import SpecError
from minibox.spec import Mount, Ulimit, User


@pytest.mark.parametrize(("text", "count"), [
    ("64M", 64 << 20), ("64MiB", 64 << 20), ("64mb", 64 << 20), ("1g", 1 << 30),
    ("512k", 512 << 10), ("1.5G", 3 << 29), ("0", 0), ("65536", 65536),
    ("10b", 10), ("2T", 2 << 40), (" 1 KiB ", 1024),
    (12345, 12345), ("9007199254740993", 9007199254740993)])
def test_a_size_is_a_number_of_bytes_or_of_binary_units(text, count):
    assert parse.size("memory", text) == count


@pytest.mark.parametrize("text", [
    "-1", "1e99", "64Q", "nan", "inf", "", " ", "M", "1.2.3", "0x10", "1,5M", "6４M", "+1", "1 2",
    "64MM", "." * 3, "1" * 30, "½", True, 1.5, None, b"64M"])
def test_what_is_no_size_is_refused_with_field_value_and_a_size_that_would_do(text):
    with pytest.raises(SpecError) as refused:
        parse.size("memory", text)
    assert (refused.value.field, refused.value.value) == ("memory", text)
    assert "64M" in refused.value.hint


@given(st.integers(0, 2**62), st.sampled_from(sorted(parse.SIZE_UNITS)))
def test_a_whole_number_with_a_unit_is_exact(number, unit):
    assert parse.size("memory", f"{number}{unit}") == number * parse.SIZE_UNITS[unit]


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_a_spec_error(text):
    try:
        assert parse.size("memory", text) >= 0
    except SpecError as error:
        assert error.value == text


@pytest.mark.parametrize(("text", "seconds"), [
    ("2", 2), ("0.5", 0.5), ("2s", 2), ("500ms", 0.5), ("1m30s", 90), ("1h", 3600), (3, 3),
    ("1d", 86400), ("250us", 0.00025), (0.25, 0.25), ("1.5m", 90)])
def test_a_duration_is_seconds(text, seconds):
    assert parse.duration("timeout", text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", " ", "-1", "1e3", "nan", "inf", "5x", "s", "1m-3s", "m1",
                                  True, None, "1:30"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(SpecError) as refused:
        parse.duration("timeout", text)
    assert refused.value.field == "timeout" and "500ms" in refused.value.hint


def test_an_offset_may_be_negative():
    assert (parse.offset("time-offset", "-1h"), parse.offset("time-offset", "+2s")) == (-3600, 2)
    with pytest.raises(SpecError):
        parse.offset("time-offset", "--1")


@pytest.mark.parametrize(("text", "cpus"), [
    ("0", (0,)), ("0-2,5", (0, 1, 2, 5)), ("3,1", (1, 3)), (" 0 , 2 - 3 ", (0, 2, 3)),
    ("1,1", (1,))])
def test_a_list_of_cpus(text, cpus):
    assert parse.cpus("cpuset-cpus", text) == cpus


@pytest.mark.parametrize("text", ["", ",", "2-1", "a", "-1", "1-", "0-1-2", "1.5", "999999", "٣"])
def test_what_is_no_list_of_cpus_is_refused(text):
    with pytest.raises(SpecError, match="cpuset-cpus"):
        parse.cpus("cpuset-cpus", text)


@pytest.mark.parametrize(("text", "user"), [
    ("0", User(uid=0)), ("1000:100", User(uid=1000, gid=100)), ("7:0", User(uid=7, gid=0))])
def test_a_user_is_numbers(text, user):
    assert parse.user("user", text) == user


@pytest.mark.parametrize("text", ["", "root", "1000:", ":5", "-1", "1:2:3", "4294967295", "1 000",
                                  "0:4294967295", "1e3"])
def test_what_is_no_user_is_refused(text):
    with pytest.raises(SpecError, match="user"):
        parse.user("user", text)


def test_a_volume_is_a_bind_mount():
    assert parse.volume("volume", "/a:/b") == Mount(type="bind", source="/a", target="/b")
    assert parse.volume("volume", "/a:/b:ro") == Mount(type="bind", source="/a", target="/b",
                                                       read_only=True)


@pytest.mark.parametrize("text", ["", "/a", ":/b", "/a:", "a:/b", "/a:b", "/a:/b:rx", "/a:/b:ro:x",
                                  "/a:/", "/a:/b/../c", "/a:/proc", "/a:/dev", "/a:/./proc//sys"])
def test_what_is_no_volume_is_refused(text):
    with pytest.raises(SpecError):
        parse.volume("volume", text)


@pytest.mark.parametrize(("text", "mount"), [
    ("type=bind,source=/a,target=/b,readonly",
     Mount(type="bind", source="/a", target="/b", read_only=True)),
    ("type=bind,src=/a,dst=/b,ro=false", Mount(type="bind", source="/a", target="/b")),
    ("type=tmpfs,destination=/t,tmpfs-size=1m,tmpfs-mode=700,tmpfs-inodes=99",
     Mount(type="tmpfs", target="/t", size_bytes=1 << 20, mode=0o700, inodes=99))])
def test_a_mount_is_key_value_pairs(text, mount):
    assert parse.mount("mount", text) == mount


@pytest.mark.parametrize("text", [
    "", "type=bind", "type=bind,target=/b", "type=ext4,target=/b",
    "type=bind,source=/a,target=/b,x=1", "type=bind,source=/a,target=/b,target=/c",
    "type=bind,source=/a,target=/b,tmpfs-size=1m",
    "type=tmpfs,source=/a,target=/b", "type=tmpfs,target=/b,tmpfs-mode=9", "type,target=/b",
    "type=tmpfs,target=/b,tmpfs-size=64Q", "type=bind,source=/a,target=/b,readonly=perhaps"])
def test_what_is_no_mount_is_refused(text):
    with pytest.raises(SpecError):
        parse.mount("mount", text)


def test_a_tmpfs_has_options():
    assert parse.tmpfs("tmpfs", "/t") == Mount(type="tmpfs", target="/t")
    assert parse.tmpfs("tmpfs", "/t:size=1m,mode=1777,nr_inodes=64,ro,nosuid") == Mount(
        type="tmpfs", target="/t", size_bytes=1 << 20, inodes=64, read_only=True)


@pytest.mark.parametrize("text", ["", "t", "/t:", "/t:size", "/t:size=-1", "/t:uid=5", "/t:noexec",
                                  "/t:mode=rwx"])
def test_what_is_no_tmpfs_is_refused(text):
    with pytest.raises(SpecError):
        parse.tmpfs("tmpfs", text)


def test_a_ulimit_is_soft_and_hard():
    assert parse.ulimit("ulimit", "nofile=64:128") == Ulimit(name="nofile", soft=64, hard=128)
    assert parse.ulimit("ulimit", "core=0") == Ulimit(name="core", soft=0, hard=0)
    assert parse.ulimit("ulimit", "as=unlimited") == Ulimit(name="as", soft=-1, hard=-1)


@pytest.mark.parametrize("text", ["", "nofile", "files=1", "nofile=2:1", "nofile=-2", "nofile=a",
                                  "nofile=1:2:3", "nofile=unlimited:5"])
def test_what_is_no_ulimit_is_refused(text):
    with pytest.raises(SpecError, match="ulimit"):
        parse.ulimit("ulimit", text)


def test_a_device_lies_in_dev():
    assert parse.device("device", "/dev/fuse") == ("/dev/fuse", "/dev/fuse")
    assert parse.device("device", "/dev/fuse:/dev/x/y") == ("/dev/fuse", "/dev/x/y")
    for text in ("", "fuse", "/dev/fuse:/etc/fuse", "/dev/fuse:/dev/../etc"):
        with pytest.raises(SpecError, match="device"):
            parse.device("device", text)


def test_a_rate_is_of_a_device():
    assert parse.device_rate("device-read-bps", "/dev/sda:1mb") == ("/dev/sda", 1 << 20)
    for text in ("", "/dev/sda", "/dev/sda:", "/dev/sda:fast"):
        with pytest.raises(SpecError, match="device-read-bps"):
            parse.device_rate("device-read-bps", text)


@pytest.mark.parametrize(("text", "number"), [
    ("TERM", 15), ("SIGTERM", 15), ("sigkill", 9), ("hup", 1), ("34", 34), (2, 2), ("SYS", 31)])
def test_a_signal_has_a_name_or_a_number(text, number):
    assert parse.signal("stop-signal", text) == number


@pytest.mark.parametrize("text", ["", "SIG", "TERMINATE", "-9", "1e1", "99999"])
def test_what_is_no_signal_is_refused(text):
    with pytest.raises(SpecError, match="stop-signal"):
        parse.signal("stop-signal", text)


def test_an_environment_is_given_or_passed_on():
    caller = {"HERE": "1"}
    assert parse.env("env", "A=b=c", caller) == ("A", "b=c")
    assert parse.env("env", "A=", caller) == ("A", "")
    assert parse.env("env", "HERE", caller) == ("HERE", "1")
    assert parse.env("env", "ABSENT", caller) is None
    for text in ("", "=b"):
        with pytest.raises(SpecError, match="env"):
            parse.env("env", text, caller)


def test_a_file_of_environment_has_comments():
    text = "# what\n\nA=1\nHERE\nABSENT\n  # more\nB=two words\n"
    assert parse.env_file("env-file", text, {"HERE": "x"}) == (
        ("A", "1"), ("HERE", "x"), ("B", "two words"))


def test_a_value_in_a_file_of_environment_ends_with_its_line_and_nowhere_else():
    assert parse.env_file("env-file", "A=1\x0b2\x85\u20283\r\nB=\x1c\n") == (
        ("A", "1\x0b2\x85\u20283"), ("B", "\x1c"))


@pytest.mark.parametrize("read", [parse.duration, parse.offset, parse.decimal])
def test_a_number_too_large_for_a_float_is_refused(read):
    with pytest.raises(SpecError, match="digits|characters|000"):
        read("timeout", 10**400)


def test_a_refusal_can_be_shown_whatever_was_refused():
    assert str(SpecError("memory", 10**5000, "less")) == "memory: <int>: less"
    with pytest.raises(SpecError) as refused:
        parse.mount("mount", "type=bind," + "x" * 100_000)
    assert len(str(refused.value)) < 500


def test_a_time_of_many_parts_is_refused_at_once():
    with pytest.raises(SpecError):
        parse.duration("timeout", "1s" * 60_000)


def test_cpus_that_are_named_often_are_counted_once():
    assert parse.cpus("cpuset", "3,0-5,2-8,7-8,0-1," * 20_000 + "11") == (*range(9), 11)
