"""Small programs and jobs that the tests of the machine share."""

from __future__ import annotations

from typing import Any

import numpy as np

from runtime.vm.check import CheckedProgram, check_program
from runtime.vm.instructions import Address
from runtime.vm.job import DataSource, Field, Job
from runtime.vm.program import Input, Named, Node, Program
from runtime.vm.reference import evaluate_step

Array = np.ndarray[Any, Any]
DTYPES = {np.dtype(np.float32): "f32", np.dtype(np.int32): "i32", np.dtype(np.uint8): "u8", np.dtype(np.uint32): "u32"}
NUMPY = {name: dtype for dtype, name in DTYPES.items()}
ROOT = bytes(32)


def job_for(checked: CheckedProgram, **changes: Any) -> Job:
    fields: dict[str, Any] = {
        "program": checked.root,
        "start": ROOT,
        "first_step": 0,
        "steps": 1,
        "seed": 0x0123456789ABCDEF,
        "data": DataSource(ROOT, 0, (), ROOT, 0),
        "scalar_names": (),
        "scalars_root": ROOT,
        "scalar_rows": 0,
    }
    return Job(**(fields | changes))


def one_node(op: str, attributes: tuple[int, ...], *arrays: Array) -> Program:
    """A program that applies one operator to state inputs of these types; a lone u32[2] array is the Philox key."""
    inputs = []
    for number, array in enumerate(arrays):
        kind = "key" if op == "uniform" else "state"
        inputs.append(Input(kind, f"x{number}", DTYPES[array.dtype], array.shape))
    node = Node(op, attributes, tuple(range(len(arrays))))
    return Program(1, tuple(inputs), (node,), (), (Named("out", len(arrays)),))


def bits_at(array: Array, element: int) -> int:
    """Raw bits of one element, whatever NaN it may hold."""
    return int.from_bytes(array.tobytes()[element * array.itemsize : (element + 1) * array.itemsize], "little")


def run_operator(op: str, attributes: tuple[int, ...], *arrays: Array, step: int = 0) -> list[Array]:
    """All outputs of one operator, by interpreter."""
    checked = check_program(one_node(op, attributes, *arrays))

    def load(address: Address) -> int:
        return bits_at(arrays[address.tensor], address.element)

    values = evaluate_step(checked, job_for(checked), step, load)
    types = checked.values[len(arrays) :]
    return [
        np.frombuffer(data, dtype=NUMPY[dtype]).reshape(shape)
        for data, (dtype, shape) in zip(values[len(arrays) :], types, strict=True)
    ]


def classifier(batch: int = 3, inputs: int = 5, classes: int = 4) -> Program:
    """One SGD step of a linear classifier: every kind of input, several operators, internal statistics."""
    sources = (
        Input("state", "bias", "f32", (classes,)),
        Input("state", "bias.momentum", "f32", (classes,)),
        Input("state", "weight", "f32", (inputs, classes)),
        Input("state", "weight.momentum", "f32", (inputs, classes)),
        Input("batch", "label", "i32", (batch,)),
        Input("batch", "pixels", "u8", (batch, inputs)),
        Input("scalar", "lr", "f32", ()),
        Input("key", "key", "u32", (2,)),
    )
    momentum, decay = 0x3F666666, 0x3A83126F
    nodes = (
        Node("cast", (0,), (5,)),  # 8: pixels as f32
        Node("matmul", (0, 0), (8, 2)),  # 9: logits without bias
        Node("add", (), (9, 0)),  # 10: logits
        Node("log_softmax", (), (10,)),  # 11 max, 12 log total, 13 log-probabilities
        Node("nll", (), (13, 4)),  # 14: loss of each row
        Node("block_sum", (), (14,)),  # 15: loss
        Node("fill", (0x3F800000,), ()),  # 16: 1
        Node("nll_backward", (classes,), (16, 4)),  # 17
        Node("log_softmax_backward", (), (17, 13)),  # 18 total, 19 gradient of logits
        Node("matmul", (1, 0), (8, 19)),  # 20: gradient of weight
        Node("col_sum", (), (19,)),  # 21: gradient of bias
        Node("sgd", (momentum, decay, 0), (0, 21, 1, 6)),  # 22 momentum, 23 bias
        Node("sgd", (momentum, decay, 1), (2, 20, 3, 6)),  # 24 momentum, 25 weight
        Node("uniform", (0, 0x3F800000, batch), (7,)),  # 26
    )
    state = (Named("bias", 23), Named("bias.momentum", 22), Named("weight", 25), Named("weight.momentum", 24))
    return Program(1, sources, nodes, state, (Named("loss", 15), Named("noise", 26)))


def classifier_job(checked: CheckedProgram, **changes: Any) -> Job:
    fields = (Field("extra", "f32", (2,)), Field("label", "i32", ()), Field("pixels", "u8", (5,)))
    data = DataSource(ROOT, 7, fields, b"\x09" * 32, 3)
    return job_for(checked, **({"data": data, "scalar_names": ("decay", "lr"), "scalar_rows": 4, "steps": 4} | changes))
