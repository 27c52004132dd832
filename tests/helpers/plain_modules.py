"""A net whose layers a pass made smaller, and how a folder that mlopt wrote answers where there is no mlopt."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch_sources import make

from mlopt.core.usercode import CodeReference
from mlopt.formats.model import Model
from mlopt.formats.torch.model import load_module, open_torch, save_changed

NET = """
import torch
from widths import WIDTH

def build():
    return torch.nn.Sequential(torch.nn.Linear(3, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, 2))
"""
_ANSWER = """
import sys
sys.modules["mlopt"] = None
import numpy as np, torch
sys.path.insert(0, sys.argv[1])
from build import build
model = build()
x = torch.from_numpy(np.load(sys.argv[2]))
np.save(sys.argv[3], model(x).detach().numpy())
if "--train" in sys.argv:
    model.train()
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(x).sum().backward()
    optimizer.step()
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters()))
"""


def narrowed(folder: Path, text: str = NET, file: str = "net.py") -> Model:
    """Write the net's Python, build it, and make its hidden layer half as wide."""
    (folder / "widths.py").write_text("WIDTH = 8\n")
    (folder / file).write_text(text)
    source = make(folder, CodeReference(folder / file, "build"))
    module = load_module(source).model
    halve(module)
    return open_torch(save_changed(source, module, folder / "changed"))


def halve(module: nn.Module) -> None:
    """Leave every second unit of the hidden layer out."""
    first, last = module[0], module[2]
    width = first.out_features // 2
    first.weight = nn.Parameter(first.weight.detach()[::2].clone())
    first.bias = nn.Parameter(first.bias.detach()[::2].clone())
    last.weight = nn.Parameter(last.weight.detach()[:, ::2].clone())
    first.out_features = last.in_features = width


def answers(model: Model, x: np.ndarray) -> np.ndarray:
    """Return what mlopt gets from the model."""
    with torch.no_grad():
        found: np.ndarray = load_module(model)(torch.from_numpy(x))[0].numpy()
    return found


def answers_without_mlopt(folder: Path, x: np.ndarray, scratch: Path, *more: str) -> np.ndarray:
    """Return what ``build()`` in a folder gives in a process that cannot import mlopt."""
    np.save(scratch / "x.npy", x)
    command = [sys.executable, "-I", "-W", "error::FutureWarning", "-c", _ANSWER, str(folder)]
    done = subprocess.run([*command, str(scratch / "x.npy"), str(scratch / "y.npy"), *more], capture_output=True,
                          text=True, check=False, cwd=scratch)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: np.ndarray = np.load(scratch / "y.npy")
    return found
