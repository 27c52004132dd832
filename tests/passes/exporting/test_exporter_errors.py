from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlopt.formats.torch.advice import GRADIENTS
from mlopt.passes.exporting.exporter_errors import FIX_BRANCH, HERE, cause, explain, user_line

torch = pytest.importorskip("torch", reason="exporting needs the extra mlopt[torch]")


def raised(message: str, inner: Exception | None = None) -> Exception:
    error = RuntimeError(message)
    error.__cause__ = inner
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (raised("Failed. Next steps:\n- ask", ValueError("no such view\nWhile executing")), "no such view"),
        (ValueError("Conflicts found:\n- a static shape of 3\nmore"), "Conflicts found: a static shape of 3"),
        (KeyError("mode"), "KeyError: 'mode'"),
        (AssertionError(), "AssertionError"),
        (ValueError("STFT has no complex types  [Caused by the value '52']"), "STFT has no complex types"),
    ],
)  # fmt: skip
def test_the_cause_is_one_line_of_the_innermost_error(error: Exception, said: str) -> None:
    assert cause(error) == said


def test_the_line_is_the_users_own(tmp_path: Path) -> None:
    own = tmp_path / "net.py"
    own.touch()
    frames = f'''File "{own}", line 7, in forward\nFile "/x/site-packages/torch/nn.py", line 3, in linear'''
    assert user_line(raised(frames)) == f"{own}:7"
    assert user_line(raised("no frames")) == HERE


@pytest.mark.parametrize(
    ("message", "fix"),
    [
        ("Could not guard on data-dependent expression Eq(u0, 1)", FIX_BRANCH),
        ("STFT does not currently support complex types", "compute with real numbers: torch.view_as_real()"),
        (
            "inferred a static shape of 3 for dimension inputs['tensors'][0].shape[1].",
            "declare a number instead of 'n'",
        ),
        ("Exporting the operator 'aten::relu' to ONNX opset version 20 is not supported", "from other operators"),
        ("something else", "the log has all that the exporter says"),
    ],
)
def test_each_kind_of_failure_has_its_fix(message: str, fix: str) -> None:
    from mlopt.formats.model import TensorSpec

    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(x)

    problem = explain("dynamo", raised(message), Net(), [TensorSpec("x", "float32", ("b", "n"))], [torch.ones(2, 3)])
    assert problem.what == "PyTorch cannot export the model: the dynamo exporter failed"
    assert fix in str(problem.fix)
    assert ("'n' of input 'x'" in str(problem.got)) == ("static shape" in message)
    if "aten::relu" in message:
        assert str(problem.where).startswith(f"{__file__}:")


@pytest.mark.parametrize("operator", ["aten._linalg_svd", "aten::linalg_svdvals", "prims.bessel_i0", "aten._fft_r2c"])
def test_an_operators_line_is_found_by_either_of_its_names(operator: str) -> None:
    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x * 2
            return torch.linalg.svdvals(x) + torch.special.i0(x[0]) + torch.fft.rfft(x).real.sum()

    problem = explain("dynamo", raised(f"no ONNX function for {operator}"), Net(), [], [torch.ones(2, 2)])
    assert problem.where == f"{__file__}:{Net.forward.__code__.co_firstlineno + 2}"


@pytest.mark.parametrize(
    "derived",
    [
        lambda x: torch.autograd.grad((x.detach().requires_grad_() * 2).sum(), x)[0],
        lambda x: (x.detach().requires_grad_() * 2).sum().backward() or x,
    ],
)
def test_a_gradient_inside_forward_is_named_whatever_the_exporter_says(derived: Callable[[Any], Any]) -> None:
    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.requires_grad_()
            with torch.enable_grad():
                return derived(x) + 1

    problem = explain("dynamo", raised("We found a fake tensor in the constants"), Net(), [], [torch.ones(2, 2)])
    assert problem.fix == GRADIENTS
    assert str(problem.where).startswith(f"{__file__}:")


def test_a_tensor_that_merely_could_have_a_gradient_is_no_gradient() -> None:
    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.requires_grad_() * 2

    assert explain("dynamo", raised("something else"), Net(), [], [torch.ones(2, 2)]).where == HERE
