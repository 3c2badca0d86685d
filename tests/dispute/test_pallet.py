"""Disputes on chain: bonds, clocks, slashes, parallel challengers, and calls that must fail without a trace."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from ml.dispute import Challenger, Defender
from ml.dispute.reference import Inputs, ReferenceTracer, WrongOperand
from runtime.codec import Record, encode, replace
from runtime.commitments import data_tree, tensor_root
from runtime.dispute.moves import MAX_MOVE_BYTES, Party, PostChunk, Reveal, Select
from runtime.dispute.records import Reason
from runtime.pallets import balances, disputes, tasks
from runtime.vm.check import check_program
from tests.dispute.toy import floats
from tests.market.market import (
    NAMES,
    SPEC,
    SUBMITTER,
    TOKEN,
    WHISTLEBLOWERS,
    Market,
    init_program,
    training_program,
)
from tests.support.chain import account

SAMPLES = [(floats(*[0.25 * (row - k) for k in range(4)]),) for row in range(5)]
SCALARS = floats(0.5, 0.25, 0.125, 0.0625)
REAL = replace(
    SPEC,
    data=replace(
        SPEC.data, root=data_tree([[tensor_root(x) for x in fields] for fields in SAMPLES]).root, sample_count=5
    ),
    scalars_root=tensor_root(SCALARS),
    scalars_blob=tensor_root(SCALARS),
    scalar_rows=4,
    steps=4,
    checkpoint_interval=2,
    audits=2,
    price_limit=10_000_000,
)
"""A task that can really be trained: an initialisation and two segments of two steps. It pays enough that a reward is
more than the fees of a dispute."""
HONEST, CHEAT = None, WrongOperand(1, 0, 2, 0, 1 << 26)
ALICE, BOB = WHISTLEBLOWERS
SALT = bytes(range(32))


def job_of(segment: int, checkpoints: tuple[bytes, ...]) -> Any:
    return tasks.segment_job(REAL, checkpoints, segment)


@cache
def run(fault: Any = None, segment: int = 2) -> tuple[tuple[bytes, ...], tuple[ReferenceTracer, ...]]:
    """Checkpoints and tracers of the whole task; ``fault`` is planted in one segment."""
    programs = (check_program(init_program()), check_program(training_program()), check_program(training_program()))
    checkpoints: tuple[bytes, ...] = ()
    tracers: list[ReferenceTracer] = []
    state: dict[str, bytes] = {}
    for number, program in enumerate(programs):
        job = job_of(number, (*checkpoints, bytes(32), bytes(32), bytes(32)))
        tracer = ReferenceTracer(program, job, Inputs(state, SAMPLES, SCALARS), fault if number == segment else None)
        checkpoints = (*checkpoints, tracer.state_roots()[-1])
        state = {"w": bytes(tracer.state_values(job.steps)[0])}
        tracers.append(tracer)
    return checkpoints, tuple(tracers)


class Court(Market):
    """A market whose solver registered a proof, honest or not, and whose clocks are short."""

    __test__ = False

    def __init__(self, fault: Any = CHEAT, segment: int = 2, **figures: int) -> None:
        self.fault, self.segment = fault, segment
        self.figures = {"clock_blocks": 60, **figures}
        super().__init__(spec=REAL, challenge_blocks=100)
        self.to_window()
        self.rich = {suri: self.owned(suri) for suri in (*WHISTLEBLOWERS, self.solver, SUBMITTER)}
        self.accused = self.solver

    def other_parameters(self) -> dict[str, dict[str, Any]]:
        return {"disputes": self.figures}

    def checkpoints(self, mark: int = 0) -> tuple[bytes, ...]:
        return run(self.fault, self.segment)[0]

    def open(self, who: str = ALICE, segment: int = 2) -> int:
        """Commit to a challenge and reveal it; returns the dispute's number."""
        self.submit(who, self.commitment(who, segment))
        self.submit(who, self.revelation(segment))
        return disputes.NEXT.get(self.state) - 1

    def commitment(self, who: str = ALICE, segment: int = 2) -> disputes.Commit:
        return disputes.Commit(self.task, disputes.commitment_of(self.task, segment, SALT, account(who)))

    def revelation(self, segment: int = 2, before: int = 1) -> disputes.Reveal:
        """Of the last commitment, or of one before it."""
        return disputes.Reveal(disputes.NEXT_COMMITMENT.get(self.state) - before, segment, SALT)

    def dispute(self, number: int = 0) -> disputes.Dispute:
        found = disputes.DISPUTES.get(self.state, number)
        assert found is not None
        return found

    def defender(self) -> Defender:
        return Defender(run(self.fault, self.segment)[1][self.segment])

    def challenger(self, fault: Any = None) -> Challenger:
        """Replays from the checkpoint the solver posted, as everyone must."""
        return Challenger(run(fault, self.segment)[1][self.segment])

    def next_play(self, number: int = 0, challenger: Challenger | None = None) -> tuple[str, disputes.Play] | None:
        """Who must move, and what it would play."""
        dispute, game = disputes.require_open(self.state, number)
        if dispute.waits_for == "defender":
            mover, move = dispute.defender, self.defender().next_move(game)
        else:
            mover, move = dispute.challenger, (challenger or self.challenger()).next_move(game)
        return None if move is None else (NAMES[mover], disputes.Play(number, dispute.moves, move))

    def play(self, number: int = 0, moves: int = 100, challenger: Challenger | None = None) -> int:
        """Play up to so many moves; how many were played before the end, or before somebody had nothing to say."""
        for played in range(moves):
            if self.dispute(number).status != "open":
                return played
            turn = self.next_play(number, challenger)
            if turn is None:
                return played
            self.submit(*turn)
        return moves


