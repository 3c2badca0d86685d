"""Balances: no sequence of calls creates or loses a unit, and holds always can be released."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from runtime.errors import DispatchError, InvalidExtrinsic
from runtime.pallet import Context, InvariantBroken
from runtime.pallets import balances, system, treasury
from runtime.pallets.balances import Account
from tests.support.chain import TestChain, account

DEPOSIT = balances.existential_deposit(TestChain().state)
SURIS = ["//Alice", "//Zoe", "//Yan", "//Xi"]
AMOUNTS = st.sampled_from([0, 1, DEPOSIT - 1, DEPOSIT, DEPOSIT + 1, 3 * DEPOSIT, 10**12, 2**62, 2**63 - 1])
ALICE, BOB, ZOE = account("//Alice"), account("//Bob"), account("//Zoe")


@pytest.fixture
def chain() -> TestChain:
    return TestChain(balances={"//Zoe": 10**9})


@pytest.fixture
def ctx(chain: TestChain) -> Context:
    return chain.start_block()


def raises(ctx: Context, kind: type[DispatchError], function: object, *arguments: object) -> None:
    """The function fails with that error before any write."""
    before, events = ctx.state.changes(), len(ctx.events)
    with pytest.raises(kind):
        function(ctx, *arguments)  # type: ignore[operator]
    assert (ctx.state.changes(), len(ctx.events)) == (before, events)


def test_a_transfer_moves_units_and_says_so(chain: TestChain) -> None:
    before = balances.free(chain.state, BOB)
    receipt = chain.submit("//Zoe", balances.Transfer(BOB, 5000))
    assert balances.free(chain.state, BOB) == before + 5000
    assert balances.free(chain.state, ZOE) == 10**9 - 5000 - receipt.fee
    assert chain.events(balances.Transferred) == [balances.Transferred(ZOE, BOB, 5000)]


def test_transfers_that_cannot_be_made_leave_no_trace(chain: TestChain) -> None:
    chain.reject("//Zoe", balances.Transfer(BOB, 10**9), "InsufficientBalance")
    chain.reject("//Zoe", balances.Transfer(BOB, 2**63 - 1), "InsufficientBalance")
    chain.reject("//Zoe", balances.Transfer(account("//Nobody"), DEPOSIT - 1), "ExistentialDeposit")
    left = balances.free(chain.state, ZOE) - 1_400_000
    chain.reject("//Zoe", balances.TransferKeepAlive(BOB, left), "KeepAlive")


def test_what_is_left_below_the_deposit_is_burned_with_its_account(chain: TestChain) -> None:
    issuance = balances.ISSUANCE.get(chain.state)
    all_but_dust = balances.free(chain.state, ZOE) - 1_400_000
    receipt = chain.submit("//Zoe", balances.Transfer(BOB, all_but_dust))
    dust = 1_400_000 - receipt.fee
    assert 0 < dust < DEPOSIT
    assert chain.events(balances.AccountRemoved) == [balances.AccountRemoved(ZOE, dust)]
    assert balances.ISSUANCE.get(chain.state) == issuance - dust
    assert not balances.ACCOUNTS.contains(chain.state, ZOE)


def test_transfer_all_empties_the_account_or_keeps_it_alive(chain: TestChain) -> None:
    chain.submit("//Zoe", balances.TransferAll(BOB, True))
    assert balances.free(chain.state, ZOE) == DEPOSIT
    chain.submit("//Bob", balances.Transfer(ZOE, 10**9))
    chain.submit("//Zoe", balances.TransferAll(BOB, False))
    assert balances.free(chain.state, ZOE) == 0


def test_a_transfer_to_oneself_changes_nothing(ctx: Context) -> None:
    before = ctx.state.changes()
    balances.transfer(ctx, ZOE, ZOE, 10**9)
    assert ctx.state.changes() == before
    raises(ctx, balances.InsufficientBalance, balances.transfer, ZOE, ZOE, 10**9 + 1)


def test_held_units_cannot_be_spent_but_move_as_told(ctx: Context) -> None:
    balances.hold(ctx, ZOE, b"bond", 10**9 - DEPOSIT)
    assert balances.account(ctx.state, ZOE) == Account(DEPOSIT, 10**9 - DEPOSIT)
    raises(ctx, balances.KeepAlive, balances.transfer, ZOE, BOB, 1)
    raises(ctx, balances.KeepAlive, balances.burn, ZOE, 1)
    balances.move_held(ctx, ZOE, b"bond", BOB, 1000)
    balances.release(ctx, ZOE, b"bond", 500)
    balances.burn_held(ctx, ZOE, b"bond", 300)
    assert balances.held(ctx.state, ZOE, b"bond") == 10**9 - DEPOSIT - 1800
    assert balances.spendable(ctx.state, ZOE) == 500
    balances.release(ctx, ZOE, b"bond", 10**9 - DEPOSIT - 1800)
    assert not balances.HOLDS.contains(ctx.state, (ZOE, b"bond"))


def test_reasons_are_kept_apart(ctx: Context) -> None:
    balances.hold(ctx, ZOE, b"a", 10)
    balances.hold(ctx, ZOE, b"a", 5)
    balances.hold(ctx, ZOE, b"b", 7)
    raises(ctx, balances.InsufficientHold, balances.release, ZOE, b"a", 16)
    raises(ctx, balances.InsufficientHold, balances.move_held, ZOE, b"c", BOB, 1)
    balances.move_hold(ctx, ZOE, b"a", b"b", 15)
    assert (balances.held(ctx.state, ZOE, b"a"), balances.held(ctx.state, ZOE, b"b")) == (0, 22)


def test_negative_amounts_are_refused_everywhere(ctx: Context) -> None:
    balances.hold(ctx, ZOE, b"a", 10)
    raises(ctx, balances.InsufficientBalance, balances.withdraw, ZOE, -1)
    raises(ctx, balances.InsufficientBalance, balances.hold, ZOE, b"a", -1)
    raises(ctx, balances.InsufficientHold, balances.release, ZOE, b"a", -1)
    raises(ctx, balances.InsufficientHold, balances.move_held, ZOE, b"a", BOB, -1)


def test_a_payment_too_small_to_open_its_account_is_burned(ctx: Context) -> None:
    issuance = balances.ISSUANCE.get(ctx.state)
    balances.hold(ctx, ZOE, b"a", 10)
    balances.move_held(ctx, ZOE, b"a", account("//Nobody"), 10)
    assert balances.ISSUANCE.get(ctx.state) == issuance - 10
    assert not balances.ACCOUNTS.contains(ctx.state, account("//Nobody"))


def test_issuance_stays_below_two_to_the_sixty_third(ctx: Context) -> None:
    room = balances.MAX_ISSUANCE - balances.ISSUANCE.get(ctx.state)
    raises(ctx, balances.IssuanceOverflow, balances.mint, ZOE, room + 1)
    balances.mint(ctx, ZOE, room)
    balances.check(ctx.state)


def test_a_lost_unit_breaks_the_invariant(chain: TestChain) -> None:
    for wrong in (Account(10**9 - 1, 0), Account(10**9, 1), Account(1, 0)):
        state = chain.state
        balances.ACCOUNTS.put(state, ZOE, wrong)
        with pytest.raises(InvariantBroken):
            balances.check(state)
    state = chain.state
    balances.HOLDS.put(state, (ZOE, b"x"), 0)
    with pytest.raises(InvariantBroken):
        balances.check(state)


def test_the_author_gets_fees_and_tips_less_the_treasurys_share(chain: TestChain) -> None:
    before = {who: balances.free(chain.state, who) for who in (ALICE, treasury.ACCOUNT)}
    raw = chain.sign("//Zoe", system.Remark(b""), tip=12_345)
    (receipt,) = chain.author(raw)
    share = receipt.fee * 200_000_000 // 10**9
    assert balances.free(chain.state, treasury.ACCOUNT) == before[treasury.ACCOUNT] + share
    assert balances.free(chain.state, ALICE) == before[ALICE] + receipt.fee - share
    assert treasury.compute_share(chain.state, receipt.fee) == share


def test_an_author_without_an_account_leaves_the_fees_to_the_treasury(chain: TestChain) -> None:
    ctx = chain.start_block()
    ctx.author = account("//Nobody")
    ctx.fees = 1000
    before = balances.free(ctx.state, treasury.ACCOUNT)
    treasury.distribute_fees(ctx)
    assert balances.free(ctx.state, treasury.ACCOUNT) == before + 1000


class Ledger(RuleBasedStateMachine):
    """Random balance operations in calls that succeed or fail; the invariants hold after each."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = TestChain(balances={"//Zoe": 10**12, "//Yan": 2 * DEPOSIT})
        self.ctx = self.chain.start_block()
        self.issued = balances.ISSUANCE.get(self.ctx.state)

    def attempt(self, function: object, *arguments: object) -> None:
        with suppress(DispatchError), self.ctx.transaction():
            function(self.ctx, *arguments)  # type: ignore[operator]

    @rule(source=st.sampled_from(SURIS), to=st.sampled_from(SURIS), amount=AMOUNTS, keep=st.booleans())
    def transfer(self, source: str, to: str, amount: int, keep: bool) -> None:
        self.attempt(balances.transfer, account(source), account(to), amount, keep)

    @rule(who=st.sampled_from(SURIS), reason=st.sampled_from([b"a", b"b"]), amount=AMOUNTS)
    def hold(self, who: str, reason: bytes, amount: int) -> None:
        self.attempt(balances.hold, account(who), reason, amount)

    @rule(who=st.sampled_from(SURIS), reason=st.sampled_from([b"a", b"b"]), amount=AMOUNTS)
    def release(self, who: str, reason: bytes, amount: int) -> None:
        self.attempt(balances.release, account(who), reason, amount)

    @rule(who=st.sampled_from(SURIS), to=st.sampled_from(SURIS), amount=AMOUNTS)
    def move_held(self, who: str, to: str, amount: int) -> None:
        self.attempt(balances.move_held, account(who), b"a", account(to), amount)

    @rule(who=st.sampled_from(SURIS), amount=AMOUNTS)
    def burn(self, who: str, amount: int) -> None:
        self.attempt(balances.burn, account(who), amount)

    @rule(who=st.sampled_from(SURIS), amount=AMOUNTS)
    def burn_held(self, who: str, amount: int) -> None:
        self.attempt(balances.burn_held, account(who), b"a", amount)

    @rule(who=st.sampled_from(SURIS), amount=AMOUNTS)
    def mint(self, who: str, amount: int) -> None:
        self.attempt(balances.mint, account(who), amount)

    @rule(who=st.sampled_from(SURIS), reason=st.sampled_from([b"a", b"b"]))
    def every_hold_can_be_released(self, who: str, reason: bytes) -> None:
        amount = balances.held(self.ctx.state, account(who), reason)
        balances.release(self.ctx, account(who), reason, amount)
        assert balances.held(self.ctx.state, account(who), reason) == 0

    @invariant()
    def every_unit_is_accounted_for(self) -> None:
        balances.check(self.ctx.state)


TestLedger = Ledger.TestCase
TestLedger.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_nobody_without_an_account_can_do_anything(chain: TestChain) -> None:
    with pytest.raises(InvalidExtrinsic):
        chain.author(("//Nobody", system.Remark(b"")))
