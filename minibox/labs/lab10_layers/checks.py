"""Lab 10: layers, what must not lead out of them, and overlays."""

from __future__ import annotations

import secrets
import shlex
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from minibox.labs.bench import WITNESS, command_of
from minibox.labs.finding import check, expect
from minibox.labs.trees import (
    Entry,
    device,
    file,
    folder,
    hard_link,
    symlink,
    tree,
    write_layer,
)
from minibox.record import Record
from minibox.spec import Mount

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from minibox.labs.bench import Bench, Session
    from minibox.labs.observe import Subject

    Layers = Sequence[Sequence[Entry]]

IMAGES = "/lab/image"
"""Where the box has the layers."""


class Case(Record):
    """One image to unpack. home: a directory of the box which holds the new root, and a file that
    is none of the image's business; canary: what that file says."""

    home: str
    canary: str


class Outcome(Record):
    """What became of it. root: what was unpacked; beside: all else in its home."""

    root: dict[str, str]
    beside: dict[str, str]


def nonce() -> str:
    return secrets.token_hex(8)


def case() -> Case:
    return Case(home=f"/tmp/{nonce()}", canary=nonce())


def unpack(bench: Bench, images: Sequence[tuple[Case, Layers]]) -> list[Outcome]:
    """Have the submission unpack each of *images*, one after the other in one box."""
    with tempfile.TemporaryDirectory(prefix="minibox-lab-") as name:
        where = Path(name)
        where.chmod(0o755)
        script = []
        for one, layers in images:
            tars = []
            for layer in layers:
                tars.append(f"{nonce()}.tar")
                write_layer(where / tars[-1], layer)
            done = command_of(("layers.py", "unpack", f"{one.home}/root",
                               *(f"{IMAGES}/{tar}" for tar in tars)))
            script.append(f"mkdir {one.home}; printf {one.canary} >{one.home}/canary; "
                          + shlex.join(done))
        images_here = Mount(type="bind", source=name, target=IMAGES, read_only=True)
        with bench.run("/bin/sh", "-c", "\n".join(script), hold=True,
                       mounts=[images_here]) as session:
            subject, _ = session.held()
            return [_outcome(subject, one.home) for one, _ in images]


def _outcome(subject: Subject, home: str) -> Outcome:
    made = "root" in subject.names(home)
    return Outcome(root=tree(subject, f"{home}/root") if made else {},
                   beside=tree(subject, home, skip="root"))


def expect_tree(found: dict[str, str], wanted: dict[str, str], reasons: dict[str, str]) -> None:
    """Leak unless each name is as *wanted*; the reason of a name is "missing" if nothing is there,
    else what *reasons* says of it."""
    for name, what in wanted.items():
        seen = found.get(name)
        expect(seen is not None, "missing", f"{name} is not there")
        expect(seen == what, reasons.get(name, "not-replaced"),
               f"{name} is {seen!r} and not {what!r}")


def expect_inside(one: Case, outcome: Outcome, reason: str, attack: str) -> None:
    """Leak *reason* if *attack* has changed what lies beside the root, or brought it in."""
    whole = {"canary": f"file {one.canary}"}
    expect(outcome.beside == whole, reason,
           f"{attack}: beside the root is {outcome.beside or 'nothing left'}")
    inside = [name for name, what in outcome.root.items() if what == f"file {one.canary}"]
    expect(not inside, reason, f"{attack}: {inside} has what a file outside says")


@check("in-order", points=2)
def in_order(bench: Bench) -> str:
    """Later layers win: by a file, or by another kind of thing; directories are merged."""
    old, new, kept = nonce(), nonce(), nonce()
    layers = (
        (folder("etc"), file("etc/a", old), hard_link("first", "etc/a"), file("etc/b", kept),
         symlink("link", "etc/nowhere"), folder("tree"), file("tree/in", old), file("plain", old),
         file("usr/share/doc/text", kept), folder("dev"), device("dev/null")),
        (folder("etc"), file("etc/a", new), file("etc/c", new), file("tree", new),
         folder("plain"), file("plain/in", new), symlink("usr/share/doc/text", "/etc/b")))
    wanted = {
        "etc/a": f"file {new}", "etc/b": f"file {kept}", "etc/c": f"file {new}",
        "first": f"file {old}", "link": "link etc/nowhere", "tree": f"file {new}",
        "plain": "directory", "plain/in": f"file {new}", "usr/share/doc/text": "link /etc/b"}
    (done,) = unpack(bench, [(case(), layers)])
    expect_tree(done.root, wanted, {"etc/a": "old-file", "first": "same-inode"})
    null = done.root.get("dev/null", "nothing")
    expect(not null.startswith("file"), "device", f"/dev/null is {null!r}")
    return f"{len(wanted)} names are as the last layer that has them says"


