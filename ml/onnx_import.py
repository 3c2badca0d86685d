"""The forward pass of an ONNX model as a PyTorch module, so that it is captured like any other.

Float initializers become parameters (running statistics of a batch norm: buffers). Every operator is an entry of
`CONVERTERS`, a function of attributes and inputs; what follows from shapes and constants alone stays a NumPy array, so
that it can be a shape itself. Opset 13 and later, in which axes are inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from ml.archives import ArchiveError, first_line

OLDEST_OPSET = 13
Attributes = dict[str, Any]
Converter = Callable[..., Any]
"""converter(layer, attributes, *inputs): inputs are tensors, or NumPy arrays where they are known beforehand."""


def read_onnx(path: Path) -> tuple[nn.Module, tuple[int | None, ...]]:
    """(the model, the shape it reads). Raises `ArchiveError`, naming every operator that has no converter."""
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except Exception as error:  # whatever onnx and protobuf raise
        raise ArchiveError(f"{path} is no ONNX model: {first_line(error)}") from None
    opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 0)
    if opset < OLDEST_OPSET:
        raise ArchiveError(f"{path} has opset {opset}; export it with {OLDEST_OPSET} or later")
    graph = model.graph
    known = {one.name for one in graph.initializer}
    inputs = [one for one in graph.input if one.name not in known]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise ArchiveError(f"{path} has {len(inputs)} inputs and {len(graph.output)} outputs; it must have one of each")
    missing = sorted({node.op_type for node in graph.node if node.op_type not in CONVERTERS})
    if missing:
        raise ArchiveError(f"{path} uses {', '.join(missing)}, which cannot be imported")
    sizes = [one.dim_value if one.HasField("dim_value") else None for one in inputs[0].type.tensor_type.shape.dim]
    if not sizes or None in sizes[1:]:
        raise ArchiveError(f"{path} has dynamic shapes {sizes}; only the batch may be dynamic")
    return OnnxModel(graph, inputs[0].name), tuple(sizes)


class OnnxModel(nn.Module):
    """Runs the nodes of an ONNX graph in order. Mutable: parameters and running statistics."""

    def __init__(self, graph: Any, given: str) -> None:
        super().__init__()
        self.nodes = [(n.op_type, list(n.input), list(n.output), _attributes(n), n.name) for n in graph.node]
        self.given, self.result = given, graph.output[0].name
        self.constants: dict[str, np.ndarray] = {}
        self.tensors: dict[str, str] = {}
        """ONNX's name -> ours, which holds no dots."""
        running = {name for op, inputs, *_ in self.nodes if op == "BatchNormalization" for name in inputs[3:]}
        for one in graph.initializer:
            array = numpy_helper.to_array(one)
            if array.dtype != np.float32 or array.ndim == 0:
                if array.dtype in (np.float64, np.float16):
                    raise ArchiveError(f"tensor {one.name} is {array.dtype}; export the model in float32")
                self.constants[one.name] = array
                continue
            name = self.tensors[one.name] = one.name.replace(".", "_").replace("/", "_").replace(":", "_")
            tensor = torch.from_numpy(array.copy())
            if one.name in running:
                self.register_buffer(name, tensor)
            else:
                self.register_parameter(name, nn.Parameter(tensor))

    def forward(self, x: Tensor) -> Tensor:
        values: dict[str, Any] = {**self.constants, self.given: x, "": None}
        values |= {name: getattr(self, own) for name, own in self.tensors.items()}
        for op, inputs, outputs, attributes, name in self.nodes:
            try:
                result = CONVERTERS[op](self, attributes, *(values[one] for one in inputs))
            except (TypeError, ValueError, IndexError, AttributeError) as error:
                raise ArchiveError(f"{op} {name!r} of the ONNX graph: {first_line(error)}") from error
            results = result if isinstance(result, tuple | list) else (result,)
            values |= dict(zip(outputs, results, strict=False))
        result = values[self.result]
        return result if isinstance(result, Tensor) else torch.from_numpy(result)


def _attributes(node: Any) -> Attributes:
    return {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}


def _tensor(value: Any) -> Any:
    """A constant as a tensor; a single number stays a number, which broadcasts."""
    if isinstance(value, np.ndarray):
        return value.item() if value.ndim == 0 else torch.from_numpy(value)
    return value


def _numbers(value: Any) -> list[int]:
    """Sizes or axes, which must be known beforehand."""
    if not isinstance(value, np.ndarray):
        raise ValueError("a shape that depends on data")
    return [int(one) for one in value.reshape(-1)]


def _both(on_tensors: Callable[..., Any], on_arrays: Callable[..., Any]) -> Converter:
    """A function of arrays where all of them are known, else of tensors."""

    def convert(layer: nn.Module, attributes: Attributes, *inputs: Any) -> Any:
        if all(isinstance(one, np.ndarray) for one in inputs):
            return on_arrays(*inputs)
        return on_tensors(*(_tensor(one) for one in inputs))

    return convert


