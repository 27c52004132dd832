"""How a PyTorch model becomes an ONNX graph, and what is checked on the way: the working parts of ``export``."""
