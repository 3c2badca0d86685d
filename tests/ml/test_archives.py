"""Models from ``torch.export`` and ONNX archives are trained as the same models written in Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from cli.task import command
from ml.archives import ArchiveError, Settings, infer_draws, open_archive
from ml.bundle import Bundle
from ml.capture_file import capture_file
from ml.initial import Normal, Uniform

CLASSES = 3


def network() -> nn.Module:
    torch.manual_seed(1)
    first = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.25)
    return nn.Sequential(*first, nn.Linear(4 * 9, 16), nn.GELU(), nn.Linear(16, CLASSES))


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """Bytes of 8 x 8 pixels in rows, as a file of arrays."""
    pixels = np.random.default_rng(2).integers(0, 256, (60, 64), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", pixels=pixels, label=np.arange(60) % CLASSES)
    return tmp_path / "data.npz"


def exported(folder: Path, model: nn.Module, batch: int | None) -> Path:
    example = torch.zeros(batch or 8, 1, 8, 8)
    dynamic = None if batch else ({0: torch.export.Dim("batch", min=2)},)
    torch.export.save(
        torch.export.export(model.train(batch is None), (example,), dynamic_shapes=dynamic), folder / "model.pt2"
    )
    return folder / "model.pt2"


def compile_archive(path: Path, out: Path, samples: Path, **settings: Any) -> Bundle:
    capture_file(path, out, 4, settings.pop("batch_size", None), Settings(data=str(samples), **settings))
    return Bundle.open(out)


def written(folder: Path, samples: Path, batch: int, optimizer: str) -> Bundle:
    """The same model as a task file."""
    (folder / "model.py").write_text(
        f"""
import torch
from torch import nn, optim
from pathlib import Path
from ml.data import load_arrays
from tests.ml.test_archives import network
from ml.archives import infer_draws
DATA = lambda: load_arrays(Path({str(samples)!r}))
BATCH_SIZE = {batch}
INITIAL = infer_draws(network())
def PREPROCESS(x):
    return (x.float() * (1 / 255)).reshape(-1, 1, 8, 8)
def build():
    model = network()
    return model, nn.CrossEntropyLoss(), {optimizer}
