"""The pool's rules: nonces, priorities, replacement, bans, limits, expiry."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.pool import AlreadyImported, Banned, Pool, PoolError, PoolFull, PoolLimits, TooLowPriority
from runtime.block import Call, Extrinsic, Inherent, decode_extrinsic, mortal_era
from runtime.codec import encode
from runtime.crypto import public_key
from runtime.errors import InvalidExtrinsic
from runtime.validity import FOREVER, Validity, nonce_tag
from tests.support.ledger import ALICE, BOB, CHARLIE, DevChain


def account_of(name: str) -> bytes:
    return name.encode().ljust(32, b".")


def extrinsic(name: str, nonce: int, tip: int = 0, salt: bytes = b"") -> bytes:
    """An unsigned stand-in: these tests judge it by `World.validate`."""
    era = mortal_era(4, 0)
    return encode(Extrinsic(Call("system", "remark", salt), account_of(name), nonce, era, tip, bytes(64)))


class World:
    """Account nonces that the pool's validity refers to. Mutable."""

    def __init__(self) -> None:
        self.nonces: dict[bytes, int] = {}
        self.longevity = FOREVER
        self.calls = 0

    def validate(self, raw: bytes) -> Validity:
        self.calls += 1
        item = decode_extrinsic(raw)
        if isinstance(item, Inherent):
            raise InvalidExtrinsic("inherent", "an inherent")
        expected = self.nonces.get(item.signer, 0)
        if item.nonce < expected:
            raise InvalidExtrinsic("stale_nonce", "used")
        requires = (nonce_tag(item.signer, item.nonce - 1),) if item.nonce > expected else ()
        operational = item.call.arguments == b"operational"
        provides = (nonce_tag(item.signer, item.nonce),)
        return Validity(item.tip, requires, provides, self.longevity, operational, len(raw), 1, 1)


def order(pool: Pool) -> list[tuple[str, int]]:
    return [(entry.sender.rstrip(b".").decode(), entry.nonce) for entry in pool.ready()]


def test_a_future_nonce_waits_for_the_ones_before_it() -> None:
    pool = Pool(World().validate)
    pool.submit(extrinsic("a", 2), 0, 0.0)
    pool.submit(extrinsic("a", 1), 0, 0.0)
    assert order(pool) == []
    assert not pool.has_ready
    pool.submit(extrinsic("a", 0), 0, 0.0)
    assert order(pool) == [("a", 0), ("a", 1), ("a", 2)]
    assert pool.next_nonce(account_of("a"), 0) == 3


def test_a_higher_tip_goes_first_but_never_before_its_own_nonce() -> None:
    pool = Pool(World().validate)
    for name, nonce, tip in [("a", 0, 1), ("a", 1, 100), ("b", 0, 5), ("c", 0, 3)]:
        pool.submit(extrinsic(name, nonce, tip), 0, 0.0)
    assert order(pool) == [("b", 0), ("c", 0), ("a", 0), ("a", 1)]


def test_operational_extrinsics_go_before_any_tip() -> None:
    pool = Pool(World().validate)
    pool.submit(extrinsic("a", 0, 10**12), 0, 0.0)
    pool.submit(extrinsic("b", 0, 0, b"operational"), 0, 0.0)
    assert order(pool) == [("b", 0), ("a", 0)]


def test_the_same_nonce_is_replaced_by_a_higher_tip_only() -> None:
    pool = Pool(World().validate)
    first = pool.submit(extrinsic("a", 0, 5), 0, 0.0)
    pool.submit(extrinsic("a", 1, 5), 0, 0.0)
    with pytest.raises(TooLowPriority, match="higher tip"):
        pool.submit(extrinsic("a", 0, 5, b"other"), 0, 0.0)
    second = pool.submit(extrinsic("a", 0, 6), 0, 0.0)
    assert first not in pool
    assert second in pool
    assert order(pool) == [("a", 0), ("a", 1)]


