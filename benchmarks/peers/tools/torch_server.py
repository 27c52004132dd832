"""A recipe's PyTorch module in torch.compile that runs timed blocks when asked.

python torch_server.py FOLDER THREADS SAMPLES.npz default|frozen

``default`` is ``torch.compile(module)``; ``frozen`` also lets its compiler fold the weights, as it does for inference.
"""

from __future__ import annotations

import sys
from typing import Any

import modules
import torch
from serving import Served, serve


def opened() -> Served:
    """Compile the module as the command line says."""
    folder, threads, path, mode = sys.argv[1:]
    module, names, _ = modules.load(folder)
    # written by a user: from here
    torch.set_num_threads(int(threads))
    torch._inductor.config.freezing = mode == "frozen"
    compiled = torch.compile(module)
    # to here

    def infer(feed: dict[str, Any]) -> Any:
        with torch.no_grad():
            return compiled(*(torch.from_numpy(feed[name]) for name in names))

    return Served(infer, lambda found: found if isinstance(found, (tuple, list)) else [found], path)


if __name__ == "__main__":
    serve(opened)
