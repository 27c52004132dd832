"""``mlopt predict``: an artifact over a data set larger than memory, in shards that outlive a kill."""

from mlopt.predict.reading import PredictedRows, errors, read, summary_of

__all__ = ["PredictedRows", "errors", "read", "summary_of"]
