"""What the protocol says of a model."""

from __future__ import annotations

from served_models import loaded
from virtual_time import run

from mlopt import __version__
from mlopt.serve import metadata
from mlopt.serve.models import ServedModel, ServedVersion


def test_a_server_says_which_extensions_it_has() -> None:
    assert metadata.of_server() == {"name": "mlopt", "version": __version__, "extensions": ["binary_tensor_data"]}


def test_a_model_says_what_it_takes_and_which_artifact_it_is() -> None:
    async def work() -> None:
        model, version = ServedModel("m"), ServedVersion(loaded(digest="d", version=3), lambda _rows, _seconds: None)
        model.add(version)
        assert metadata.of_model(model, version) == {
            "name": "m", "versions": ["3"], "platform": "mlopt_python",
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
            "parameters": {"digest": "d", "version": "3"},
        }  # fmt: skip

    run(work())
