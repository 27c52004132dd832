"""``mlopt digest``: the digests that a signature of an artifact covers."""

from pathlib import Path
from typing import Annotated

import typer


def digest(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The artifact.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the SHA-256 of every file, as sha256sum does.

    Last comes the root digest. Checks no signature.
    """
    from mlopt.artifact import sign
    from mlopt.cli import console

    digests = sign.digest(directory)
    if as_json:
        console.emit_json({"root": digests.root, "files": digests.files})
        return
    for name, value in digests.files.items():
        console.out.print(f"{value}  {name}")
    console.out.print(f"{digests.root}  (root)")
