"""Calibration, evaluation and training data: ``sources`` reads, ``dataset`` keeps, ``feeds`` makes batches of it."""
