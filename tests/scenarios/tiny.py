"""A real task, small enough for seconds: a two-layer perceptron on made-up samples, in exact mode."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from ml.artifacts import encode_tensors
from ml.data import data_tree_of
from ml.replay import Inputs
from runtime.codec import encode
from runtime.commitments import tensor_root
from runtime.pallets.tasks import TaskSpec
from runtime.trees import hash_tagged
from runtime.vm.check import CheckedProgram, check_program
from runtime.vm.job import DataSource, Field
from runtime.vm.program import Input, Named, Node, Program
from tests.dispute.toy import Builder, bits

BATCH, PIXELS, HIDDEN, CLASSES = 80, 12, 6, 3
SAMPLES, STEPS, INTERVAL = 160, 12, 4


@dataclass(frozen=True)
class Tiny:
    """A task and everything its submitter holds."""

    spec: TaskSpec
    program: CheckedProgram
    init_program: CheckedProgram
    inputs: Inputs

    @property
    def data_blob(self) -> bytes:
        return encode_tensors(self.inputs.fields)

    @property
    def scalars_blob(self) -> bytes:
        return self.inputs.scalars.tobytes()


def train_program() -> CheckedProgram:
    """One step of SGD with momentum; the last matmul is the first layer's weight gradient."""
    at = Builder()
    m1, m2 = at.input("state", "m1", "f32", PIXELS, HIDDEN), at.input("state", "m2", "f32", HIDDEN, CLASSES)
    w1, w2 = at.input("state", "w1", "f32", PIXELS, HIDDEN), at.input("state", "w2", "f32", HIDDEN, CLASSES)
    pixels, label = at.input("batch", "pixels", "u8", BATCH, PIXELS), at.input("batch", "label", "i32", BATCH)
    rate = at.input("scalar", "rate", "f32")
    x = at.node("mul", at.node("cast", pixels, attributes=(0,)), at.node("fill", attributes=(bits(1 / 255),)))
    before = at.node("matmul", x, w1, attributes=(0, 0))
    hidden = at.node("relu", before)
    logp = at.node("log_softmax", at.node("matmul", hidden, w2, attributes=(0, 0)), outputs=3)
    loss = at.node("block_sum", at.node("nll", logp, label))
    grad = at.node("nll_backward", at.node("fill", attributes=(bits(1 / BATCH),)), label, attributes=(CLASSES,))
    grad = at.node("log_softmax_backward", grad, logp, outputs=2)
    g2 = at.node("matmul", hidden, grad, attributes=(1, 0))
    back = at.node("relu_backward", at.node("matmul", grad, w2, attributes=(0, 1)), before)
    g1 = at.node("matmul", x, back, attributes=(1, 0))
    rules = (bits(0.9), bits(0.001), 0)
    w2 = at.node("sgd", w2, g2, m2, rate, attributes=rules, outputs=2)
    w1 = at.node("sgd", w1, g1, m1, rate, attributes=rules, outputs=2)
    state = (Named("m1", w1 - 1), Named("m2", w2 - 1), Named("w1", w1), Named("w2", w2))
    return check_program(Program(1, tuple(at.inputs), tuple(at.nodes), state, (Named("loss", loss),)))


def start_program() -> CheckedProgram:
    """Uniform weights and zero momenta."""
    key = (Input("key", "key", "u32", (2,)),)
    nodes = (
        Node("fill", (0, PIXELS, HIDDEN), ()),
        Node("fill", (0, HIDDEN, CLASSES), ()),
        Node("uniform", (bits(-0.5), bits(0.5), PIXELS, HIDDEN), (0,)),
        Node("uniform", (bits(-0.5), bits(0.5), HIDDEN, CLASSES), (0,)),
    )
    state = (Named("m1", 1), Named("m2", 2), Named("w1", 3), Named("w2", 4))
    return check_program(Program(1, key, nodes, state, ()))


@cache
def tiny_task(salt: int = 0, audits: int = 3, verifiers: int = 1, seed: int = 2**40 + 9) -> Tiny:
    """A task of three training segments; ``audits=3`` audits all of them."""
    program, init_program = train_program(), start_program()
    generator = np.random.Generator(np.random.PCG64(7))
    pixels = generator.integers(0, 256, (SAMPLES, PIXELS), dtype=np.uint8)
    fields = {"pixels": pixels, "label": (pixels[:, 0] // 86).astype(np.int32)}
    layout = (Field("pixels", "u8", (PIXELS,)), Field("label", "i32", ()))
    scalars = np.full((STEPS, 1), 0.1, dtype="<f4")
    data = DataSource(
        root=data_tree_of(fields, layout).root,
        sample_count=SAMPLES,
        fields=layout,
        order_seed=hash_tagged(b"test:order", b""),
        batch_size=BATCH,
    )
    spec = TaskSpec(
        salt=salt.to_bytes(32, "big"),
        program=program.root,
        init_program=init_program.root,
        seed=seed,
        data=data,
        data_blob=tensor_root(encode_tensors(fields)),
        scalar_names=("rate",),
        scalars_root=tensor_root(scalars.tobytes()),
        scalars_blob=tensor_root(scalars.tobytes()),
        scalar_rows=STEPS,
        steps=STEPS,
        checkpoint_interval=INTERVAL,
        mode="exact",
        audits=audits,
        verifiers=verifiers,
        price_limit=100,
        training_blocks=500,
    )
    return Tiny(spec, program, init_program, Inputs(fields, scalars))


def program_bytes(checked: CheckedProgram) -> bytes:
    return encode(checked.program)
