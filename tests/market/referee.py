"""A pallet that reports outcomes of disputes at will: the market's side of the game, without the game."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from runtime import registry
from runtime.codec import U32, U63, AccountId, Hash, Record
from runtime.pallet import Context, Pallet
from runtime.pallets import proofs
from runtime.vm.job import Claim

PALLET = Pallet("referee")


@PALLET.event
class Rewarded(Record):
    amount: U63


@PALLET.event
class Claimed(Record):
    claim: Claim


class Open(Record):
    """Dispute a segment."""

    task: Hash
    segment: U32


class Win(Record):
    """That challenger won; every other (segment, challenger) is cancelled."""

    task: Hash
    segment: U32
    challenger: AccountId
    others: tuple[tuple[U32, AccountId], ...]
    by_silence: bool = False


class Lose(Record):
    """That challenger lost."""

    task: Hash
    segment: U32
    challenger: AccountId


class CancelDispute(Record):
    """That dispute ended undecided."""

    task: Hash
    segment: U32
    challenger: AccountId


@PALLET.call(weight=1_000)
def open_dispute(ctx: Context, origin: bytes, args: Open) -> None:
    ctx.deposit(Claimed(proofs.on_dispute_opened(ctx, args.task, args.segment, origin)))


@PALLET.call(weight=1_000)
def win(ctx: Context, origin: bytes, args: Win) -> None:
    ctx.deposit(
        Rewarded(
            proofs.on_challenger_won(ctx, args.task, args.segment, args.challenger, args.challenger, args.by_silence)
        )
    )
    for segment, challenger in args.others:
        proofs.on_dispute_cancelled(ctx, args.task, segment, challenger)


@PALLET.call(weight=1_000)
def lose(ctx: Context, origin: bytes, args: Lose) -> None:
    proofs.on_challenger_lost(ctx, args.task, args.segment, args.challenger)


@PALLET.call(weight=1_000)
def cancel(ctx: Context, origin: bytes, args: CancelDispute) -> None:
    proofs.on_dispute_cancelled(ctx, args.task, args.segment, args.challenger)


@contextmanager
def registered() -> Iterator[Pallet]:
    """The pallet is part of the runtime inside the block."""
    with pytest.MonkeyPatch.context() as patch:
        pallets: tuple[Any, ...] = (*registry.PALLETS, PALLET)
        patch.setattr(registry, "PALLETS", pallets)
        patch.setattr(registry, "BY_NAME", {pallet.name: pallet for pallet in pallets})
        yield PALLET
