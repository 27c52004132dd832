"""Calibration, evaluation and training data: its sources, how mlopt keeps it, and how a model is fed.

``sources`` reads, ``dataset`` stores, ``feeds`` makes batches.
"""

from mlopt.data.dataset import Dataset, Samples, check_disjoint, open_dataset, shared_samples, store
from mlopt.data.feeds import batch_of, batches, check_inputs, predict

__all__ = [
    "Dataset",
    "Samples",
    "batch_of",
    "batches",
    "check_disjoint",
    "check_inputs",
    "open_dataset",
    "predict",
    "shared_samples",
    "store",
]