def test_the_same_extrinsic_is_not_taken_twice() -> None:
    world = World()
    pool = Pool(world.validate)
    pool.submit(extrinsic("a", 0), 0, 0.0)
    with pytest.raises(AlreadyImported):
        pool.submit(extrinsic("a", 0), 0, 0.0)
    assert world.calls == 1


def test_an_invalid_extrinsic_is_banned_and_not_checked_again_for_a_while() -> None:
    world = World()
    world.nonces[account_of("a")] = 1
    pool = Pool(world.validate, PoolLimits(ban_seconds=60.0))
    with pytest.raises(InvalidExtrinsic):
        pool.submit(extrinsic("a", 0), 0, 100.0)
    with pytest.raises(Banned):
        pool.submit(extrinsic("a", 0), 0, 159.0)
    assert world.calls == 1
    with pytest.raises(InvalidExtrinsic):
        pool.submit(extrinsic("a", 0), 0, 161.0)


def test_the_list_of_bans_is_bounded() -> None:
    world = World()
    world.nonces[account_of("a")] = 10**6
    pool = Pool(world.validate, PoolLimits(ban_count=4))
    for nonce in range(10):
        with pytest.raises(InvalidExtrinsic):
            pool.submit(extrinsic("a", nonce), 0, 0.0)
    assert len(pool._banned) == 4


def test_an_extrinsic_that_the_author_finds_invalid_leaves_with_a_ban_and_its_followers_wait() -> None:
    pool = Pool(World().validate)
    first = pool.submit(extrinsic("a", 0), 0, 0.0)
    pool.submit(extrinsic("a", 1), 0, 0.0)
    pool.submit(extrinsic("a", 2), 0, 0.0)
    pool.on_invalid(first, 0.0)
    assert order(pool) == []
    assert len(pool) == 2
    pool.submit(extrinsic("a", 0, 1), 0, 0.0)
    assert order(pool) == [("a", 0), ("a", 1), ("a", 2)]


def test_one_sender_cannot_fill_the_pool() -> None:
    pool = Pool(World().validate, PoolLimits(per_sender=2))
    pool.submit(extrinsic("a", 0), 0, 0.0)
    pool.submit(extrinsic("a", 1), 0, 0.0)
    with pytest.raises(PoolFull, match="of this account"):
        pool.submit(extrinsic("a", 2), 0, 0.0)
    pool.submit(extrinsic("a", 1, 9), 0, 0.0)
    pool.submit(extrinsic("b", 0), 0, 0.0)
    assert len(pool) == 3


def test_a_full_pool_gives_up_its_cheapest_for_a_better_one() -> None:
    pool = Pool(World().validate, PoolLimits(count=2))
    pool.submit(extrinsic("a", 0, 3), 0, 0.0)
    cheap = pool.submit(extrinsic("b", 0, 1), 0, 0.0)
    with pytest.raises(PoolFull, match="above 1"):
        pool.submit(extrinsic("c", 0, 1), 0, 0.0)
    pool.submit(extrinsic("c", 0, 2), 0, 0.0)
    assert cheap not in pool
    assert order(pool) == [("a", 0), ("c", 0)]


def test_the_pool_is_bounded_by_bytes() -> None:
    pool = Pool(World().validate, PoolLimits(byte_count=1000))
    pool.submit(extrinsic("a", 0, 2, bytes(500)), 0, 0.0)
    with pytest.raises(PoolFull):
        pool.submit(extrinsic("b", 0, 1, bytes(500)), 0, 0.0)


def test_future_extrinsics_have_a_limit_of_their_own() -> None:
    pool = Pool(World().validate, PoolLimits(future_count=1))
    pool.submit(extrinsic("a", 5), 0, 0.0)
    with pytest.raises(PoolFull, match="ahead"):
        pool.submit(extrinsic("b", 5), 0, 0.0)
    pool.submit(extrinsic("b", 0), 0, 0.0)


