"""A program under construction: typed values, shared applications, views folded, unneeded nodes left out."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from ml.fusion import BROADCASTING, RANDOM, Draft, Line, Operand, fuse
from ml.views import View, covers
from runtime.commitments import element_count
from runtime.errors import ProgramError, SolventError
from runtime.vm.check import MAX_STEP_BYTES
from runtime.vm.opcodes import Opcode
from runtime.vm.operator_base import broadcast_shape, require
from runtime.vm.operators import OPERATORS
from runtime.vm.operators_map import CODES
from runtime.vm.program import Input, Named, Node, Program
from runtime.vm.types import TensorType

Shape = tuple[int, ...]


class UnsupportedOperator(SolventError):
    """The step uses something that Solvent cannot express. ``operator`` names it, ``source`` is the user's line."""

    def __init__(self, operator: str, source: str, why: str = "Solvent has no exact definition of it yet") -> None:
        super().__init__(f"{operator} at {source}: {why}")
        self.operator = operator
        self.source = source


class Refused(Exception):
    """Raised inside a rule; the walk over the graph adds operator and source line."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A tensor of the traced step: a value of the program, maybe to be read through a view."""

    value: int
    view: View | None = None


def float_bits(number: float) -> int:
    """Bits of a Python number rounded to f32; infinities beyond its range."""
    try:
        packed = struct.pack("<f", number)
    except OverflowError:
        packed = struct.pack("<f", float("inf") if number > 0 else float("-inf"))
    return int.from_bytes(packed, "little")


class LineWriter:
    """Writes one line of element-wise steps. Mutable; operands are made by its own methods only."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder
        self._line = Line([])

    def read(self, ref: Ref) -> Operand:
        """A tensor, which broadcasts."""
        return self._builder.operand(ref).value

    def number(self, number: float) -> Operand:
        return ("bits", float_bits(number))

    def step(self, opcode: Opcode, *operands: Operand) -> Operand:
        """Append a step and return its result."""
        self._line.steps.append((opcode, operands))
        return -len(self._line.steps)

    def finish(self, *results: Operand) -> list[Ref]:
        """The node; its outputs are these steps' results."""
        node = self._line.node([-1 - result for result in results if isinstance(result, int)])
        return list(self._builder.emit_all("map", [Ref(value) for value in node.inputs], node.attributes))


