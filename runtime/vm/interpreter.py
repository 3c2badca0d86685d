"""The machine that runs recipes: one group of up to 64 operations for the chain, whole recipes for players and tests.

Total on any input: code, registers or operands that no honest party can produce are a `VmHalt`, never another
exception.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from runtime.errors import VmHalt
from runtime.vm.instructions import (
    MAX_GROUP_OPERANDS,
    Address,
    Instruction,
    Load,
    LoadAt,
    Recipe,
    Register,
    Source,
    missing_element,
)
from runtime.vm.opcodes import OPCODES, REGISTER_COUNT, Opcode, Registers
from runtime.vm.types import EMPTY, KIND_OF_DTYPE, Kind, Scalar, scalar_of, signed

Fetch = Callable[[Address, str], object]


class Executed(NamedTuple):
    """One executed operation, for people: a verdict shows it. ``loaded`` of its operands came from outside."""

    opcode: Opcode
    operands: tuple[Scalar, ...]
    result: Scalar
    loaded: int = 0


@dataclass(frozen=True, slots=True)
class GroupResult:
    """What a group did. ``addresses[k]`` is the (address, dtype) that ``operands[k]`` was read from."""

    registers_after: Registers
    addresses: tuple[tuple[Address, str], ...]
    operands: tuple[int, ...]
    log: tuple[Executed, ...]


def run_group(recipe: Recipe, group: int, registers_before: Registers, operands: Sequence[int]) -> GroupResult:
    """Run group number ``group`` (from 1) on claimed registers and operands; every operand must be used, in order."""
    remaining = iter(operands)

    def fetch(address: Address, dtype: str) -> object:
        for bits in remaining:
            return bits
        raise VmHalt(f"{len(operands)} operands are too few; the next would be {address}")

    result = _run(recipe, group, registers_before, fetch)
    if len(result.operands) != len(operands):
        raise VmHalt(f"{len(operands)} operands where the group uses {len(result.operands)}")
    return result


def load_group(recipe: Recipe, group: int, registers_before: Registers, load: Callable[[Address], int]) -> GroupResult:
    """Run a group for a player who can read any element; the result holds the operands to post."""
    return _run(recipe, group, registers_before, lambda address, dtype: load(address))


def trace(recipe: Recipe, load: Callable[[Address], int]) -> list[Registers]:
    """The registers at every leaf of the element's trace: the constants, then after each group."""
    registers = [recipe.constants]
    for group in range(1, recipe.groups + 1):
        registers.append(load_group(recipe, group, registers[-1], load).registers_after)
    return registers


def evaluate(recipe: Recipe, load: Callable[[Address], int]) -> Registers:
    """The registers after the whole recipe; register 0 holds the element."""
    cells = list(recipe.constants.cells)

    def fetch(address: Address, dtype: str) -> object:
        return load(address)

    for number in range(recipe.length):
        instruction = recipe.instruction(number)
        operands = _read_sources(instruction, cells, fetch)
        _write(cells, instruction, _apply(instruction.opcode, operands))
    return Registers(tuple(cells))


def _run(recipe: Recipe, group: int, registers_before: Registers, fetch: Fetch) -> GroupResult:
    if not 1 <= group <= recipe.groups:
        raise VmHalt(f"group {group} of a recipe with {recipe.groups}")
    cells = list(registers_before.cells)
    addresses: list[tuple[Address, str]] = []
    used: list[int] = []
    log: list[Executed] = []

    def record(address: Address, dtype: str) -> object:
        if len(used) == MAX_GROUP_OPERANDS:
            raise VmHalt(f"a group may load {MAX_GROUP_OPERANDS} operands")
        scalar = scalar_of(dtype, fetch(address, dtype))
        addresses.append((address, dtype))
        used.append(scalar.bits)
        return scalar.bits

    for number in recipe.group_range(group):
        instruction = recipe.instruction(number)
        before = len(used)
        operands = _read_sources(instruction, cells, record)
        result = _apply(instruction.opcode, operands)
        _write(cells, instruction, result)
        log.append(Executed(instruction.opcode, operands, result, len(used) - before))
    return GroupResult(Registers(tuple(cells)), tuple(addresses), tuple(used), tuple(log))


def _read_sources(instruction: Instruction, cells: list[Scalar], fetch: Fetch) -> tuple[Scalar, ...]:
    return tuple([_read(source, cells, fetch) for source in instruction.sources])


def _read(source: Source, cells: list[Scalar], fetch: Fetch) -> Scalar:
    if type(source) is Register:
        return _cell(cells, source.number)
    if type(source) is Load:
        return scalar_of(source.dtype, fetch(source.address, source.dtype))
    if type(source) is LoadAt:
        return _read_at(source, cells, fetch)
    raise VmHalt(f"unknown source {source!r}")


def _read_at(source: LoadAt, cells: list[Scalar], fetch: Fetch) -> Scalar:
    kind, bits = _cell(cells, source.register)
    if kind not in (Kind.I32, Kind.U32):
        raise VmHalt(f"register {source.register} is an index but holds {kind.name}")
    index = signed(bits) if kind == Kind.I32 else bits
    if not 0 <= index < source.bound:
        return scalar_of(source.dtype, missing_element(source.dtype))
    space, tensor, element = source.address
    return scalar_of(source.dtype, fetch(Address(space, tensor, element + source.stride * index), source.dtype))


def _cell(cells: list[Scalar], number: int) -> Scalar:
    if not 0 <= number < REGISTER_COUNT:
        raise VmHalt(f"register {number} does not exist")
    return cells[number]


def _write(cells: list[Scalar], instruction: Instruction, result: Scalar) -> None:
    if not 0 <= instruction.destination < REGISTER_COUNT:
        raise VmHalt(f"register {instruction.destination} does not exist")
    cells[instruction.destination] = result


def _apply(opcode: Opcode, operands: tuple[Scalar, ...]) -> Scalar:
    operation = OPCODES.get(opcode)
    if operation is None:
        raise VmHalt(f"unknown opcode {opcode!r}")
    kinds = tuple([operand.kind for operand in operands])
    if operation.sources is None:
        if len(operands) != 1 or operands[0] == EMPTY:
            raise VmHalt(f"{opcode.name} needs one register or operand that is not empty")
        return operands[0]
    if kinds != operation.sources:
        wanted = ", ".join(kind.name for kind in operation.sources)
        raise VmHalt(f"{opcode.name} takes {wanted}, not {', '.join(kind.name for kind in kinds)}")
    return Scalar(operation.result, operation.function(*[operand.bits for operand in operands]))


def element_bits(registers: Registers, dtype: str) -> int:
    """The element that a finished recipe left in register 0; `VmHalt` when it is not of the tensor's dtype."""
    kind, bits = registers[0]
    if dtype not in KIND_OF_DTYPE or kind != KIND_OF_DTYPE[dtype]:
        raise VmHalt(f"register 0 holds {kind.name}, not an element of {dtype}")
    return scalar_of(dtype, bits).bits
