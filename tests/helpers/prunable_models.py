"""Networks to prune, each with something that a pruner trips over: in Python, as a recipe's author writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch_sources import make, write

from mlopt.data.dataset import Dataset, Samples, store
from mlopt.formats.model import Model, TensorSpec

IMAGE = (TensorSpec("image", "float32", ("batch", 3, 16, 16)),)
TOKENS = (TensorSpec("tokens", "int64", ("batch", 12)),)
_HEAD = "from torch import nn\nfrom torch.nn import functional as F\n"

CNN = f"""{_HEAD}
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32)
        self.second, self.third = nn.Conv2d(32, 32, 3, padding=1), nn.Conv2d(32, 32, 3, padding=1)
        self.head = nn.Linear(32, 4)
    def forward(self, image):
        x = torch.relu(self.norm(self.first(image)))
        x = x + self.third(torch.relu(self.second(x)))
        return self.head(x.mean((2, 3)))
def build():
    return Net()
"""
MOBILE = f"""{_HEAD}
class Squeeze(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.down, self.up = nn.Conv2d(width, width // 4, 1), nn.Conv2d(width // 4, width, 1)
    def forward(self, x):
        return x * torch.sigmoid(self.up(torch.relu(self.down(x.mean((2, 3), keepdim=True)))))
class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.wide = nn.Conv2d(width, 2 * width, 1)
        self.depth = nn.Conv2d(2 * width, 2 * width, 3, 1, 1, groups=2 * width)
        self.norm, self.squeeze = nn.BatchNorm2d(2 * width), Squeeze(2 * width)
        self.narrow = nn.Conv2d(2 * width, width, 1)
    def forward(self, x):
        return x + self.narrow(self.squeeze(F.hardswish(self.norm(self.depth(self.wide(x))))))
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.blocks = nn.Conv2d(3, 16, 3, 2, 1), nn.Sequential(Block(16), Block(16))
        self.grouped = nn.Conv2d(16, 32, 3, 1, 1, groups=4)
        self.left, self.right = nn.Conv2d(32, 16, 1), nn.Conv2d(32, 16, 3, 1, 1)
        self.head = nn.Linear(32, 4)
    def forward(self, image):
        x = torch.relu(self.grouped(self.blocks(self.stem(image))))
        x = torch.cat([self.left(x), self.right(x)], dim=1)
        return self.head(x.mean((2, 3)))
def build():
    return Net()
"""
TRANSFORMER = f"""{_HEAD}
class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.num_heads, self.head_dim = heads, width // heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
    def forward(self, x):
        b, n, _ = x.shape
        q, k, v = (f(x).view(b, n, self.num_heads, self.head_dim).transpose(1, 2)
                   for f in (self.query, self.key, self.value))
        x = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, self.num_heads * self.head_dim)
        return self.out(x)
class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
    def forward(self, x):
        x = x + self.attention(self.before(x))
        return x + self.down(F.gelu(self.up(self.after(x))))
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.blocks = nn.Embedding(50, 32), nn.Sequential(Block(32, 4), Block(32, 4))
        self.head = nn.Linear(32, 4)
    def forward(self, tokens):
        return self.head(self.blocks(self.words(tokens)).mean(1))
def build():
    return Net()
"""
STUBBORN = f"""{_HEAD}
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.free, self.counted, self.head = nn.Linear(6, 32), nn.Linear(32, 32), nn.Linear(32, 4)
    def forward(self, image):
        x = torch.relu(self.free(image))
        x = torch.relu(self.counted(x)).view(-1, 4, 8)
        return self.head(x.flatten(1))
def build():
    return Net()
"""
ROWS = (TensorSpec("image", "float32", ("batch", 6)),)
EVERY = {"cnn": (CNN, IMAGE), "mobile": (MOBILE, IMAGE), "transformer": (TRANSFORMER, TOKENS)}


def made(folder: Path, name: str) -> Model:
    source, inputs = EVERY[name]
    return built(folder, source, inputs)


def built(folder: Path, source: str, inputs: tuple[TensorSpec, ...]) -> Model:
    folder.mkdir(parents=True, exist_ok=True)
    return make(folder, write(folder, source), inputs=inputs)


def samples(folder: Path, inputs: tuple[TensorSpec, ...], count: int = 48, seed: int = 0) -> Dataset:
    """Samples of four classes, which their mean tells."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, count)
    (spec,) = inputs
    shape = (count, *(int(size) for size in spec.shape[1:]))
    if spec.dtype == "int64":
        values = (random.integers(0, 10, shape) + 10 * labels.reshape(-1, *[1] * (len(shape) - 1))).astype(np.int64)
    else:
        values = (random.normal(size=shape) + labels.reshape(-1, *[1] * (len(shape) - 1))).astype(np.float32)
    return store(Samples({spec.name: values}, labels), folder / f"samples-{count}-{seed}", "made")
