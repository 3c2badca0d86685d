"""Validation of graph programs: everything the chain needs to know before it accepts, prices or disputes one.

The check costs time proportional to the program's bytes, never to the tensors it speaks of. Whatever is wrong comes out
as a `ProgramError` that names the node and the rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from runtime.codec import decode, encode
from runtime.commitments import ITEM_BYTES
from runtime.errors import CodecError, ProgramError
from runtime.trees import hash_tagged
from runtime.vm.job import DataSource, Job
from runtime.vm.operator_base import Application, require, require_shape
from runtime.vm.operators import OPERATORS
from runtime.vm.program import INPUT_KINDS, MAX_NODES, MAX_PROGRAM_BYTES, Input, Node, Program
from runtime.vm.types import TensorType

PROGRAM_VERSION = 1
MAX_INPUTS = 4096
MAX_NAME = 128
MAX_STEP_BYTES = 1 << 36
"""Bound on the bytes of all values of one step together."""
MAX_GAS = (1 << 63) - 1
"""Bound on the scalar operations of a step, and of a whole job."""

StateEntry = tuple[str, int, TensorType]
"""(name, value number, type) of one tensor of a state."""


@dataclass(frozen=True)
class CheckedProgram:
    """A program that passed every rule, with what follows from it. Only `check_program` builds one."""

    program: Program
    root: bytes
    values: tuple[TensorType, ...]
    node_starts: tuple[int, ...]
    """Number of the first output value of each node."""
    node_gas: tuple[int, ...]
    """Scalar operations of each node, all outputs together."""

    @property
    def gas(self) -> int:
        """Scalar operations of one step."""
        return sum(self.node_gas)

    @property
    def step_width(self) -> int:
        """Leaves of a step trace: one per value, and the pack leaf, which is the next state root."""
        return len(self.values) + 1

    @cached_property
    def state(self) -> tuple[StateEntry, ...]:
        """The next state's tensors, sorted by name."""
        return tuple((entry.name, entry.value, self.values[entry.value]) for entry in self.program.state)

    @cached_property
    def start_state(self) -> tuple[StateEntry, ...]:
        """The start state's tensors as the program reads them, sorted by name; a "state" address indexes this."""
        entries = [
            (source.name, value, self.values[value])
            for value, source in enumerate(self.program.inputs)
            if source.kind == "state"
        ]
        return tuple(sorted(entries))

    @cached_property
    def start_index(self) -> dict[int, int]:
        """Value number of each state input to its index in `start_state`."""
        return {value: index for index, (_, value, _) in enumerate(self.start_state)}

    @cached_property
    def _producers(self) -> tuple[tuple[int, int], ...]:
        producers = [(-1, value) for value in range(len(self.program.inputs))]
        for node, start in enumerate(self.node_starts):
            producers += [(node, output) for output in range(self._end(node) - start)]
        return tuple(producers)

    def producer(self, value: int) -> tuple[int, int]:
        """(node index, output index) of a value; inputs have node -1 and count as its outputs."""
        return self._producers[value]

    def value_of(self, node: int, output: int) -> int:
        """The value number of a node's output; node -1 is the inputs."""
        return output if node == -1 else self.node_starts[node] + output

    def application(self, node: int, step: int = 0) -> Application:
        """A node with its types resolved, at a global step."""
        record = self.program.nodes[node]
        start = self.node_starts[node]
        types, outputs = tuple(self.values[value] for value in record.inputs), self.values[start : self._end(node)]
        return Application(node, step, record.attributes, types, outputs, record.inputs, start)

    def _end(self, node: int) -> int:
        """One past the number of a node's last output."""
        return self.node_starts[node + 1] if node + 1 < len(self.node_starts) else len(self.values)


def decode_program(data: bytes) -> Program:
    """The program behind its canonical bytes, unchecked but for its size."""
    try:
        program: Program = decode(data, Program, max_bytes=MAX_PROGRAM_BYTES)
    except CodecError as error:
        raise ProgramError(f"not a program: {error}") from None
    return program


def check_program(program: Program) -> CheckedProgram:
    """Check every rule and derive types, root and gas. Raises `ProgramError`; nothing large is allocated before."""
    program, root = _normalise(program)
    require(program.version == PROGRAM_VERSION, f"version {program.version} is not {PROGRAM_VERSION}")
    require(len(program.inputs) <= MAX_INPUTS, f"{len(program.inputs)} inputs, more than {MAX_INPUTS}")
    require(len(program.nodes) <= MAX_NODES, f"{len(program.nodes)} nodes, more than {MAX_NODES}")
    tally = _Tally()
    for index, source in enumerate(program.inputs):
        try:
            _check_input(source)
            tally.add(TensorType(source.dtype, source.shape))
        except ProgramError as error:
            raise ProgramError(f"input {index} ({source.kind[:16]!r}, {source.name[:MAX_NAME]!r}): {error}") from None
    _check_inputs_agree(program.inputs)
    starts, gas = [], []
    for index, node in enumerate(program.nodes):
        starts.append(len(tally.types))
        try:
            gas.append(_check_node(index, node, tally))
        except ProgramError as error:
            raise ProgramError(f"node {index} ({node.op[:MAX_NAME]!r}): {error}") from None
    checked = CheckedProgram(program, root, tuple(tally.types), tuple(starts), tuple(gas))
    _check_outputs(checked)
    return checked


