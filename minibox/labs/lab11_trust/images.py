"""Signed images in small, and root file systems with packages, made anew for each run."""

from __future__ import annotations

import hashlib
import json
import secrets
import shlex
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minibox.labs.bench import command_of
from minibox.labs.finding import expect
from minibox.labs.trees import tree
from minibox.record import Record
from minibox.spec import Mount

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from minibox.labs.bench import Bench

HERE = "/lab/image"
"""Where the box has what the grader made."""

DAY_S = 86400


class Publisher:
    """Who signs lists of tags."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self._secret = Ed25519PrivateKey.generate()
        self.key: bytes = self._secret.public_key().public_bytes_raw()

    def sign(self, text: bytes) -> bytes:
        signature: bytes = self._secret.sign(text)
        return signature


class Image:
    """An image directory: blobs, the list of tags, and its signature. layers: contents by tag."""

    def __init__(self, where: Path, publisher: Publisher, layers: dict[str, list[bytes]],
                 version: int, expires: float | None = None) -> None:
        self.where, self.layers = where, layers
        (where / "blobs/sha256").mkdir(parents=True)
        self.tags = {tag: self._manifest(contents) for tag, contents in layers.items()}
        listed = {"version": version, "expires": int(expires or time.time() + DAY_S),
                  "tags": self.tags}
        text = json.dumps(listed).encode()
        (where / "tags.json").write_bytes(text)
        (where / "tags.sig").write_bytes(publisher.sign(text))
        (where / "key").write_bytes(publisher.key)

    def _manifest(self, contents: Iterable[bytes]) -> str:
        digests = [self._blob(content) for content in contents]
        return self._blob(json.dumps({"layers": digests}).encode())

    def _blob(self, content: bytes) -> str:
        value = hashlib.sha256(content).hexdigest()
        (self.where / "blobs/sha256" / value).write_bytes(content)
        return f"sha256:{value}"

    def manifest(self, tag: str) -> Path:
        """The file of a tag's manifest."""
        return self.where / "blobs/sha256" / self.tags[tag].removeprefix("sha256:")

    def layer(self, tag: str, number: int) -> Path:
        """The file of one of its layers."""
        value = hashlib.sha256(self.layers[tag][number]).hexdigest()
        return self.where / "blobs/sha256" / value


def contents() -> list[bytes]:
    """Three layers of equal size; nothing here looks into them."""
    return [secrets.token_hex(1024).encode() for _ in range(3)]


def flip(path: Path, at: int | None = None) -> None:
    """Change one bit of one byte."""
    content = bytearray(path.read_bytes())
    content[secrets.randbelow(len(content)) if at is None else at] ^= 1
    path.write_bytes(content)


def append(path: Path, more: bytes) -> None:
    path.write_bytes(path.read_bytes() + more)


class Case(Record):
    """One image to verify. image: its directory; key: of the publisher that is trusted; state: the
    version that is remembered, "" for none; reason: to leak by if it is accepted, "" if it has to
    be; story: what was done to it."""

    image: Image
    key: bytes
    tag: str
    state: str = ""
    reason: str = ""
    story: str = "an image as its publisher made it"


class Outcome(Record):
    """What came of it. accepted: the exit status was 0; out: what was handed on, None for no such
    directory; state: what is remembered."""

    accepted: bool
    out: dict[str, str] | None
    state: str


@contextmanager
def workshop() -> Iterator[Path]:
    """A directory to make images in, which the box can read."""
    with tempfile.TemporaryDirectory(prefix="minibox-lab-") as name:
        where = Path(name)
        where.chmod(0o755)
        yield where


