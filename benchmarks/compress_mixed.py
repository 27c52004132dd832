"""A network that nobody wrote with pruning in mind: what torchvision and timm are made of, in one small model.

Depthwise and grouped convolutions, squeeze-excite, a concatenation, and attention with heads, for digits of 28 x 28.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class SqueezeExcite(nn.Module):
    """Weighs channels by what the whole picture says."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(width, width // 4, 1), nn.Conv2d(width // 4, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of ``x``."""
        return x * torch.sigmoid(self.up(torch.relu(self.down(x.mean((2, 3), keepdim=True)))))


class Inverted(nn.Module):
    """Wide in the middle, where each channel is convolved by itself."""

    def __init__(self, width: int, wider: int) -> None:
        super().__init__()
        self.expand, self.expand_norm = nn.Conv2d(width, wider, 1, bias=False), nn.BatchNorm2d(wider)
        self.depthwise = nn.Conv2d(wider, wider, 3, 1, 1, groups=wider, bias=False)
        self.depthwise_norm, self.excite = nn.BatchNorm2d(wider), SqueezeExcite(wider)
        self.project, self.project_norm = nn.Conv2d(wider, width, 1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of ``x``."""
        y = functional.hardswish(self.expand_norm(self.expand(x)))
        y = self.excite(functional.hardswish(self.depthwise_norm(self.depthwise(y))))
        return x + self.project_norm(self.project(y))


class Branches(nn.Module):
    """Two ways side by side, one of them in groups, put together again."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.plain = nn.Conv2d(inputs, outputs // 2, 1)
        self.grouped = nn.Conv2d(inputs, outputs // 2, 3, 1, 1, groups=4)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return features [batch, outputs, height, width]."""
        return torch.relu(self.norm(torch.cat([self.plain(x), self.grouped(x)], 1)))


class Attention(nn.Module):
    """Attention among the places of a picture."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.num_heads = heads
        self.norm, self.qkv, self.proj = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens of the shape of ``x``, [batch, tokens, width]."""
        batch, tokens, _ = x.shape
        query, key, value = self.qkv(self.norm(x)).reshape(batch, tokens, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return x + self.proj(mixed.transpose(1, 2).reshape(batch, tokens, -1))


class Mixed(nn.Module):
    """Pictures [batch, 1, 28, 28] to logits [batch, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.first, self.down = Inverted(32, 128), nn.Conv2d(32, 64, 3, 2, 1)
        self.branches, self.second = Branches(64, 64), Inverted(64, 256)
        self.attention, self.head = Attention(64, 4), nn.Linear(64, 10)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits."""
        x = self.second(self.branches(self.down(self.first(self.stem(image)))))
        return self.head(self.attention(x.flatten(2).transpose(1, 2)).mean(1))


def build() -> nn.Module:
    """Return the network, untrained."""
    torch.manual_seed(0)
    return Mixed()
