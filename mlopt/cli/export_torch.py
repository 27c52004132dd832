"""``mlopt export-torch``: the PyTorch model of an artifact, as a folder that needs no mlopt."""

from pathlib import Path
from typing import Annotated

import typer

from mlopt.cli.signing_options import Identity, Issuer, PublicKey, Roots

_OUT = "The new folder to write.  [default: NAME-torch]"
_CODE = "Run the artifact's Python, to check that what is written answers the same."


def export_torch(
    *,
    directory: Annotated[Path, typer.Argument(metavar="ARTIFACT", help="The artifact.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="DIR", help=_OUT)] = None,
    allow_code: Annotated[bool, typer.Option("--allow-code", help=_CODE)] = False,
    key: PublicKey = None,
    roots: Roots = None,
    identity: Identity = None,
    issuer: Issuer = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write the PyTorch model that passes made, as plain Python.

    It has its weights beside it, and can be trained further; prune and distill make such models.
    The artifact is verified first; exit 4 if it is not what was signed.
    """
    from mlopt.artifact.verify import verify
    from mlopt.cli import console, signing_options
    from mlopt.passes.table import table
    from mlopt.run import plain_module

    verified = verify(directory, signing_options.trust(key, roots, identity, issuer))
    target = out or Path(f"{verified.manifest.name.replace('/', '_')}-torch")
    made = plain_module.write(verified, target, table(), allow_code=allow_code)
    if as_json:
        console.emit_json({
            "folder": str(made.path), "source": made.source, "made_by": made.function,
            "inputs": [spec.as_dict() for spec in made.inputs], "outputs": list(made.outputs),
            "files": list(made.files),
        })  # fmt: skip
        return
    console.out.print(f"wrote {made.path}: build() in build.py makes the module by {made.function}, without mlopt")
    console.out.print("it answers as the artifact's own model does; `model.train()` goes on training it")
    console.out.print(f"as the source of a recipe: {made.source}")
