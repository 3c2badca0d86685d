"""The election of an era's validators, the first stakes, and the invariants."""

from __future__ import annotations

from typing import Any

from runtime.pallet import Context, InvariantBroken
from runtime.pallets import balances, session, system
from runtime.pallets.staking.stakes import candidate_stakes, elect, stake_of
from runtime.pallets.staking.storage import CANDIDATES, LEDGERS, PALLET, REASON, Elected, Ledger, parameters
from runtime.state import State
from runtime.weights import CALLS


@PALLET.on_initialize
def hold_election(ctx: Context) -> None:
    """In the first block of an era's last session: announce the validators of the next era."""
    state = ctx.state
    if not session.has_begun(ctx) or not session.is_election_due(state):
        return
    following, stakes, keys = session.INDEX.get(state) + 1, [], {}
    for account, stake in candidate_stakes(state):
        key = session.key_at(state, account, following)
        if key is not None:
            stakes.append((account, stake))
            keys[account] = key
    ctx.consume(CALLS["staking.elect.candidate"] * len(CANDIDATES.get(state)))
    winners = elect(stakes, parameters(state).maximum_validators)
    if not winners:
        return
    amounts = dict(stakes)
    members = tuple(session.Member(account, keys[account], amounts[account]) for account in winners)
    session.announce(state, members)
    total = sum(member.weight for member in members)
    ctx.deposit(Elected(session.current(state).era + 1, len(members), total))


@PALLET.genesis
def build(state: State, config: dict[str, Any]) -> None:
    """Bond the first authorities' stakes out of their balances; they stand for the next elections."""
    if system.has_one_author(state):
        return
    ctx = Context(state, 0, 0, bytes(32), bytes(32))
    limits, members = parameters(state), session.MEMBERS.get(state)
    if limits.unbonding_eras < 2 or min(limits.epoch_slots, limits.era_sessions, limits.maximum_validators) < 1:
        raise ValueError("stake is unbonded for at least two eras, and eras, epochs and sets are not empty")
    if len(members) > limits.maximum_candidates:
        raise ValueError(f"{len(members)} authorities, where {limits.maximum_candidates} may stand for election")
    for member in members:
        if member.weight < limits.minimum_stake or balances.spendable(state, member.account) < member.weight:
            raise ValueError(f"an authority stakes {member.weight} units: below the minimum, or more than it has")
        balances.hold(ctx, member.account, REASON, member.weight)
        LEDGERS.put(state, member.account, Ledger(member.weight, (), 0))
    CANDIDATES.put(state, tuple(member.account for member in members))


@PALLET.check
def check(state: State) -> None:
    """Stakes are really held, chunks are ordered and not empty, and only accounts with a stake stand for election."""
    for account, ledger in LEDGERS.items(state):
        waiting = sum(chunk.amount for chunk in ledger.chunks)
        if balances.held(state, account, REASON) != ledger.stake + waiting:
            raise InvariantBroken(f"{ledger} is not what is held")
        releases = [chunk.release for chunk in ledger.chunks]
        if releases != sorted(releases) or any(chunk.amount == 0 for chunk in ledger.chunks):
            raise InvariantBroken(f"{ledger} has chunks out of order, or empty ones")
    candidates = CANDIDATES.get(state)
    if len(set(candidates)) != len(candidates) or any(stake_of(state, account) == 0 for account in candidates):
        raise InvariantBroken("an account stands for election twice, or without a stake")
    for (account, reason), _ in balances.HOLDS.items(state):
        if reason == REASON and not LEDGERS.contains(state, account):
            raise InvariantBroken("stake is held that no ledger knows")
