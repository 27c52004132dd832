"""A recipe's PyTorch module after one of pruna's algorithms, with its defaults, that runs timed blocks when asked.

python pruna_server.py FOLDER THREADS SAMPLES.npz torch_dynamic|torch_compile

pruna imports torchvision, and PyPI's build of that has operators that only a CUDA build of PyTorch loads; none of them
is used here, so they are declared, not there.
"""

from __future__ import annotations

import sys
from typing import Any

import modules
import torch
from serving import Served, serve

_DECLARED = torch.library.Library("torchvision", "FRAGMENT")
for _operator in ("nms", "qnms"):
    _DECLARED.define(f"{_operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def opened() -> Served:
    """Smash the module as the command line says."""
    folder, threads, path, how = sys.argv[1:]
    module, names, _ = modules.load(folder)
    # written by a user: from here
    from pruna import SmashConfig, smash

    torch.set_num_threads(int(threads))
    smashed = smash(model=module, smash_config=SmashConfig([how], device="cpu"))
    # to here

    def infer(feed: dict[str, Any]) -> Any:
        with torch.no_grad():
            return smashed(*(torch.from_numpy(feed[name]) for name in names))

    return Served(infer, lambda found: found if isinstance(found, (tuple, list)) else [found], path)


if __name__ == "__main__":
    serve(opened)