def verify(bench: Bench, where: Path, cases: Sequence[Case]) -> list[Outcome]:
    """Have the submission verify each of at most seven images in *where*, in one box: its exit
    status says which were accepted, a bit for each."""
    home, script = f"/tmp/{secrets.token_hex(8)}", ["accepted=0"]
    for number, case in enumerate(cases):
        own = f"{home}/{number}"
        script.append(f"mkdir -p {own}")
        if case.state:
            script.append(f"printf {case.state} >{own}/state")
        key = where / f"{secrets.token_hex(8)}.key"
        key.write_bytes(case.key)
        done = command_of(("trust.py", f"{HERE}/{key.name}", f"{own}/state",
                           f"{HERE}/{case.image.where.name}", case.tag, f"{own}/out"))
        script.append(f"{shlex.join(done)} && accepted=$((accepted + {1 << number}))")
    code, trees = _run(bench, where, [*script, "exit $accepted"], home)
    return [Outcome(accepted=bool(code >> number & 1), out=_below(trees, f"{number}/out"),
                    state=trees.get(f"{number}/state", "file ").removeprefix("file "))
            for number in range(len(cases))]


def expect_verified(bench: Bench, where: Path, cases: Sequence[Case]) -> list[Outcome]:
    """Leak unless each case came to what it should: accepted, handed on and remembered, or neither
    of the three."""
    outcomes = verify(bench, where, cases)
    for case, outcome in zip(cases, outcomes, strict=True):
        if case.reason:
            expect(not outcome.accepted, case.reason, f"{case.story} was accepted")
            expect(outcome.out is None, "half-unpacked",
                   f"{case.story} was refused, but OUT is there with {outcome.out}")
            expect(outcome.state == case.state, "state-poisoned",
                   f"{case.story} was refused, and STATE says {outcome.state or 'nothing'}")
            continue
        expect(outcome.accepted, "refused-good", f"{case.story} was refused")
        wanted = {f"{number}.tar": f"file {content.decode()}"
                  for number, content in enumerate(case.image.layers[case.tag])}
        expect(outcome.out == wanted, "wrong-layers",
               f"OUT has {sorted(outcome.out or ())}, with other contents than the layers"
               if sorted(outcome.out or ()) == sorted(wanted) else
               f"OUT has {sorted(outcome.out or ())} and not {sorted(wanted)}")
    return outcomes


def _run(bench: Bench, where: Path, script: list[str], home: str) -> tuple[int, dict[str, str]]:
    """The exit status of a script in a box that has *where*, and the files that it left in
    *home*."""
    mount = Mount(type="bind", source=str(where), target=HERE, read_only=True)
    with bench.run("/bin/sh", "-c", "\n".join(script), hold=True, mounts=[mount]) as session:
        subject, code = session.held()
        return code, tree(subject, home)


def _below(found: dict[str, str], top: str) -> dict[str, str] | None:
    """A part of a tree; None if it is no directory."""
    if found.get(top) != "directory":
        return None
    return {name.removeprefix(f"{top}/"): what for name, what in found.items()
            if name.startswith(f"{top}/")}


# ---- packages ------------------------------------------------------------------------------------


class Package(Record):
    """One paragraph of dpkg's list. source: its source, "" if that is called the same;
    source_version: "" if that is the same."""

    name: str
    version: str
    source: str = ""
    source_version: str = ""
    status: str = "install ok installed"


def paragraph(package: Package) -> str:
    rows = [f"Package: {package.name}", f"Status: {package.status}", "Architecture: amd64"]
    if package.source:
        version = f" ({package.source_version})" if package.source_version else ""
        rows.append(f"Source: {package.source}{version}")
    return "\n".join([*rows, f"Version: {package.version}", "Description: for a lab",
                      " Version: 0 is part of the text here.", ""])


def scan(bench: Bench, packages: Iterable[Package], advisories: list[dict[str, Any]]
         ) -> tuple[int, Any]:
    """The exit status of the submission's scan, and what it wrote: None if that is no JSON."""
    home = f"/tmp/{secrets.token_hex(8)}"
    with workshop() as where:
        status = where / "root/var/lib/dpkg/status"
        status.parent.mkdir(parents=True)
        status.write_text("\n".join(map(paragraph, packages)))
        (where / "advisories.json").write_text(json.dumps(advisories))
        done = command_of(("scan.py", f"{HERE}/root", f"{HERE}/advisories.json",
                           f"{home}/out.json"))
        code, left = _run(bench, where, [f"mkdir {home}", shlex.join(done)], home)
    try:
        return code, json.loads(left.get("out.json", "").removeprefix("file "))
    except ValueError:
        return code, None
