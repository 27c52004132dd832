"""How ``keep_first`` of ``efficientnet_lite0.yaml`` was chosen: on photographs that judge nothing else.

It takes the least number of first layers kept in FP32 that reaches the highest agreement with the original.
Run on 2026-11-23, with 120 views of three photographs: 83.3 % with none, then 85.8, 87.5, 88.3, 88.3, 90.0, and 91.7 %
with 6, 7 and 8.

    python recipes/efficientnet_lite0_selection.py
"""

from __future__ import annotations

import sys
from pathlib import Path

from mlopt.workflow import Request, planned_for, ready, transform

RECIPE = Path(__file__).with_name("efficientnet_lite0.yaml")
MOST = 8


def agreement(keep_first: int) -> float:
    """Return the share of the selection's views on which the quantized model names the original's class."""
    passes = f"passes=[export, simplify, {{quantize: {{mode: static, keep_first: {keep_first}}}}}]"
    views = "data.evaluation.source=./efficientnet_lite0.py:selection"
    with planned_for(Request(RECIPE, overrides=(passes, views), allow_code=True, sign=False)) as planned:
        transformed = transform(ready(planned))
        quantized = transformed.outcomes[-1].model
        if quantized is None:
            raise ValueError(f"nothing was quantized: {transformed.outcomes[-1].reason}")
        return transformed.evaluator.accuracy(quantized).value


def main() -> None:
    shares = []
    for number in range(MOST + 1):
        shares.append(agreement(number))
        sys.stdout.write(f"keep_first: {number}  agreement {shares[-1]:.1%}\n")
        sys.stdout.flush()
    sys.stdout.write(f"chosen: {shares.index(max(shares))}\n")


if __name__ == "__main__":
    main()
