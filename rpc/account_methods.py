"""``explorer_account*`` and ``explorer_validators``: what an account has, does and did, and who makes blocks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from rpc import blocks
from rpc.answers.chain import ListedExtrinsicJson
from rpc.answers.explorer import (
    AccountDetailJson,
    ActionJson,
    HistoryItemJson,
    HoldJson,
    StakeJson,
    ValidatorJson,
    ValidatorsJson,
)
from rpc.answers.words import PageJson
from rpc.index_rows import place_of
from rpc.indexes import mention_of
from rpc.kinds import ACCOUNT
from rpc.pages import CURSOR, LIMIT, require_index, rows_page
from rpc.render import hex_of
from rpc.table import MethodTable
from rpc.view import NodeView
from rpc.workers_view import workers_of
from runtime.block import Slot
from runtime.crypto import to_ss58
from runtime.pallets import balances, disputes, session, staking, system, tasks, workers
from runtime.parameters import PARTS
from runtime.state import State

TABLE = MethodTable()
MAX_SCAN = 200
"""Tasks and disputes of one account that are looked through for holds."""


@TABLE.method("explorer_account", account=ACCOUNT)
def account(node: NodeView, account: bytes) -> AccountDetailJson:
    """An account's money and what its holds are for, its next nonce, and its roles as a worker or validator."""
    state = node.ledger.state()
    found = balances.ACCOUNTS.get(state, account)
    money = found or balances.EMPTY
    return {
        "account": to_ss58(account),
        "publicKey": hex_of(account),
        "exists": found is not None,
        "nonce": system.nonce(state, account),
        "free": str(money.free),
        "held": str(money.held),
        "holds": [_hold(reason, amount) for reason, amount in _holds(node, state, account, money.held)],
        "workers": workers_of(node, account),
        "validator": _validator(state, account),
    }


def _holds(node: NodeView, state: State, account: bytes, held: int) -> Iterator[tuple[bytes, int]]:
    """(reason, amount) of all that is held; what only an index would find is one sum of an unnamed reason."""
    reasons = [staking.REASON, *(workers.bond_reason(role) for role in workers.ROLES)]
    if node.indexes is not None:
        node.indexes.refresh()
        tasks_of = islice(node.indexes.rows(b"S" + account), MAX_SCAN)
        reasons += [tasks.escrow_reason(task) for _, task in tasks_of]
        opened = islice(node.indexes.rows(b"C" + account), MAX_SCAN)
        reasons += [disputes.bond_reason(int.from_bytes(key[-8:], "big")) for key, _ in opened]
    for reason in reasons:
        amount = balances.held(state, account, reason)
        held -= amount
        if amount:
            yield reason, amount
    if held:
        yield b"other", held


def _hold(reason: bytes, amount: int) -> HoldJson:
    """A hold and what it is for: the reason's word, then a task, a dispute or a role."""
    word, _, rest = reason.partition(b":")
    name = word.decode("ascii", "replace")
    return {
        "reason": name,
        "amount": str(amount),
        "task": hex_of(rest) if name == "task" else None,
        "dispute": int.from_bytes(rest, "big") if name == "dispute" else None,
        "role": rest.decode("ascii", "replace") if name == "bond" else None,
    }


def _validator(state: State, account: bytes) -> StakeJson | None:
    ledger, keys = staking.LEDGERS.get(state, account), session.KEYS.get(state, account)
    if ledger is None and keys is None:
        return None
    return {
        "stake": str(ledger.stake if ledger else 0),
        "sessionKey": to_ss58(keys.key) if keys else None,
        "active": any(member.account == account for member in session.MEMBERS.get(state)),
    }


@TABLE.method("explorer_accountHistory", account=ACCOUNT, limit=LIMIT, cursor=CURSOR)
def account_history(
    node: NodeView, account: bytes, limit: int | None, cursor: bytes | None
) -> PageJson[HistoryItemJson]:
    """What an account signed and what named it, the newest first: one item for each extrinsic, or for the hooks of a
    block."""

    def show(key: bytes, value: bytes) -> HistoryItemJson:
        height, index = place_of(key)
        mention = mention_of(value)
        found = blocks.at_height(node.ledger, height)
        return {
            "block": hex(height),
            "blockHash": hex_of(found.hash),
            "time": found.time,
            "index": index,
            "signed": mention.signed,
            "extrinsic": _action(blocks.list_extrinsic(node.ledger, found, index)) if index >= 0 else None,
            "events": [blocks.event_of(found, event) for event in mention.events],
        }

    return rows_page(require_index(node), b"a" + account, limit, cursor, show)


def _action(shown: ListedExtrinsicJson) -> ActionJson:
    return {
        "hash": shown["hash"],
        "pallet": shown["pallet"],
        "call": shown["call"],
        "ok": shown["ok"],
        "fee": shown["fee"],
    }


@TABLE.method("explorer_validators")
def validators(node: NodeView) -> ValidatorsJson:
    """The present session's members with their weights, and how far the vote on finality is."""
    state = node.ledger.state()
    if system.has_one_author(state):
        authors = [item.author for item in node.ledger.head_header().digest if isinstance(item, Slot)]
        known: list[ValidatorJson] = [
            {"account": None, "sessionKey": to_ss58(key), "weight": "1", "share": PARTS} for key in authors
        ]
        return {
            "hasOneAuthor": True,
            "session": 0,
            "epoch": 0,
            "era": 0,
            "setId": 0,
            "validators": known,
            "finality": None,
        }
    current, members = session.current(state), session.MEMBERS.get(state)
    total = sum(member.weight for member in members) or 1
    return {
        "hasOneAuthor": False,
        "session": current.index,
        "epoch": current.epoch,
        "era": current.era,
        "setId": current.set_id,
        "validators": [
            {
                "account": to_ss58(member.account),
                "sessionKey": to_ss58(member.key),
                "weight": str(member.weight),
                "share": member.weight * PARTS // total,
            }
            for member in members
        ],
        "finality": node.round_state(),
    }
