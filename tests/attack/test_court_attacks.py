"""Attacks on the money and the bookkeeping around disputes."""

from __future__ import annotations

from functools import partial

from runtime.pallets import disputes, proofs, workers
from runtime.pallets.disputes import lines
from runtime.state import Map, MemoryBackend, State
from tests.dispute.test_pallet import ALICE, BOB, HONEST, Court
from tests.market.market import BOND, SOLVERS, VERIFIERS, Market
from tests.support.chain import account


def test_the_late_end_of_an_old_dispute_does_not_end_the_same_challengers_dispute_of_the_next_proof() -> None:
    court = Court(cancellations_at_once=1, clock_blocks=400)
    court.open(ALICE)
    crowd = [*(f"//Verifier{number}" for number in (3, 4, 5)), *(f"//Solver{number}" for number in range(2, 8))]
    for segment in (0, 1, 2):
        for who in crowd:
            court.open(who, segment)
    old = court.open(BOB)
    court.author(*[(suri, workers.Register("verifier", BOND, 400_000, 8)) for suri in crowd[:3]])
    court.play(0)
    assert court.dispute(old).status == "open", "its bond waits for a block with room"
    court.to_proved()
    new = court.open(BOB)
    assert court.dispute(old).status == "open"
    court.skip(40)
    assert court.dispute(old).status == "cancelled"
    assert court.dispute(new).status == "open"
    assert court.board.disputes == 1
    key = proofs.DisputeKey(court.task, 2, account(BOB))
    assert proofs.DISPUTES.get(court.state, key) == court.board.attempt
    line = disputes.LINES.get(court.state, court.task)
    assert line == disputes.Line(court.board.attempt, new, new)


class EarlyCourt(Court):
    """A court whose verifiers were only just drawn."""

    __test__ = False

    def to_window(self) -> Market:
        return self.to_auditing()


def test_a_challenger_that_is_drawn_as_verifier_later_need_not_dispute_the_same_segment_twice() -> None:
    court = EarlyCourt(clock_blocks=200)
    (spare,) = set(VERIFIERS[:3]) - set(court.auditors())
    court.author(*[(spare, court.commitment(spare, segment)) for segment in range(3)])
    court.author(*[(spare, court.revelation(segment, 3 - segment)) for segment in range(3)])
    for _ in range(8):
        if spare not in court.auditors("drawn"):
            court.skip(1)
    assert spare in court.auditors("drawn"), "it takes the place of a silent one"
    court.accept_audit(spare)
    court.skip(1)
    court.give_verdict(spare, *court.segments(spare))
    assert court.audit(spare).status == "disputing"
    bond = court.worker(spare).bond
    court.skip(20)
    assert court.audit(spare).status == "disputing", "its disputes run; there is nothing that it has missed"
    assert court.worker(spare).bond == bond


def test_openings_about_proofs_that_are_settled_get_no_room_that_is_kept_for_disputes() -> None:
    court = Court(HONEST)
    opening = court.commitment()
    definition = disputes.PALLET.calls["commit"]
    assert definition.is_operational(court.state, account(ALICE), opening)
    court.until("settled", blocks=200)
    assert not definition.is_operational(court.state, account(ALICE), opening)


def test_the_bookkeeping_of_a_crowd_of_disputes_is_as_small_as_that_of_one() -> None:
    """Were they listed in one value, each opening would cost more than the one before, and in the end no node could
    decode the value, so that the hook that needs it would stop the chain."""
    court = Court(cancellations_at_once=2)
    crowd = [suri for suri in (*SOLVERS, *VERIFIERS, ALICE) if suri not in (court.solver, *court.auditors())]
    for who in crowd:
        court.author(*[(who, court.commitment(who, segment)) for segment in (2, 0, 1)])
        court.author(*[(who, court.revelation(segment, 3 - place)) for place, segment in enumerate((2, 0, 1))])
    count: int = disputes.NEXT.get(court.state)
    assert count == 3 * len(crowd) > 30
    values = [one for one in disputes.PALLET.storage.values() if isinstance(one, Map) and one is not disputes.GAMES]
    prefixes = [one.prefix for one in values]
    assert max(len(data) for key, data in court.backend.entries.items() if key[:16] in prefixes) < 400
    court.play(0)
    assert court.dispute(0).status == "challenger_won"
    cancelled = [sum(court.dispute(number).status == "cancelled" for number in range(count))]
    while cancelled[-1] < count - 1:
        court.skip(1)
        cancelled.append(sum(court.dispute(number).status == "cancelled" for number in range(count)))
        assert cancelled[-1] - cancelled[-2] == 2 or cancelled[-1] == count - 1
    assert cancelled[0] == 2
    assert disputes.LINES.get(court.state, court.task) is None


def test_disputes_leave_a_line_from_its_start_its_middle_and_its_end() -> None:
    state, task = State(MemoryBackend()), bytes(32)
    for number in range(6):
        lines.join(state, task, 1, number)
    for number, left in ((0, [1, 2, 3, 4, 5]), (3, [1, 2, 4, 5]), (5, [1, 2, 4]), (2, [1, 4]), (4, [1]), (1, [])):
        lines.leave(state, task, number)
        assert list(lines.walk(disputes.LINES.get(state, task), partial(disputes.LINKS.get, state))) == left
    assert not list(disputes.LINKS.items(state))
