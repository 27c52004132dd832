"""neural-compressor's static INT8 of a PyTorch module with its defaults, exported to ONNX.

python neural_compressor_onnx.py static FOLDER SAMPLES.npz OUT.onnx

It has no ONNX of its own any more: the module is traced and quantized (PT2E), and PyTorch exports the result, at the
shapes of the samples.
"""

from __future__ import annotations

import sys

import modules
import samples
import torch
from neural_compressor.torch.quantization import StaticQuantConfig, quantize


def main() -> None:
    """Quantize as the command line says."""
    _, folder, data, out = sys.argv[1:]
    module, names, results = modules.load(folder)
    feeds = [tuple(torch.from_numpy(feed[name]) for name in names) for feed in samples.read(data)]

    # written by a user: from here
    def calibrate(prepared: torch.nn.Module) -> None:
        for feed in feeds:
            prepared(*feed)

    with torch.no_grad():
        graph = torch.export.export(module, feeds[0]).module()
        graph._exported, graph.dynamic_shapes = True, None  # by these neural-compressor knows a traced graph
        quantized = quantize(graph, StaticQuantConfig(), run_fn=calibrate)
        named = {"input_names": names, "output_names": results}
        torch.onnx.export(quantized, feeds[0], out, dynamo=True, external_data=False, **named)
    # to here


if __name__ == "__main__":
    main()
