"""Jobs small enough that the interpreter replays them in well under a second, and the play of whole games."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from struct import pack, unpack

from ml.dispute import Challenger, Defender
from ml.dispute.reference import Fault, Inputs, ReferenceTracer
from runtime.commitments import EMPTY_STATE_ROOT, data_tree, state_tree, tensor_root
from runtime.dispute.game import apply_move, open_game, turn
from runtime.dispute.moves import Move, Party
from runtime.dispute.records import Game, Verdict
from runtime.vm.check import CheckedProgram, check_job, check_program
from runtime.vm.job import Claim, DataSource, Field, Job
from runtime.vm.opcodes import Opcode
from runtime.vm.operators_map import CODES
from runtime.vm.program import Input, Named, Node, Program

MAP_CODES = (Opcode.MUL_F32, Opcode.ADD_F32, Opcode.TANH_F32, Opcode.SELECT_F32, Opcode.LESS_F32)
BATCH, PIXELS, HIDDEN, CLASSES, STEPS = 2, 5, 3, 3, 3
NOTHING = DataSource(bytes(32), 0, (), bytes(32), 0)


def bits(number: float) -> int:
    return unpack("<I", pack("<f", number))[0]


def floats(*numbers: float) -> bytes:
    return pack(f"<{len(numbers)}f", *numbers)


@dataclass(frozen=True)
class Toy:
    """A checked program, a job over it, and what the job reads."""

    checked: CheckedProgram
    job: Job
    inputs: Inputs

    def tracer(self, fault: Fault | None = None) -> ReferenceTracer:
        return _tracer(self, fault) if fault is None else ReferenceTracer(self.checked, self.job, self.inputs, fault)

    def claim_of(self, tracer: ReferenceTracer) -> Claim:
        return Claim(self.job, tracer.state_roots()[-1])

    def __hash__(self) -> int:
        return hash(self.job)


@cache
def _tracer(toy: Toy, fault: Fault | None) -> ReferenceTracer:
    return ReferenceTracer(toy.checked, toy.job, toy.inputs, fault)


class Builder:
    """Writes a program down value by value."""

    def __init__(self) -> None:
        self.inputs: list[Input] = []
        self.nodes: list[Node] = []
        self.count = 0

    def input(self, kind: str, name: str, dtype: str, *shape: int) -> int:
        self.inputs.append(Input(kind, name, dtype, shape))
        self.count += 1
        return self.count - 1

    def node(self, op: str, *inputs: int, attributes: tuple[int, ...] = (), outputs: int = 1) -> int:
        """Append a node and return its main output."""
        self.nodes.append(Node(op, attributes, inputs))
        self.count += outputs
        return self.count - 1

    def check(self, **state: int) -> CheckedProgram:
        named = tuple(Named(name, value) for name, value in sorted(state.items()))
        metrics = () if named else (Named("last", self.count - 1),)
        return check_program(Program(1, tuple(self.inputs), tuple(self.nodes), named, metrics))


@cache
def mlp() -> Toy:
    """Three training steps of a two-layer perceptron with momentum, starting in the middle of a task."""
    at = Builder()
    w1, w2 = at.input("state", "w1", "f32", PIXELS, HIDDEN), at.input("state", "w2", "f32", HIDDEN, CLASSES)
    m1, m2 = at.input("state", "m1", "f32", PIXELS, HIDDEN), at.input("state", "m2", "f32", HIDDEN, CLASSES)
    pixels, label = at.input("batch", "pixels", "u8", BATCH, PIXELS), at.input("batch", "label", "i32", BATCH)
    rate = at.input("scalar", "rate", "f32")
    x = at.node("mul", at.node("cast", pixels, attributes=(0,)), at.node("fill", attributes=(bits(1 / 255),)))
    before = at.node("matmul", x, w1, attributes=(0, 0))
    hidden = at.node("relu", before)
    logits = at.node("matmul", hidden, w2, attributes=(0, 0))
    logp = at.node("log_softmax", logits, outputs=3)
    at.node("nll", logp, label)
    grad = at.node("nll_backward", at.node("fill", attributes=(bits(1 / BATCH),)), label, attributes=(CLASSES,))
    grad = at.node("log_softmax_backward", grad, logp, outputs=2)
    g2 = at.node("matmul", hidden, grad, attributes=(1, 0))
    back = at.node("relu_backward", at.node("matmul", grad, w2, attributes=(0, 1)), before)
    g1 = at.node("matmul", x, back, attributes=(1, 0))
    rules = (bits(0.9), bits(0.01), 1)
    w2 = at.node("sgd", w2, g2, m2, rate, attributes=rules, outputs=2)
    w1 = at.node("sgd", w1, g1, m1, rate, attributes=rules, outputs=2)
    checked = at.check(w1=w1, m1=w1 - 1, w2=w2, m2=w2 - 1)
    state = {
        "m1": floats(*[0.0] * (PIXELS * HIDDEN)),
        "m2": floats(*[0.0] * (HIDDEN * CLASSES)),
        "w1": floats(*[0.25 - 0.07 * (k % 5) for k in range(PIXELS * HIDDEN)]),
        "w2": floats(*[0.3 * (-1) ** k + 0.05 * k for k in range(HIDDEN * CLASSES)]),
    }
    samples = [
        (bytes((37 * row + 11 * k + 40) % 256 for k in range(PIXELS)), pack("<i", row % CLASSES)) for row in range(7)
    ]
    scalars = floats(*[0.1 / (1 + row) for row in range(10)])
    source = DataSource(
        root=data_tree([[tensor_root(field) for field in sample] for sample in samples]).root,
        sample_count=len(samples),
        fields=(Field("pixels", "u8", (PIXELS,)), Field("label", "i32", ())),
        order_seed=b"\x05" * 32,
        batch_size=BATCH,
    )
    start = state_tree((name, kind.dtype, kind.shape, tensor_root(state[name])) for name, _, kind in checked.state).root
    job = Job(checked.root, start, 4, STEPS, 77, source, ("rate",), tensor_root(scalars), 10)
    check_job(checked, job)
    return Toy(checked, job, Inputs(state, samples, scalars))


@cache
def initialisation() -> Toy:
    """The first segment of a task: one step from the empty state, random and constant tensors of several chunks."""
    at = Builder()
    key = at.input("key", "key", "u32", 2)
    weight = at.node("uniform", key, attributes=(bits(-0.5), bits(0.5), 33, 40))
    bias = at.node("fill", attributes=(0, 7))
    checked = at.check(weight=weight, bias=bias)
    job = Job(checked.root, EMPTY_STATE_ROOT, 0, 1, (9 << 32) + 5, NOTHING, (), tensor_root(b""), 0)
    return Toy(checked, job, Inputs({}, (), b""))


@cache
def long_sums() -> Toy:
    """A step whose elements take many groups of operations, over tensors of several chunks."""
    at = Builder()
    weight = at.input("state", "weight", "f32", 2, 600)
    row = at.node("row_sum", weight)
    product = at.node("matmul", weight, weight, attributes=(0, 1))
    column = at.node("col_sum", at.node("transpose", weight))
    total = at.node("add", at.node("add", product, row), column)
    state = at.node("sub", weight, at.node("reshape", at.node("row_sum", total), attributes=(2, 1)))
    checked = at.check(weight=state)
    weight_bytes = floats(*[((k * 7919) % 101 - 50) / 64 for k in range(1200)])
    start = state_tree([("weight", "f32", (2, 600), tensor_root(weight_bytes))]).root
    job = Job(checked.root, start, 0, 1, 0, NOTHING, (), tensor_root(b""), 0)
    return Toy(checked, job, Inputs({"weight": weight_bytes}, (), b""))


@cache
def menagerie() -> Toy:
    """Every operator once, from a key alone, and every value of it kept: whatever goes wrong shows in the end state."""
    at = Builder()
    key = at.input("key", "key", "u32", 2)
    a = at.node("uniform", key, attributes=(bits(-1.0), bits(2.0), 3, 4))
    b = at.node("uniform", key, attributes=(bits(0.5), bits(1.5), 3, 4))
    rate = at.node("fill", attributes=(bits(0.125),))
    for name in ("add", "sub", "mul", "div", "maximum", "minimum"):
        at.node(name, a, b)
    for name in ("neg", "abs", "relu", "exp"):
        at.node(name, a)
    at.node("sqrt", b)
    at.node("log", b)
    at.node("relu_backward", b, a)
    less = at.node("less", a, b)
    at.node("less_equal", a, b)
    at.node("equal", a, a)
    at.node("select", less, a, b)
    turned = at.node("transpose", a)
    at.node("matmul", turned, b, attributes=(0, 0))
    at.node("row_sum", a)
    at.node("col_sum", a)
    at.node("block_sum", a)
    at.node("reshape", a, attributes=(2, 6))
    at.node("broadcast_to", rate, attributes=(2, 3))
    fifth = at.node("fill", attributes=(bits(0.4),))
    column = at.node("mul", at.node("row_sum", b), fifth)
    label = at.node("cast", column, attributes=(1,))
    at.node("cast", label, attributes=(0,))
    logp = at.node("log_softmax", a, outputs=3)
    at.node("nll", logp, label)
    at.node("log_softmax_backward", b, logp, outputs=2)
    at.node("nll_backward", rate, label, attributes=(4,))
    at.node("sgd", a, b, b, rate, attributes=(bits(0.9), bits(0.01), 1), outputs=2)
    at.node("sgd", a, b, b, rate, attributes=(bits(0.9), 0, 0), outputs=2)
    add_general_operators(at, a, b, label)
    add_image_operators(at, a, b)
    checked = at.check(**{f"value{value:03}": value for value in range(at.count)})
    job = Job(checked.root, EMPTY_STATE_ROOT, 0, 1, 123456789, NOTHING, (), tensor_root(b""), 0)
    return Toy(checked, job, Inputs({}, (), b""))


def add_general_operators(at: Builder, a: int, b: int, label: int) -> None:
    """The operators that larger models need, on two matrices [3,4] and three labels."""
    multiply, plus, tanh, select, less = (CODES.index(code) for code in MAP_CODES)
    line = (multiply, 0, 2, plus, 3, 1, tanh, 4, less, 0, 1, select, 6, 5, 1)
    at.node("map", a, b, attributes=(1, bits(0.7), 2, 5, 7, *line), outputs=2)
    at.node("batch_matmul", a, b, attributes=(2, 1, 2, 3, 2, 0, 4, 0, 4, 1, 0, 2, 0, 1, 4, 0))
    at.node("block_square_sum", a)
    at.node("strided", a, attributes=(11, 4, 3, -1, -4))
    at.node("pad", a, attributes=(bits(0.5), 1, 0, 1, 0, 1, 0))
    at.node("concat", a, b, attributes=(1,))
    at.node("iota", attributes=(-1, 2, 5))
    at.node("take_rows", b, label)
    at.node("scatter_rows", a, label, attributes=(3,))
    at.node("row_max", a, outputs=2)
    probabilities = at.node("softmax", a, attributes=(bits(0.5), 1), outputs=3)
    at.node("softmax_backward", b, probabilities, attributes=(bits(0.5),), outputs=2)
    weight = at.node("fill", attributes=(bits(1.5), 4))
    norm = at.node("layer_norm", a, weight, weight, attributes=(bits(1e-5),), outputs=3)
    at.node("layer_norm_backward", b, a, norm - 2, norm - 1, weight, outputs=3)


def add_image_operators(at: Builder, a: int, b: int) -> None:
    """Convolution and pooling of two images [1,2,2,3] with kernels of two by one."""
    image = at.node("reshape", a, attributes=(1, 2, 2, 3))
    kernel = at.node("strided", b, attributes=(0, 2, 2, 2, 1, 4, 2, 1, 1))
    at.node("conv2d", image, kernel, attributes=(1, 2, 1, 0, 0, 1, 1, 1, 1, 1, 1))
    window = (2, 2, 2, 2, 1, 1, 1, 0, 1, 1)
    places = at.node("max_pool", image, attributes=window, outputs=2)
    at.node("max_pool_backward", places - 1, places, attributes=(*window, 2, 3))


Player = Callable[[Game], Move | None]


@dataclass(frozen=True)
class Played:
    """A finished game. ``verdict`` is None when the party ``silent`` had no move to make."""

    verdict: Verdict | None
    silent: Party | None
    moves: tuple[tuple[Game, Move], ...]

    @property
    def winner(self) -> Party:
        if self.verdict is not None:
            return self.verdict.winner
        assert self.silent is not None
        return self.silent.opponent


def play(toy: Toy, claim: Claim, defender: Player, challenger: Player) -> Played:
    """Play until the verdict, or until a party passes."""
    players = {Party.DEFENDER: defender, Party.CHALLENGER: challenger}
    game, moves = open_game(claim), []
    while True:
        mover = turn(game)
        move = players[mover](game)
        if move is None:
            return Played(None, mover, tuple(moves))
        moves.append((game, move))
        after = apply_move(game, toy.checked, move, mover)
        if isinstance(after, Verdict):
            return Played(after, None, tuple(moves))
        game = after


def play_fault(toy: Toy, fault: Fault) -> Played:
    """A faulty defender against an honest challenger."""
    cheat = toy.tracer(fault)
    return play(toy, toy.claim_of(cheat), Defender(cheat).next_move, Challenger(toy.tracer()).next_move)


def play_false_alarm(toy: Toy, fault: Fault) -> Played:
    """An honest defender against a challenger whose replay is faulty."""
    honest = toy.tracer()
    return play(toy, toy.claim_of(honest), Defender(honest).next_move, Challenger(toy.tracer(fault)).next_move)


def with_job(toy: Toy, **changes: object) -> Toy:
    fields = {name: getattr(toy.job, name) for name in toy.job.__struct_fields__}
    return replace(toy, job=Job(**{**fields, **changes}))
