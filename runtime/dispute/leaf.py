"""The leaf of a dispute: the one place where the chain computes instead of comparing hashes.

A leaf is either one group of at most 64 scalar operations on operands that the defender posted, or one operand that
the defender opens against something agreed, or one tensor of a packed state. All three end in a `Verdict` that carries
what was claimed, what the chain computed, and the operations it executed.
"""

from __future__ import annotations

from typing import NamedTuple

from runtime.codec import Hash, replace
from runtime.commitments import CHUNK_BYTES, EMPTY_STATE_ROOT, ITEM_BYTES, chunk_count, chunk_leaf, state_leaf
from runtime.dispute.moves import MAX_OPERANDS, InvalidMove, OpenOperand, Party, PostGroup
from runtime.dispute.records import Evidence, Game, Operation, Reason, Verdict
from runtime.errors import VmHalt
from runtime.trees import verify_path
from runtime.vm.check import CheckedProgram
from runtime.vm.instructions import Address, Recipe
from runtime.vm.interpreter import Executed, GroupResult, run_group
from runtime.vm.opcodes import Registers
from runtime.vm.recipes import element_recipe
from runtime.vm.types import BITS_OF_KIND, Scalar, TensorType, read_element, scalar_of


class Source(NamedTuple):
    """Where an operand can be opened: leaf ``leaf`` of a tree both sides agree on holds a tensor of that type.

    A tree of width 0 stands for a tensor whose root itself is agreed. The leaves of a state bind a ``name`` too.
    """

    space: str
    name: str
    root: Hash
    width: int
    leaf: int
    kind: TensorType


def global_step(game: Game) -> int:
    """The number of the disputed step in the whole task."""
    return game.claim.job.first_step + game.step - 1


def recipe_of(game: Game, checked: CheckedProgram) -> Recipe:
    """The recipe of the disputed element."""
    return element_recipe(checked, game.claim.job, global_step(game), game.value, game.element)


def holds_element(game: Game, checked: CheckedProgram, registers: bytes) -> bool:
    """Whether register 0 of these canonical bytes is the claimed element. False for bytes that are no registers."""
    try:
        held = Registers.from_bytes(registers)
        return bool(held[0] == scalar_of(checked.values[game.value].dtype, game.bits))
    except VmHalt:
        return False


def validate_group(game: Game, move: PostGroup, groups: int) -> None:
    """Raise `InvalidMove` unless the posted group has the parts that its place in the recipe asks for."""
    if game.group == 1 and (move.before or move.before_path):
        raise InvalidMove("the first group starts from the recipe's constants, which nobody posts")
    if groups == 1 and move.after:
        raise InvalidMove("the only group of a recipe ends in the element itself, which is posted already")
    if len(move.operands) > MAX_OPERANDS:
        raise InvalidMove(f"{len(move.operands)} operands where a group has at most {MAX_OPERANDS}")


def judge_group(game: Game, checked: CheckedProgram, after: bytes | None) -> Verdict | None:
    """Run the disputed group on the posted operands. None: the result is as claimed, so an operand must be wrong.

    No ``after`` is for the only group of a recipe, which is compared with the claimed element alone. In a longer recipe
    the bytes behind the trace's leaf count, whatever they are: bytes that are no registers lose.
    """
    try:
        result = _run(game, checked)
        claimed = None if after is None else Registers.from_bytes(after)
    except VmHalt as halt:
        evidence = replace(_evidence_at(game, checked), computed=str(halt))
        return Verdict(Party.CHALLENGER, Reason.HALTED, evidence, game.trail)
    computed = result.registers_after
    agrees = holds_element(game, checked, computed.to_bytes()) if claimed is None else computed == claimed
    if agrees and game.operands:
        return None
    evidence = _evidence_of_result(game, checked, result, claimed)
    if agrees:
        return Verdict(Party.DEFENDER, Reason.NOTHING_TO_DISPUTE, evidence, game.trail)
    return Verdict(Party.CHALLENGER, Reason.WRONG_RESULT, evidence, game.trail)