@check("whiteouts", points=2)
def whiteouts(bench: Bench) -> str:
    """A marker removes what lower layers have, a file or a tree, and nothing of its own layer."""
    old, new, gone, both, top = nonce(), nonce(), nonce(), nonce(), nonce()
    layers = (
        (folder("a"), file(f"a/{gone}", old), file(f"a/{both}", old), file("a/kept", old),
         folder(top), folder(f"{top}/x"), file(f"{top}/x/y", old)),
        (folder("a"), file(f"a/.wh.{gone}"), file(f"a/{both}", new), file(f"a/.wh.{both}"),
         file(f".wh.{top}"), file(f"a/.wh.{nonce()}"), file("a/last", new)))
    (done,) = unpack(bench, [(case(), layers)])
    left = [name for name in done.root if ".wh." in name]
    expect(not left, "marker-left", f"{left} are files of the root")
    for name in (f"a/{gone}", top):
        expect(name not in done.root, "not-removed", f"{name} is still there")
    expect(f"a/{both}" in done.root, "own-removed",
           f"a/{both} is gone: the marker removed what its own layer brought")
    expect_tree(done.root, {f"a/{both}": f"file {new}", "a/kept": f"file {old}",
                            "a/last": f"file {new}"}, {})
    return f"a/{gone} and {top} are gone, a/{both} is the new one"


@check("opaque", points=1)
def opaque(bench: Bench) -> str:
    """An opaque directory shows nothing of the layers below, and all of its own."""
    old, new, mine = nonce(), nonce(), nonce()
    layers = (
        (folder("d"), file("d/one", old), folder("d/two"), file("d/two/three", old),
         folder("e"), file("e/kept", old)),
        (folder("d"), file(f"d/{mine}", new), file("d/.wh..wh..opq"), folder("e")))
    (done,) = unpack(bench, [(case(), layers)])
    below = [name for name in done.root if name.startswith("d/")]
    expect("d/.wh..wh..opq" not in below, "marker-left", "the marker is a file of the root")
    expect(f"d/{mine}" in below, "own-removed", f"d/{mine}, of the same layer, is gone")
    expect(below == [f"d/{mine}"], "opaque-ignored", f"d still has {below}")
    expect_tree(done.root, {f"d/{mine}": f"file {new}", "e/kept": f"file {old}"}, {})
    return f"d has {below}, e is untouched"


@check("names-inside", points=3)
def names_inside(bench: Bench) -> str:
    """No name of an entry leads out: neither "..", nor "/", of a file, a hard link or a marker."""
    evil, good = nonce(), nonce()
    cases = [case() for _ in range(8)]
    attacks = (
        ("dotdot", f"a file ../{evil}", (file(f"../{evil}", evil),)),
        ("dotdot", f"a file good/../../{evil}", (file(f"good/../../{evil}", evil),)),
        ("dotdot", f"a file ../root{evil}", (file(f"../root{evil}", evil),)),
        ("absolute", "a file by its whole path", (file(f"{cases[3].home}/{evil}", evil),)),
        ("hard-link", "a hard link to ../canary", (hard_link("x", "../canary"),)),
        ("hard-link", "a hard link to the canary's whole path",
         (hard_link("x", f"{cases[5].home}/canary"),)),
        ("whiteout-outside", "a marker .wh...", (file(".wh..."),)))
    first = (folder("good"), file("good/file", good))
    images: list[tuple[Case, Layers]] = [
        (one, ((*first, *bad),)) for one, (_, _, bad) in zip(cases, attacks, strict=False)]
    *bad, twin = unpack(bench, [*images, (cases[7], (first,))])
    expect_tree(twin.root, {"good/file": f"file {good}"}, {})
    for one, outcome, (reason, attack, _) in zip(cases, bad, attacks, strict=False):
        expect_inside(one, outcome, reason, attack)
    return f"{len(attacks)} attacks have changed nothing outside"


@check("links-inside", points=3)
def links_inside(bench: Bench) -> str:
    """No link that an image makes is a way out, for whatever comes after it."""
    evil, good = nonce(), nonce()
    cases = [case() for _ in range(7)]
    first = (folder("good"), file("good/file", good), symlink("up", ".."))
    attacks = (
        ("through-link", f"up -> .., then a file up/{evil}", ((file(f"up/{evil}", evil),),)),
        ("through-link", f"a link by a whole path, then a file away/{evil}",
         ((symlink("away", cases[1].home), file(f"away/{evil}", evil)),)),
        ("wrote-through", "f -> ../canary, then a file f",
         ((symlink("f", "../canary"),), (file("f", evil),))),
        ("whiteout-outside", "up -> .., then up/.wh.canary", ((file("up/.wh.canary"),),)),
        ("whiteout-outside", "up -> .., then up/.wh..wh..opq", ((file("up/.wh..wh..opq"),),)),
        ("hard-link", "up -> .., then a hard link to up/canary",
         ((hard_link("x", "up/canary"),),)))
    images: list[tuple[Case, Layers]] = [
        (one, (first, *bad)) for one, (_, _, bad) in zip(cases, attacks, strict=False)]
    *bad, twin = unpack(bench, [*images, (cases[6], (first,))])
    expect_tree(twin.root, {"good/file": f"file {good}", "up": "link .."}, {})
    for one, outcome, (reason, attack, _) in zip(cases, bad, attacks, strict=False):
        expect_inside(one, outcome, reason, attack)
    return f"{len(attacks)} attacks have changed nothing outside"


