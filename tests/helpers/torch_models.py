"""Small PyTorch models as users write them, taken the whole way: built, trained, kept, made again, run."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from deployables import in_runtime

from mlopt.core.errors import MloptError
from mlopt.core.usercode import CodeReference
from mlopt.formats.model import TensorSpec
from mlopt.formats.torch.source import check_rebuilt, make
from mlopt.runtimes.table import open_session

X = (TensorSpec("x", "float32", ("batch", 6)),)
HEAD = """\
import torch
from torch import nn


class Net(nn.Module):
    factor = 1.0

    def __init__(self):
        super().__init__()
        self.f = nn.Linear(6, 4)
        {init}

    def forward(self, {arguments}):
        {forward}


def build():
    {build}


def train(model):
    {train}
"""


def text(
    forward: str = "return self.f(x)", init: str = "pass", arguments: str = "x", build: str = "return Net()",
    train: str = "pass", before: str = "",
) -> str:  # fmt: skip
    """Return the file of a network; ``before`` stands between its imports and its class."""
    written = HEAD.format(
        init=init.replace("\n", "\n        "), arguments=arguments, forward=forward.replace("\n", "\n        "),
        build=build.replace("\n", "\n    "), train=train.replace("\n", "\n    "),
    )  # fmt: skip
    return written.replace("\n\n\nclass", f"\n{before}\n\n\nclass", 1)


def taken(
    folder: Path, code: str, *, trained: bool = False, weights: Path | None = None,
    inputs: Sequence[TensorSpec] = X, outputs: tuple[str, ...] = (),
) -> tuple[dict[str, np.ndarray[Any, Any]], ...]:  # fmt: skip
    """Return what the model that was kept makes of three samples: build, train, keep, make again as if anew, run."""
    (folder / "net.py").write_text(code)
    (folder / "model").mkdir()
    feeds, build = samples(inputs), CodeReference(folder / "net.py", "build")
    with warnings.catch_warnings(action="ignore"):  # of PyTorch, about the old ways that users still go
        train = CodeReference(folder / "net.py", "train") if trained else weights
        made = make(build, train, tuple(inputs), outputs, folder / "model", feeds)
        del sys.modules["mlopt_recipe_net"]  # what another process would not have
        check_rebuilt(made, feeds)
        with open_session(in_runtime(made.model)) as session:
            return tuple(session.run(feed) for feed in feeds)


def samples(inputs: Sequence[TensorSpec], count: int = 3) -> list[dict[str, np.ndarray[Any, Any]]]:
    """Return feeds of one sample each; a free size other than the first is 8."""
    random = np.random.default_rng(0)
    feeds: list[dict[str, np.ndarray[Any, Any]]] = []
    for _ in range(count):
        feed = {}
        for spec in inputs:
            shape = [size if isinstance(size, int) else 8 if axis else 1 for axis, size in enumerate(spec.shape)]
            drawn = random.standard_normal(shape) if spec.dtype.startswith("float") else random.integers(0, 2, shape)
            feed[spec.name] = drawn.astype(spec.dtype)
        feeds.append(feed)
    return feeds


def said(folder: Path, code: str, **how: Any) -> str:
    """Return the message that a user would read, without what differs between machines."""
    try:
        taken(folder, code, **how)
    except MloptError as error:
        told = str(error).replace(str(folder), "<tmp>")
        return re.sub(r"has -?[\d.e+-]+, and -?[\d.e+-]+ when", "has <a>, and <b> when", told) + "\n"
    raise AssertionError("nothing was wrong")


def weights_file(path: Path, state: Mapping[str, Any]) -> Path:
    """Write a file of weights in the format that its name says."""
    import torch
    from safetensors.torch import save_file

    torch.save(dict(state), path) if path.suffix == ".pt" else save_file(dict(state), path)
    return path