def operand_address(game: Game, checked: CheckedProgram) -> tuple[Address, str]:
    """The address and dtype of the disputed operand, as far as the operands before it are right."""
    return _run(game, checked).addresses[game.operand]


def judge_operand(game: Game, checked: CheckedProgram, move: OpenOperand) -> Verdict:
    """Compare the disputed operand with what the defender opens. Raises `InvalidMove` when the opening is not one."""
    result = _run(game, checked)
    address, dtype = result.addresses[game.operand]
    source = source_of(game, checked, address)
    per_chunk = CHUNK_BYTES // ITEM_BYTES[dtype]
    index, within = divmod(address.element, per_chunk)
    _validate_opening(source, index, move)
    opened = scalar_of(dtype, read_element(move.chunk, dtype, within))
    posted = scalar_of(dtype, game.operands[game.operand])
    evidence = replace(
        _evidence_of_operation(game, checked, result, _operation_of_operand(result, game.operand)),
        operand=f"{source.space} {source.name}[{address.element}]",
        claimed=_hexadecimal(posted),
        computed=_hexadecimal(opened),
    )
    if opened != posted:
        return Verdict(Party.CHALLENGER, Reason.WRONG_OPERAND, evidence, game.trail)
    return Verdict(Party.DEFENDER, Reason.OPERAND_CONFIRMED, evidence, game.trail)


def judge_pack(game: Game, checked: CheckedProgram, tensor: Hash) -> Verdict:
    """Compare one leaf of the claimed next state with the value that the program packs there."""
    index = game.cursor.index
    if checked.state:
        name, value, kind = checked.state[index]
        computed = state_leaf(name, kind.dtype, kind.shape, tensor)
    else:
        name, value, computed = "", 0, EMPTY_STATE_ROOT
    agrees = computed == game.cursor.node
    evidence = Evidence(
        step=global_step(game),
        value=checked.step_width - 1,
        operator="pack",
        element=index,
        operation=0,
        opcode="PACK",
        operand=f"value {value} as {name}",
        operands=(f"0x{tensor.hex()}",),
        claimed=f"0x{game.cursor.node.hex()}",
        computed=f"0x{computed.hex()}",
        log=(),
    )
    if agrees:
        return Verdict(Party.DEFENDER, Reason.PACK_CONFIRMED, evidence, game.trail)
    return Verdict(Party.CHALLENGER, Reason.WRONG_PACK, evidence, game.trail)


def source_of(game: Game, checked: CheckedProgram, address: Address) -> Source:
    """Where an address of the disputed step can be opened."""
    job, tensor = game.claim.job, address.tensor
    if address.space == "value":
        return Source("value", f"{tensor}", game.step_root, checked.step_width, tensor, checked.values[tensor])
    if address.space == "state":
        name, _, kind = checked.start_state[tensor]
        return Source("state", name, game.before, len(checked.start_state), tensor, kind)
    if address.space == "data":
        fields = job.data.fields
        sample, number = divmod(tensor, len(fields))
        kind = TensorType(fields[number].dtype, fields[number].shape)
        name = f"{fields[number].name} of sample {sample}"
        return Source("data", name, job.data.root, job.data.sample_count * len(fields), tensor, kind)
    kind = TensorType("f32", (job.scalar_rows, len(job.scalar_names)))
    return Source("scalars", ", ".join(job.scalar_names), job.scalars_root, 0, 0, kind)


