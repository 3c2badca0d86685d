"""Tasks that nobody takes, put into the pool to keep every node looking for solvers."""

from __future__ import annotations

import pytest

from runtime.codec import replace
from runtime.pallets import balances, tasks, treasury
from tests.market.market import SPEC, SUBMITTER, Market, submission, with_salt
from tests.support.chain import account

CROWD = 12


def pot(market: Market) -> int:
    return balances.free(market.state, treasury.ACCOUNT)


def fill_pool(market: Market) -> list[bytes]:
    """Tasks at a price for which nobody works."""
    specs = [with_salt(number, replace(SPEC, price_limit=1)) for number in range(1, CROWD + 1)]
    market.author(*[(SUBMITTER, submission(spec)) for spec in specs])
    assert all(receipt.ok for receipt in market.receipts)
    return [tasks.task_id(spec) for spec in specs]


@pytest.mark.parametrize("ends", ["expired", "cancelled"])
def test_filling_the_pool_with_tasks_that_nobody_takes_costs_a_fee_for_each(ends: str) -> None:
    market = Market(solvers=0, listing_fee=10**9)
    before = market.owned(SUBMITTER)
    names = fill_pool(market)
    fees = pot(market)
    if ends == "cancelled":
        market.author(*[(SUBMITTER, tasks.Cancel(name)) for name in names])
    else:
        market.skip(20)
    ended = [tasks.require_task(market.state, name) for name in names]
    assert {task.status for task in ended} == {ends}
    assert pot(market) >= fees + CROWD * 10**9
    assert market.owned(SUBMITTER) <= before - CROWD * 10**9
    for task in ended:
        listing = [one for one in task.payments if one.role == "listing"]
        assert [(one.account, one.amount) for one in listing] == [(treasury.ACCOUNT, 10**9)]


def test_a_task_that_settles_or_fails_by_the_fault_of_others_has_its_listing_fee_back() -> None:
    market = Market(listing_fee=10**9).to_settled()
    paid = sum(one.amount for one in market.record.payments if one.role not in ("refund", "challenger"))
    refund = sum(one.amount for one in market.record.payments if one.role == "refund")
    assert refund == market.record.estimate.escrow - paid >= 10**9
    failed = Market(solvers=1, listing_fee=10**9, maximum_attempts=1).to_training()
    failed.until("failed")
    assert [one.role for one in failed.record.payments] == ["refund"]
    assert failed.record.payments[0].account == account(SUBMITTER)
    assert failed.record.payments[0].amount == failed.record.estimate.escrow
