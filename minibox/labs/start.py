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
        (where / "picture.svg").write_text(picture(lab))
    except OSError as error:
        raise SpecError("directory", str(where),
                        f"it cannot be written: {os.strerror(error.errno or 0)}") from error


def picture(lab: Lab) -> str:
    """The lab's mechanisms, drawn from the plan that a box on this host would have."""
    from minibox import host
    from minibox.cli.options import parse
    from minibox.cli.run import PAGE, arguments
    from minibox.explain.picture import svg
    from minibox.request import box_spec, plan_for

    options, _ = parse(PAGE, lab.picture_options)
    here = host.find()
    plan = plan_for(box_spec(["./command"], **arguments(options)), here)
    return svg(plan, here, lab.picture_mechanisms)
