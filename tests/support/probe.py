"""A pallet to test the executive with: calls that fail in every typed way, or weigh what they are told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from runtime import registry
from runtime.codec import U63, Hash, Record, decode
from runtime.errors import DispatchError, ProgramError, VmHalt
from runtime.pallet import Context, Pallet
from runtime.pallets import balances
from runtime.state import Map

PALLET = Pallet("probe")
ENTRIES: Map[bytes, int] = PALLET.map("entries", bytes, U63)


@PALLET.event
class Probed(Record):
    """The call ran."""

    key: bytes


@PALLET.error
class Refused(DispatchError):
    """Always."""


class Write(Record):
    """Write entries, take a hold, deposit an event, and then fail as ``failure`` says (empty: not at all)."""

    keys: tuple[bytes, ...]
    failure: str


class Weigh(Record):
    """An ordinary call of that weight."""

    weight: U63


class Move(Record):
    """An operational call of that weight, for those who have an entry."""

    weight: U63


class Picky(Record):
    """A call whose weight cannot be computed for odd arguments."""

    program: bytes


@PALLET.call(weight=1_000)
def write(ctx: Context, origin: bytes, args: Write) -> None:
    for key in args.keys:
        ENTRIES.put(ctx.state, key, ctx.number)
        ctx.deposit(Probed(key))
    balances.hold(ctx, origin, b"probe", 7)
    if args.failure == "refuse":
        raise Refused("as told")
    if args.failure == "codec":
        decode(b"\xc1", Hash)
    if args.failure == "program":
        raise ProgramError("as told")
    if args.failure == "halt":
        raise VmHalt("as told")


@PALLET.call(weight=lambda args: args.weight)
def weigh(ctx: Context, origin: bytes, args: Weigh) -> None:
    pass


@PALLET.call(weight=lambda args: args.weight, operational=lambda state, origin, args: ENTRIES.contains(state, origin))
def move(ctx: Context, origin: bytes, args: Move) -> None:
    pass


@PALLET.call(weight=lambda args: decode(args.program, U63))
def picky(ctx: Context, origin: bytes, args: Picky) -> None:
    pass


@contextmanager
def registered() -> Iterator[Pallet]:
    """The pallet is part of the runtime inside the block."""
    with pytest.MonkeyPatch.context() as patch:
        pallets: tuple[Any, ...] = (*registry.PALLETS, PALLET)
        patch.setattr(registry, "PALLETS", pallets)
        patch.setattr(registry, "BY_NAME", {pallet.name: pallet for pallet in pallets})
        yield PALLET