def _validate_opening(source: Source, index: int, move: OpenOperand) -> None:
    total = source.kind.bytes
    expected = min(CHUNK_BYTES, total - index * CHUNK_BYTES)
    if len(move.chunk) != expected:
        raise InvalidMove(f"a chunk of {len(move.chunk)} bytes where {source.space} {source.name} has {expected}")
    if not verify_path(move.tensor, chunk_count(total), index, chunk_leaf(move.chunk), move.chunk_path):
        raise InvalidMove(f"the path does not show the chunk as chunk {index} of {source.space} {source.name}")
    leaf = move.tensor
    if source.space == "state":
        leaf = state_leaf(source.name, source.kind.dtype, source.kind.shape, move.tensor)
    if source.width:
        shown = verify_path(source.root, source.width, source.leaf, leaf, move.tensor_path)
    else:
        shown = move.tensor == source.root and not move.tensor_path
    if not shown:
        raise InvalidMove(
            f"the path does not show the tensor as {source.space} {source.name} under {source.root.hex()}"
        )


def _run(game: Game, checked: CheckedProgram) -> GroupResult:
    registers = Registers.from_bytes(game.registers)
    return run_group(recipe_of(game, checked), game.group, registers, game.operands)


def _hexadecimal(scalar: Scalar) -> str:
    return f"0x{scalar.bits:0{BITS_OF_KIND[scalar.kind] // 4}x}"


def _operation(executed: Executed) -> Operation:
    operands = tuple(_hexadecimal(operand) for operand in executed.operands)
    return Operation(executed.opcode.name, operands, _hexadecimal(executed.result))


def _operator_name(game: Game, checked: CheckedProgram) -> str:
    node, _ = checked.producer(game.value)
    if node >= 0:
        return checked.program.nodes[node].op
    source = checked.program.inputs[game.value]
    return f"{source.kind} {source.name}"


def _evidence_at(game: Game, checked: CheckedProgram) -> Evidence:
    """Evidence that names the element, and no operation."""
    claimed = _hexadecimal(scalar_of(checked.values[game.value].dtype, game.bits))
    return Evidence(
        step=global_step(game),
        value=game.value,
        operator=_operator_name(game, checked),
        element=game.element,
        operation=0,
        opcode="",
        operand="",
        operands=(),
        claimed=claimed,
        computed="",
        log=(),
    )


def _evidence_of_operation(game: Game, checked: CheckedProgram, result: GroupResult, number: int) -> Evidence:
    """Evidence about operation ``number`` of the executed group."""
    log = tuple(_operation(executed) for executed in result.log)
    operation = recipe_of(game, checked).group_range(game.group)[number]
    shown = log[number]
    return replace(
        _evidence_at(game, checked),
        operation=operation,
        opcode=shown.opcode,
        operands=shown.operands,
        computed=shown.result,
        log=log,
    )


def _evidence_of_result(
    game: Game, checked: CheckedProgram, result: GroupResult, claimed: Registers | None
) -> Evidence:
    """Evidence about the operation that last wrote the first register in which claim and computation differ."""
    if claimed is None:
        return _evidence_of_operation(game, checked, result, len(result.log) - 1)
    pairs = enumerate(zip(claimed.cells, result.registers_after.cells, strict=True))
    register = next((number for number, (one, other) in pairs if one != other), 0)
    recipe = recipe_of(game, checked)
    writers = [
        number
        for number, operation in enumerate(recipe.group_range(game.group))
        if recipe.instruction(operation).destination == register
    ]
    shown = {"claimed": _hexadecimal(claimed[register]), "computed": _hexadecimal(result.registers_after[register])}
    evidence = replace(_evidence_of_operation(game, checked, result, writers[-1] if writers else 0), **shown)
    if not writers:
        return replace(evidence, opcode="", operands=(), operand=f"register {register}, which the group never writes")
    return evidence


def _operation_of_operand(result: GroupResult, operand: int) -> int:
    """Number within the group of the operation that consumed posted operand ``operand``."""
    consumed = 0
    for number, executed in enumerate(result.log):
        consumed += executed.loaded
        if operand < consumed:
            return number
    raise ValueError(f"operand {operand} of a group that uses {consumed}")
