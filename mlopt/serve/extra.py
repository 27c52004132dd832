"""What serving needs beside mlopt: the packages of the extra ``serve``, asked for before anything is opened."""

from __future__ import annotations

from mlopt.core.errors import MissingPackage
from mlopt.core.packages import install_command, version

_PACKAGES = ("starlette", "uvicorn", "prometheus-client")


def check_extra() -> None:
    """Raise ``MissingPackage`` unless all of them are installed."""
    missing = [name for name in _PACKAGES if version(name) is None]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise MissingPackage(
            f"{' and '.join(missing)} {verb} not installed", got="mlopt serve", fix=install_command("serve")
        )  # fmt: skip
