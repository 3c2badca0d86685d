"""The leaf of a dispute for people: the scalar instructions of the disputed group, operands, registers, and both sides'
results, computed again by the machine that judged it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rpc.answers.disputes import InstructionJson, LeafJson, OperandJson, RegisterJson, SourceJson
from rpc.dispute_replay import Replay
from rpc.scalars import decimal, decimal_of_hex, hexadecimal
from runtime.codec import replace
from runtime.dispute.leaf import recipe_of, source_of
from runtime.dispute.moves import PostGroup
from runtime.dispute.records import Evidence, Game, Reason, Verdict
from runtime.errors import VmHalt
from runtime.vm.instructions import Address, Load, LoadAt, Recipe, Register, Source
from runtime.vm.interpreter import GroupResult, run_group
from runtime.vm.opcodes import Registers
from runtime.vm.types import KIND_OF_DTYPE, Kind

PACKS = (Reason.WRONG_PACK, Reason.PACK_CONFIRMED)
OPENINGS = (Reason.WRONG_OPERAND, Reason.OPERAND_CONFIRMED)


def render_leaf(replay: Replay, verdict: Verdict) -> LeafJson:
    """Everything about the leaf that a dispute ended at."""
    evidence = verdict.evidence
    leaf = _frame(replay, evidence)
    if verdict.reason is Reason.SILENCE:
        return leaf
    if verdict.reason in PACKS:
        return {**leaf, "kind": "pack", "operator": "pack"}
    game, after = _position(replay)
    recipe = recipe_of(game, replay.checked)
    try:
        result: GroupResult | None = run_group(recipe, game.group, Registers.from_bytes(game.registers), game.operands)
    except VmHalt:
        result = None
    computed = None if result is None else result.registers_after
    claimed = _registers(after)
    differing = _first_difference(claimed, computed)
    shown = leaf["dtype"] if verdict.reason not in OPENINGS else _operand_dtype(result, game)
    return {
        **leaf,
        "kind": "operand" if verdict.reason in OPENINGS else "group",
        "group": game.group,
        "groups": recipe.groups,
        "instructions": _instructions(replay, game, recipe, result, evidence),
        "operands": _operands(replay, game, result, verdict),
        "registers": {
            "before": _render_registers(_registers(game.registers)),
            "claimed": None if claimed is None else _render_registers(claimed),
            "computed": None if computed is None else _render_registers(computed),
        },
        "register": differing,
        "claimedDecimal": _decimal(claimed, differing, shown, evidence.claimed),
        "computedDecimal": _decimal(computed, differing, shown, evidence.computed),
    }


def _frame(replay: Replay, evidence: Evidence) -> LeafJson:
    """The parts that every leaf has, empty where the game did not come so far."""
    values = replay.checked.values
    tensor = values[evidence.value] if evidence.operator not in ("", "pack") and evidence.value < len(values) else None
    return {
        "kind": "silence",
        "step": evidence.step,
        "value": evidence.value,
        "operator": evidence.operator or None,
        "dtype": tensor.dtype if tensor else None,
        "shape": list(tensor.shape) if tensor else None,
        "element": evidence.element,
        "group": None,
        "groups": None,
        "instructions": [],
        "operands": [],
        "registers": {"before": [], "claimed": None, "computed": None},
        "register": None,
        "claimed": evidence.claimed or None,
        "computed": evidence.computed or None,
        "claimedDecimal": None,
        "computedDecimal": None,
    }


def _position(replay: Replay) -> tuple[Game, bytes]:
    """The game as it was judged, and the registers that the defender claimed behind the group (empty: none)."""
    played = next(played for played in reversed(replay.moves) if isinstance(played.move, PostGroup))
    move: Any = played.move
    before = played.before
    first = recipe_of(before, replay.checked).constants.to_bytes()
    registers = move.before if before.group > 1 else first
    game = replace(before, registers=registers, operands=move.operands)
    last = replay.last_game
    return (replace(game, operand=last.operand) if last.operands else game), move.after


def _registers(data: bytes) -> Registers | None:
    try:
        return Registers.from_bytes(data)
    except VmHalt:
        return None


def _first_difference(claimed: Registers | None, computed: Registers | None) -> int | None:
    if claimed is None or computed is None:
        return None
    pairs = enumerate(zip(claimed.cells, computed.cells, strict=True))
    return next((number for number, (one, other) in pairs if one != other), None)


def _render_registers(registers: Registers | None) -> list[RegisterJson]:
    cells = () if registers is None else registers.cells
    return [
        {
            "register": number,
            "kind": cell.kind.name.lower(),
            "bits": hexadecimal(cell.kind, cell.bits),
            "decimal": decimal(cell.kind, cell.bits),
        }
        for number, cell in enumerate(cells)
        if cell.kind is not Kind.EMPTY
    ]


def _decimal(registers: Registers | None, register: int | None, dtype: str | None, text: str) -> str | None:
    if registers is not None and register is not None:
        cell = registers[register]
        return decimal(cell.kind, cell.bits)
    return None if dtype is None else decimal_of_hex(dtype, text)


def _operand_dtype(result: GroupResult | None, game: Game) -> str | None:
    return None if result is None else result.addresses[game.operand][1]


def _instructions(
    replay: Replay, game: Game, recipe: Recipe, result: GroupResult | None, evidence: Evidence
) -> list[InstructionJson]:
    shown: list[InstructionJson] = []
    posted = 0
    for place, number in enumerate(recipe.group_range(game.group)):
        instruction = recipe.instruction(number)
        executed = None if result is None else result.log[place]
        loaded = 0 if executed is None else executed.loaded
        shown.append(
            {
                "operation": number,
                "opcode": instruction.opcode.name,
                "destination": instruction.destination,
                "sources": _sources(replay, game, instruction.sources, posted, loaded),
                "operands": None
                if executed is None
                else [hexadecimal(cell.kind, cell.bits) for cell in executed.operands],
                "result": None if executed is None else hexadecimal(executed.result.kind, executed.result.bits),
                "disputed": bool(evidence.opcode) and number == evidence.operation,
            }
        )
        posted += loaded
    return shown


def _sources(replay: Replay, game: Game, sources: Sequence[Source], posted: int, loaded: int) -> list[SourceJson]:
    """The sources of an instruction. A computed address that is out of range loads nothing."""
    shown: list[SourceJson] = []
    spare = loaded - sum(isinstance(source, Load) for source in sources)
    for source in sources:
        if isinstance(source, Register):
            shown.append({"kind": "register", "register": source.number})
            continue
        is_loaded = isinstance(source, Load) or spare > 0
        spare -= isinstance(source, LoadAt)
        shown.append(
            {
                "kind": "load" if isinstance(source, Load) else "load_at",
                **_address(replay, game, source.address),
                "dtype": source.dtype,
                "operand": posted if is_loaded and loaded else None,
                **({"register": source.register} if isinstance(source, LoadAt) else {}),
            }
        )
        posted += is_loaded
    return shown


def _address(replay: Replay, game: Game, address: Address) -> SourceJson:
    name = source_of(game, replay.checked, address).name
    return {"space": address.space, "tensor": address.tensor, "element": str(address.element), "name": name}


def _operands(replay: Replay, game: Game, result: GroupResult | None, verdict: Verdict) -> list[OperandJson]:
    shown: list[OperandJson] = []
    for number, bits in enumerate(game.operands):
        address, dtype = (None, "") if result is None else result.addresses[number]
        kind = KIND_OF_DTYPE.get(dtype, Kind.U32)
        source = None if address is None else source_of(game, replay.checked, address)
        is_opened = verdict.reason in OPENINGS and number == game.operand
        shown.append(
            {
                "operand": number,
                "from": "" if source is None or address is None else f"{source.space} {source.name}[{address.element}]",
                "dtype": dtype or None,
                "posted": hexadecimal(kind, bits),
                "opened": verdict.evidence.computed if is_opened else None,
                "decimal": decimal(kind, bits) if dtype else None,
            }
        )
    return shown
