"""A package that mlopt knows nothing of: a kind of model, a runtime for it, and passes that lead there."""
