"""mlopt: one recipe in; out comes the fastest model that still meets its accuracy budget, signed, with its evidence.

>>> artifact = mlopt.optimize("recipes/mnist_cnn.yaml", allow_code=True)   # runs everything, as the command does
>>> with mlopt.load(artifact.path) as session:                             # verifies first, then opens as measured
...     logits = session.run({"image": batch})["logits"]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Artifact", "MloptError", "Session", "__version__", "load", "optimize"]

if TYPE_CHECKING:
    from mlopt.api import Artifact, Session, load, optimize
    from mlopt.core.errors import MloptError


def __getattr__(name: str) -> Any:
    """Import the public names when they are first used, so that ``import mlopt`` costs nothing."""
    if name == "MloptError":
        from mlopt.core.errors import MloptError

        return MloptError
    if name in __all__:
        from mlopt import api

        return getattr(api, name)
    raise AttributeError(f"module 'mlopt' has no attribute '{name}'")
