"""Lab 11: images that are what their publisher made, and packages with known flaws."""

from __future__ import annotations

import random
import secrets
import time
from typing import TYPE_CHECKING, Any

from minibox.labs.finding import check, expect
from minibox.labs.lab11_trust.images import (
    DAY_S,
    Case,
    Image,
    Package,
    Publisher,
    append,
    contents,
    expect_verified,
    flip,
    scan,
    workshop,
)

if TYPE_CHECKING:
    from pathlib import Path

    from minibox.labs.bench import Bench


def nonce() -> str:
    return secrets.token_hex(8)


class Maker:
    """Makes images in a workshop, all of one publisher, and cases of them."""

    def __init__(self, where: Path) -> None:
        self.where, self.publisher, self.tag = where, Publisher(), f"app:{nonce()}"

    def image(self, publisher: Publisher | None = None, version: int = 5,
              expires: float | None = None, also: dict[str, list[bytes]] | None = None) -> Image:
        return Image(self.where / nonce(), publisher or self.publisher,
                     {self.tag: contents(), **(also or {})}, version, expires)

    def case(self, image: Image | None = None, **options: str) -> Case:
        return Case(image=image or self.image(), key=self.publisher.key,
                    tag=options.pop("tag", self.tag), **options)


@check("accepts", points=2)
def accepts(bench: Bench) -> str:
    """An image as its publisher made it is handed on, and the version of its list remembered."""
    with workshop() as where:
        make = Maker(where)
        same, newer, many = make.case(state="5"), make.case(state="4"), make.case(
            make.image(version=10, also={f"app:{nonce()}": contents()}), state="9")
        cases = [make.case(), same, newer, many]
        for case, outcome in zip(cases, expect_verified(bench, where, cases), strict=True):
            version = "10" if case is many else "5"
            expect(outcome.state.strip() == version, "not-remembered",
                   f"a list of version {version} was accepted; STATE says "
                   f"{outcome.state or 'nothing'}, and said {case.state or 'nothing'} before")
    return "four images are handed on; STATE says 5, 5, 5 and 10"


@check("blobs", points=2)
def blobs(bench: Bench) -> str:
    """One changed byte in a layer or the manifest, or one more, is refused."""
    with workshop() as where:
        make = Maker(where)
        layer, last, manifest, longer, padded = (make.image() for _ in range(5))
        flip(layer.layer(make.tag, 0))
        flip(last.layer(make.tag, 2), at=2047)
        # it names another layer, which is there and is what its name says
        text = manifest.manifest(make.tag)
        other = layer.layer(make.tag, 1)
        (manifest.where / "blobs/sha256" / other.name).write_bytes(other.read_bytes())
        text.write_text(text.read_text().replace(manifest.layer(make.tag, 1).name, other.name))
        append(longer.layer(make.tag, 1), b"\0")
        append(padded.manifest(make.tag), b"\n")
        expect_verified(bench, where, [
            make.case(), make.case(layer, reason="flipped-layer", story="a bit flipped in a layer"),
            make.case(last, reason="flipped-layer", story="a bit flipped at the very end"),
            make.case(manifest, reason="flipped-manifest",
                      story="a manifest that names another layer"),
            make.case(longer, reason="trailing", story="a layer with one more byte"),
            make.case(padded, reason="trailing", story="a manifest with one more blank")])
    return "five changes are refused, the image without them is not"


@check("mixed", points=1)
def mixed(bench: Bench) -> str:
    """Parts of the publisher's own making, put together anew, are refused, and unknown tags."""
    with workshop() as where:
        make, other = Maker(where), f"app:{nonce()}"
        swapped, moved, good = (make.image(also={other: contents()}) for _ in range(3))
        ours, theirs = swapped.layer(make.tag, 1), swapped.layer(other, 1)
        ours.write_bytes(theirs.read_bytes())
        moved.manifest(make.tag).write_bytes(moved.manifest(other).read_bytes())
        expect_verified(bench, where, [
            make.case(good), make.case(good, tag=other),
            make.case(swapped, reason="mixed", story="a layer in the place of another one"),
            make.case(moved, reason="mixed", story="the manifest of another tag"),
            make.case(good, tag=f"app:{nonce()}", reason="mixed", story="an unlisted tag")])
    return "a swapped layer, a moved manifest and an unknown tag are refused"


@check("signature", points=2)
def signature(bench: Bench) -> str:
    """A list of tags counts if the trusted publisher signed it, all of it, and as it is."""
    with workshop() as where:
        make, stranger = Maker(where), Publisher()
        foreign = make.image(stranger, version=99)
        pretends = make.image(stranger)
        (pretends.where / "key").write_bytes(make.publisher.key)
        raised, padded, longer, unsigned = (make.image() for _ in range(4))
        tags = raised.where / "tags.json"
        tags.write_text(tags.read_text().replace('"version": 5', '"version": 6'))
        append(padded.where / "tags.json", b"\n")
        append(longer.where / "tags.sig", b"\0")
        (unsigned.where / "tags.sig").write_bytes(b"")
        expect_verified(bench, where, [
            make.case(),
            make.case(pretends, reason="other-key", story="a list signed by somebody else"),
            make.case(foreign, reason="key-from-image", story="a list that brought its key"),
            make.case(raised, reason="list-changed", story="a list changed after it was signed"),
            make.case(padded, reason="list-changed", story="a list with one more blank"),
            make.case(longer, reason="list-changed", story="a signature with one more byte"),
            make.case(unsigned, reason="other-key", story="a list without a signature")])
    return "six lists are refused, the publisher's own is not"


