"""Whatever people do in whatever order: no block fails, every invariant holds, no unit is lost, and every task ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.codec import Record
from runtime.pallets import balances, proofs, tasks, workers
from tests.market import referee
from tests.market.market import NAMES, PEOPLE, SUBMITTER, Market, secret_of, submission, with_salt
from tests.support.chain import account

FIRST = with_salt(0, training_blocks=20)
SPECS = [FIRST, with_salt(1, FIRST, verifiers=1), with_salt(2, FIRST, audits=4)]
IDS = [tasks.task_id(spec) for spec in SPECS]
OVER = ("settled", "failed", "cancelled", "expired")


@pytest.fixture(autouse=True, scope="module")
def _referee() -> Iterator[None]:
    with referee.registered():
        yield


TRUE, FALSE = b"t" * 32, b"f" * 32


def seal_of(suri: str, name: bytes, witness: bytes) -> bytes:
    return proofs.witness_seal(witness, bytes(32), account(suri), name)


def useful_act(market: Market, name: bytes, kind: int) -> tuple[str, Record] | None:
    """What the task's state calls for next, done by whoever should do it: honestly or not, as ``kind`` says."""
    task = tasks.TASKS.get(market.state, name)
    if task is None:
        return SUBMITTER, submission(SPECS[IDS.index(name)])
    if task.status == "assigned":
        return NAMES[task.solver], tasks.Accept(name)
    if task.status == "training":
        roots = tuple(bytes([number]) * 32 for number in range(tasks.segment_count(task.spec)))
        return NAMES[task.solver], proofs.RegisterProof(name, roots, bytes(32))
    board = proofs.AUDITS.get(market.state, name)
    if board is None or task.status not in proofs.LIVE_STATUSES:
        return None
    for audit in board.audits:
        suri = NAMES[audit.verifier]
        if audit.status == "drawn":
            return suri, proofs.AcceptAudit(
                name, proofs.draw_commitment(secret_of(suri), audit.verifier, name), bytes(32)
            )
        if audit.status == "opened":
            segments = proofs.audit_segments(task.spec, audit, secret_of(suri))
            failed = segments[: kind % 2]
            seals = () if failed else tuple(sorted(seal_of(suri, name, one) for one in (TRUE, FALSE)))
            return suri, proofs.SubmitVerdict(name, secret_of(suri), failed, seals)
        if audit.status == "called":
            return suri, proofs.OpenWitness(name, TRUE if kind % 4 else FALSE, bytes(32))
        if audit.status == "failed":
            return suri, referee.Open(name, audit.failed[0])
    return None


def odd_act(market: Market, name: bytes, who: str, kind: int) -> tuple[str, Record]:
    """Something that somebody might try at any time."""
    disputes = [key for key, _ in proofs.DISPUTES.items(market.state)]
    if disputes and kind % 3 == 0:
        key = disputes[kind % len(disputes)]
        others = tuple(
            (other.segment, other.challenger) for other in disputes if other.task == key.task and other != key
        )
        if kind % 2:
            return who, referee.Win(key.task, key.segment, key.challenger, others)
        return who, referee.Lose(key.task, key.segment, key.challenger)
    acts: list[Record] = [
        tasks.Cancel(name),
        tasks.Accept(name),
        tasks.Heartbeat(name, kind, 0),
        referee.Open(name, kind % 6),
        workers.SetAsk("solver", 1 + kind, kind % 3),
        workers.Register("verifier", 20 * 10**9, 1 + kind, 4),
        workers.Unbond("verifier", 20 * 10**9),
        workers.Unbond("solver", 100 * 10**9),
        workers.Withdraw("verifier"),
        workers.BondMore("solver", kind),
        proofs.AcceptAudit(name, bytes(32), bytes(32)),
        proofs.OpenWitness(name, bytes(32), bytes(32)),
        proofs.SubmitVerdict(name, bytes(32), (kind % 6,), ()),
        proofs.RegisterProof(name, (bytes(32),) * 5, bytes(32)),
    ]
    return who, acts[kind % len(acts)]


LONG = {"acceptance_blocks": 12, "audit_acceptance_blocks": 12, "verdict_blocks": 12, "dispute_opening_blocks": 8}
steps = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 5), st.sampled_from(PEOPLE), st.integers(0, 10_000)),
    min_size=100,
    max_size=160,
)


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(steps)
def test_whatever_happens_invariants_hold_and_every_task_ends(acts: list[tuple[int, int, str, int]]) -> None:
    market = Market(solvers=4, verifiers=6, **LONG)
    for start in range(0, len(acts), 2):
        found = [
            useful_act(market, IDS[which], kind) if sort else odd_act(market, IDS[which], who, kind)
            for which, sort, who, kind in acts[start : start + 2]
        ]
        market.author(*(act for act in found if act))
    for key in [key for key, _ in proofs.DISPUTES.items(market.state)]:
        market.submit("//Alice", referee.Lose(key.task, key.segment, key.challenger))
    market.skip(130)
    for _, task in tasks.TASKS.items(market.state):
        assert task.status in OVER
    assert tasks.TURNS.pending(market.state) == proofs.APPOINTMENTS.pending(market.state) == []
    assert list(workers.LOCKS.items(market.state)) == []
    assert not any(reason.startswith(b"task:") for _, reason in balances.HOLDS.keys(market.state))