def decided(court: Court) -> disputes.DisputeDecided:
    (event,) = court.events(disputes.DisputeDecided)
    return event


def test_a_cheating_solver_loses_its_stake_to_the_challenger_and_the_task_returns_to_the_pool() -> None:
    court = Court()
    number = court.open()
    opened = court.events(disputes.DisputeOpened)[0]
    assert opened.bond == court.dispute().bond
    assert balances.held(court.state, account(ALICE), disputes.bond_reason(number)) == opened.bond
    moves = court.play()
    event = decided(court)
    assert (event.winner, event.reason) == ("challenger", Reason.WRONG_OPERAND)
    assert event.evidence.operator == "state w"
    assert event.reward > 0
    dispute = court.dispute()
    assert (dispute.status, dispute.moves, dispute.reward) == ("challenger_won", moves, event.reward)
    assert balances.held(court.state, account(ALICE), disputes.bond_reason(number)) == 0
    assert court.owned(ALICE) > court.rich[ALICE]
    assert court.owned(court.accused) < court.rich[court.accused]
    assert court.record.status in ("pooled", "assigned")
    assert account(court.accused) in court.record.excluded
    assert court.owned(SUBMITTER) == court.rich[SUBMITTER]


def test_a_false_challenge_pays_its_bond_to_the_solver_and_clears_nothing() -> None:
    court = Court(HONEST)
    court.open()
    bond = court.dispute().bond
    court.play(challenger=court.challenger(CHEAT))
    assert decided(court).winner == "defender"
    assert decided(court).bond == bond
    assert court.dispute().status == "defender_won"
    assert court.owned(court.accused) > court.rich[court.accused]
    court.open(BOB)
    assert court.dispute(1).status == "open"


@pytest.mark.parametrize("moves", range(8))
def test_whoever_falls_silent_after_any_move_loses_by_the_clock(moves: int) -> None:
    court = Court()
    court.open()
    assert court.play(moves=moves) == moves
    dispute = court.dispute()
    silent = dispute.waits_for
    court.skip(dispute.deadline - court.number)
    assert court.dispute().status == "open", "its last block is not over"
    court.skip(1)
    court.skip(1)
    verdict = disputes.VERDICTS.get(court.state, 0)
    assert verdict is not None
    assert (verdict.winner, verdict.reason) == (Party(silent).opponent, Reason.SILENCE)
    assert court.dispute().status == f"{verdict.winner}_won"


def test_thinking_uses_up_only_the_own_clock() -> None:
    court = Court()
    court.open()
    before = court.dispute()
    court.skip(5)
    court.play(moves=1)
    after = court.dispute()
    assert before.defender_blocks - after.defender_blocks in (5, 6)
    assert after.challenger_blocks == before.challenger_blocks


def test_parallel_challengers_share_one_victory_and_the_others_get_their_bonds_back() -> None:
    court = Court(cancellations_at_once=1)
    others = [f"//Verifier{number}" for number in (3, 4, 5)]
    for who in (ALICE, BOB, *others):
        court.open(who)
    court.open(ALICE, 1)
    court.play(1, moves=3)
    court.play(0)
    assert decided(court).challenger == account(ALICE)
    assert [court.dispute(number).status for number in range(6)].count("cancelled") == 1
    court.reject(court.accused, disputes.Play(4, 0, Select(0)), "DisputeEnded")
    court.skip(6)
    assert [court.dispute(number).status for number in range(6)] == ["challenger_won", *["cancelled"] * 5]
    for who in (BOB, *others):
        fees = 10 * TOKEN // 100
        assert court.owned(who) > 1_000 * TOKEN - fees
    court.check()


