"""Verify an image, and only then hand it on:

    python3 trust.py KEY STATE IMAGE TAG OUT
"""

import json
import os
import sys
from pathlib import Path


def main(key: str, state: str, image: str, tag: str, out: str) -> None:
    # 1. verify IMAGE/tags.sig of IMAGE/tags.json, with KEY (cryptography has Ed25519PublicKey)
    listed = json.loads(Path(image, "tags.json").read_text())
    # 2. refuse a list that is older than the one that STATE remembers, or has expired
    digest = listed["tags"][tag]
    # 3. verify that each blob is what its digest says, the manifest and all layers
    manifest = json.loads(Path(image, "blobs/sha256", digest.partition(":")[2]).read_text())
    # 4. remember the version in STATE; write the layers to OUT/0.tar, OUT/1.tar, ...
    os.mkdir(out)
    print(manifest["layers"])


main(*sys.argv[1:])
