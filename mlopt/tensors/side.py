"""One of two compared models, run with tensors exposed that are no outputs of its own.

The exposed graph never touches the disk: onnxruntime takes it from memory, and finds external weights where they are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlopt.core.errors import ModelError
from mlopt.data.dataset import Array
from mlopt.formats.model import Model
from mlopt.formats.onnx.graph import subgraphs
from mlopt.formats.onnx.order import sort_nodes
from mlopt.formats.table import graph_of
from mlopt.runtimes.base import Deployable
from mlopt.runtimes.fixed import Check, check_of
from mlopt.runtimes.onnxruntime import cause, import_onnxruntime, refused, runtime_errors, session_options
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions
from mlopt.tensors.graph import View, exposed

if TYPE_CHECKING:
    import onnx
    import onnxruntime

_EXTERNAL_FOLDER = "session.model_external_initializers_file_folder_path"
_NOTHING = 4
_FLOATS = frozenset({"tensor(float)", "tensor(float16)", "tensor(double)"})
_EXACT = frozenset(
    f"tensor({name})"
    for name in ("bool", "string", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
)


@dataclass(frozen=True)
class Side:
    """A model as read, its nodes in order, its external tensors left where they are."""

    model: Model
    options: OnnxRuntimeOptions
    proto: onnx.ModelProto
    dtypes: Mapping[str, int]
    """The ONNX types of its tensors, as far as they can be inferred."""
    deployed_in: str
    """The runtime that it is deployed in; another one may compute tensors otherwise."""

    @classmethod
    def of(cls, deployable: Deployable) -> Side:
        """Read a model, which ONNX Runtime will run whatever it is deployed in; raises ``ModelError``."""
        import onnx

        model, options = deployable.model, deployable.options
        if not isinstance(options, OnnxRuntimeOptions):
            options = OnnxRuntimeOptions(threads=options.threads, device=options.device)
        proto = graph_of(model)
        sort_nodes(proto.graph)
        graph = proto.graph
        with contextlib.suppress(onnx.shape_inference.InferenceError, ValueError):  # the runtime will tell
            graph = onnx.shape_inference.infer_shapes(proto).graph
        known = (*graph.value_info, *graph.output)
        dtypes = {value.name: value.type.tensor_type.elem_type for value in known}
        return cls(model, options, proto, dtypes, deployable.runtime)

    def notes(self) -> list[str]:
        """Return what of the model cannot be compared."""
        kinds = sorted({node.op_type for node in self.proto.graph.node if any(True for _ in subgraphs(node))})
        name, found = self.model.path.name, []
        if kinds:
            found.append(f"{name}: the bodies of {', '.join(kinds)} are not looked into")
        if self.deployed_in != "onnxruntime":
            found.append(f"{name}: it is deployed in {self.deployed_in}; these are its tensors in onnxruntime")
        return found

    def open(self, views: Sequence[View]) -> Exposed:
        """Load a copy with ``views`` among its outputs; raises ``ModelError``."""
        native = session_options(self.options, self.model)
        native.add_session_config_entry(_EXTERNAL_FOLDER, str(self.model.path.parent.resolve()))
        native.log_severity_level = _NOTHING  # what it reports is in the exception
        graph = exposed(self.proto, views)
        try:
            session = import_onnxruntime().InferenceSession(graph, native, providers=["CPUExecutionProvider"])
        except runtime_errors() as error:
            raise refused(self.model.path, cause(error)) from error
        own = frozenset(spec.name for spec in self.model.outputs)
        return Exposed(str(self.model.path), own, session, check_of(self.model))


class Exposed:
    """A loaded model whose inner tensors can be asked for."""

    def __init__(
        self, where: str, own: frozenset[str], session: onnxruntime.InferenceSession, check: Check | None
    ) -> None:
        self._where, self._check = where, check
        self._session = session
        self._comparable = frozenset(
            value.name
            for value in session.get_outputs()
            if value.type in _FLOATS or (value.name in own and value.type in _EXACT)
        )

    def comparable(self, view: View) -> bool:
        """Whether the tensor is floating point, or an output of the model itself."""
        return view.output in self._comparable

    def run(self, names: Sequence[str], feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run one inference and return the tensors of these names; raises ``ModelError``."""
        wanted = list(dict.fromkeys(names))
        if not wanted:
            return {}
        if self._check is not None:
            self._check(feeds)
        try:
            found = self._session.run(wanted, dict(feeds))
        except runtime_errors() as error:
            got = ", ".join(f"{name}: {array.dtype}{list(array.shape)}" for name, array in feeds.items())
            raise ModelError(
                f"ONNX Runtime could not run the model: {cause(error)}", where=self._where, got=got
            ) from error
        return dict(zip(wanted, found, strict=True))
