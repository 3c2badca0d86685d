"""The test of "a failed call leaves no trace but its fee and its nonce"."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.pallets import balances, session, system, transaction_payment, treasury


def assert_only_fee_and_nonce_changed(
    before: Mapping[bytes, bytes], after: Mapping[bytes, bytes], signer: bytes, fee: int, hooks: set[bytes]
) -> None:
    """Compare two states around a block with one failed extrinsic; ``hooks`` are keys that hooks write anyway."""
    authors = system.AUTHORITIES.decode_value(after[system.AUTHORITIES.key])
    if session.MEMBERS.key in after:
        authors = tuple(member.account for member in session.MEMBERS.decode_value(after[session.MEMBERS.key]))
    paid = {balances.ACCOUNTS.key(who) for who in (*authors, treasury.ACCOUNT)}
    charged = balances.ACCOUNTS.key(signer)
    allowed = {system.EVENTS.key, system.NONCES.key(signer), transaction_payment.MULTIPLIER.key, charged} | paid | hooks
    changed = {key for key in set(before) | set(after) if before.get(key) != after.get(key)}
    extra = sorted(changed - allowed)
    assert not extra, f"a failed call left {len(extra)} traces: {[key.hex() for key in extra[:4]]}"
    if charged not in paid | hooks:
        owned, left = balances.ACCOUNTS.decode_value(before[charged]), balances.ACCOUNTS.decode_value(after[charged])
        assert left == balances.Account(owned.free - fee, owned.held), "a failed call cost other than its fee"
