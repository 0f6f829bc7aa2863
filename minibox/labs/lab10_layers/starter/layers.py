"""Layers, by hand:

    python3 layers.py unpack ROOT LAYER.tar...          a root file system, made of its layers
    python3 layers.py run LOWER PLACE COMMAND...        a command above LOWER, which stays as it is
"""

import os
import sys
import tarfile
from tarfile import TarFile, TarInfo


def make(root: str, tar: TarFile, member: TarInfo) -> None:
    # 1. directories that the layer does not name, links, and what is already there
    # 2. keep names and links inside of the root (minibox.syscalls has openat2)
    path = f"{root}/{member.name}"
    if member.isdir():
        os.mkdir(path)
    elif content := tar.extractfile(member):
        with open(path, "wb") as file:
            file.write(content.read())


def unpack(root: str, *layers: str) -> None:
    os.makedirs(root, exist_ok=True)
    for layer in layers:
        with tarfile.open(layer) as tar:
            # 3. markers: ".wh.NAME" and ".wh..wh..opq"
            for member in tar:
                make(root, tar, member)


def run(lower: str, place: str, *command: str) -> None:
    # 4. user and mount namespace
    # 5. PLACE/upper, PLACE/work, PLACE/merged, and an overlay on the last one
    os.execvp(command[0], command)


verb, *arguments = sys.argv[1:]
unpack(*arguments) if verb == "unpack" else run(*arguments)