class Builder:
    """A program under construction. Mutable. Equal applications are shared, except random ones."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        self.inputs = tuple(inputs)
        self.nodes: list[Node] = []
        self.types = [TensorType(source.dtype, tuple(source.shape)) for source in inputs]
        self._first_outputs: list[int] = []
        self._known: dict[tuple[str, Shape, Shape], tuple[Ref, ...]] = {}
        self._reshaped: dict[int, int] = {}
        """Result of a reshape to what was reshaped."""
        self._bools: set[int] = set()

    def emit(self, op: str, inputs: Sequence[Ref], attributes: Sequence[int] = ()) -> Ref:
        """Apply an operator and return its main (last) output."""
        return self.emit_all(op, inputs, attributes)[-1]

    def emit_all(self, op: str, inputs: Sequence[Ref], attributes: Sequence[int] = ()) -> tuple[Ref, ...]:
        """Apply an operator and return all its outputs."""
        fit = self.operand if op in BROADCASTING else self.materialise
        return self._apply(op, tuple(fit(ref).value for ref in inputs), tuple(attributes))

    def step(self, opcode: Opcode, *inputs: Ref) -> Ref:
        """One element-wise operation, broadcasting; `fuse` joins neighbours into lines."""
        attributes = (0, 1, len(inputs), CODES.index(opcode), *range(len(inputs)))
        return self.emit("map", inputs, attributes)

    def line(self) -> LineWriter:
        """Begin a map with several outputs, written step by step."""
        return LineWriter(self)

    def matmul(self, a: Ref, b: Ref) -> Ref:
        """a @ b for matrices; operands are read where they lie."""
        flags = self._matrix_flag(a), self._matrix_flag(b)
        if None not in flags:
            return self._apply("matmul", (a.value, b.value), tuple(int(bool(flag)) for flag in flags))[-1]
        rows, columns = self.shape(a)[0], self.shape(b)[1]
        return self.reshape(self.batch_matmul(self.unsqueeze(a), self.unsqueeze(b)), (rows, columns))

    def batch_matmul(self, a: Ref, b: Ref, *, heads_inside: bool = False) -> Ref:
        """a[..., M, K] @ b[..., K, N], broadcasting at most two leading dimensions; gives [..., M, N].

        ``heads_inside`` keeps the result in memory as [first, M, second, N], from where heads join without a copy.
        """
        batch = broadcast_shape(self.shape(a)[:-2], self.shape(b)[:-2])
        views = []
        for ref in (a, b):
            lies = self.view(ref).expand((*batch, *self.shape(ref)[-2:]))
            pair = self._two_batches(lies)
            if pair is None or min(pair.strides) < 0:
                pair = self._two_batches(self.view(self.materialise(ref)).expand(lies.shape))
                ref = self.materialise(ref)
            if pair is None:
                raise Refused(f"a product over batch dimensions {batch}")
            views.append((ref.value, pair))
        (left, a_view), (right, b_view) = views
        first, second, rows, inner = a_view.shape
        columns = b_view.shape[-1]
        attributes = (first, second, rows, columns, inner, a_view.offset, *a_view.strides, b_view.offset)
        flag = heads_inside and second > 1
        result = self._apply("batch_matmul", (left, right), (*attributes, *b_view.strides, int(flag)))[-1]
        if flag:
            result = self.permute(result, (0, 2, 1, 3))
        return self.reshape(result, (*batch, rows, columns))

    def _two_batches(self, view: View) -> View | None:
        """A view of [..., M, N] as [B1, B2, M, N]."""
        leading = view.shape[:-2]
        if len(leading) == 2:
            return view
        return view.reshape((element_count(leading), 1, *view.shape[-2:]))

    def _matrix_flag(self, ref: Ref) -> bool | None:
        """Whether a matrix is a value read transposed; None where it is neither that nor the value itself."""
        view, shape = ref.view, self.types[ref.value].shape
        if view is None:
            return False
        if len(shape) == 2 and view == View.whole(shape).permute((1, 0)):
            return True
        return False if len(shape) == 2 and view == View.whole(shape) else None

    # -- Views ------------------------------------------------------------------------------------------------------

    def view(self, ref: Ref) -> View:
        """How a tensor lies in its value."""
        return ref.view or View.whole(self.types[ref.value].shape)

    def seen(self, ref: Ref, view: View) -> Ref:
        """A value through a view; the value itself where that is all of it."""
        return Ref(ref.value) if view == View.whole(self.types[ref.value].shape) else Ref(ref.value, view)

    def permute(self, ref: Ref, order: Sequence[int]) -> Ref:
        return self.seen(ref, self.view(ref).permute(order))

    def expand(self, ref: Ref, shape: Shape) -> Ref:
        return self.seen(ref, self.view(ref).expand(shape))

    def unsqueeze(self, ref: Ref) -> Ref:
        """The same with a leading dimension of size 1."""
        return self.reshape(ref, (1, *self.shape(ref)))

    def reshape(self, ref: Ref, shape: Shape) -> Ref:
        """The same elements in another shape; reshapes of reshapes are joined."""
        if self.shape(ref) == shape:
            return ref
        if ref.view is not None:
            view = ref.view.reshape(shape)
            if view is not None and not covers(view, self.types[ref.value].elements):
                return Ref(ref.value, view)
        value = self.materialise(ref).value
        value = self._reshaped.get(value, value)
        if self.types[value].shape == shape:
            return Ref(value)
        result = self._apply("reshape", (value,), shape)[-1]
        self._reshaped[result.value] = value
        return result

    def materialise(self, ref: Ref) -> Ref:
        """The same tensor as a value in C order."""
        view = ref.view
        if view is None:
            return ref
        source = self.types[ref.value]
        if covers(view, source.elements):
            return self.reshape(Ref(ref.value), view.shape)
        if len(source.shape) == 2 and view == View.whole(source.shape).permute((1, 0)):
            return self._apply("transpose", (ref.value,), ())[-1]
        return self._apply("strided", (ref.value,), (view.offset, *view.shape, *view.strides))[-1]

    def operand(self, ref: Ref) -> Ref:
        """A value that broadcasts to the tensor: where the view only repeats, nothing is copied."""
        if ref.view is None:
            return ref
        narrow = ref.view.without_repeats()
        if covers(narrow, self.types[ref.value].elements):
            return self.reshape(Ref(ref.value), narrow.shape)
        return self.materialise(ref if narrow.shape == ref.view.shape else Ref(ref.value, narrow))

    def shape(self, ref: Ref) -> Shape:
        return ref.view.shape if ref.view is not None else self.types[ref.value].shape

    def dtype(self, ref: Ref) -> str:
        return self.types[ref.value].dtype

    def note_bool(self, ref: Ref) -> Ref:
        """Remember that an i32 tensor holds only 0 and 1."""
        self._bools.add(ref.value)
        return ref

    def is_bool(self, ref: Ref) -> bool:
        """Whether a tensor is known to hold only 0 and 1."""
        return ref.value in self._bools

    @property
    def key(self) -> Ref:
        """The Philox key. Raises `Refused` where the program has none."""
        for value, source in enumerate(self.inputs):
            if source.kind == "key":
                return Ref(value)
        raise Refused("random numbers, which only training and initialisation have")

    def constant(self, number: float, shape: Shape = ()) -> Ref:
        return self._apply("fill", (), (float_bits(number), *shape))[-1]

    def program(self, state: dict[str, int], metrics: dict[str, int]) -> Program:
        """The nodes that the next state and the metrics need, neighbours fused, renumbered."""
        draft = Draft(len(self.inputs), self.nodes, self.types, self._first_outputs)
        draft.keep_only(set(state.values()) | set(metrics.values()))
        fuse(draft)
        keys = {value for value, source in enumerate(self.inputs) if source.kind == "key"}
        nodes, number = draft.renumbered(keys)
        return Program(
            version=1,
            inputs=tuple(source for value, source in enumerate(self.inputs) if value in number),
            nodes=tuple(nodes),
            state=tuple(Named(name=name, value=number[state[name]]) for name in sorted(state)),
            metrics=tuple(Named(name=name, value=number[metrics[name]]) for name in sorted(metrics)),
        )

    def _apply(self, op: str, values: Shape, attributes: Shape) -> tuple[Ref, ...]:
        key = (op, values, attributes)
        if key in self._known and op not in RANDOM:
            return self._known[key]
        try:
            outputs = OPERATORS[op].shapes(attributes, tuple(self.types[value] for value in values))
            for one in outputs:
                require(one.bytes <= MAX_STEP_BYTES, f"a tensor of {one.bytes:,} bytes; a step has {MAX_STEP_BYTES:,}")
        except ProgramError as error:
            raise Refused(f"{op}: {error}") from None
        first = len(self.types)
        self.nodes.append(Node(op=op, attributes=attributes, inputs=values))
        self._first_outputs.append(first)
        self.types += outputs
        self._known[key] = tuple(Ref(value) for value in range(first, len(self.types)))
        return self._known[key]
