"""Witnesses, forced errors and jackpots: who is paid, who loses; that neither copying, splitting nor silence pays."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.codec import replace
from runtime.pallets import balances, disputes, jackpot, treasury, workers
from runtime.pallets.proofs.witness import jackpot_share
from runtime.trees import hash_tagged
from tests.market.market import FALSE, NAMES, SALT, SPEC, SUBMITTER, VERIFIERS, WHISTLEBLOWERS, Market
from tests.support.chain import account

ANNA, BERT = WHISTLEBLOWERS
ALWAYS, NEVER = 1, 2**31
FULL = 10**12


class Pot(Market):
    """A market with a full pot and one verifier for each proof, in its window. ``rarity`` decides about the error."""

    __test__ = False

    def __init__(self, rarity: int, **changes: int) -> None:
        self.rarity = rarity
        spec = replace(SPEC, verifiers=1)
        super().__init__(spec=spec, forced_rarity=rarity, challenge_blocks=12, reveal_blocks=6, **changes)
        self.submit("//Alice", balances.Transfer(treasury.POT, FULL))
        self.to_window()
        (self.verifier,) = self.auditors()
        self.jackpot = self.audit(self.verifier).jackpot

    def other_parameters(self) -> dict[str, dict[str, Any]]:
        return {"disputes": {"clock_blocks": 10}}

    def commit(self, who: str, witness: bytes, salt: bytes = SALT) -> None:
        self.submit(who, self.commitment(who, witness, salt))

    def commitment(self, who: str, witness: bytes, salt: bytes = SALT) -> jackpot.Commit:
        verifier = account(self.verifier)
        hidden = jackpot.commitment_of(self.task, verifier, witness, salt, account(who))
        return jackpot.Commit(self.task, verifier, hidden)

    def reveal(self, witness: bytes, leaf: int = 0) -> jackpot.Reveal:
        return jackpot.Reveal(self.task, account(self.verifier), witness, SALT, leaf)

    def to_revealing(self) -> None:
        while self.board.phase != "revealing":
            self.skip(1)

    @property
    def truth(self) -> bytes:
        return self.true_witness(self.verifier)


def test_an_unforced_honest_audit_shows_the_truth_and_settles_as_soon_as_it_is_exposed() -> None:
    market = Pot(NEVER)
    assert market.audit(market.verifier).witness == market.truth
    market.to_revealing()
    market.expose_all()
    (exposed,) = market.events(jackpot.WitnessExposed)
    assert (exposed.forced, exposed.claim) == (False, market.truth)
    market.skip(1)
    assert market.record.status == "settled"
    assert market.worker(market.verifier).faults == 0
    assert list(jackpot.ROUNDS.items(market.state)) == []


@pytest.mark.parametrize("finders", [1, 2, 3])
def test_finders_of_a_forced_error_share_the_jackpot_after_a_second_window(finders: int) -> None:
    market = Pot(ALWAYS)
    assert market.audit(market.verifier).witness == FALSE
    assert market.jackpot == min(50 * market.record.estimate.verifier_fee, (FULL) // 10)
    crowd = [ANNA, BERT, VERIFIERS[4]][:finders]
    for who in crowd:
        market.commit(who, market.truth)
    market.to_revealing()
    market.submit(market.verifier, market.exposure(market.verifier))
    (exposed,) = market.events(jackpot.WitnessExposed)
    assert (exposed.forced, exposed.claim) == (True, market.truth)
    for who in crowd:
        market.submit(who, market.reveal(market.truth))
    market.skip(1)
    assert market.board.phase == "window", "the witness that it stands by has a window of its own"
    before, pot = {who: market.owned(who) for who in crowd}, balances.free(market.state, treasury.POT)
    while market.board.phase == "window":
        market.skip(1)
    (stood,) = market.events(jackpot.WitnessStood)
    assert stood.share == market.jackpot >> (finders - 1)
    assert {who: market.owned(who) - before[who] for who in crowd} == dict.fromkeys(crowd, stood.share)
    assert market.record.status == "settled"
    wages = market.record.payments[1].amount * 5 // 2
    assert balances.free(market.state, treasury.POT) == pot - finders * stood.share + wages


def test_posing_as_two_earns_a_fee_less_than_being_one() -> None:
    jackpots = [1_000_000 * jackpot_share(1_000, count) for count in (1, 2, 3, 4)]
    assert 1 * jackpots[0] >= 2 * jackpots[1] >= 3 * jackpots[2] >= 4 * jackpots[3]
    assert 2 * (2 * jackpots[2]) <= 2 * jackpots[1], "beside somebody else it earns less"
    assert workers.parameters(Market().state).witness_fee > 0


def test_whoever_commits_after_the_exposure_has_no_share() -> None:
    market = Pot(ALWAYS)
    market.to_revealing()
    market.submit(market.verifier, market.exposure(market.verifier))
    market.skip(1)
    assert market.board.phase == "window"
    owned = market.owned(ANNA)
    market.commit(ANNA, market.truth)
    market.to_revealing()
    market.submit(ANNA, market.reveal(market.truth))
    market.skip(2)
    assert market.record.status == "settled"
    assert market.owned(ANNA) < owned


def test_a_copied_commitment_cannot_be_opened_and_loses_its_bond() -> None:
    market = Pot(ALWAYS)
    market.commit(ANNA, market.truth)
    market.submit(BERT, market.commitment(ANNA, market.truth))
    bert, pot = market.owned(BERT), balances.free(market.state, treasury.POT)
    market.to_revealing()
    market.submit(market.verifier, market.exposure(market.verifier))
    market.submit(ANNA, market.reveal(market.truth))
    market.reject(BERT, market.reveal(market.truth), "WrongOpening")
    fees = bert - market.owned(BERT)
    while not (forfeited := market.events(jackpot.WitnessForfeited)):
        market.skip(1)
    assert forfeited[0].account == account(BERT)
    assert market.owned(BERT) == bert - fees - forfeited[0].bond
    assert balances.free(market.state, treasury.POT) == pot + forfeited[0].bond


def test_a_verifier_that_withholds_loses_its_lock_to_its_challengers_and_is_replaced() -> None:
    market = Pot(ALWAYS)
    silent, lock = market.verifier, market.worker(market.verifier).locked
    assert lock == market.record.estimate.verifier_lock + market.jackpot
    market.commit(ANNA, market.truth)
    anna, bond = market.owned(ANNA), market.owned(silent)
    market.to_revealing()
    market.reject(ANNA, market.reveal(market.truth), "NotExposedYet")
    anna = market.owned(ANNA)
    while not (refuted := market.events(jackpot.WitnessRefuted)):
        market.skip(1)
    share = market.jackpot + market.record.estimate.verifier_lock // 2
    assert (refuted[0].reason, refuted[0].slashed, refuted[0].share) == ("withheld its witness", lock, share)
    assert market.owned(ANNA) == anna + share
    assert market.owned(silent) == bond - lock
    assert market.audit(silent).status == "replaced"
    market.skip(2)
    assert market.auditors("drawn") not in ([], [silent])


def test_openings_that_are_not_what_was_sealed_are_refused() -> None:
    market = Pot(NEVER)
    good = market.exposure(market.verifier)
    market.reject(market.verifier, good, "NotRevealing")
    market.to_revealing()
    market.reject(ANNA, good, "NotChallengeable")
    market.reject(market.verifier, replace(good, secret=bytes(32)), "WrongOpening")
    market.reject(market.verifier, replace(good, witness=bytes(32)), "WrongOpening")
    market.reject(market.verifier, replace(good, roots=good.roots[1:]), "WrongOpening")
    market.submit(market.verifier, good)


def test_commitments_that_break_a_rule_are_refused() -> None:
    market = Pot(NEVER)
    for suri in (SUBMITTER, market.solver, market.verifier):
        market.reject(suri, market.commitment(suri, FALSE), "RoleConflict")
    stranger = replace(market.commitment(ANNA, FALSE), verifier=account(ANNA))
    market.reject(ANNA, stranger, "NotChallengeable")
    market.commit(ANNA, FALSE)
    market.reject(ANNA, market.commitment(ANNA, FALSE), "AlreadyCommitted")
    market.to_revealing()
    market.reject(BERT, market.commitment(BERT, FALSE), "NotChallengeable")


def test_a_witness_that_somebody_disputes_by_silence_is_refuted_and_pays_those_who_found_the_same() -> None:
    """The verifier showed what no replay gives; two found the same truth, a third one something else."""
    market = Pot(NEVER)
    found = hash_tagged(b"test:found", b"")
    for who, witness in ((ANNA, found), (BERT, found), (VERIFIERS[4], FALSE)):
        market.commit(who, witness)
    market.to_revealing()
    market.expose_all()
    for who, witness in ((ANNA, found), (BERT, found), (VERIFIERS[4], FALSE)):
        market.submit(who, market.reveal(witness))
    assert [dispute.kind for _, dispute in disputes.DISPUTES.items(market.state)] == ["witness"] * 3
    lock = market.worker(market.verifier).locked
    anna = market.owned(ANNA)
    while not (refuted := market.events(jackpot.WitnessRefuted)):
        market.skip(1)
    pool = market.jackpot + market.record.estimate.verifier_lock // 2
    assert (refuted[0].slashed, refuted[0].share) == (lock, pool // 2)
    assert [NAMES[who] for who in refuted[0].challengers] == [ANNA, BERT]
    assert market.owned(ANNA) == anna + pool // 2
    statuses = sorted(dispute.status for _, dispute in disputes.DISPUTES.items(market.state))
    assert statuses == ["cancelled", "cancelled", "challenger_won"]
    assert market.record.status != "settled"
