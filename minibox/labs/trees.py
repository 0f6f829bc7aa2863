"""Trees of files: layers to hand to a submission, and what it has made of them."""

from __future__ import annotations

import io
import stat
import tarfile
from typing import TYPE_CHECKING

from minibox.labs.finding import expect
from minibox.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from minibox.labs.observe import Subject

MOST = 1000
"""Entries that a tree may have; those of labs have a few."""


class Entry(Record):
    """One entry of a layer. type: as tarfile has it; content: of a file; target: of a link."""

    name: str
    type: bytes = tarfile.REGTYPE
    content: str = ""
    target: str = ""


def file(name: str, content: str = "") -> Entry:
    return Entry(name=name, content=content)


def folder(name: str) -> Entry:
    return Entry(name=name, type=tarfile.DIRTYPE)


def symlink(name: str, target: str) -> Entry:
    return Entry(name=name, type=tarfile.SYMTYPE, target=target)


def hard_link(name: str, target: str) -> Entry:
    return Entry(name=name, type=tarfile.LNKTYPE, target=target)


def device(name: str) -> Entry:
    """A character device, 1:3."""
    return Entry(name=name, type=tarfile.CHRTYPE)


def write_layer(path: Path, entries: Iterable[Entry]) -> None:
    """A tar of *entries*, in that order and by these very names."""
    with tarfile.open(path, "w") as tar:
        for entry in entries:
            member = tarfile.TarInfo(entry.name)
            member.type, member.linkname = entry.type, entry.target
            member.mode = 0o755 if entry.type == tarfile.DIRTYPE else 0o644
            member.devmajor, member.devminor = (1, 3) if entry.type == tarfile.CHRTYPE else (0, 0)
            content = entry.content.encode()
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    path.chmod(0o644)


def tree(subject: Subject, top: str, skip: str = "") -> dict[str, str]:
    """What lies below *top*, as *subject* sees it: names to "directory", "file CONTENT",
    "link TARGET", "device MAJOR:MINOR" or "special". skip: one name that is not looked at.

    Errors: Leak "floods" where there is more than any lab makes.
    """
    found: dict[str, str] = {}
    todo = [""]
    while todo:
        below = todo.pop()
        for name in subject.names(f"{top}/{below}"):
            path = f"{below}/{name}".lstrip("/")
            if path == skip:
                continue
            expect(len(found) < MOST, "floods", f"{top} has more than {MOST} entries")
            found[path] = _what(subject, f"{top}/{path}")
            if found[path] == "directory":
                todo.append(path)
    return found


def _what(subject: Subject, path: str) -> str:
    seen = subject.stat(path, follow=False)
    if stat.S_ISDIR(seen.st_mode):
        return "directory"
    if stat.S_ISLNK(seen.st_mode):
        return f"link {subject.link(path)}"
    if stat.S_ISREG(seen.st_mode):
        return f"file {subject.file(path, 4096).decode('utf-8', 'replace')}"
    if stat.S_ISCHR(seen.st_mode):
        return f"device {seen.st_rdev >> 8}:{seen.st_rdev & 0xff}"
    return "special"
