"""What a dispute remembers between moves, and what it ends in. Both are small enough to live on chain."""

from __future__ import annotations

from enum import StrEnum

from runtime.codec import U63, U64, Hash, Record
from runtime.dispute.moves import Level, Party, Phase
from runtime.vm.job import Claim

NO_HASH = bytes(32)
"""Stands in a game's fields for a hash that is not known yet."""


class Cursor(Record):
    """Where the game stands in the current tree: the node at (height, index), which the two sides disagree on."""

    level: Level
    width: U63
    height: U63
    index: U63
    node: Hash


class Descent(Record):
    """One finished level: the tree's width and the first leaf in dispute."""

    level: Level
    width: U63
    leaf: U63


class Game(Record):
    """One dispute between two moves. Every field but ``revealed`` and the posted ones is agreed or derived.

    ``step`` counts from 1 within the job; the disputed step leads from state ``before`` to the claimed state
    ``after``. ``chunk`` and ``element`` locate the disputed element of ``value``; ``bits`` is what is claimed for
    it. ``group`` is the disputed run of operations (from 1), ``registers`` what it starts from, ``operands`` what
    the defender says it loads, ``operand`` the one that is disputed. Fields of later phases are zero.
    """

    claim: Claim
    phase: Phase
    cursor: Cursor
    revealed: tuple[Hash, ...]
    trail: tuple[Descent, ...]
    segment_root: Hash
    step: U63
    before: Hash
    after: Hash
    step_root: Hash
    value: U63
    chunk: bytes
    element: U63
    bits: U64
    trace_root: Hash
    group: U63
    registers: bytes
    operands: tuple[U64, ...]
    operand: U63


class Reason(StrEnum):
    """Why a game ended."""

    WRONG_RESULT = "wrong_result"
    HALTED = "halted"
    WRONG_OPERAND = "wrong_operand"
    WRONG_PACK = "wrong_pack"
    NOTHING_TO_DISPUTE = "nothing_to_dispute"
    OPERAND_CONFIRMED = "operand_confirmed"
    PACK_CONFIRMED = "pack_confirmed"
    SILENCE = "silence"


class Operation(Record):
    """One operation that the chain executed; bit patterns in hexadecimal."""

    opcode: str
    operands: tuple[str, ...]
    result: str


class Evidence(Record):
    """The leaf of a dispute, for people: one operation, what was claimed of it and what the chain computed.

    ``step`` is the global step, ``value`` the number in the program, ``operator`` the program node's operator (or
    the kind of an input, or ``pack``), ``operation`` the number of the operation in the element's recipe, ``operand``
    the place it was loaded from. Empty strings and zeros where a game ended before such a thing was known.
    """

    step: U63
    value: U63
    operator: str
    element: U63
    operation: U63
    opcode: str
    operand: str
    operands: tuple[str, ...]
    claimed: str
    computed: str
    log: tuple[Operation, ...]


class Verdict(Record):
    """The end of a game: who won, why, the leaf it ended at, and the levels descended on the way."""

    winner: Party
    reason: Reason
    evidence: Evidence
    trail: tuple[Descent, ...]
