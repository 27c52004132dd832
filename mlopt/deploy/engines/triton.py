"""Triton: a model repository for its Python backend, which opens models with the code that is written beside them.

Its own ONNX Runtime backend gets a configuration, too, which nothing here loads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlopt.deploy.contents import ServedContent
from mlopt.deploy.engine import Page, ServedTogether, ServingEngine
from mlopt.deploy.ensemble import Link
from mlopt.deploy.rendering import dims, pbtxt, triton_type
from mlopt.formats.model import TensorSpec
from mlopt.runtimes.base import RuntimeOptions

_LEVELS = {"none": -1, "basic": 1, "extended": 2, "all": 0}
"""As Triton's backend calls ONNX Runtime's levels: 0 is its default, which is all of them."""


def pages(deployment: ServedTogether) -> Iterator[Page]:
    """Yield the files of a model repository, and what starts Triton on it."""
    yield Page("model_runtime.py", "common/model_runtime.py.j2")
    yield Page("start.sh", "triton/start.sh.j2", executable=True)
    for content in deployment.contents:
        told = {"content": content, "tensor": _Tensor(batches=content.batches)}
        own = f"model_repository/{content.name}"
        yield Page(f"{own}/config.pbtxt", "triton/config.pbtxt.j2", told)
        yield Page(f"{folder(content)}/model.py", "triton/model.py.j2")
        yield Page(f"{folder(content)}/model_runtime.py", "common/model_runtime.py.j2")
        if content.manifest.runtime == "onnxruntime":
            native = {"threads": _threads(content.options), "level": _level(content.options)}
            yield Page(f"native_onnxruntime/{content.name}/config.pbtxt", "triton/native.pbtxt.j2", told | native)
    if deployment.link is not None:
        yield from _ensemble(deployment.link)


def folder(content: ServedContent) -> str:
    """Return where Triton looks for a version's files."""
    return f"model_repository/{content.name}/{content.version}"


def ready(deployment: ServedTogether) -> Sequence[str]:
    """Return each model's own readiness: the server's turns to 400 for good after one failed candidate."""
    names = [each.name for each in deployment.contents]
    names += [deployment.link.name] if deployment.link else []
    return [f"/v2/models/{name}/ready" for name in names]


def _ensemble(link: Link) -> Iterator[Page]:
    batches = link.first.batches and link.second.batches
    largest = min(each.settings.largest_batch.whole for each in (link.first, link.second)) if batches else 0
    told = {"link": link, "tensor": _Tensor(batches=batches, reshapes=False), "largest": largest}
    yield Page(f"model_repository/{link.name}/config.pbtxt", "triton/ensemble.pbtxt.j2", told)
    yield Page(f"model_repository/{link.name}/1/README", "triton/empty.j2")


class _Tensor:
    """How an input or output stands in a configuration; the batch axis is not written there.

    A tensor that is nothing but that axis has a dimension of 1 for Triton, and loses it on the way to the model.
    """

    def __init__(self, *, batches: bool, reshapes: bool = True) -> None:
        self._batches, self._reshapes = batches, reshapes

    def __call__(self, spec: TensorSpec) -> str:
        shape = spec.shape[1:] if self._batches else spec.shape
        reshaped = " reshape: { shape: [ ] }" if self._reshapes else ""
        sizes = f"dims: {dims(shape)}" if shape else f"dims: [ 1 ]{reshaped}"
        return f"{{ name: {pbtxt(spec.name)} data_type: {triton_type(spec.dtype)} {sizes} }}"


def _threads(options: RuntimeOptions) -> tuple[int, int]:
    """Return the sizes of both of ONNX Runtime's pools, as mlopt splits the threads."""
    at_a_time = min(int(getattr(options, "inter_op_threads", 1)), options.threads)
    return options.threads - at_a_time + 1, at_a_time


def _level(options: RuntimeOptions) -> int:
    return _LEVELS[str(getattr(options, "graph_optimization", "all"))]


ENGINE = ServingEngine(
    name="triton",
    title="Triton",
    pins=("nvidia-pytriton==0.7.0", "numpy==1.26.4"),
    base_mib=48,
    port=8000,
    start=("./start.sh",),
    local="PYTHON=.venv/bin/python ./start.sh",
    pages=pages,
    folder=folder,
    ready=ready,
    live="/v2/health/live",
    links=True,
    metrics_port=8002,
    query='sum(rate(nv_inference_count{pod=~"NAME-.*"}[1m]))',
    container_env="ADDRESS=0.0.0.0",
)
