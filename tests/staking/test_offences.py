"""Offences: what counts as proof, what it costs, and that nobody pays twice."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.block import Header, Seal, Slot
from runtime.codec import replace
from runtime.errors import InvalidBlock
from runtime.executive import apply_extrinsic
from runtime.pallets import balances, offences, session, staking
from runtime.parameters import TOKEN
from tests.staking.network import EPOCH, Network, key_of
from tests.support.chain import account

EQUAL = {f"//{name}": 2_000 * TOKEN for name in ("Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie")}
EQUAL_ACCOUNTS = [account(suri) for suri in EQUAL]


@pytest.fixture
def network() -> Network:
    """Six equal validators after one era."""
    chain = Network(EQUAL, maximum_validators=6, reporter_share=100_000_000)
    chain.next_era()
    chain.author()
    return chain


def stake(network: Network, suri: str) -> int:
    return staking.stake_of(network.state, account(suri))


@pytest.mark.parametrize("kind", ["header", "vote"])
def test_an_equivocation_costs_stake_and_seat_and_pays_the_reporter(network: Network, kind: str) -> None:
    report = network.headers_report("//Bob") if kind == "header" else network.votes_report("//Bob")
    issued, treasury = network.issuance(), balances.free(network.state, balances.TREASURY)
    free = balances.free(network.state, account("//Submitter"))
    receipt = network.submit("//Submitter", report)
    lost = EQUAL["//Bob"] * 9 // 36
    event = network.event(offences.OffenceReported)
    assert (event.kind, event.offending, event.total) == (kind, EQUAL["//Bob"], 6 * EQUAL["//Bob"])
    assert (event.forfeit, event.taken, event.reward) == (lost, lost, lost // 10)
    assert stake(network, "//Bob") == EQUAL["//Bob"] - lost
    assert balances.free(network.state, account("//Submitter")) == free - receipt.fee + lost // 10
    assert balances.free(network.state, balances.TREASURY) >= treasury + lost - lost // 10
    assert network.issuance() == issued
    assert account("//Bob") not in staking.CANDIDATES.get(network.state)
    network.next_session()
    assert account("//Bob") not in network.members()


def test_offences_of_one_session_count_together(network: Network) -> None:
    for count, suri in enumerate(("//Alice", "//Bob", "//Charlie"), start=1):
        network.submit("//Submitter", network.headers_report(suri))
        lost = min(EQUAL[suri] * 9 * count * count // 36, EQUAL[suri])
        for offender in ("//Alice", "//Bob", "//Charlie")[:count]:
            assert stake(network, offender) == EQUAL[offender] - lost
    assert stake(network, "//Charlie") == 0
    assert stake(network, "//Dave") == EQUAL["//Dave"]


def test_offences_of_two_sessions_do_not(network: Network) -> None:
    network.submit("//Submitter", network.headers_report("//Alice"))
    network.next_session()
    network.submit("//Submitter", network.headers_report("//Bob"))
    event = network.event(offences.OffenceReported)
    assert event.offending == EQUAL["//Bob"]
    assert event.total == 5 * EQUAL["//Bob"]


def test_an_offence_is_punished_once_whoever_reports_it_and_in_whatever_words(network: Network) -> None:
    report, votes = network.headers_report("//Bob"), network.votes_report("//Bob")
    assert report.ownership == votes.ownership
    network.submit("//Submitter", report)
    evidence = report.evidence
    assert isinstance(evidence, offences.HeaderEquivocation)
    network.reject("//Submitter", report, "AlreadyPunished")
    swapped = offences.HeaderEquivocation(evidence.second, evidence.first)
    network.reject("//Solver", replace(report, evidence=swapped), "AlreadyPunished")
    third = offences.HeaderEquivocation(evidence.first, network.header("//Bob", network.slot, salt=7))
    network.reject("//Solver", replace(report, evidence=third), "NoEquivocation")
    network.reject("//Solver", votes, "AlreadyPunished")


def test_an_offender_who_stands_again_is_elected_with_what_is_left(network: Network) -> None:
    network.submit("//Submitter", network.headers_report("//Bob"))
    network.submit("//Bob", staking.Validate())
    network.next_era(2)
    weights = {member.account: member.weight for member in session.MEMBERS.get(network.state)}
    assert weights[account("//Bob")] == stake(network, "//Bob") == EQUAL["//Bob"] * 27 // 36


def test_the_last_member_stays_even_if_it_offended() -> None:
    network = Network({"//Alice": 2_000 * TOKEN})
    network.author()
    network.submit("//Submitter", network.headers_report("//Alice"))
    assert stake(network, "//Alice") == 0
    network.next_session(3)
    assert network.members() == [account("//Alice")]


@pytest.mark.parametrize("kind", ["header", "vote"])
def test_a_block_can_carry_what_its_author_has_seen_and_rewards_the_author(network: Network, kind: str) -> None:
    report = network.headers_report("//Bob") if kind == "header" else network.votes_report("//Bob")
    ctx = network.start_block()
    receipt = apply_extrinsic(ctx, offences.build_inherent(report))
    assert receipt.weight == offences.report_weight(report)
    network.finish_block(ctx)
    event = network.event(offences.OffenceReported)
    assert event.reporter == ctx.author
    assert ctx.author in EQUAL_ACCOUNTS
    lost = EQUAL["//Bob"] * 9 // 36
    assert (event.taken, event.reward) == (lost, lost // 10)
    assert stake(network, "//Bob") == EQUAL["//Bob"] - lost


def test_a_block_that_reports_nothing_or_nothing_new_is_invalid(network: Network) -> None:
    report = network.headers_report("//Bob")
    network.submit("//Submitter", report)
    votes = network.votes_report("//Charlie")
    assert isinstance(votes.evidence, offences.VoteEquivocation)
    harmless = offences.VoteEquivocation(votes.evidence.first, votes.evidence.first)
    for bad in (report, replace(votes, evidence=harmless), replace(votes, ownership=report.ownership)):
        ctx = network.start_block()
        with pytest.raises(InvalidBlock, match=r"offences\.note_equivocation failed"):
            apply_extrinsic(ctx, offences.build_inherent(bad))
    network.submit("//Submitter", votes)


def test_a_block_carries_one_report_and_before_any_extrinsic(network: Network) -> None:
    bob, charlie = (offences.build_inherent(network.headers_report(suri)) for suri in ("//Bob", "//Charlie"))
    ctx = network.start_block()
    apply_extrinsic(ctx, bob)
    with pytest.raises(InvalidBlock, match="comes twice"):
        apply_extrinsic(ctx, charlie)
    ctx = network.start_block()
    apply_extrinsic(ctx, network.sign("//Submitter", network.headers_report("//Dave")))
    with pytest.raises(InvalidBlock, match="too late"):
        apply_extrinsic(ctx, charlie)


# --- what is no proof


def test_headers_that_contradict_nothing_are_refused(network: Network) -> None:
    slot = session.SLOT.get(network.state)
    first, proof = network.header("//Bob", slot), network.ownership("//Bob")
    for second, code in (
        (first, "NoEquivocation"),
        (replace(first, digest=(*first.digest[:-1], Seal(bytes(64)))), "NoEquivocation"),
        (replace(first, digest=()), "NoEquivocation"),
        (network.header("//Bob", slot + 1), "NoEquivocation"),
        (network.header("//Charlie", slot, 1), "NoEquivocation"),
        (replace(network.header("//Bob", slot, 1), number=9), "BadSignature"),
        (replace(network.header("//Bob", slot, 1), digest=(first.digest[0],)), "BadSignature"),
        (network.header("//Bob", slot, 1, genesis=bytes(32)), "BadSignature"),
    ):
        evidence = offences.HeaderEquivocation(first, second)
        network.reject("//Submitter", offences.ReportEquivocation(evidence, proof), code)


def test_votes_that_contradict_nothing_are_refused(network: Network) -> None:
    set_id = network.session.set_id
    first, proof = network.vote("//Bob", set_id), network.ownership("//Bob", network.session.set_first)
    forged = replace(network.vote("//Bob", set_id, salt=1), signature=bytes(64))
    for second, code in (
        (first, "NoEquivocation"),
        (network.vote("//Bob", set_id, round_=4, salt=1), "NoEquivocation"),
        (network.vote("//Bob", set_id, stage="precommit", salt=1), "NoEquivocation"),
        (network.vote("//Bob", set_id + 1, salt=1), "NoEquivocation"),
        (network.vote("//Charlie", set_id, salt=1), "NoEquivocation"),
        (forged, "BadSignature"),
    ):
        evidence = offences.VoteEquivocation(first, second)
        network.reject("//Submitter", offences.ReportEquivocation(evidence, proof), code)


def test_a_proof_of_ownership_is_for_that_key_in_that_session(network: Network) -> None:
    report = network.headers_report("//Bob")
    proof = report.ownership
    other = replace(proof.member, account=account("//Submitter"))
    lighter = replace(proof.member, weight=1)
    for false, code in (
        (replace(proof, member=other), "FalseOwnership"),
        (replace(proof, member=lighter), "FalseOwnership"),
        (replace(proof, position=proof.position + 1), "FalseOwnership"),
        (replace(proof, position=2**31), "FalseOwnership"),
        (replace(proof, path=()), "FalseOwnership"),
        (replace(proof, path=(*proof.path, bytes(32))), "FalseOwnership"),
        (replace(proof, session=99), "UnknownSession"),
        (network.ownership("//Charlie"), "WrongSession"),
    ):
        network.reject("//Submitter", replace(report, ownership=false), code)


def test_an_offence_belongs_to_the_session_of_its_slot_and_the_first_of_its_set(network: Network) -> None:
    now = network.session
    assert now.index == now.set_first
    first_slot = now.epoch * EPOCH
    for slot in (first_slot - 1, first_slot + EPOCH):
        network.reject("//Submitter", network.headers_report("//Bob", slot), "WrongSession")
    network.submit("//Submitter", network.headers_report("//Bob", first_slot + EPOCH - 1))
    votes = network.votes_report("//Charlie")
    old = offences.VoteEquivocation(network.vote("//Charlie", 0), network.vote("//Charlie", 0, salt=1))
    network.reject("//Submitter", replace(votes, evidence=old), "WrongSession")
    network.submit("//Submitter", votes)


def test_skipped_slots_belong_to_the_session_after_them(network: Network) -> None:
    network.skip_slots = 3 * EPOCH
    network.author()
    skipped = (network.session.epoch - 1) * EPOCH
    network.submit("//Submitter", network.headers_report("//Bob", skipped))


def test_old_sessions_and_their_offenders_are_forgotten(network: Network) -> None:
    report, index = network.headers_report("//Charlie"), network.session.index
    network.submit("//Submitter", network.headers_report("//Bob"))
    assert offences.OFFENDERS.contains(network.state, index)
    network.next_era(3)
    assert session.OLDEST.get(network.state) > index
    assert not offences.OFFENDERS.contains(network.state, index)
    network.reject("//Submitter", report, "UnknownSession")


def test_a_weight_follows_the_depth_of_the_proof(network: Network) -> None:
    report = network.headers_report("//Bob")
    deep = replace(report, ownership=replace(report.ownership, path=(bytes(32),) * 60))
    assert offences.report_weight(report) < offences.report_weight(deep)
    assert offences.report_weight(deep) < 10**9


def test_a_header_without_a_slot_accuses_nobody(network: Network) -> None:
    bare = Header(bytes(32), 1, bytes(32), bytes(32), (Seal(bytes(64)), Slot(1, key_of("//Bob"))))
    evidence = offences.HeaderEquivocation(bare, replace(bare, number=2))
    network.reject("//Submitter", replace(network.headers_report("//Bob"), evidence=evidence), "NoEquivocation")


# --- the fraction


@given(st.integers(1, 2**62), st.integers(1, 2**62), st.integers(0, 2**62))
def test_the_forfeit_is_the_square_of_three_times_the_share_rounded_down(own: int, others: int, honest: int) -> None:
    offending, total = own + others, own + others + honest
    exact = min(Fraction(3 * offending, total) ** 2, Fraction(1)) * own
    assert offences.compute_forfeit(own, offending, total) == int(exact) <= own


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_more_offenders_never_cost_anyone_less(own: int, others: int, more: int, honest: int) -> None:
    total = own + others + more + honest
    before = offences.compute_forfeit(own, own + others, total)
    assert before <= offences.compute_forfeit(own, own + others + more, total)


@given(st.integers(1, 10**6), st.integers(0, 10**6))
def test_a_third_of_the_stake_loses_everything(third: int, rest: int) -> None:
    assert offences.compute_forfeit(third, third, 3 * third) == third
    assert offences.compute_forfeit(third, third, 3 * third + 1 + rest) < third