@check("links-followed", points=1)
def links_followed(bench: Bench) -> str:
    """A directory that is a link in the image, as /bin is, is followed, with ROOT for its "/"."""
    old, tool, library = nonce(), nonce(), nonce()
    layers = (
        (folder("usr"), folder("usr/bin"), folder("usr/lib"), symlink("bin", "usr/bin"),
         symlink("lib", "/usr/lib"), file("usr/bin/old", old)),
        (file("bin/tool", tool), file("lib/library", library)))
    (done,) = unpack(bench, [(case(), layers)])
    for name, what in (("bin", "link usr/bin"), ("lib", "link /usr/lib")):
        expect(done.root.get(name) == what, "not-followed",
               f"{name} is {done.root.get(name, 'nothing')!r} and not {what!r}")
    for name, what in (("usr/bin/tool", tool), ("usr/lib/library", library)):
        expect(done.root.get(name) == f"file {what}", "not-followed",
               f"{name} is {done.root.get(name, 'not there')!r}")
    expect_tree(done.root, {"usr/bin/old": f"file {old}"}, {})
    return "bin/tool is usr/bin/tool, lib/library is usr/lib/library"


@contextmanager
def overlaid(bench: Bench, home: str, files: dict[str, str], acts: str) -> Iterator[Session]:
    """A lower layer of *files*; a command above it does *acts*, of the shell, and stays."""
    name = secrets.token_hex(16)
    prepare = [f"mkdir -p {home}/lower/etc {home}/place"]
    prepare += [f"printf {what} >{home}/lower/etc/{one}" for one, what in files.items()]
    inner = f"cd {home}/place/merged/etc && {acts}; exec {WITNESS} --witness {name}"
    done = command_of(("layers.py", "run", f"{home}/lower", f"{home}/place",
                       "/bin/sh", "-c", inner))
    with bench.run("/bin/sh", "-c", "\n".join([*prepare, f"exec {shlex.join(done)}"])) as session:
        session.nonce = name
        yield session


def expect_overlay(session: Session, home: str) -> None:
    mount = session.witness().mount(f"{home}/place/merged")
    expect(mount is not None and mount.type == "overlay", "no-overlay",
           f"the command sees {mount.type if mount else 'no mount'} on PLACE/merged")


@check("copy-up", points=2)
def copy_up(bench: Bench) -> str:
    """What the command changes is copied up first: the lower layer stays as it is."""
    home, old, new = f"/tmp/{nonce()}", nonce(), nonce()
    with overlaid(bench, home, {"changed": old, "kept": old}, f"printf {new} >changed") as box:
        expect_overlay(box, home)
        command = box.witness()
        below = command.file(f"{home}/lower/etc/changed").decode()
        expect(below == old, "lower-changed", f"the lower file said {old} and says {below}")
        upper = tree(command, f"{home}/place/upper")
        expect(upper.get("etc/changed") == f"file {new}", "no-copy-up",
               f"PLACE/upper has {upper or 'nothing'}")
        expect("etc/kept" not in upper, "copied-all",
               "PLACE/upper has a copy of a file that nobody changed")
        return f"lower still says {old}, PLACE/upper/etc/changed says {new}"


@check("deletion", points=1)
def deletion(bench: Bench) -> str:
    """What the command deletes stays below, and is hidden by a whiteout above."""
    home, old = f"/tmp/{nonce()}", nonce()
    with overlaid(bench, home, {"gone": old, "kept": old}, "rm gone") as box:
        expect_overlay(box, home)
        command = box.witness()
        lower = tree(command, f"{home}/lower")
        expect(lower.get("etc/gone") == f"file {old}", "lower-changed",
               "the file was deleted from the lower layer")
        merged = command.names(f"{home}/place/merged/etc")
        expect(merged == ("kept",), "not-merged", f"PLACE/merged/etc shows {merged}")
        upper = tree(command, f"{home}/place/upper")
        expect(upper.get("etc/gone") == "device 0:0", "no-whiteout",
               f"PLACE/upper has {upper or 'nothing'}")
        return "PLACE/upper/etc/gone is a device 0:0"


CHECKS = (in_order, whiteouts, opaque, names_inside, links_inside, links_followed, copy_up,
          deletion)
