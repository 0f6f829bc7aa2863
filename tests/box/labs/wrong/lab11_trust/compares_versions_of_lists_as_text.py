# file: trust.py
# fails: accepts refused-good
# fails: old-list refused-good
"""Verify an image, and only then hand it on:

    python3 trust.py KEY STATE IMAGE TAG OUT
"""

import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Refused(Exception):
    """Why this image is not to be used."""


def blob(image: Path, digest: str) -> bytes:
    """What has this digest. The name of its file is only where to look: whoever wrote the file
    chose the name."""
    algorithm, _, value = digest.partition(":")
    content = (image / "blobs/sha256" / value).read_bytes()
    if algorithm != "sha256" or hashlib.sha256(content).hexdigest() != value:
        raise Refused(f"a blob is not what {digest} stands for")
    return content


def tags(key: bytes, image: Path) -> dict[str, Any]:
    """The list of tags, if the publisher has signed it. It is read once: what is used is what was
    verified."""
    text = (image / "tags.json").read_bytes()
    signature = (image / "tags.sig").read_bytes()
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, text)
    except InvalidSignature:
        raise Refused("the list of tags is not signed by the key that is trusted") from None
    listed: dict[str, Any] = json.loads(text)
    return listed


def verify(key: Path, state: Path, image: Path, tag: str) -> tuple[int, list[bytes]]:
    """The version of the list and the image's layers. Nothing is written before all is verified."""
    listed = tags(key.read_bytes(), image)
    newest = state.read_text() if state.exists() else "0"
    if str(listed["version"]) < newest:                      # signed once, and since replaced
        raise Refused(f"the list has version {listed['version']}, and {newest} was seen before")
    if listed["expires"] <= time.time():                # else an old list could be shown for ever
        raise Refused("the list has expired")
    if tag not in listed["tags"]:
        raise Refused(f"the publisher has no {tag}")
    manifest = json.loads(blob(image, listed["tags"][tag]))
    return listed["version"], [blob(image, digest) for digest in manifest["layers"]]


def main(key: str, state: str, image: str, tag: str, out: str) -> None:
    version, layers = verify(Path(key), Path(state), Path(image), tag)
    new = Path(f"{state}.new")
    new.write_text(str(version))
    os.replace(new, state)                              # old or new, and never half of it
    os.mkdir(out)
    for number, layer in enumerate(layers):
        Path(out, f"{number}.tar").write_bytes(layer)


try:
    main(*sys.argv[1:])
except (Refused, OSError, ValueError, LookupError) as error:
    sys.exit(f"trust.py: refused: {error}")
