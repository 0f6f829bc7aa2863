"""What a student begins with: the text, a picture and the starter, in a directory of their own."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from minibox.errors import SpecError

if TYPE_CHECKING:
    from pathlib import Path

    from minibox.labs.lab import Lab


def start(lab: Lab, where: Path) -> None:
    """Fill *where* for *lab*. Errors: SpecError if something is there already."""
    try:
        where.mkdir(parents=True, exist_ok=True)
        if any(where.iterdir()):
            raise SpecError("directory", str(where), "it is not empty: nothing was written")
        for path in sorted((lab.folder / "starter").rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                target = where / path.relative_to(lab.folder / "starter")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
        (where / "README.md").write_text(lab.text)
    except OSError as error:
        raise SpecError("directory", str(where),
                        f"it cannot be written: {os.strerror(error.errno or 0)}") from error
