"""A model as voice detectors are: a rate that decides which branch is taken, a state, conditions on sizes inside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import parser

from mlopt.data.dataset import Array
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import open_onnx

HEADER = '<ir_version: 9, opset_import: ["": 20]>\n'
VOICE = """
voice (float[batch, time] x, float[2, batch, 4] state, int64 rate, bool loud)
   => (float[batch, time] y, float[2, batch, 4] next)
   <int64 wide = {16000}, int64 axis = {0}, int64 one = {1}, float gain = {3}, float half = {0.5}> {
  is_wide = Equal(rate, wide)
  y0, next = If(is_wide) <
    then_branch = a () => (float[batch, time] y1, float[2, batch, 4] s1) {
      size = Shape(x)
      rows = Gather(size, axis)
      single = Equal(rows, one)
      scaled = If(single) <
        then_branch = aa () => (float[batch, time] t) { t = Mul(x, gain) },
        else_branch = ab () => (float[batch, time] t) { t = Mul(x, half) }
      >
      y1 = Neg(scaled)
      s1 = Add(state, half)
    },
    else_branch = b () => (float[batch, time] y1, float[2, batch, 4] s1) {
      scaled = Add(x, gain)
      y1 = Abs(scaled)
      s1 = Mul(state, gain)
    }
  >
  y = If(loud) <
    then_branch = c () => (float[batch, time] t) { t = Mul(y0, gain) },
    else_branch = d () => (float[batch, time] t) { t = Identity(y0) }
  >
}
"""


def written(path: Path, text: str = VOICE) -> Model:
    """Write a model that is given as text, which onnx itself accepts."""
    proto = parser.parse_model(HEADER + text)
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, path)
    return open_onnx(path)


def voice_feeds(
    rows: int = 1, time: int = 6, rate: int = 16000, *, loud: bool = True, seed: int = 0
) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    return {
        "x": random.standard_normal((rows, time)).astype(np.float32),
        "state": random.standard_normal((2, rows, 4)).astype(np.float32),
        "rate": np.array(rate), "loud": np.array(loud),
    }  # fmt: skip


def voice_samples(count: int = 8, rate: int = 16000) -> dict[str, Array]:
    """Return whole inputs, of a batch of one."""
    each = [voice_feeds(rate=rate, seed=seed) for seed in range(count)]
    return {name: np.stack([feeds[name] for feeds in each]) for name in each[0]}
