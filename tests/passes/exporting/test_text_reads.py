from __future__ import annotations

import logging
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="what Python reads of tensors needs the extra mlopt[torch]")

HEAD = "import dataclasses, logging, torch\nlog = logging.getLogger('net')\n"


def texts_of(tmp_path: Path, line: str) -> list[str]:
    """Return which lines of a forward() with this one make text of a tensor."""
    from mlopt.passes.exporting.text_reads import texts

    file = tmp_path / "net.py"
    file.write_text(f"{HEAD}class Net(torch.nn.Module):\n    def forward(self, x):\n        {line}\n        return x\n")
    names: dict[str, type[torch.nn.Module]] = {}
    exec(compile(file.read_text(), str(file), "exec"), names)
    module = names["Net"]()
    module.own = torch.nn.Linear(1, 1)
    with texts(module) as found:
        module(torch.ones(2, 3))
    return [text.rpartition(":")[2] for text in found]


@pytest.mark.parametrize(
    "line",
    [
        "x = x if 'nan' not in str(x) else -x",
        "x = x * len(repr(x))",
        "x = x * float(f'{x.sum():.1f}')",
        "x = x * float('{:.1f}'.format(x.sum()))",
        "x = x * float(format(x.sum(), '.1f'))",
        "x = x * len('%s' % x)",
        "x = x * len(str([x, x]))",
        "x = x * len(f'{dict(a=x)}')",
        "x = x * len(str(dataclasses.make_dataclass('D', ['a'])(x)))",
        "print('a'); x = x * len(str(x))",
    ],
)
def test_text_of_a_tensor_is_found(tmp_path: Path, line: str) -> None:
    assert set(texts_of(tmp_path, line)) == {"5"}


@pytest.mark.parametrize(
    "line",
    [
        "print(x)",
        "print(f'{x}', str(x.sum()))",
        "log.warning('%s', x)",
        "log.warning(f'{x.sum():.1f}')",
        "logging.warning(str(x))",
        "str(x)",
        "x = x * len(str(self.own.weight))",
        "x = x * len(str(x.shape)) * len(f'{x.dtype} {len(x)}')",
        "torch.distributions.Normal(x, x * 0 + 1)",
    ],
)
def test_text_that_is_only_shown_or_of_weights_and_sizes_is_left_out(
    tmp_path: Path, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert texts_of(tmp_path, line) == []
