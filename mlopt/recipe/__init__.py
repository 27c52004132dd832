"""The recipe: what to optimize, for which target, by which passes, and what the result must be worth."""

from mlopt.recipe.generate import load_source
from mlopt.recipe.load import Loaded, load

__all__ = ["Loaded", "load", "load_source"]
