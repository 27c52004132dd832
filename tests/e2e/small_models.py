"""A small PyTorch network and its recipe, as a user would write them; it measures only briefly."""

NETWORK = """
import numpy as np
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(1, 8, 3, padding=1)
        self.second = torch.nn.Conv2d(8, 16, 3, stride=2)
        self.head = torch.nn.Linear(16, 4)

    def forward(self, image):
        features = torch.relu(self.second(torch.relu(self.first(image))))
        return self.head(features.mean(dim=(2, 3)))


def build():
    return Net()


def images(seed, count):
    return {"image": np.random.default_rng(seed).standard_normal((count, 1, 12, 12)).astype(np.float32)}


def calibration():
    return images(1, 32)


def evaluation():
    return images(2, 40)
"""

RECIPE = """
apiVersion: mlopt/v1
name: net
model:
  source: ./net.py:build
  inputs: {image: {dtype: float32, shape: [batch, 1, 12, 12]}}
  outputs: [logits]
data:
  calibration: {source: ./net.py:calibration, limit: 16}
  evaluation: {source: ./net.py:evaluation}
metric: {name: agreement}
target: {threads: 1}
passes:
  - export
  - simplify
  - quantize: {mode: static, optional: true}
  - fuse
gates:
  - {metric: fidelity.cosine, min: 0.9}
  - {metric: speedup.median, min: 0.001, on_inconclusive: pass}
measure: {seconds: 0.05, rounds: 7, max_time: 1}
"""
