"""A recipe that names every part, and the files that `write_recipe` puts beside it."""

GOOD = """\
apiVersion: mlopt/v1
name: digits
model:
  source: ./digits.py:build
  weights: ./digits.py:train
  inputs: {image: {dtype: float32, shape: [batch, 1, 28, 28]}}
data:
  calibration: {source: ./digits.py:calibration, limit: 256}
  evaluation:  {source: ./digits.py:evaluation}
metric: {name: accuracy}
target: {runtime: onnxruntime, device: cpu, threads: 2, batch_size: 1}
objective: latency
passes:
  - export: {opset: 20}
  - simplify
  - quantize: {mode: static, scheme: auto, optional: true}
gates:
  - {metric: accuracy.drop_pt, max: 0.5}
  - {metric: speedup.median, min: 1.2, vs: onnx_fp32}
"""
