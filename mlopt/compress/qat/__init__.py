"""Quantization-aware training: a graph that rounds as INT8 kernels do, while its weights and ranges still learn."""
