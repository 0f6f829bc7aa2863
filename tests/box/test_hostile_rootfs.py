"""A root file system may mean harm: set-up never leaves it, and the host runs nothing from it."""

from __future__ import annotations

import os
import re
import shutil

import hostile
import pytest
from hostile import OUT, Outside, Request, Thing, Tree
from hypothesis import HealthCheck, given, settings

pytestmark = pytest.mark.needs("userns", "overlay", "busybox")

EXAMPLES = int(os.environ.get("MINIBOX_HOSTILE_EXAMPLES", "60"))
SECONDS = 30
"""No box here takes a tenth of that: one that does hangs."""

LOOK = """
for place in {out}/secret ./secret ../secret ./directory/file; do
    [ -e "$place" ] && echo "LEAK $place"
done
for place in . /etc /etc/passwd /etc/hosts /work /mnt /tmp; do
    {busybox} find -L "$place" -xdev -maxdepth 2 -type f -size +0 -size -3 2>/dev/null |
    while IFS= read -r file; do
        {busybox} grep -qs canary "$file" && echo "LEAK $file"
    done
done
echo end
"""
"""What a box in a hostile tree looks for. The canaries' path is never in it."""

REFUSED = re.compile(r"minibox: .*(\(step \d+\)|/)", re.DOTALL)


class Ground:
    """Where one caller's hostile trees are planted, with the canaries beside them."""

    def __init__(self, boxed):
        self.boxed, self.base = boxed, boxed.scratch / "ground"
        self.base.mkdir()
        os.chown(self.base, boxed.uid, boxed.gid)
        self.outside = Outside(self.base / "outside", boxed.uid, boxed.gid)
        self.volume = self.base / "volume"
        self.volume.mkdir()
        (self.volume / "of-mine").write_text("of the caller's\n")
        hostile.own(self.volume, boxed.uid, boxed.gid)

    def try_out(self, tree, request=Request(), argv=None):  # noqa: B008
        """Run one box in *tree*; it ran and found nothing, or it was refused in one clear line."""
        root, keep = self.base / "root", self.base / "keep"
        who = self.boxed.uid, self.boxed.gid
        try:
            given_root = hostile.plant(tree, root, self.outside.place, *who)
            hostile.plant_keep(request.keep, keep, self.outside.place, *who)
            before = hostile.shape(root)
            done = self._run(request, given_root, keep, argv)
            assert self.outside.changes() == []
            if request.mode != "--rw":
                assert hostile.shape(root) == before, "only --rw writes to the tree itself"
            return done
        finally:
            for place in (root, keep, root.with_name("root-link")):
                hostile.remove(place)

    def _run(self, request, root, keep, argv):
        flags = ["--rootfs", str(root), "--root-by", request.root_by, "-w", request.workdir,
                 "-u", str(request.user), "--network", request.network, "--timeout", "5"]
        flags += [str(keep) if flag == "KEEP" else flag for flag in
                  {"overlay": [], "--keep": ["--keep", "KEEP"]}.get(request.mode, [request.mode])]
        for target in request.targets:
            flags += ["--mount", f"type=bind,source={self.volume},target={target}"]
        for target in request.tmpfs:
            flags += ["--tmpfs", target]
        flags += ["--tty"] * request.terminal
        look = LOOK.format(out=self.outside.place, busybox=hostile.BUSYBOX)
        done = self.boxed.minibox(
            "run", *flags, "--", *(argv or (hostile.BUSYBOX, "sh", "-c", look)),
            timeout=SECONDS, errors="surrogateescape")
        judge(done, ran=argv is None)
        return done


def judge(done, ran=True):
    """The box ran and saw nothing of outside, or one line says what is wrong, and where."""
    assert "Traceback" not in done.stderr, done.stderr
    assert "LEAK" not in done.stdout and "canary" not in done.stdout + done.stderr, done
    if done.returncode in (125, 126, 127):
        said = done.stderr.rstrip("\n")
        assert REFUSED.match(said) and said.isprintable(), done.stderr
        assert "no limits on" not in said and "chrooted" not in said, "that is not the cause"
    elif ran:
        assert (done.returncode, done.stdout.split()[-1:]) == (0, ["end"]), done


@pytest.fixture
def ground(boxed):
    return Ground(boxed)


@settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES == 60, database=None,
          suppress_health_check=list(HealthCheck))
@given(tree=hostile.trees, request=hostile.requests)
def test_no_tree_leads_set_up_outside(ground, tree, request):
    ground.try_out(tree, request)


def tree_of(*, linked=False, owner="caller", **things):
    """A tree with these things; in a name "_" stands for "/"."""
    return Tree(tuple(("/" + name.replace("_", "/"), thing) for name, thing in things.items()),
                owner=owner, linked=linked)


def link(to):
    return Thing("link", to=to)


