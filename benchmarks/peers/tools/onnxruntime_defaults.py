"""ONNX Runtime's own quantizers as they come: no option beyond those that the call needs.

python onnxruntime_defaults.py dynamic|static MODEL SAMPLES.npz OUT.onnx

Both get the model that its documentation asks for, from ``quant_pre_process``, as far as that succeeds.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import samples
from onnxruntime.quantization import CalibrationDataReader, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process


# written by a user: from here, static
class Reader(CalibrationDataReader):  # type: ignore[misc]
    """The samples, one after the other."""

    def __init__(self, path: str) -> None:
        self._feeds = iter(samples.read(path))

    def get_next(self) -> dict[str, Any] | None:
        """Return the next sample, or None after the last."""
        return next(self._feeds, None)


# to here


def main() -> None:
    """Quantize as the command line says."""
    how, model, data, out = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        ready = pre_processed(model, Path(folder) / "pre.onnx")
        # written by a user: from here
        if how == "dynamic":
            quantize_dynamic(ready, out)
        else:
            quantize_static(ready, out, Reader(data))
        # to here


def pre_processed(model: str, out: Path) -> str:
    """Return the model after ONNX Runtime's preparation: whole, or else without the step that some models fail in.

    If both fail, which is said, it is returned as it was.
    """
    # written by a user: from here
    for skip in (False, True):
        try:
            quant_pre_process(model, out, skip_symbolic_shape=skip)
        except Exception as error:  # noqa: BLE001 - whatever it raises, there is a next thing to try
            print(f"quant_pre_process(skip_symbolic_shape={skip}) failed: {error}", file=sys.stderr)
        else:
            return str(out)
    return model
    # to here


if __name__ == "__main__":
    main()
