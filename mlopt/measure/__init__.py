"""Measuring: latency between processes, outputs and scores on the evaluation data, and the statistics of both."""