@check("old-list", points=2)
def old_list(bench: Bench) -> str:
    """A list that was signed once is refused if a newer one was seen, or when it has expired."""
    with workshop() as where:
        make = Maker(where)
        expect_verified(bench, where, [
            make.case(), make.case(make.image(version=100), state="99"),
            make.case(state="6", reason="rollback", story="version 5 where 6 was seen"),
            make.case(state="10", reason="rollback", story="version 5 where 10 was seen"),
            make.case(make.image(expires=time.time() - 60), state="5", reason="expired",
                      story="a list that expired a minute ago"),
            make.case(make.image(version=6, expires=time.time() - 30 * DAY_S), state="5",
                      reason="expired", story="a list that expired a month ago")])
    return "older ones and expired ones are refused, 100 after 99 is not"


def pairs() -> list[tuple[str, str, str]]:
    """Versions, the earlier one first, and what tells them apart; in this order by construction."""
    number, patch = random.randint(2, 8), random.randint(2, 9)
    base = f"{number}.{patch}"
    return [
        ("numbers", f"{base}-1", f"{number}.{patch}0-1"),
        ("numbers", f"{base}.9-1", f"{base}.10-1"),
        ("numbers", f"{number}.0-1", f"{number}0.0-1"),
        ("numbers", f"{base}a9-1", f"{base}a11-1"),
        ("tilde", f"{base}~rc1-1", f"{base}-1"),
        ("tilde", f"{base}~~pre-1", f"{base}~beta-1"),
        ("tilde", f"{base}-1~deb12u1", f"{base}-1"),
        ("letters", f"{base}a-1", f"{base}+a-1"),
        ("letters", f"{base}-1", f"{base}a-1"),
        ("epoch", f"{number}9.0-1", f"1:0.{patch}-1"),
        ("epoch", f"9:{base}-1", f"10:{base}-1"),
        ("revision", f"{base}-2", f"{base}-10"),
        ("revision", f"{base}-1+deb12u2", f"{base}-1+deb12u10"),
        ("revision", f"{base}-1", f"{base}-0-1")]


@check("versions", points=3)
def versions(bench: Bench) -> str:
    """A package is vulnerable if its version is before the one that is fixed, in Debian's order."""
    packages, advisories, wanted, why = [], [], {}, {}
    for reason, before, after in pairs():
        for version, fixed in ((before, after), (after, before), (after, after)):
            name, flaw = f"pkg-{nonce()}", f"FLAW-{nonce()}"
            packages.append(Package(name=name, version=version))
            advisories.append({"id": flaw, "source": name, "fixed": fixed})
            wanted[name, flaw] = (version, fixed) == (before, after)
            why[name, flaw] = reason, version, fixed
    random.shuffle(packages)
    random.shuffle(advisories)
    _, written = scan(bench, packages, advisories)
    found = _pairs(written)
    for one, vulnerable in wanted.items():
        reason, version, fixed = why[one]
        if version == fixed:
            reason = "fixed-reported"
        expect((one in found) == vulnerable, reason,
               f"{version} is installed and {fixed} is fixed: "
               + ("not reported" if vulnerable else "reported as vulnerable"))
    expect(found <= set(wanted), "made-up", f"{len(found - set(wanted))} more were reported")
    return f"{sum(wanted.values())} of {len(wanted)} packages are vulnerable, and reported"


def _pairs(written: Any) -> set[tuple[str, str]]:
    """What a scan reported. Errors: Leak "no-report"."""
    sound = isinstance(written, list) and all(
        isinstance(one, list) and len(one) == 2 and all(isinstance(part, str) for part in one)
        for one in written)
    expect(sound, "no-report", "OUT is no JSON list of [PACKAGE, ID]")
    return {(package, flaw) for package, flaw in written}


@check("installed", points=2)
def installed(bench: Bench) -> str:
    """Advisories are about sources, and what is installed; the status tells a script."""
    source, tool, gone, sure, clean = (f"pkg-{nonce()}" for _ in range(5))
    advisories: list[dict[str, Any]] = [
        {"id": f"FLAW-{nonce()}", "source": name, "fixed": fixed}
        for name, fixed in ((source, "2.0-1"), (gone, "2.0-1"), (sure, None), (tool, "3.0-1"))]
    by_source, of_gone, unfixed, of_tool = (one["id"] for one in advisories)
    library, plugin = f"lib{nonce()}", f"lib{nonce()}"
    packages = [
        Package(name=library, version="1.9-1", source=source),
        Package(name=plugin, version="1:7.0-1", source=source, source_version="1.5-1"),
        Package(name=tool, version="1.0-1", source=f"pkg-{nonce()}"),
        Package(name=gone, version="1.0-1", status="deinstall ok config-files"),
        Package(name=sure, version="9.0-1"), Package(name=clean, version="1.0-1")]
    code, written = scan(bench, packages, advisories)
    found = _pairs(written)
    expect((library, by_source) in found, "by-source",
           f"{library} is made of {source}, whose flaw was not reported")
    expect((plugin, by_source) in found, "source-version",
           f"{plugin} 1:7.0-1 is made of {source} 1.5-1, whose flaw was not reported")
    expect((tool, of_tool) not in found, "by-source",
           f"{tool} is made of another source than {tool}, and was reported")
    expect((gone, of_gone) not in found, "not-installed", f"{gone} was removed, and is reported")
    expect((sure, unfixed) in found, "unfixed", f"{sure} has a flaw that nobody has fixed")
    expect(len(found) == 3, "made-up", f"{len(found)} were reported and not 3")
    expect(code == 1, "no-verdict", f"the status is {code} where packages are vulnerable")
    code, written = scan(bench, [packages[3], packages[5]], advisories)
    expect(_pairs(written) == set() and code == 0, "no-verdict",
           f"the status is {code}, with {written}, where none is")
    return "3 of 6 packages are reported, by 1; none of 2, by 0"


CHECKS = (accepts, blobs, mixed, signature, old_list, versions, installed)
