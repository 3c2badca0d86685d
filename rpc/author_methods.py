"""``author_*`` and ``payment_*``: handing extrinsics in, what they cost, and the session keys of this node."""

from __future__ import annotations

from chain.pool import AlreadyImported, Banned, PoolError, PoolFull, TooLowPriority
from rpc.answers.node import FeeJson, RotatedJson
from rpc.answers.words import BytesJson, HashJson
from rpc.errors import (
    ALREADY_IMPORTED,
    IMMEDIATELY_DROPPED,
    INVALID_TRANSACTION,
    TEMPORARILY_BANNED,
    TOO_LOW_PRIORITY,
    UNAVAILABLE,
    RpcError,
)
from rpc.kinds import ACCOUNT, HASH, HEX, list_of, optional
from rpc.render import hex_of
from rpc.state_methods import state_at
from rpc.table import MethodTable
from rpc.view import NodeView
from runtime.errors import InvalidExtrinsic, SolventError
from runtime.state import State
from runtime.validity import validate_extrinsic

TABLE = MethodTable()

_POOL_ERRORS: list[tuple[type[PoolError], int, str]] = [
    (Banned, TEMPORARILY_BANNED, "Transaction is temporarily banned"),
    (AlreadyImported, ALREADY_IMPORTED, "Transaction Already Imported"),
    (TooLowPriority, TOO_LOW_PRIORITY, "Priority is too low"),
    (PoolFull, IMMEDIATELY_DROPPED, "Immediately Dropped"),
]


def invalid(error: InvalidExtrinsic) -> RpcError:
    """The error with which an invalid extrinsic is refused."""
    return RpcError(INVALID_TRANSACTION, f"Invalid Transaction: {error}", {"code": error.code})


@TABLE.method("author_submitExtrinsic", extrinsic=HEX)
def submit_extrinsic(node: NodeView, extrinsic: bytes) -> HashJson:
    """Hand a signed, encoded extrinsic to the pool; returns its hash. It is then in the pool, not yet in a block."""
    try:
        return hex_of(node.submit(extrinsic))
    except InvalidExtrinsic as error:
        raise invalid(error) from None
    except PoolError as error:
        for kind, code, message in _POOL_ERRORS:
            if isinstance(error, kind):
                raise RpcError(code, f"{message}: {error}") from None
        raise


@TABLE.method("author_pendingExtrinsics")
def pending_extrinsics(node: NodeView) -> list[BytesJson]:
    """The encoded extrinsics that wait in the pool, at most 1000."""
    return [hex_of(entry.raw) for entry in list(node.pool)[:1000]]


@TABLE.method("payment_queryInfo", extrinsic=HEX, at=optional(HASH))
def query_info(node: NodeView, extrinsic: bytes, at: bytes | None) -> FeeJson:
    """What a signed extrinsic would weigh and cost; its signature is not checked."""
    hash_ = at or node.ledger.head
    state = State(state_at(node, hash_))
    header = node.ledger.header(hash_)
    assert header is not None
    try:
        validity = validate_extrinsic(state, header, extrinsic, verified=True)
    except InvalidExtrinsic as error:
        raise invalid(error) from None
    return {
        "weight": str(validity.weight),
        "class": "operational" if validity.operational else "normal",
        "partialFee": str(validity.fee),
    }


@TABLE.method("author_hasKey", unsafe=True, publicKey=HASH)
def has_key(node: NodeView, publicKey: bytes) -> bool:
    """Whether this node signs with the session key of that public key."""
    return publicKey in node.session_keys()


@TABLE.method("author_hasSessionKeys", unsafe=True, sessionKeys=HEX)
def has_session_keys(node: NodeView, sessionKeys: bytes) -> bool:
    """The same for what `author_rotateKeys` returned: all session keys of a validator, which here are one."""
    return sessionKeys in node.session_keys()


@TABLE.method("author_rotateKeys", unsafe=True)
def rotate_keys(node: NodeView) -> HashJson:
    """Make a session key in this node's keystore and return its public key. The node signs with it from the session on
    in which it is in office, and with its present key until then. Announce it with `solvent validator set-key`."""
    return hex_of(_rotate(node, None)[0])


@TABLE.method("author_rotateKeysWithOwner", unsafe=True, owner=ACCOUNT)
def rotate_keys_with_owner(node: NodeView, owner: bytes) -> RotatedJson:
    """The same, with the new key's proof that its holder agrees to validate for that account: `keys` and `proof` are
    the arguments of `session.set_keys`, which the account has to sign."""
    key, proof = _rotate(node, owner)
    return {"keys": hex_of(key), "proof": hex_of(proof)}


def _rotate(node: NodeView, owner: bytes | None) -> tuple[bytes, bytes]:
    try:
        return node.rotate_keys(owner)
    except SolventError as error:
        raise RpcError(UNAVAILABLE, f"No session key was made: {error}") from None


@TABLE.method("author_removeExtrinsic", unsafe=True, hashes=list_of(HASH, 1000))
def remove_extrinsic(node: NodeView, hashes: list[bytes]) -> list[HashJson]:
    """Throw extrinsics out of this node's pool, and those that depend on them; the hashes of those that were in it.
    Other nodes may still have them."""
    present = [hash_ for hash_ in hashes if hash_ in node.pool]
    for hash_ in present:
        node.pool.on_invalid(hash_, node.now())
    node.bell.ring()
    return [hex_of(hash_) for hash_ in present]
