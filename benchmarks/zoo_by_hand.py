"""Architectures that need nothing but PyTorch: recurrent, convolutional in time, graphs, tables, heads of detectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as fun


class Lstm(nn.Module):
    """Two layers in both directions, and a class for the last step."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 16, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, time, 8] to [batch, 5]."""
        return self.head(self.lstm(x)[0][:, -1])


class Gru(nn.Module):
    """Takes and gives its state, as a streaming model does; the batch comes first there, too."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(8, 16, num_layers=2, batch_first=True)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, time, 8] and [batch, 2, 16] to [batch, time, 5] and the next state."""
        values, state = self.gru(x, state.transpose(0, 1).contiguous())
        return self.head(values), state.transpose(0, 1)


class Tcn(nn.Module):
    """Causal convolutions, each with twice the reach of the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv1d(8, 8, 3, dilation=2**level) for level in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm1d(8) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """[batch, 8, time] to the same."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = x + torch.relu(norm(layer(fun.pad(x, (2 * layer.dilation[0], 0)))))
        return x


class Crnn(nn.Module):
    """A recognizer of text lines: convolutions, then an LSTM along the width."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, (4, 1), 1), nn.ReLU(),
            nn.MaxPool2d((4, 1)),
        )  # fmt: skip
        self.lstm = nn.LSTM(16, 16, bidirectional=True, batch_first=True)
        self.head = nn.Linear(32, 20)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, 1, 32, width] to log-probabilities [batch, width / 2, 20]."""
        columns = self.features(x).squeeze(2).transpose(1, 2)
        return fun.log_softmax(self.head(self.lstm(columns)[0]), -1)


class UNet(nn.Module):
    """Down, up, and across; the way up asks for the size of what it meets."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([self._block(3, 8), self._block(8, 16), self._block(16, 32)])
        self.up = nn.ModuleList([self._block(48, 16), self._block(24, 8)])
        self.head = nn.Conv2d(8, 4, 1)

    @staticmethod
    def _block(before: int, after: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.SiLU())

    def forward(self, x: Tensor) -> Tensor:
        """[batch, 3, height, width] to [batch, 4, height, width]."""
        kept = []
        for level, block in enumerate(self.down):
            x = block(fun.max_pool2d(x, 2) if level else x)
            kept.append(x)
        for block, other in zip(self.up, kept[-2::-1], strict=True):
            x = block(torch.cat([fun.interpolate(x, size=other.shape[2:], mode="bilinear"), other], 1))
        return self.head(x)


class YoloHead(nn.Module):
    """Boxes from a grid that is made anew whenever the size of the picture changes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), nn.BatchNorm2d(8), nn.SiLU(), nn.Conv2d(8, 9, 3, 4, 1))
        self.grid, self.shape = torch.empty(0), None

    def forward(self, x: Tensor) -> Tensor:
        """[batch, 3, height, width] to [batch, 9, places]."""
        y = self.stem(x)
        if self.shape != y.shape:
            down, across = (torch.arange(size) + 0.5 for size in y.shape[2:])
            self.grid = torch.stack(torch.meshgrid(across, down, indexing="xy"))
            self.shape = y.shape
        centre = (y[:, :2].sigmoid() * 2 - 0.5 + self.grid) * 16
        return torch.cat([centre, y[:, 2:4].exp() * 16, y[:, 4:].sigmoid()], 1).flatten(2)


class RawDetector(nn.Module):
    """A detector without what comes after the network: one tensor of boxes, one of scores."""

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Return what the head gives for all levels."""
        return self.head(list(self.backbone(image).values()))


class Gnn(nn.Module):
    """Two rounds of messages along edges, summed where they arrive."""

    def __init__(self) -> None:
        super().__init__()
        self.send = nn.ModuleList([nn.Linear(8, 16), nn.Linear(16, 16)])
        self.keep = nn.ModuleList([nn.Linear(8, 16), nn.Linear(16, 16)])

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        """[batch, nodes, 8] and [batch, edges, 2] to [batch, nodes, 16]."""
        start, end = edges.unbind(-1)
        degree = torch.zeros(x.shape[:2]).scatter_add_(1, end, torch.ones_like(end, dtype=x.dtype))
        for send, keep in zip(self.send, self.keep, strict=True):
            values = send(x)
            message = values.gather(1, start[..., None].expand(-1, -1, values.shape[2]))
            total = torch.zeros_like(values).scatter_add_(1, end[..., None].expand_as(message), message)
            x = torch.tanh(keep(x) + total / degree.clamp(min=1)[..., None])
        return x


class MaskedTransformer(nn.Module):
    """PyTorch's own encoder; what is 1 is padding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, ids: Tensor) -> Tensor:
        """[batch, time] to [batch, 16]."""
        padding = ids == 1
        values = self.encoder(self.embed(ids), src_key_padding_mask=padding)
        kept = (~padding).unsqueeze(-1).to(values.dtype)
        return (values * kept).sum(1) / kept.sum(1).clamp(min=1)


class FtTransformer(nn.Module):
    """A table's row as a sentence: a token per column."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.randn(6, 16)), nn.Parameter(torch.randn(6, 16))
        self.tables = nn.ModuleList(nn.Embedding(10, 16) for _ in range(3))
        self.first = nn.Parameter(torch.randn(1, 1, 16))
        self.layers = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2)
        self.head = nn.Linear(16, 1)

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        """[batch, 6] and [batch, 3] to [batch, 1]."""
        tokens = [table(categories[:, column]) for column, table in enumerate(self.tables)]
        numeric = numbers[..., None] * self.scale + self.shift
        tokens = torch.cat([self.first.expand(len(numbers), -1, -1), numeric, torch.stack(tokens, 1)], 1)
        return self.head(self.layers(tokens)[:, 0])


class TabNet(nn.Module):
    """Steps that each choose their columns by sparsemax, and give gated units."""

    def __init__(self, columns: int = 12) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(columns)
        self.choose = nn.ModuleList(nn.Linear(16, columns) for _ in range(3))
        self.step = nn.ModuleList(nn.Linear(columns, 32) for _ in range(3))
        self.start, self.head = nn.Linear(columns, 16), nn.Linear(16, 2)

    @staticmethod
    def _sparsemax(x: Tensor) -> Tensor:
        ordered = x.sort(dim=-1, descending=True).values
        rank = torch.arange(1, x.shape[-1] + 1)
        inside = 1 + rank * ordered > ordered.cumsum(-1)
        count = inside.sum(-1, keepdim=True)
        threshold = ((ordered * inside).sum(-1, keepdim=True) - 1) / count
        return torch.relu(x - threshold)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, columns] to [batch, 2]."""
        x = self.norm(x)
        state, prior, total = self.start(x), torch.ones_like(x), 0.0
        for choose, step in zip(self.choose, self.step, strict=True):
            chosen = self._sparsemax(choose(state) * prior)
            prior = prior * (1.3 - chosen)
            state = fun.glu(step(chosen * x))
            total = total + torch.relu(state)
        return self.head(total)


class TwoTower(nn.Module):
    """A recommender: the mean of embeddings on each side, and how well they fit."""

    def __init__(self) -> None:
        super().__init__()
        self.user, self.item = nn.EmbeddingBag(30, 16, mode="mean"), nn.EmbeddingBag(30, 16, mode="sum")
        self.towers = nn.ModuleList(nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 8)) for _ in range(2))

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        """[batch, 4] numbers on both sides to [batch]."""
        left, right = self.towers[0](self.user(user)), self.towers[1](self.item(item))
        return fun.cosine_similarity(left, right, dim=-1)