FOLDERS = tree_of(dev=Thing("directory"), dev_pts=Thing("directory"), dev_shm=Thing("directory"),
                  proc=Thing("directory"), sys=Thing("directory"), etc=Thing("directory"),
                  etc_passwd=Thing("file"), tmp=Thing("directory"), work=Thing("directory"),
                  mnt=Thing("directory")).things
"""What a harmless tree has, so that a read-only one runs as well."""


@pytest.mark.parametrize("mode", ["overlay", "--read-only", "--rw", "--keep"])
@pytest.mark.parametrize("place", ["/dev", "/dev/pts", "/dev/shm", "/proc", "/sys", "/etc",
                                   "/etc/passwd", "/work", "/mnt", "/tmp"])
def test_a_link_where_set_up_goes_leads_nowhere_else(ground, place, mode):
    """Out by dots, out by the magic links of /proc, and in a circle."""
    for to in ("../../../../../../../.." + OUT + "/directory", "/proc/1/cwd" + OUT, "loop"):
        things = tuple((path, thing) for path, thing in FOLDERS
                       if path != place and not path.startswith(place + "/"))
        ground.try_out(Tree(((place, link(to)), *things)),
                       Request(mode=mode, workdir="/work", targets=("/mnt",), tmpfs=("/tmp",)))


def test_a_harmless_tree_runs_in_each_mode(ground):
    """Or the tests above would hold for an engine that refuses everything."""
    for mode in ("overlay", "--read-only", "--rw", "--keep"):
        for linked in (False, True):
            done = ground.try_out(Tree(FOLDERS, linked=linked),
                                  Request(mode=mode, workdir="/work", targets=("/mnt",)))
            assert done.returncode == 0, done


@pytest.mark.parametrize("place", ["proc", "dev", "mnt"])
def test_nothing_is_mounted_on_the_root_itself(ground, place):
    """It would be covered for paths, but not for "/..": what a mask hides could be found there."""
    done = ground.try_out(tree_of(**{place: link("/")}), Request(targets=("/mnt",)))
    assert done.returncode == 125 and "EBUSY" in done.stderr and f"/{place}" in done.stderr, done


@pytest.mark.parametrize("to", ["/proc", "/proc/sys", "/proc/1", "/proc/kcore"])
def test_no_volume_goes_into_proc_by_a_link(ground, to):
    tree = tree_of(mnt=link(to), proc=Thing("directory"))
    done = ground.try_out(tree, Request(targets=("/mnt",)))
    assert done.returncode == 125 and "/mnt" in done.stderr and "step" in done.stderr, done


def test_the_hosts_proc_behind_a_link_gets_no_new_face(ground):
    """A volume shows it, and /proc is a link to where that will be."""
    boxed = ground.boxed
    root = hostile.plant(tree_of(proc=link("/shown"), shown=Thing("directory")),
                         ground.base / "root", ground.outside.place, boxed.uid, boxed.gid)
    done = boxed.minibox("run", "--rootfs", str(root), "-v", "/proc:/shown:ro", "--",
                         hostile.BUSYBOX, "ls", "/proc")
    assert done.returncode == 125 and "/shown" in done.stderr and "step" in done.stderr, done


def test_a_missing_way_with_dots_is_made(boxed, busybox):
    done = boxed("--rootfs", str(busybox), "-w", "/new/../new/./er", "--", "/bin/sh", "-c", "pwd")
    assert (done.status, done.out) == (0, "/new/er\n"), done


def test_a_fifo_in_the_place_of_a_file_hangs_nothing(ground):
    fifo = Thing("fifo", mode=0o666)
    names = ("etc_passwd", "etc_hosts", "etc_resolv.conf", "etc_hostname", "etc_gai.conf", "dev",
             "proc", "tmp", "work")
    for name in names:
        ground.try_out(tree_of(**{name: fifo}), Request(network="host", workdir="/work"))
        ground.try_out(tree_of(**{name: fifo}), Request(mode="--rw", targets=("/" + name.replace(
            "_", "/"),)))


def test_a_huge_directory_costs_no_time(ground):
    """Set-up lists nothing, and copies nothing, of a tree."""
    boxed, base = ground.boxed, ground.base
    root = hostile.plant(Tree(FOLDERS), base / "root", ground.outside.place, boxed.uid, boxed.gid)
    for place in ("", "dev/", "etc/", "work/"):
        for number in range(5000):
            os.link(root / "etc/passwd", root / f"{place}{number}")
    done = boxed("--rootfs", str(root), "-w", "/work", "--", hostile.BUSYBOX, "true")
    assert done.status == 0 and done.result["usage"]["setup_s"] < 1, done


def test_a_tree_of_another_user_is_used_or_refused_in_a_line(ground):
    for owner in ("root", "other"):
        closed = Tree((("/", Thing("directory", mode=0o700)), *FOLDERS), owner=owner)
        done = ground.try_out(closed)
        assert (done.returncode == 0) == (ground.boxed.uid == 0), done


