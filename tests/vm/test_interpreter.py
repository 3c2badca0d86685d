"""The interpreter: traces, posted operands, and totality on anything a party may post."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.errors import VmHalt
from runtime.vm.check import check_program
from runtime.vm.instructions import Address, Instruction, Load, LoadAt, Recipe, Register, straight
from runtime.vm.interpreter import element_bits, evaluate, load_group, run_group, trace
from runtime.vm.opcodes import OPCODES, REGISTERS_BYTES, Opcode, Registers
from runtime.vm.recipes import element_recipe
from runtime.vm.types import BITS_OF_KIND, EMPTY, Kind, Scalar, f32, i32, u32
from tests.vm.programs import classifier, classifier_job

CHECKED = check_program(classifier(batch=3, inputs=300))
JOB = classifier_job(CHECKED)
ONE = 0x3F800000


def load(address: Address) -> int:
    """Some small positive f32, i32 or u8 for any address."""
    if (address.space == "value" and address.tensor in (4, 5)) or address.space == "data":
        return address.element % 4
    return ONE + (address.tensor * 7919 + address.element * 104729) % (1 << 22)


def all_recipes() -> list[Recipe]:
    """A recipe of every value: its last element."""
    return [
        element_recipe(CHECKED, classifier_job(CHECKED), 1, value, tensor.elements - 1)
        for value, tensor in enumerate(CHECKED.values)
    ]


def test_a_trace_starts_with_the_constants_and_ends_with_the_element() -> None:
    for recipe in all_recipes():
        leaves = trace(recipe, load)
        assert len(leaves) == recipe.trace_width
        assert leaves[0] == recipe.constants
        assert leaves[-1] == evaluate(recipe, load)


def test_a_group_run_on_posted_operands_gives_the_next_leaf() -> None:
    for recipe in all_recipes():
        leaves = trace(recipe, load)
        for group in range(1, recipe.groups + 1):
            posted = load_group(recipe, group, leaves[group - 1], load)
            result = run_group(recipe, group, leaves[group - 1], posted.operands)
            assert result == posted
            assert result.registers_after == leaves[group]
            assert len(result.log) == len(recipe.group_range(group))
            assert [load(address) for address, _ in result.addresses] == list(result.operands)


def test_registers_before_and_operands_decide_the_result() -> None:
    recipe = element_recipe(CHECKED, JOB, 0, 9, 0)
    leaves = trace(recipe, load)
    posted = load_group(recipe, 2, leaves[1], load).operands
    changed = [posted[0] ^ 1 << 20, *posted[1:]]
    assert run_group(recipe, 2, leaves[1], changed).registers_after != leaves[2]
    assert run_group(recipe, 2, leaves[0], posted).registers_after != leaves[2]


@pytest.mark.parametrize("first", [-1, 1 << 32, True, None, 1.0])
def test_an_operand_that_is_no_bit_pattern_halts(first: Any) -> None:
    recipe = element_recipe(CHECKED, JOB, 0, 9, 0)
    posted = load_group(recipe, 1, recipe.constants, load).operands
    with pytest.raises(VmHalt, match="bit pattern"):
        run_group(recipe, 1, recipe.constants, [first, *posted[1:]])


@pytest.mark.parametrize("change", [lambda x: x[:-1], lambda x: (*x, 0), lambda x: ()])
def test_a_wrong_number_of_operands_halts(change: Any) -> None:
    recipe = element_recipe(CHECKED, JOB, 0, 9, 0)
    posted = load_group(recipe, 1, recipe.constants, load).operands
    with pytest.raises(VmHalt):
        run_group(recipe, 1, recipe.constants, change(posted))


def test_an_operand_must_fit_its_dtype() -> None:
    recipe = element_recipe(CHECKED, JOB, 0, 8, 0)  # reads a u8
    assert run_group(recipe, 1, recipe.constants, [255]).registers_after[0] == f32(0x437F0000)
    with pytest.raises(VmHalt, match="u8"):
        run_group(recipe, 1, recipe.constants, [256])


@pytest.mark.parametrize("group", [0, -1, 3, 1 << 80])
def test_a_group_outside_the_recipe_halts(group: int) -> None:
    recipe = straight([Instruction(Opcode.NEG_F32, 0, (Register(0),))] * 65, {0: f32(ONE)})
    with pytest.raises(VmHalt, match="group"):
        run_group(recipe, group, recipe.constants, [])


def test_a_group_loads_at_most_256_operands() -> None:
    one = Load(Address("value", 0, 0), "u32")
    recipe = straight([Instruction(Opcode.PHILOX, 0, (one,) * 7)] * 64)
    with pytest.raises(VmHalt, match="256"):
        run_group(recipe, 1, recipe.constants, [0] * 448)


@pytest.mark.parametrize("index", [i32(-1), i32(4), i32(-(2**31)), u32(4), u32(2**32 - 1)])
def test_an_index_out_of_range_reads_nan_and_uses_no_operand(index: Scalar) -> None:
    for dtype, missing in (("f32", f32(0x7FC00000)), ("i32", i32(0))):
        source = LoadAt(Address("value", 3, 10), dtype, stride=2, register=1, bound=4)
        recipe = straight([Instruction(Opcode.MOVE, 0, (source,))], {1: index})
        result = run_group(recipe, 1, recipe.constants, [])
        assert result.registers_after[0] == missing
        assert result.addresses == ()


def test_an_index_in_range_names_its_address() -> None:
    source = LoadAt(Address("value", 3, 10), "f32", stride=2, register=1, bound=4)
    recipe = straight([Instruction(Opcode.MOVE, 0, (source,))], {1: i32(3)})
    assert run_group(recipe, 1, recipe.constants, [ONE]).addresses == ((Address("value", 3, 16), "f32"),)


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        (Instruction(Opcode.ADD_F32, 0, (Register(0),)), "takes F32, F32"),
        (Instruction(Opcode.ADD_F32, 0, (Register(0), Register(1))), "not F32, I32"),
        (Instruction(Opcode.ADD_F32, 0, (Register(0), Register(9))), "not F32, EMPTY"),
        (Instruction(Opcode.MOVE, 0, (Register(9),)), "not empty"),
        (Instruction(Opcode.MOVE, 0, ()), "not empty"),
        (Instruction(Opcode.MOVE, 32, (Register(0),)), "register 32"),
        (Instruction(Opcode.MOVE, 0, (Register(-1),)), "register -1"),
        (Instruction(999, 0, (Register(0),)), "unknown opcode"),  # type: ignore[arg-type]
        (Instruction(Opcode.MOVE, 0, (LoadAt(Address("value", 0, 0), "f32", 1, 0, 5),)), "is an index"),
        (Instruction(Opcode.MOVE, 0, (Load(Address("value", 0, 0), "f16"),)), "unknown dtype"),
        (Instruction(Opcode.MOVE, 0, ("r0",)), "unknown source"),  # type: ignore[arg-type]
    ],
)
def test_malformed_code_halts(instruction: Instruction, message: str) -> None:
    recipe = straight([Instruction(Opcode.MOVE, 0, (Register(0),))], {0: f32(0), 1: i32(0)})
    broken = Recipe(recipe.constants, 1, 1, lambda _: instruction)
    with pytest.raises(VmHalt, match=message):
        run_group(broken, 1, broken.constants, [0])


def test_registers_survive_their_bytes() -> None:
    registers = Registers.of({0: f32(ONE), 5: Scalar(Kind.F64, 2**64 - 1), 31: i32(-1), 30: u32(7)})
    assert len(registers.to_bytes()) == REGISTERS_BYTES == 288
    assert Registers.from_bytes(registers.to_bytes()) == registers


@pytest.mark.parametrize("data", [b"", bytes(287), bytes(289), b"\x05" + bytes(287), b"\x00\x01" + bytes(286),
                                  b"\x01\xff\xff\xff\xff\x01" + bytes(282)])  # fmt: skip
def test_malformed_registers_halt(data: bytes) -> None:
    with pytest.raises(VmHalt):
        Registers.from_bytes(data)


@pytest.mark.parametrize("cell", [Scalar(Kind.F32, -1), (1, 0), Scalar(Kind.F32, 1 << 32), Scalar(Kind.EMPTY, 1)])
def test_impossible_cells_halt(cell: Any) -> None:
    with pytest.raises(VmHalt, match="register 0"):
        Registers((cell,) + (EMPTY,) * 31)
    with pytest.raises(VmHalt, match="31 registers"):
        Registers((EMPTY,) * 31)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(min_size=280, max_size=296) | st.lists(st.integers(0, 5), min_size=32, max_size=32))
def test_any_bytes_are_registers_or_a_halt(data: bytes | list[int]) -> None:
    raw = data if isinstance(data, bytes) else b"".join(bytes([kind, 1]) + bytes(7) for kind in data)
    with contextlib.suppress(VmHalt):
        assert Registers.from_bytes(raw).to_bytes() == raw


def random_cell(generator: random.Random) -> Scalar:
    kind = generator.choice(list(Kind))
    return Scalar(kind, generator.getrandbits(BITS_OF_KIND[kind]) if kind else 0)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.lists(st.integers(-1, 2**33) | st.integers(0, 255), max_size=130))
def test_any_registers_and_operands_give_a_result_or_a_halt(seed: int, operands: list[int]) -> None:
    generator = random.Random(seed)
    recipe = generator.choice(all_recipes())
    group = generator.randrange(1, recipe.groups + 1)
    cells = tuple(random_cell(generator) for _ in range(32))
    typed = tuple(
        Scalar(cell.kind, generator.getrandbits(BITS_OF_KIND[cell.kind])) if cell.kind else cell
        for cell in recipe.constants.cells
    )
    for registers in (Registers(cells), Registers(typed), recipe.constants):
        with contextlib.suppress(VmHalt):
            posted = load_group(recipe, group, registers, lambda _: generator.getrandbits(32))
            run_group(recipe, group, registers, posted.operands)
        with contextlib.suppress(VmHalt):
            run_group(recipe, group, registers, operands)


@pytest.mark.parametrize("opcode", list(Opcode))
def test_an_opcode_is_total_and_its_result_fits_its_kind(opcode: Opcode) -> None:
    operation = OPCODES[opcode]
    generator = random.Random(int(opcode))
    for _ in range(200):
        for kind in (operation.result,) if operation.sources else (Kind.F32, Kind.F64, Kind.I32, Kind.U32):
            kinds = operation.sources or (kind,)
            bits = [generator.choice([0, generator.getrandbits(BITS_OF_KIND[k]), (1 << BITS_OF_KIND[k]) - 1])
                    for k in kinds]  # fmt: skip
            constants = {1 + i: Scalar(k, b) for i, (k, b) in enumerate(zip(kinds, bits, strict=True))}
            sources = tuple(Register(1 + i) for i in range(len(kinds)))
            result = evaluate(straight([Instruction(opcode, 0, sources)], constants), load)[0]
            assert result.kind == kind
            if kind == Kind.F32 and opcode != Opcode.MOVE:
                assert result.bits & 0x7FFFFFFF <= 0x7F800000 or result.bits == 0x7FC00000


@pytest.mark.parametrize(
    ("opcode", "left", "right", "wanted"),
    [
        (Opcode.ADD_I32, i32(2**31 - 1), i32(1), i32(-(2**31))),
        (Opcode.SUB_I32, i32(-(2**31)), i32(1), i32(2**31 - 1)),
        (Opcode.MUL_I32, i32(-3), i32(5), i32(-15)),
        (Opcode.LESS_I32, i32(-1), i32(0), i32(1)),
        (Opcode.EQUAL_I32, i32(-1), i32(-1), i32(1)),
        (Opcode.SHIFT_RIGHT_U32, u32(2**31), u32(31), u32(1)),
        (Opcode.SHIFT_RIGHT_U32, u32(2**31), u32(2**32 - 1), u32(0)),
    ],
)
def test_integers_wrap(opcode: Opcode, left: Scalar, right: Scalar, wanted: Scalar) -> None:
    recipe = straight([Instruction(opcode, 0, (Register(1), Register(2)))], {1: left, 2: right})
    assert evaluate(recipe, load)[0] == wanted


def test_an_element_has_its_tensors_dtype() -> None:
    assert element_bits(Registers.of({0: u32(255)}), "u8") == 255
    for scalar, dtype in ((u32(256), "u8"), (u32(1), "i32"), (EMPTY, "f32"), (f32(1), "f16")):
        with pytest.raises(VmHalt):
            element_bits(Registers.of({0: scalar}), dtype)
