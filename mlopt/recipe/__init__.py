"""The recipe: what to optimize, for which target, by which passes, and what the result must be worth."""
