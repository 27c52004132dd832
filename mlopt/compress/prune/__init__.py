"""Pruning: whole channels and heads, which any runtime runs faster; or single weights, for files and sparse kernels."""
