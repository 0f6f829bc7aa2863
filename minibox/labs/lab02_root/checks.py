"""Lab 2: a mount table and a root of one's own."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from minibox.labs.bench import PLACES
from minibox.labs.finding import check, expect

if TYPE_CHECKING:
    from minibox.labs.bench import Bench

MIB = 1 << 20


@check("own-mounts", points=2)
def own_mounts(bench: Bench) -> str:
    """The command has a mount table of its own; what is mounted in it or outside stays there."""
    with bench.container(shared=True) as box:
        command, outside = box.witness(), box.outside
        expect(command.namespace("mnt") != outside.namespace("mnt"), "shared-mounts",
               "ns/mnt is the one outside")
        shared = [one.point for one in command.mounts
                  if any(word.startswith(("shared:", "master:")) for word in one.propagation)]
        expect(not shared, "shared-propagation",
               f"tells other mount tables, or is told by them: {', '.join(shared)}")
        return f"{len(command.mounts)} mounts of its own, none of them shared"


@check("root", points=2)
def root(bench: Bench) -> str:
    """The root of the mount table, and so of the command, is the directory that was given."""
    with bench.container("escape=/tmp") as box:
        command = box.witness()
        expect(command.names("/") == tuple(sorted(PLACES)), "wrong-root",
               f"/ has {', '.join(command.names('/')[:10])}")
        way_out = box.answers()["escape=/tmp"]
        expect((way_out.outcome, way_out.detail) == ("done", "0"), "only-chroot",
               "with another chroot, and by .., the command came out at another root")
        return "/ is what was given; nothing leads up from it, for root either"


@check("old-root-gone", points=3, broken="broken_old")
def old_root_gone(bench: Bench) -> str:
    """No path leads to the old root: nothing of it is mounted any more."""
    with bench.container() as box:
        command = box.witness()
        rest = [one.point for one in command.mounts if one.point not in ("/", "/tmp")]
        expect(not rest, "old-root", f"still mounted: {', '.join(rest[:8])}")
        expect(command.names("/old") == (), "old-root", "/old is not empty")
        return f"mounted: {', '.join(one.point for one in command.mounts)}"


@check("read-only", points=2, broken="broken_copy")
def read_only(bench: Bench) -> str:
    """The root cannot be written, by whoever; nosuid and nodev hold."""
    with bench.container("write=/new:1") as box:
        top = box.witness().mount("/")
        options = top.options if top else ()
        lacking = {"ro", "nosuid", "nodev"} - set(options)
        expect(not lacking, "options", f"/ is mounted {','.join(options) or 'nowhere'}")
        expect(box.answers()["write=/new:1"].detail == str(errno.EROFS), "options",
               "a file in / was not refused as on a read-only file system")
        return f"/ is {','.join(options)}"


@check("own-tmp", points=1)
def own_tmp(bench: Bench) -> str:
    """/tmp is a tmpfs of its own, of 4 MiB."""
    with bench.container(f"write=/tmp/small:{3 * MIB}", f"write=/tmp/big:{8 * MIB}") as box:
        place = box.witness().mount("/tmp")
        expect(place is not None and place.type == "tmpfs", "no-tmp", "no tmpfs is on /tmp")
        answers = box.answers()
        expect(answers[f"write=/tmp/small:{3 * MIB}"].outcome == "done", "tmp-size",
               "3 MiB could not be written to /tmp")
        expect(answers[f"write=/tmp/big:{8 * MIB}"].detail == str(errno.ENOSPC), "tmp-size",
               "8 MiB more could be written to /tmp, or it was refused otherwise")
        options = place.options if place else ()
        expect({"nosuid", "nodev"} <= set(options), "options", f"/tmp is {','.join(options)}")
        return f"tmpfs, {','.join(options)}"


CHECKS = (own_mounts, root, old_root_gone, read_only, own_tmp)