def test_the_whole_descent_can_be_read_from_the_chain() -> None:
    court = Court()
    court.open()
    moves = court.play()
    log = [disputes.MOVES.get(court.state, (0, number)) for number in range(moves)]
    assert all(move is not None for move in log)
    kinds = [move.kind for move in log if move is not None]
    assert kinds[0] == "SegmentRoot"
    assert kinds[-2:] == ["SelectOperand", "OpenOperand"]
    assert {move.level for move in log if move is not None} == {"segment", "step", "tensor"}
    verdict = disputes.VERDICTS.get(court.state, 0)
    assert verdict is not None
    assert [(level.level, level.width) for level in verdict.trail] == [("segment", 3), ("step", 7), ("tensor", 1)]
    assert disputes.GAMES.get(court.state, 0) is None
    assert disputes.LINES.get(court.state, court.task) is None


def test_an_opening_is_refused_to_those_who_may_not() -> None:
    court = Court()
    court.reject(court.solver, disputes.Open(court.task, 2), "DefendsItself")
    court.reject(ALICE, disputes.Open(court.task, 2), "CommitFirst")
    court.reject(court.auditors()[0], disputes.Open(court.task, 2), "RoleConflict")
    court.reject(ALICE, disputes.Open(bytes(32), 2), "UnknownTask")
    for suri in (court.solver, SUBMITTER, court.auditors()[0]):
        court.reject(suri, court.commitment(suri), "RoleConflict")
    court.reject(ALICE, disputes.Commit(bytes(32), bytes(32)), "UnknownTask")
    court.submit(ALICE, court.commitment(segment=3))
    court.reject(ALICE, court.revelation(3), "UnknownSegment")
    court.open()
    court.submit(ALICE, court.commitment())
    court.reject(ALICE, court.revelation(), "AlreadyDisputed")


def test_a_challenger_without_the_bond_is_refused() -> None:
    court = Court(bond=2_000 * TOKEN)
    court.reject(ALICE, court.commitment(), "InsufficientBalance")


def test_illegal_moves_leave_no_trace() -> None:
    court = Court()
    court.open()
    turn = court.next_play()
    assert turn is not None
    solver, good = turn
    court.reject(ALICE, good, "InvalidMove")
    court.reject(BOB, good, "NotAParty")
    court.reject(solver, replace(good, dispute=7), "UnknownDispute")
    court.reject(solver, replace(good, number=1), "StaleMove")
    court.reject(solver, replace(good, move=Reveal((bytes(32),))), "InvalidMove")
    court.reject(solver, replace(good, move=PostChunk(bytes(MAX_MOVE_BYTES))), "InvalidMove")
    wrong: Record = replace(good.move, root=bytes(32))  # type: ignore[type-var]
    court.reject(solver, replace(good, move=wrong), "InvalidMove")
    court.submit(solver, good)
    court.reject(solver, good, "StaleMove")
    turn = court.next_play()
    assert turn is not None
    assert len(encode(turn[1])) < MAX_MOVE_BYTES


def test_a_move_after_the_end_is_refused() -> None:
    court = Court()
    court.open()
    court.play()
    court.reject(ALICE, disputes.Play(0, court.dispute().moves, Select(0)), "DisputeEnded")


def test_moves_are_operational_for_the_party_in_turn_only() -> None:
    court = Court()
    court.open()
    dispute = court.dispute()
    assert disputes.is_turn_of(dispute, dispute.defender)
    assert not disputes.is_turn_of(dispute, dispute.challenger)
    definition = disputes.PALLET.calls["play"]
    play = disputes.Play(0, 0, Select(0))
    assert definition.is_operational(court.state, dispute.defender, play)
    assert not definition.is_operational(court.state, dispute.challenger, play)
    assert not definition.is_operational(court.state, dispute.defender, replace(play, dispute=9))


def test_a_window_that_ends_during_a_dispute_waits_for_its_verdict() -> None:
    court = Court(clock_blocks=1_000)
    court.open()
    court.play(moves=2)
    court.skip(court.board.window - court.number + 5)
    court.reject(BOB, court.commitment(BOB), "WindowClosed")
    assert court.record.status == "disputed"
    court.play()
    assert decided(court).winner == "challenger"
    assert court.record.status in ("pooled", "assigned")


def test_a_root_that_takes_a_replay_lengthens_both_clocks() -> None:
    court = Court(gas_per_block=1_000)
    court.open()
    opened = court.dispute()
    assert opened.defender_blocks == opened.challenger_blocks == 60 + 1, "a million operations or less are one block"
    while disputes.require_open(court.state, 0)[1].phase != "step_root":
        court.play(moves=1)
    grown = court.dispute()
    assert grown.defender_blocks == opened.defender_blocks - 2 + 1, "two moves of a block each, one more replay"
    assert grown.challenger_blocks == opened.challenger_blocks - 1 + 1
    court.play(moves=1)
    assert court.dispute().challenger_blocks == grown.challenger_blocks
