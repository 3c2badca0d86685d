"""A true claim against every kind of challenger, and each party's silence: only the one at fault ever loses."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.dispute import Challenger, Defender
from ml.dispute.reference import Fault, WrongOperand, WrongPack, WrongResult
from runtime.commitments import ITEM_BYTES
from runtime.dispute.bounds import maximum_moves
from runtime.dispute.game import NEVER_DISPUTED
from runtime.dispute.moves import Level, Move, Party, Phase, Select, SelectElement, SelectOperand
from runtime.dispute.records import Game, Reason
from runtime.trees import FAN_LEVELS
from tests.dispute.toy import Played, Toy, initialisation, long_sums, mlp, play, play_false_alarm, play_fault

FALSE_ALARMS: list[tuple[Toy, Fault, Reason]] = [
    (mlp(), WrongResult(1, 9, 3, 1 << 20), Reason.OPERAND_CONFIRMED),
    (mlp(), WrongOperand(2, 4, 0), Reason.OPERAND_CONFIRMED),
    (mlp(), WrongPack(3, 2, 1), Reason.PACK_CONFIRMED),
    (initialisation(), WrongResult(1, 0, 0), Reason.NOTHING_TO_DISPUTE),
    (initialisation(), WrongResult(1, 1, 1100), Reason.OPERAND_CONFIRMED),
    (long_sums(), WrongResult(1, 2, 1, 1 << 20, 7), Reason.OPERAND_CONFIRMED),
    (long_sums(), WrongOperand(1, 2, 1, 500, 1 << 30), Reason.OPERAND_CONFIRMED),
]


@pytest.mark.parametrize(("toy", "fault", "reason"), FALSE_ALARMS)
def test_a_challenger_whose_own_replay_is_wrong_loses(toy: Toy, fault: Fault, reason: Reason) -> None:
    """It follows its error to the very leaf, where the chain agrees with the defender or nothing is left to name."""
    played = play_false_alarm(toy, fault)
    assert played.winner is Party.DEFENDER
    if played.verdict is not None:
        assert played.verdict.reason is reason
        assert played.verdict.evidence.claimed == played.verdict.evidence.computed
    else:
        assert played.moves[-1][0].phase in (Phase.GROUP, Phase.REVEAL)


def selections(game: Game, toy: Toy) -> list[Move]:
    """Every legal selection of the challenger."""
    if game.phase is Phase.SELECT:
        cursor = game.cursor
        first = cursor.height <= FAN_LEVELS and cursor.index == 0 and cursor.level in NEVER_DISPUTED
        return [Select(position) for position in range(int(first), len(game.revealed))]
    if game.phase is Phase.ELEMENT:
        size = ITEM_BYTES[toy.checked.values[game.value].dtype]
        return [SelectElement(element) for element in range(len(game.chunk) // size)]
    return [SelectOperand(operand) for operand in range(len(game.operands))]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.sampled_from([mlp(), initialisation(), long_sums()]), st.randoms(use_true_random=False))
def test_a_true_claim_survives_any_selections_in_bounds(toy: Toy, random: object) -> None:
    honest = toy.tracer()
    defender = Defender(honest)
    pick = random.choice  # type: ignore[attr-defined]
    played = play(toy, toy.claim_of(honest), defender.next_move, lambda game: pick(selections(game, toy)))
    assert played.verdict is not None
    assert played.winner is Party.DEFENDER
    assert played.verdict.reason in (Reason.OPERAND_CONFIRMED, Reason.PACK_CONFIRMED, Reason.NOTHING_TO_DISPUTE)
    assert len(played.moves) <= maximum_moves(toy.checked, toy.job)


def test_an_honest_challenger_leaves_a_true_claim_alone() -> None:
    toy = mlp()
    challenger = Challenger(toy.tracer())
    assert not challenger.disagrees_with(toy.claim_of(toy.tracer()))
    played = play(toy, toy.claim_of(toy.tracer()), Defender(toy.tracer()).next_move, challenger.next_move)
    assert played.silent is Party.CHALLENGER


def test_an_honest_challenger_sees_a_false_claim() -> None:
    toy = mlp()
    cheat = toy.tracer(WrongPack(1, 0, 0))
    assert Challenger(toy.tracer()).disagrees_with(toy.claim_of(cheat))


def silenced(toy: Toy, fault: Fault, silent: Party, phase: Phase, level: Level) -> Played:
    """A game in which one party passes when it should move in that phase and level."""
    cheat = toy.tracer(fault)
    sides = {Party.DEFENDER: Defender(cheat).next_move, Party.CHALLENGER: Challenger(toy.tracer()).next_move}

    def player(side: Party) -> object:
        def next_move(game: Game) -> Move | None:
            if side is silent and game.phase is phase and game.cursor.level is level:
                return None
            return sides[side](game)

        return next_move

    return play(toy, toy.claim_of(cheat), player(Party.DEFENDER), player(Party.CHALLENGER))  # type: ignore[arg-type]


TRACE_FAULT = (long_sums(), WrongOperand(1, 2, 1, 500, 1 << 30))
PACK_FAULT = (mlp(), WrongPack(2, 1, 0))
SILENCES = [
    (TRACE_FAULT, Phase.SEGMENT_ROOT, Level.SEGMENT),
    (TRACE_FAULT, Phase.REVEAL, Level.SEGMENT),
    (TRACE_FAULT, Phase.SELECT, Level.SEGMENT),
    (TRACE_FAULT, Phase.STEP_ROOT, Level.SEGMENT),
    (TRACE_FAULT, Phase.REVEAL, Level.STEP),
    (TRACE_FAULT, Phase.SELECT, Level.STEP),
    (TRACE_FAULT, Phase.CHUNK, Level.TENSOR),
    (TRACE_FAULT, Phase.ELEMENT, Level.TENSOR),
    (TRACE_FAULT, Phase.TRACE_ROOT, Level.TENSOR),
    (TRACE_FAULT, Phase.REVEAL, Level.TRACE),
    (TRACE_FAULT, Phase.SELECT, Level.TRACE),
    (TRACE_FAULT, Phase.GROUP, Level.TRACE),
    (TRACE_FAULT, Phase.OPERAND, Level.TRACE),
    (TRACE_FAULT, Phase.OPENING, Level.TRACE),
    (PACK_FAULT, Phase.REVEAL, Level.STATE),
    (PACK_FAULT, Phase.SELECT, Level.STATE),
    (PACK_FAULT, Phase.PACK_OPENING, Level.STATE),
]


@pytest.mark.parametrize(("job", "phase", "level"), SILENCES)
def test_whoever_is_silent_at_any_level_loses(job: tuple[Toy, Fault], phase: Phase, level: Level) -> None:
    silent = Party.CHALLENGER if phase in (Phase.SELECT, Phase.ELEMENT, Phase.OPERAND) else Party.DEFENDER
    played = silenced(*job, silent, phase, level)
    assert played.silent is silent
    assert played.winner is silent.opponent


def test_every_phase_is_reached_by_some_game() -> None:
    """So that no phase above is tested by accident only."""
    reached = {game.phase for toy, fault in (TRACE_FAULT, PACK_FAULT) for game, _ in play_fault(toy, fault).moves}
    assert reached == set(Phase)
