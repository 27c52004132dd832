"""A recipe's PyTorch module after one of pruna's algorithms, with its defaults, that runs timed blocks when asked.

python pruna_server.py FOLDER THREADS SAMPLES.npz torch_dynamic|torch_compile
"""

from __future__ import annotations

import sys
from typing import Any

import modules
import torch
from pruna import SmashConfig, smash
from serving import Served, serve


def opened() -> Served:
    """Smash the module as the command line says."""
    folder, threads, path, how = sys.argv[1:]
    module, names = modules.load(folder)
    # written by a user: from here
    torch.set_num_threads(int(threads))
    smashed = smash(model=module, smash_config=SmashConfig([how], device="cpu"))
    # to here

    def infer(feed: dict[str, Any]) -> Any:
        with torch.no_grad():
            return smashed(*(torch.from_numpy(feed[name]) for name in names))

    return Served(infer, lambda found: found if isinstance(found, (tuple, list)) else [found], path)


if __name__ == "__main__":
    serve(opened)
