"""Falling back node by node, with faults put into the quantizer on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
import pytest
from quantization_models import cnn, random

from mlopt.compress.quantization import integers as module
from mlopt.compress.quantization.graph import prepare
from mlopt.compress.quantization.integers import IntegerJob, quantize
from mlopt.compress.quantization.observe import observe
from mlopt.compress.quantization.scheme import Integers, Mode, Scheme
from mlopt.data.dataset import Samples, store
from mlopt.formats.onnx.file import open_onnx, read_graph

HONEST = module._write_static


def job(folder: Path) -> IntegerJob:
    model = open_onnx(cnn(folder / "m.onnx"))
    prepared = prepare(model, folder)
    feeds = {"image": random(4, 3, 8, 8)}
    data = store(Samples(feeds), folder / "data", "test")
    nodes = tuple(node.name for node in read_graph(prepared.path).graph.node)
    how = Integers(Scheme.U8S8, reduce_range=True, reason="test")
    ranges = observe(prepared, data, model.inputs)
    return IntegerJob(prepared, Mode.STATIC, how, nodes, per_channel=True, excluded={}, ranges=ranges, feeds=feeds)


def scales(path: Path, weight: str) -> list[int]:
    return next(list(t.dims) for t in read_graph(path).graph.initializer if t.name == f"{weight}_scale")


def test_without_a_fault_every_weight_has_one_scale_per_channel(tmp_path: Path) -> None:
    outcome = quantize(job(tmp_path), tmp_path / "q.onnx")
    assert (outcome.fault, outcome.left, outcome.per_tensor) == (None, {}, {})
    assert outcome.quantized == {"first", "second", "head"}
    assert scales(tmp_path / "q.onnx", "w2") == [16]


def test_a_node_that_fails_per_channel_gets_one_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(task: IntegerJob, nodes: Sequence[str], per_tensor: Sequence[str]) -> onnx.ModelProto:
        if "second" in nodes and "second" not in per_tensor:
            raise ValueError("axis out of range")
        return HONEST(task, nodes, per_tensor)

    monkeypatch.setattr(module, "_write_static", write)
    outcome = quantize(job(tmp_path), tmp_path / "q.onnx")
    assert outcome.per_tensor == {"second": "the quantizer failed: ValueError: axis out of range"}
    assert outcome.quantized == {"first", "second", "head"}
    assert scales(tmp_path / "q.onnx", "w2") == []
    assert scales(tmp_path / "q.onnx", "w1") == [8]


def test_a_node_that_always_fails_stays_in_floating_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(task: IntegerJob, nodes: Sequence[str], per_tensor: Sequence[str]) -> onnx.ModelProto:
        proto = HONEST(task, nodes, per_tensor)
        if "head" in nodes:  # a file that the loader refuses
            next(node for node in proto.graph.node if node.name == "head").op_type = "NoSuchOperator"
        return proto

    monkeypatch.setattr(module, "_write_static", write)
    outcome = quantize(job(tmp_path), tmp_path / "q.onnx")
    assert list(outcome.left) == ["head"]
    assert outcome.left["head"].startswith("onnxruntime refused the result: ")
    assert outcome.quantized == {"first", "second"}


def test_when_nothing_works_the_fault_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(*_: object) -> onnx.ModelProto:
        raise TypeError("the truth value of an array is ambiguous")

    monkeypatch.setattr(module, "_write_static", write)
    outcome = quantize(job(tmp_path), tmp_path / "q.onnx")
    assert outcome.quantized == frozenset()
    assert outcome.fault == "no node is left to quantize"
    assert "truth value" in outcome.left["first"]


def test_of_nodes_that_fail_only_together_one_stays_in_floating_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(task: IntegerJob, nodes: Sequence[str], per_tensor: Sequence[str]) -> onnx.ModelProto:
        if {"first", "head"} <= set(nodes):
            raise ValueError("not both")
        return HONEST(task, nodes, per_tensor)

    monkeypatch.setattr(module, "_write_static", write)
    outcome = quantize(job(tmp_path), tmp_path / "q.onnx")
    assert outcome.fault is None
    assert outcome.left == {"head": "the quantizer failed: ValueError: not both"}
    assert outcome.quantized == {"first", "second"}
