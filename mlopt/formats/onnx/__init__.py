"""ONNX files: opened, bounded, looked into, changed and saved."""
