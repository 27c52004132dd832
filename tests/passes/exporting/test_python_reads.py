from __future__ import annotations

import warnings
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="what Python reads of tensors needs the extra mlopt[torch]")

HEAD = "import math\nimport numpy as np\nimport torch\n"


def reads(tmp_path: Path, *lines: str) -> list[tuple[int, bool]]:
    """Trace a forward() of these lines with an ``x`` of [2, 3]; return which lines read a tensor, and if its values."""
    from mlopt.passes.exporting.python_reads import watched

    body = "".join(f"        {line}\n" for line in lines)
    file = tmp_path / "net.py"
    file.write_text(f"{HEAD}class Net(torch.nn.Module):\n    def forward(self, x):\n{body}        return x + 0\n")
    names: dict[str, type[torch.nn.Module]] = {}
    exec(compile(file.read_text(), str(file), "exec"), names)
    module = names["Net"]().eval()
    with warnings.catch_warnings(), watched(module) as found:
        warnings.simplefilter("ignore")
        torch.jit._get_trace_graph(module, (torch.rand(2, 3),))
    first = len(HEAD.splitlines()) + 3
    return [(int(read.line.rpartition(":")[2]) - first, read.of_values) for read in found]


@pytest.mark.parametrize(
    "line",
    [
        "x = x if x.shape[0] > 1 else -x",
        "x = x * int(x.shape[1] * 0.5)",
        "x = x + sum(row for row in x)",
        "x = x if x.shape != (4, 4) else -x",
        "x = x.reshape(-1, int(np.prod(x.shape[1:])))",
        "x = x / math.sqrt(x.size(1))",
        "x = x if torch.zeros_like(x).any() else -x",
        "x = x if torch.cat([x, x]).shape[0] > 2 else -x",
        "x = x if torch.arange(x.shape[1]).sum() > 2 else -x",
        "x = x if torch.ones(3, requires_grad=True).sum() > 2 else -x",
        "x = x * torch.tensor(x.shape[1])",
        "x = x / len(x)",
    ],
)
def test_a_read_of_sizes_is_told_from_one_of_values(tmp_path: Path, line: str) -> None:
    found = reads(tmp_path, "y = x * 2", line)
    assert found
    assert set(found) == {(1, False)}


@pytest.mark.parametrize(
    "line",
    [
        "x = x if x.sum() > 1 else -x",
        "x = x * y.max().item()",
        "x = x * float(y[0, 0])",
        "x = x if y.tolist() else -x",
        "x = x * float(np.asarray(y).max())",
        "x = x * float(np.from_dlpack(y).max())",
        "x = x * torch.tensor(y.max())",
        "x = x * y.data",
        "x = x if torch.equal(x, y) else -x",
        "x = x if 3 in y else -x",
        "x = x if y[y > 0].shape[0] > 3 else -x",
        "x = x if y.nonzero().numel() > 3 else -x",
        "x = sum((row for row in y[y > 0]), x)",
        "x = x + sum(y[y > 0].unbind())",
        "x = x if len(torch.unique(y)) > 3 else -x",
        "x = x if y.repeat_interleave(y[0].long() + 1, 1).shape[1] > 3 else -x",
        "x = x if torch.zeros(2, int(y.shape[0])).add(y[:, :2]).any() else -x",
    ],
)
def test_a_read_of_values_is_found(tmp_path: Path, line: str) -> None:
    assert (1, True) in reads(tmp_path, "y = x * 2", line)


@pytest.mark.parametrize("write", ["z[0] = x[0]", "z.add_(x)", "z[1].copy_(x[1])", "z[:, 1:] += x[:, 1:]"])
def test_what_is_written_into_a_tensor_counts(tmp_path: Path, write: str) -> None:
    found = reads(tmp_path, "z = torch.zeros(2, 3)", "v = z[1]", "bool(z.any())", write, "bool(z.any())")
    assert found == [(2, False), (4, True)]


def test_what_torch_reads_by_itself_is_left_out(tmp_path: Path) -> None:
    assert reads(tmp_path, "torch.distributions.Normal(x, x * 0 + 1)", "str(x)") == []


def test_values_are_followed_through_a_scripted_function(tmp_path: Path) -> None:
    script = "f = torch.jit.script(torch.nn.functional.hardtanh)"
    assert reads(tmp_path, script, "bool(f(x).sum() > 0)") == [(1, True)]