@pytest.mark.parametrize("keep", [
    {"upper": link(OUT + "/directory")}, {"work": link(OUT + "/directory")},
    {"work_work": link(OUT + "/directory")}, {"upper_etc": link(OUT + "/directory")},
    {"upper_proc": link("/")}, {"upper": Thing("file")}, {"work": Thing("fifo")},
    {"upper_dev": Thing("set-id")}, {"work_work": Thing("device")}])
def test_a_hostile_directory_to_keep_in_leads_nowhere(ground, keep):
    request = Request(mode="--keep", keep=tree_of(**keep).things, workdir="/work")
    ground.try_out(Tree(FOLDERS), request)


def test_a_whiteout_that_was_kept_hides_only_what_is_in_the_box(root_boxed):
    """A character device 0:0 in upper, as overlayfs itself makes them."""
    ground = Ground(root_boxed)
    keep = ground.base / "kept"
    (keep / "upper").mkdir(parents=True)
    os.mknod(keep / "upper/etc", 0o020000, 0)
    root = hostile.plant(Tree(FOLDERS), ground.base / "root", ground.outside.place, 0, 0)
    done = root_boxed("--rootfs", str(root), "--keep", str(keep), "--", hostile.BUSYBOX, "ls", "/")
    assert done.status == 0 and "etc" not in done.out.split(), done
    assert (root / "etc/passwd").exists()


def test_a_directory_to_keep_in_may_be_a_link_of_the_callers(ground):
    boxed, base = ground.boxed, ground.base
    root = hostile.plant(Tree(FOLDERS), base / "root", ground.outside.place, boxed.uid, boxed.gid)
    (base / "real").mkdir()
    (base / "alias").symlink_to("real")
    hostile.own(base / "real", boxed.uid, boxed.gid)
    done = boxed("--rootfs", str(root), "--keep", str(base / "alias"), "--", hostile.BUSYBOX, "sh",
                 "-c", "echo x >/etc/new")
    assert done.status == 0 and (base / "real/upper/etc/new").read_text() == "x\n", done


@pytest.mark.parametrize("mode", [(), ("--read-only",), ("--rw",)])
def test_set_id_files_and_devices_of_a_tree_have_no_effect(root_boxed, mode):
    """Though they have on the host's mount where the tree lies."""
    ground = Ground(root_boxed)
    root = hostile.plant(Tree(FOLDERS), ground.base / "root", ground.outside.place, 0, 0)
    shutil.copy(hostile.BUSYBOX, root / "bin/id")
    (root / "bin/id").chmod(0o6755)
    os.mknod(root / "zero", 0o020666, os.makedev(1, 5))
    (root / "zero").chmod(0o666)
    done = root_boxed("--rootfs", str(root), *mode, "-u", "1000", "--", hostile.BUSYBOX, "sh", "-c",
                      "/bin/id -u; /bin/id -g; /bin/busybox head -c 1 /zero")
    assert done.out == "1000\n1000\n" and "Permission denied" in done.err, done


@pytest.mark.parametrize("mode", ["overlay", "--read-only", "--rw"])
def test_mounts_within_a_tree_get_the_boxs_flags_or_are_not_seen(root_boxed, mode):
    ground = Ground(root_boxed)
    root = hostile.plant(Tree(FOLDERS), ground.base / "root", ground.outside.place, 0, 0)
    flags = [] if mode == "overlay" else [mode]
    box = [*root_boxed.python, "-m", "minibox", "run", "--rootfs", str(root), *flags, "--",
           hostile.BUSYBOX, "cat", "/proc/self/mountinfo"]
    script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
    done = root_boxed.command("unshare", "--mount", "sh", "-c", script, "sh",
                              str(ground.outside.place), str(root / "mnt"), *box)
    lines = [line.split() for line in done.stdout.splitlines()]
    mounts = {line[4]: line[5].split(",") for line in lines if line[4] in ("/", "/mnt")}
    assert done.returncode == 0 and ("/mnt" in mounts) == (mode != "overlay"), done
    for options in mounts.values():
        assert {"nosuid", "nodev"} <= set(options)
        assert ("ro" in options) == (mode == "--read-only")
    assert ground.outside.changes() == []


def test_names_of_the_box_reach_the_terminal_harmless(boxed, busybox):
    script = busybox / "bin/script"
    script.write_text("#!/\x1b]0;evil\x07\x9b31m\n", encoding="latin-1")
    script.chmod(0o755)
    os.chown(script, boxed.uid, boxed.gid)
    done = boxed.minibox("run", "--rootfs", str(busybox), "--", "/bin/script")
    assert done.returncode in (126, 127) and "interpreter" in done.stderr, done
    assert done.stderr.rstrip("\n").isprintable(), done.stderr
