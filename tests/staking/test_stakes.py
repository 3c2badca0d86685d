"""Staking: bonds, elections, and the time that stake stays within reach of a slash."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.codec import Record
from runtime.pallets import balances, session, staking
from runtime.parameters import TOKEN
from tests.staking.network import MINIMUM, STAKES, UNBONDING, Network
from tests.support.chain import account


@pytest.fixture
def network() -> Network:
    return Network()


def held(network: Network, suri: str) -> int:
    return balances.held(network.state, account(suri), staking.REASON)


# --- bonds


def test_a_stake_is_held_grows_and_is_withdrawn_after_the_unbonding_eras(network: Network) -> None:
    network.submit("//Dave", staking.Bond(MINIMUM))
    network.submit("//Dave", staking.BondMore(5))
    assert network.event(staking.Bonded) == staking.Bonded(account("//Dave"), 5, MINIMUM + 5)
    network.submit("//Dave", staking.Unbond(5))
    network.submit("//Dave", staking.Unbond(MINIMUM))
    (chunk,) = staking.require_ledger(network.state, account("//Dave")).chunks
    assert chunk == staking.Chunk(MINIMUM + 5, network.session.era + UNBONDING)
    network.next_era(UNBONDING - 1)
    network.reject("//Dave", staking.Withdraw(), "NothingToWithdraw")
    network.next_era()
    network.submit("//Dave", staking.Withdraw())
    assert held(network, "//Dave") == 0
    assert not staking.LEDGERS.contains(network.state, account("//Dave"))


@pytest.mark.parametrize(
    ("suri", "args", "code"),
    [
        ("//Dave", staking.Bond(MINIMUM - 1), "StakeTooSmall"),
        ("//Dave", staking.Bond(0), "StakeTooSmall"),
        ("//Dave", staking.Bond(2**62), "InsufficientBalance"),
        ("//Alice", staking.Bond(MINIMUM), "AlreadyBonded"),
        ("//Dave", staking.BondMore(MINIMUM), "NotBonded"),
        ("//Dave", staking.Unbond(1), "NotBonded"),
        ("//Alice", staking.Unbond(0), "NothingToUnbond"),
        ("//Alice", staking.Unbond(STAKES["//Alice"] + 1), "NothingToUnbond"),
        ("//Alice", staking.Unbond(STAKES["//Alice"] - 1), "StakeTooSmall"),
        ("//Alice", staking.Withdraw(), "NothingToWithdraw"),
        ("//Dave", staking.Withdraw(), "NotBonded"),
        ("//Dave", staking.Validate(), "NotBonded"),
        ("//Alice", staking.Validate(), "AlreadyValidating"),
        ("//Dave", staking.Chill(), "NotValidating"),
    ],
)
def test_a_call_that_is_refused_changes_nothing(network: Network, suri: str, args: Record, code: str) -> None:
    network.reject(suri, args, code)


def test_standing_for_election_needs_a_key(network: Network) -> None:
    network.submit("//Dave", staking.Bond(MINIMUM))
    network.reject("//Dave", staking.Validate(), "NoKeys")


def test_withdrawals_that_wait_are_bounded() -> None:
    network = Network(unbonding_eras=200, era_sessions=1, epoch_slots=1)
    network.submit("//Dave", staking.Bond(3 * MINIMUM))
    for _ in range(32):
        network.submit("//Dave", staking.Unbond(1))
        network.next_era()
    network.reject("//Dave", staking.Unbond(1), "TooManyChunks")


def test_unbonding_everything_ends_the_candidacy(network: Network) -> None:
    network.submit("//Charlie", staking.Unbond(STAKES["//Charlie"]))
    assert network.event(staking.Chilled).account == account("//Charlie")
    network.next_era()
    assert account("//Charlie") not in network.members()


# --- elections


def test_the_largest_stakes_are_elected_with_the_weight_they_had_then(network: Network) -> None:
    network.stand("//Dave", 9_000 * TOKEN)
    network.stand("//Eve", 1_000 * TOKEN)
    network.next_era(2)
    assert network.members() == [account(suri) for suri in ("//Dave", "//Alice", "//Bob")]
    network.submit("//Dave", staking.Unbond(8_000 * TOKEN))
    assert session.MEMBERS.get(network.state)[0].weight == 9_000 * TOKEN
    network.next_era(2)
    assert network.members() == [account(suri) for suri in ("//Alice", "//Bob", "//Charlie")]


def test_a_candidate_is_elected_only_with_a_key_that_may_be_used() -> None:
    network = Network(era_sessions=1)
    network.stand("//Dave", 9_000 * TOKEN)
    standing_since = network.session.index
    network.next_era()
    while account("//Dave") not in network.members():
        network.next_era()
    assert network.session.index == standing_since + session.KEY_DELAY


def test_whoever_chills_serves_to_the_end_and_is_not_elected_again(network: Network) -> None:
    network.submit("//Alice", staking.Chill())
    assert account("//Alice") in network.members()
    network.next_era()
    assert account("//Alice") not in network.members()


def test_if_nobody_stands_the_set_and_its_era_go_on(network: Network) -> None:
    for suri in STAKES:
        network.submit(suri, staking.Chill())
    if network.session.index:
        network.next_era()
    era, members = network.session.era, network.members()
    network.next_session(6)
    assert (network.session.era, network.members()) == (era, members)
    network.submit("//Bob", staking.Validate())
    network.next_era()
    assert network.members() == [account("//Bob")]


def test_the_smallest_candidate_gives_way_to_a_larger_stake_only() -> None:
    network = Network(maximum_candidates=3)
    for suri, stake in (("//Dave", 2_000 * TOKEN), ("//Eve", 2_000 * TOKEN + 1)):
        network.submit(suri, staking.Bond(stake))
        network.submit(suri, network.set_keys(suri, f"{suri}//session"))
    network.reject("//Dave", staking.Validate(), "StakesTooLarge")
    network.submit("//Eve", staking.Validate())
    assert network.event(staking.Chilled).account == account("//Charlie")
    assert set(staking.CANDIDATES.get(network.state)) == {account(suri) for suri in ("//Alice", "//Bob", "//Eve")}


stakes = st.dictionaries(st.binary(min_size=32, max_size=32), st.integers(0, 20), max_size=12)


@given(stakes, st.integers(0, 15))
def test_nobody_who_lost_has_more_than_anybody_who_won(amounts: dict[bytes, int], seats: int) -> None:
    winners = staking.elect(amounts.items(), seats)
    assert len(winners) == len(set(winners)) == min(seats, len(amounts))
    losers = amounts.keys() - set(winners)
    for winner in winners:
        for loser in losers:
            assert (-amounts[winner], winner) < (-amounts[loser], loser)


@given(stakes, st.integers(0, 15))
def test_an_election_does_not_depend_on_the_order_of_the_list(amounts: dict[bytes, int], seats: int) -> None:
    backwards = sorted(amounts.items(), reverse=True)
    assert staking.elect(backwards, seats) == staking.elect(amounts.items(), seats)


# --- how long stake stays within reach


@pytest.mark.parametrize("eras", [2, 3, 5])
@pytest.mark.parametrize("era_sessions", [1, 2])
def test_unbonding_outlasts_every_window_in_which_the_stake_can_be_slashed(eras: int, era_sessions: int) -> None:
    """Stake that is unbonded right after an election counts for another era. The first era in which it is free is the
    first in which nothing done with it can be reported."""
    network = Network(unbonding_eras=eras, era_sessions=era_sessions)
    network.next_era()
    while not session.ELECTED.get(network.state):
        network.author()
    network.submit("//Charlie", staking.Unbond(STAKES["//Charlie"]))
    release = network.event(staking.Unbonded).release
    while account("//Charlie") in network.members():
        report, guilty = network.headers_report("//Charlie"), network.session
        network.author()
    assert guilty.era > network.session.era - 2
    while network.session.era < release:
        assert session.is_punishable(network.state, guilty)
        network.author()
    network.reject("//Eve", report, "UnknownSession")
    network.submit("//Charlie", staking.Withdraw())


@pytest.mark.parametrize("eras", [2, 3])
def test_stake_can_be_slashed_up_to_the_era_before_it_is_free(eras: int) -> None:
    network = Network(unbonding_eras=eras)
    network.next_era()
    while not session.ELECTED.get(network.state):
        network.author()
    network.submit("//Charlie", staking.Unbond(STAKES["//Charlie"]))
    release = network.event(staking.Unbonded).release
    network.next_era()
    report = network.headers_report("//Charlie")
    while network.session.era < release - 1:
        network.author()
    network.submit("//Eve", report)
    assert held(network, "//Charlie") == STAKES["//Charlie"] - STAKES["//Charlie"] * 4 // 9
    network.reject("//Charlie", staking.Withdraw(), "NothingToWithdraw")


def test_unbonding_stake_is_slashed_like_bonded_stake(network: Network) -> None:
    network.next_era()
    network.submit("//Alice", staking.Unbond(STAKES["//Alice"]))
    network.submit("//Eve", network.headers_report("//Alice"))
    assert held(network, "//Alice") == 0
    assert network.event(staking.Slashed).amount == STAKES["//Alice"]
    network.submit("//Alice", staking.Withdraw())
    network.reject("//Alice", staking.Withdraw(), "NotBonded")


def test_a_slash_takes_bonded_stake_first_then_the_latest_to_be_unbonded(network: Network) -> None:
    network.submit("//Charlie", staking.Unbond(200 * TOKEN))
    network.next_era()
    network.submit("//Charlie", staking.Unbond(300 * TOKEN))
    ctx = network.start_block()
    taken, reward = staking.slash(ctx, account("//Charlie"), 1_600 * TOKEN, account("//Eve"))
    ledger = staking.require_ledger(ctx.state, account("//Charlie"))
    assert (taken, reward) == (1_600 * TOKEN, 160 * TOKEN)
    assert (ledger.stake, [chunk.amount for chunk in ledger.chunks]) == (0, [200 * TOKEN, 200 * TOKEN])
    assert account("//Charlie") not in staking.CANDIDATES.get(ctx.state)
    assert staking.slash(ctx, account("//Charlie"), 10**18, account("//Eve")) == (400 * TOKEN, 40 * TOKEN)
    assert staking.slash(ctx, account("//Charlie"), 1, account("//Eve")) == (0, 0)
    assert balances.ISSUANCE.get(ctx.state) == network.issuance()


# --- anything


calls = st.one_of(
    st.builds(staking.Bond, st.sampled_from([0, MINIMUM, 5 * MINIMUM])),
    st.builds(staking.BondMore, st.sampled_from([0, 1, MINIMUM])),
    st.builds(staking.Unbond, st.sampled_from([0, 1, MINIMUM, 3_000 * TOKEN, 5 * MINIMUM])),
    st.builds(staking.Withdraw),
    st.builds(staking.Validate),
    st.builds(staking.Chill),
)
steps = st.lists(
    st.tuples(st.sampled_from(["//Alice", "//Bob", "//Charlie", "//Dave"]), st.one_of(calls, st.integers(0, 9))),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(steps)
def test_whatever_is_called_units_are_conserved_and_somebody_makes_blocks(plan: list[tuple[str, Record | int]]) -> None:
    """Every block is replayed and every pallet's invariants are checked by the chain itself."""
    network = Network()
    issued = network.issuance()
    for suri, step in plan:
        if isinstance(step, Record):
            network.author((suri, step))
        elif step == 0 and account(suri) in network.members():
            network.author(("//Ferdie", network.headers_report(suri)))
        else:
            network.skip_slots = step
            network.next_session()
    assert network.issuance() == issued
    assert network.members()
