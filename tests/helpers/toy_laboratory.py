"""A laboratory that any process can open, whose calls wait, fail or die as they are told."""

from __future__ import annotations

import functools
import os
import signal
import time
from pathlib import Path
from typing import Any

from mlopt.core.errors import PassError, UserError


class ToyLaboratory:
    """Writes what it does into ``folder``: a file for each that was opened, and for each that was closed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = f"{os.getpid()}-{time.monotonic_ns()}"
        (folder / f"opened-{self._name}").touch()

    def wait(self, number: int, seconds: float) -> dict[str, Any]:
        time.sleep(seconds)
        return {"number": number, "pid": os.getpid(), "threads": os.environ.get("OMP_NUM_THREADS")}

    def fail(self) -> None:
        raise PassError("it does not converge", got="NaN")

    def stumble(self) -> None:
        raise ZeroDivisionError("a fault of the program")

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def die_once(self, name: str) -> str:
        """Die the first time that anybody asks under this name."""
        try:
            (self._folder / name).touch(exist_ok=False)
        except FileExistsError:
            return "alive"
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("dead")

    def close(self) -> None:
        (self._folder / f"closed-{self._name}").touch()


def _refuse() -> ToyLaboratory:
    raise UserError("the recipe is no recipe", where="recipe.yaml:3", fix="write one")


def opener(folder: Path) -> functools.partial[ToyLaboratory]:
    return functools.partial(ToyLaboratory, folder)


refusing = _refuse