def check_job(checked: CheckedProgram, job: Job) -> None:
    """Check that a job supplies what its program reads: fields of its samples, and rows and columns of its scalars."""
    require(job.program == checked.root, "the job is about another program")
    last_step = job.first_step + job.steps
    require(last_step < 1 << 32, f"step {last_step} does not fit a Philox counter")
    names = [field.name for field in job.data.fields]
    unique = len(set(names)) == len(names) and len(set(job.scalar_names)) == len(job.scalar_names)
    require(unique, "names of fields or scalars repeat")
    gas = checked.gas * job.steps
    require(gas <= MAX_GAS, f"{gas} scalar operations in {job.steps} steps, more than {MAX_GAS}")
    for index, source in enumerate(checked.program.inputs):
        try:
            if source.kind == "batch":
                _check_batch(source, job.data)
            elif source.kind == "scalar":
                require(source.name in job.scalar_names, "the job has no such step scalar")
                require(last_step <= job.scalar_rows, f"{job.scalar_rows} rows of scalars for {last_step} steps")
        except ProgramError as error:
            raise ProgramError(f"input {index} ({source.kind!r}, {source.name!r}): {error}") from None


class _Tally:
    """Mutable: the types of the values so far, their bytes, and the gas spent; refuses what exceeds the bounds."""

    def __init__(self) -> None:
        self.types: list[TensorType] = []
        self.bytes = 0
        self.gas = 0

    def add(self, value: TensorType) -> None:
        self.bytes += value.bytes
        if self.bytes > MAX_STEP_BYTES:
            raise ProgramError(f"{value} brings the step's values to {self.bytes} bytes, more than {MAX_STEP_BYTES}")
        self.types.append(value)

    def spend(self, gas: int) -> None:
        self.gas += gas
        require(self.gas <= MAX_GAS, f"brings the step to {self.gas} scalar operations, more than {MAX_GAS}")


def _normalise(program: Program) -> tuple[Program, bytes]:
    """The program as its own encoding gives it back, so that every field has its declared type, and its root."""
    try:
        data = encode(program)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ProgramError(f"not a program: {error}") from None
    return decode_program(data), hash_tagged(b"solvent:program", data)


def _check_name(name: str) -> None:
    good = 1 <= len(name) <= MAX_NAME and name.isascii() and name.isprintable()
    require(good, f"a name needs 1 to {MAX_NAME} printable ASCII characters")


def _check_input(source: Input) -> None:
    require(source.kind in INPUT_KINDS, f"kind is not one of {', '.join(INPUT_KINDS)}")
    _check_name(source.name)
    require(source.dtype in ITEM_BYTES, f"dtype {source.dtype[:16]!r} is not one of {', '.join(ITEM_BYTES)}")
    require_shape(source.shape)
    given = TensorType(source.dtype, source.shape)
    if source.kind == "scalar":
        require(given == ("f32", ()), f"a step scalar is f32[], not {given}")
    if source.kind == "key":
        require(given == ("u32", (2,)), f"a Philox key is u32[2], not {given}")
    if source.kind == "batch":
        require(len(source.shape) >= 1, "a batch needs a leading dimension")


def _check_inputs_agree(inputs: tuple[Input, ...]) -> None:
    seen: set[tuple[str, str]] = set()
    for source in inputs:
        require((source.kind, source.name) not in seen, f"two {source.kind} inputs are named {source.name!r}")
        seen.add((source.kind, source.name))
    require(sum(source.kind == "key" for source in inputs) <= 1, "more than one key input")
    batch_sizes = sorted({source.shape[0] for source in inputs if source.kind == "batch"})
    require(len(batch_sizes) <= 1, f"batch inputs of {len(batch_sizes)} different batch sizes")


def _check_node(index: int, node: Node, tally: _Tally) -> int:
    """Add the node's outputs to the tally and return the node's gas."""
    require(node.op in OPERATORS, "unknown operator")
    operator = OPERATORS[node.op]
    for value in node.inputs:
        require(0 <= value < len(tally.types), f"input value {value} is not one of the {len(tally.types)} before it")
    types = tuple(tally.types[value] for value in node.inputs)
    outputs = operator.shapes(node.attributes, types)
    first = len(tally.types)
    for output in outputs:
        require_shape(output.shape)
        tally.add(output)
    application = Application(index, 0, node.attributes, types, outputs, node.inputs, first)
    gas = sum(operator.gas(application, output) for output in range(len(outputs)))
    tally.spend(gas)
    return gas


def _check_outputs(checked: CheckedProgram) -> None:
    program = checked.program
    for what, entries in (("state", program.state), ("metrics", program.metrics)):
        previous = ""
        for entry in entries:
            try:
                _check_name(entry.name)
                require(entry.name > previous, f"follows {previous!r}; names must ascend strictly")
                require(0 <= entry.value < len(checked.values), f"value {entry.value} does not exist")
            except ProgramError as error:
                raise ProgramError(f"{what} {entry.name[:MAX_NAME]!r}: {error}") from None
            previous = entry.name
    require(bool(program.state or program.metrics), "the program leaves neither state nor metrics")
    if program.state and checked.start_state:
        before = [(name, tensor) for name, _, tensor in checked.start_state]
        after = [(name, tensor) for name, _, tensor in checked.state]
        require(before == after, "state inputs and next state differ in names, dtypes or shapes")


def _check_batch(source: Input, data: DataSource) -> None:
    fields = {field.name: field for field in data.fields}
    require(source.name in fields, "the samples have no such field")
    field = fields[source.name]
    wanted = TensorType(field.dtype, (data.batch_size, *field.shape))
    require(wanted == (source.dtype, source.shape), f"a batch of this field is {wanted}")
    require(data.sample_count >= 1, "the data source is empty")