def _plain(function: Callable[..., Any]) -> Converter:
    return lambda layer, attributes, *inputs: function(*(_tensor(one) for one in inputs))


def _divide(a: np.ndarray, b: np.ndarray) -> Any:
    return a // b if np.issubdtype(a.dtype, np.integer) else a / b


def _constant(layer: nn.Module, attributes: Attributes) -> np.ndarray:
    if "value" in attributes:
        return numpy_helper.to_array(attributes["value"])
    return np.array(next(iter(attributes.values())))


def _gemm(layer: nn.Module, attributes: Attributes, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    left = a.t() if attributes.get("transA") else a
    right = b.t() if attributes.get("transB") else b
    result = (left @ right) * attributes["alpha"] if attributes.get("alpha", 1.0) != 1.0 else left @ right
    if c is None:
        return result
    return result + (c if attributes.get("beta", 1.0) == 1.0 else c * attributes["beta"])


def _sides(attributes: Attributes, rank: int) -> list[int]:
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise ValueError(f"auto_pad {attributes['auto_pad'].decode()}; export with explicit paddings")
    pads = list(attributes.get("pads", [0] * 2 * rank))
    if pads[:rank] != pads[rank:]:
        raise ValueError(f"paddings {pads} that differ between the two sides")
    return pads[:rank]


def _convolution(layer: nn.Module, attributes: Attributes, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    rank = w.dim() - 2
    function: Any = functional.conv1d if rank == 1 else functional.conv2d
    strides, apart = attributes.get("strides", [1] * rank), attributes.get("dilations", [1] * rank)
    result: Tensor = function(x, w, b, strides, _sides(attributes, rank), apart, attributes.get("group", 1))
    return result


def _pool(kind: str) -> Converter:
    def convert(layer: nn.Module, attributes: Attributes, x: Tensor) -> Tensor:
        kernel = list(attributes["kernel_shape"])
        strides, padding = attributes.get("strides", [1] * len(kernel)), _sides(attributes, len(kernel))
        ceil = bool(attributes.get("ceil_mode"))
        if kind == "max":
            apart = attributes.get("dilations", [1] * len(kernel))
            pool: Any = functional.max_pool1d if len(kernel) == 1 else functional.max_pool2d
            largest: Tensor = pool(x, kernel, strides, padding, apart, ceil)
            return largest
        average: Any = functional.avg_pool1d if len(kernel) == 1 else functional.avg_pool2d
        result: Tensor = average(x, kernel, strides, padding, ceil, bool(attributes.get("count_include_pad")))
        return result

    return convert


def _batch_norm(layer: nn.Module, attributes: Attributes, x: Tensor, *rest: Tensor) -> Tensor:
    scale, bias, mean, variance = rest
    momentum = 1 - attributes.get("momentum", 0.9)
    return functional.batch_norm(
        x, mean, variance, scale, bias, layer.training, momentum, attributes.get("epsilon", 1e-5)
    )


def _layer_norm(
    layer: nn.Module, attributes: Attributes, x: Tensor, scale: Tensor, bias: Tensor | None = None
) -> Tensor:
    shape = x.shape[attributes.get("axis", -1) :]
    return functional.layer_norm(x, shape, scale, bias, attributes.get("epsilon", 1e-5))


def _dropout(layer: nn.Module, attributes: Attributes, x: Tensor, ratio: Any = None, training: Any = None) -> Tensor:
    return functional.dropout(x, 0.5 if ratio is None else float(ratio), layer.training)


def _reshape(layer: nn.Module, attributes: Attributes, x: Tensor, shape: Any) -> Any:
    sizes = [x.shape[place] if size == 0 else size for place, size in enumerate(_numbers(shape))]
    return x.reshape(sizes)


def _flatten(layer: nn.Module, attributes: Attributes, x: Tensor) -> Tensor:
    axis = attributes.get("axis", 1)
    return x.reshape(1, -1) if axis == 0 else x.flatten(0, axis - 1).flatten(1)


def _slice(
    layer: nn.Module, attributes: Attributes, x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None
) -> Any:
    first, last = _numbers(starts), _numbers(ends)
    along = list(range(len(first))) if axes is None else _numbers(axes)
    by = [1] * len(first) if steps is None else _numbers(steps)
    if min(by) < 1:
        raise ValueError(f"slices with steps {by}")
    index = [slice(None)] * x.ndim
    for axis, start, end, step in zip(along, first, last, by, strict=True):
        index[axis] = slice(start, min(end, x.shape[axis]), step)
    return x[tuple(index)]


def _gather(layer: nn.Module, attributes: Attributes, table: Any, index: Any) -> Any:
    axis = attributes.get("axis", 0)
    if isinstance(table, np.ndarray) and isinstance(index, np.ndarray):
        return np.take(table, index, axis)
    if isinstance(index, np.ndarray) and index.ndim == 0:
        return table.select(axis, int(index))
    if axis == 0 and table.dim() == 2:
        return functional.embedding(_tensor(index), table)
    return table[(slice(None),) * (axis % table.dim()) + (_tensor(index),)]


def _squeeze(layer: nn.Module, attributes: Attributes, x: Any, axes: Any = None) -> Any:
    places = tuple(_numbers(axes)) if axes is not None else None
    if isinstance(x, np.ndarray):
        return np.squeeze(x, places)
    return x.squeeze() if places is None else x.squeeze(places)


def _unsqueeze(layer: nn.Module, attributes: Attributes, x: Any, axes: Any) -> Any:
    if isinstance(x, np.ndarray):
        return np.expand_dims(x, tuple(_numbers(axes)))
    rank = x.dim() + len(_numbers(axes))
    for axis in sorted(axis % rank for axis in _numbers(axes)):
        x = x.unsqueeze(axis)
    return x


def _cast(layer: nn.Module, attributes: Attributes, x: Any) -> Any:
    wanted = onnx.helper.tensor_dtype_to_np_dtype(attributes["to"])
    return x.astype(wanted) if isinstance(x, np.ndarray) else x.to(torch.from_numpy(np.zeros(0, wanted)).dtype)


def _concat(layer: nn.Module, attributes: Attributes, *parts: Any) -> Any:
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts, attributes["axis"])
    return torch.cat([_tensor(part) for part in parts], attributes["axis"])


def _split(layer: nn.Module, attributes: Attributes, x: Any, sizes: Any = None) -> Any:
    axis = attributes.get("axis", 0)
    return x.chunk(attributes["num_outputs"], axis) if sizes is None else x.split(_numbers(sizes), axis)


def _reduce(function: Callable[..., Tensor]) -> Converter:
    def convert(layer: nn.Module, attributes: Attributes, x: Tensor, axes: Any = None) -> Tensor:
        given = _numbers(axes) if axes is not None else attributes.get("axes", range(x.dim()))
        return function(x, tuple(given), keepdim=bool(attributes.get("keepdims", 1)))

    return convert


def _clip(layer: nn.Module, attributes: Attributes, x: Tensor, low: Any = None, high: Any = None) -> Tensor:
    return x.clamp(None if low is None else float(low), None if high is None else float(high))


CONVERTERS: dict[str, Converter] = {
    "Constant": _constant,
    "Identity": _plain(lambda x: x),
    "Shape": lambda layer, attributes, x: np.array(x.shape, np.int64),
    "ConstantOfShape": lambda layer, attributes, shape: np.full(
        _numbers(shape), numpy_helper.to_array(attributes["value"])[0] if "value" in attributes else np.float32(0)
    ),
    "Gemm": _gemm,
    "MatMul": _plain(torch.matmul),
    "Conv": _convolution,
    "MaxPool": _pool("max"),
    "AveragePool": _pool("average"),
    "GlobalAveragePool": _plain(lambda x: x.mean(tuple(range(2, x.dim())), keepdim=True)),
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "Dropout": _dropout,
    "Add": _both(lambda a, b: a + b, np.add),
    "Sub": _both(lambda a, b: a - b, np.subtract),
    "Mul": _both(lambda a, b: a * b, np.multiply),
    "Div": _both(lambda a, b: a / b, _divide),
    "Pow": _plain(lambda a, b: a**b),
    "Neg": _plain(torch.neg),
    "Sqrt": _both(torch.sqrt, np.sqrt),
    "Reciprocal": _plain(torch.reciprocal),
    "Exp": _plain(torch.exp),
    "Log": _plain(torch.log),
    "Erf": _plain(torch.erf),
    "Sin": _plain(torch.sin),
    "Cos": _plain(torch.cos),
    "Abs": _plain(torch.abs),
    "Relu": _plain(torch.relu),
    "Sigmoid": _plain(torch.sigmoid),
    "Tanh": _plain(torch.tanh),
    "Softplus": _plain(functional.softplus),
    "HardSwish": _plain(functional.hardswish),
    "LeakyRelu": lambda layer, a, x: functional.leaky_relu(x, a.get("alpha", 0.01)),
    "Elu": lambda layer, a, x: functional.elu(x, a.get("alpha", 1.0)),
    "Gelu": lambda layer, a, x: functional.gelu(x, approximate=a.get("approximate", b"none").decode()),
    "Softmax": lambda layer, a, x: torch.softmax(x, a.get("axis", -1)),
    "LogSoftmax": lambda layer, a, x: torch.log_softmax(x, a.get("axis", -1)),
    "Clip": _clip,
    "Where": _plain(torch.where),
    "Equal": _plain(lambda a, b: a == b),
    "Less": _plain(lambda a, b: a < b),
    "Greater": _plain(lambda a, b: a > b),
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": lambda layer, a, x: x.permute(a.get("perm", list(range(x.dim()))[::-1])),
    "Expand": lambda layer, a, x, shape: _tensor(x).expand(np.broadcast_shapes(tuple(x.shape), tuple(_numbers(shape)))),
    "Slice": _slice,
    "Gather": _gather,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Cast": _cast,
    "Concat": _concat,
    "Split": _split,
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
}
"""ONNX operator -> how PyTorch says it."""
