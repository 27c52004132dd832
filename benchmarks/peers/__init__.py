"""mlopt beside its rivals: the same models, data, threads and limits, each tool in its own environment."""