def test_a_block_removes_what_it_includes_and_what_it_makes_stale() -> None:
    pool = Pool(World().validate)
    pool.submit(extrinsic("a", 0), 0, 0.0)
    pool.submit(extrinsic("a", 1), 0, 0.0)
    pool.submit(extrinsic("b", 1), 0, 0.0)
    pool.on_block([extrinsic("a", 0, 7), extrinsic("b", 0)], 1)
    assert order(pool) == [("a", 1), ("b", 1)]


def test_mortal_extrinsics_leave_when_no_later_block_may_include_them() -> None:
    world = World()
    world.longevity = 3
    pool = Pool(world.validate)
    pool.submit(extrinsic("a", 0), 10, 0.0)
    pool.on_block([], 12)
    assert len(pool) == 1
    pool.on_block([], 13)
    assert len(pool) == 0


def test_after_a_reorganisation_everything_is_checked_afresh() -> None:
    world = World()
    pool = Pool(world.validate)
    pool.submit(extrinsic("a", 1), 0, 0.0)
    world.nonces[account_of("b")] = 4
    pool.on_reorganisation([extrinsic("a", 0), extrinsic("b", 3)], 1, 0.0)
    assert order(pool) == [("a", 0), ("a", 1)]


Submission = tuple[str, int, int]


@settings(max_examples=500)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.integers(0, 9)), max_size=40))
def test_ready_extrinsics_always_form_gapless_nonce_runs_in_order(submissions: list[Submission]) -> None:
    """Whatever is submitted, in whatever order, with limits that bite: the author never meets a nonce gap."""
    pool = Pool(World().validate, PoolLimits(count=8, per_sender=5, future_count=4))
    for name, nonce, tip in submissions:
        try:
            pool.submit(extrinsic(name, nonce, tip), 0, 0.0)
        except PoolError:
            continue
    assert len(pool) <= 8
    seen: dict[str, int] = {}
    for name, nonce in order(pool):
        assert nonce == seen.get(name, 0)
        seen[name] = nonce + 1
    for entry in pool:
        name = entry.sender.rstrip(b".").decode()
        assert bool(entry.missing) == (entry.nonce > seen.get(name, 0) - 1)
    assert pool.has_ready == bool(seen)
    assert pool._bytes == sum(len(entry.raw) for entry in pool)


def test_the_author_includes_by_tip_and_leaves_what_proves_invalid(tmp_path: Path) -> None:
    with DevChain(tmp_path) as chain:
        chain.transfer(ALICE, public_key(CHARLIE), 1, tip=1)
        chain.transfer(BOB, public_key(CHARLIE), 1, tip=5)
        # Two that can each pay alone; after the first, the second cannot pay its fee any more.
        chain.transfer(CHARLIE, public_key(ALICE), chain.free(CHARLIE) - 3_000_000)
        chain.transfer(CHARLIE, public_key(ALICE), 1, tip=10**9)
        layer = chain.seal()
        items = [decode_extrinsic(raw) for raw in layer.block.body]
        signers = [item.signer for item in items if isinstance(item, Extrinsic)]
        assert signers == [public_key(BOB), public_key(ALICE), public_key(CHARLIE)]
        assert len(chain.pool) == 0


def test_a_mortal_extrinsic_is_not_included_after_its_death(tmp_path: Path) -> None:
    with DevChain(tmp_path) as chain:
        raw = chain.extrinsic(ALICE, public_key(BOB), 1, era=mortal_era(4, 0))
        chain.pool.submit(raw, chain.ledger.head_number, 0.0)
        waiting = Pool(chain.ledger.validate)
        chain.pool, kept = waiting, chain.pool
        for _ in range(3):
            chain.seal()
            kept.on_block([], chain.ledger.head_number)
        assert len(kept) == 0
        with pytest.raises(InvalidExtrinsic):
            chain.ledger.validate(chain.extrinsic(ALICE, public_key(BOB), 1, nonce=0)[:-1])
