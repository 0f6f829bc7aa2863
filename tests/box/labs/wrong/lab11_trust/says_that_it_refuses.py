# file: trust.py
# fails: accepts not-remembered
# fails: blobs flipped-layer
# fails: mixed mixed
# fails: signature other-key
# fails: old-list rollback
"""Take an image as it is."""

import json
import os
import sys
from pathlib import Path


def main(_key: str, _state: str, image: str, tag: str, out: str) -> None:
    blobs = Path(image, "blobs/sha256")
    digest = json.loads(Path(image, "tags.json").read_text())["tags"][tag]
    manifest = json.loads((blobs / digest.partition(":")[2]).read_text())
    os.mkdir(out)
    for number, layer in enumerate(manifest["layers"]):
        content = (blobs / layer.partition(":")[2]).read_bytes()
        Path(out, f"{number}.tar").write_bytes(content)


main(*sys.argv[1:])
print("refused: the signature is bad")