"""
    )
    capture_file(folder / "model.py", folder / "written", 4)
    return Bundle.open(folder / "written")


def test_an_exported_model_gives_the_program_of_the_model_itself(tmp_path: Path, samples: Path) -> None:
    path = exported(tmp_path, network(), None)
    bundle = compile_archive(path, tmp_path / "out", samples, batch_size=6, learning_rate=0.01)
    same = written(tmp_path, samples, 6, "optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.0)")
    assert bundle.record.train == same.record.train
    assert bundle.record.init == same.record.init
    assert bundle.record.evaluation == same.record.evaluation
    assert bundle.scalars == same.scalars
    assert {tensor.name for tensor in bundle.record.model_tensors} == set(network().state_dict())


def test_a_model_exported_for_one_batch_size_is_trained_with_that_one(tmp_path: Path, samples: Path) -> None:
    path = exported(tmp_path, network(), 5)
    bundle = compile_archive(path, tmp_path / "out", samples, optimizer="sgd", momentum=0.9)
    assert (bundle.record.batch_size, bundle.record.evaluation_batch) == (5, 5)
    with pytest.raises(ArchiveError, match="exported for batches of 5, not 6"):
        compile_archive(path, tmp_path / "again", samples, batch_size=6)


def onnx_network(folder: Path, *, extra: str = "", opset: int = 17) -> Path:
    """`network` as ONNX, with a shape that is computed from another one, as exporters write it."""
    parts = {f"{name}": tensor.numpy() for name, tensor in network().state_dict().items() if tensor.dim() > 0}
    stored = [numpy_helper.from_array(array, name) for name, array in parts.items()]
    for name, numbers in (("rest", [-1]), ("one", [1]), ("zero", [0])):
        stored.append(numpy_helper.from_array(np.array(numbers, np.int64), name))
    stored.append(numpy_helper.from_array(np.array(0.25, np.float32), "ratio"))
    statistics = ["1.weight", "1.bias", "1.running_mean", "1.running_var"]
    nodes = [
        helper.make_node("Conv", ["x", "0.weight", "0.bias"], ["c"], kernel_shape=[3, 3]),
        helper.make_node("BatchNormalization", ["c", *statistics], ["n"]),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Shape", ["p"], ["s"]),
        helper.make_node("Slice", ["s", "zero", "one"], ["b"]),
        helper.make_node("Concat", ["b", "rest"], ["w"], axis=0),
        helper.make_node("Reshape", ["p", "w"], ["f"]),
        helper.make_node("Dropout", ["f", "ratio"], ["d"]),
        helper.make_node("Gemm", ["d", "6.weight", "6.bias"], ["g"], transB=1),
        helper.make_node("Gelu", ["g"], ["a"]) if opset >= 20 else helper.make_node("Tanh", ["g"], ["a"]),
        helper.make_node("Gemm", ["a", "8.weight", "8.bias"], ["y"], transB=1),
    ]
    if extra:
        nodes.insert(3, helper.make_node(extra, ["n"], ["unused"]))
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, 8, 8])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", CLASSES])
    graph = helper.make_graph(nodes, "network", [given], [result], stored)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9), folder / "model.onnx"
    )
    return folder / "model.onnx"


def test_an_onnx_model_computes_what_the_model_itself_does(tmp_path: Path) -> None:
    model, twin = open_archive(onnx_network(tmp_path, opset=20)).model, network()
    x = torch.randn(7, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    for training in (False, True):
        torch.manual_seed(9)
        found = model.train(training)(x)
        torch.manual_seed(9)
        assert torch.allclose(found, twin.train(training)(x), atol=1e-6)


def test_an_onnx_model_gives_the_operators_of_the_model_itself(tmp_path: Path, samples: Path) -> None:
    path = onnx_network(tmp_path, opset=20)
    bundle = compile_archive(path, tmp_path / "out", samples, optimizer="sgd", momentum=0.9, batch_size=6)
    same = written(tmp_path, samples, 6, "optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)")
    assert bundle.record.evaluation_batch == same.record.evaluation_batch
    assert abs(len(bundle.record.train) - len(same.record.train)) < 200, "but for the count of batches and the names"


@pytest.mark.parametrize(
    ("options", "words"),
    [({"extra": "Cosh"}, "uses Cosh, which cannot be imported"), ({"opset": 12}, "opset 12; export")],
)
def test_what_an_onnx_model_may_not_have_is_named(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ArchiveError, match=words):
        open_archive(onnx_network(tmp_path, **options))


@pytest.mark.parametrize("name", ["model.pt2", "model.onnx"])
def test_a_damaged_archive_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04 not much of an archive")
    with pytest.raises(ArchiveError, match="is no"):
        open_archive(tmp_path / name)


def test_two_inputs_or_dynamic_sizes_are_refused(tmp_path: Path) -> None:
    class Sum(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    path = tmp_path / "two.pt2"
    torch.export.save(torch.export.export(Sum(), (torch.zeros(3), torch.zeros(3))), path)
    with pytest.raises(ArchiveError, match="reads 2 inputs"):
        open_archive(path)
    longer = {1: torch.export.Dim("length", min=2)}
    torch.export.save(torch.export.export(nn.ReLU(), (torch.zeros(3, 5),), dynamic_shapes=(longer,)), path)
    with pytest.raises(ArchiveError, match="only the batch may be dynamic"):
        open_archive(path)


def test_weights_are_drawn_as_those_of_the_archive_look() -> None:
    model = nn.Sequential(nn.Linear(30, 20), nn.LayerNorm(20), nn.Embedding(50, 20))
    draws = infer_draws(model)
    assert set(draws) == {"0.weight", "0.bias", "2.weight"}, "constants need no draw"
    uniform, normal = draws["0.weight"], draws["2.weight"]
    assert isinstance(uniform, Uniform)
    assert uniform.high == pytest.approx(30**-0.5, rel=0.02)
    assert isinstance(normal, Normal)
    assert normal.deviation == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("kind", ["pt2", "onnx"])
def test_an_archive_is_compiled_and_run_from_the_command_line(tmp_path: Path, samples: Path, kind: str) -> None:
    path = exported(tmp_path, network(), None) if kind == "pt2" else onnx_network(tmp_path)
    options = [
        "--data",
        str(samples),
        "--optimizer",
        "adam",
        "--learning-rate",
        "0.01",
        "--steps",
        "3",
        "--batch-size",
        "6",
    ]
    result = CliRunner().invoke(command, ["compile", str(path), *options, "--out", str(tmp_path / "out"), "--json"])
    assert result.exit_code == 0, (result.output, result.exception)
    assert json.loads(result.output)["operators"]["conv2d"] >= 2
    result = CliRunner().invoke(command, ["run", str(tmp_path / "out"), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["steps"] == 3
