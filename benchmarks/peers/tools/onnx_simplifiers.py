"""A model simplified by onnxsim or onnxslim as they come.

python onnx_simplifiers.py onnxsim|onnxslim MODEL SAMPLES.npz OUT.onnx
"""

from __future__ import annotations

import sys

import onnx


def by_onnxsim(model: str, out: str) -> None:
    """Simplify with onnxsim, which checks its result."""
    # written by a user: from here, onnxsim
    import onnxsim

    simplified, same = onnxsim.simplify(model)
    if not same:
        raise SystemExit("onnxsim found that its result differs from the model")
    onnx.save(simplified, out)
    # to here


def by_onnxslim(model: str, out: str) -> None:
    """Simplify with onnxslim."""
    # written by a user: from here, onnxslim
    import onnxslim

    onnx.save(onnxslim.slim(model), out)
    # to here


if __name__ == "__main__":
    how, source, _, target = sys.argv[1:]
    {"onnxsim": by_onnxsim, "onnxslim": by_onnxslim}[how](source, target)
