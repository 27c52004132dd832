"""NNCF's post-training quantization of an OpenVINO model with its defaults, in an environment of its own.

python nncf_openvino.py cnn|transformer MODEL.onnx SAMPLES.npz OUT.xml
"""

from __future__ import annotations

import sys

import nncf
import openvino
import samples


def main() -> None:
    """Quantize as the command line says: a transformer gets the scheme that NNCF has for those."""
    kind, model, data, out = sys.argv[1:]
    feeds = samples.read(data)
    # written by a user: from here
    quantized = nncf.quantize(
        openvino.Core().read_model(model),
        nncf.Dataset(feeds),
        model_type=nncf.ModelType.TRANSFORMER if kind == "transformer" else None,
        subset_size=len(feeds),
    )
    openvino.save_model(quantized, out, compress_to_fp16=False)
    # to here


if __name__ == "__main__":
    main()
