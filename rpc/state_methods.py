"""``state_*``: storage, its proofs, and what the runtime looks like."""

from __future__ import annotations

from itertools import islice

from chain import ledger as chain_ledger
from chain.views import BlockState
from rpc.answers.node import ChangeSetJson, MetadataJson, ReadProofJson, RuntimeVersionJson
from rpc.answers.words import BytesJson
from rpc.errors import InvalidParameter, UnknownBlock
from rpc.kinds import COUNT, HASH, HEX, MAX_PAGE, list_of, optional
from rpc.metadata import build_metadata, runtime_version
from rpc.render import hex_of
from rpc.table import MethodTable
from rpc.view import NodeView
from runtime import merkle
from runtime.codec import encode
from runtime.pallets import system

TABLE = MethodTable()


def state_at(node: NodeView, at: bytes | None) -> BlockState:
    """The state after a block, the best one for None. Raises `UnknownBlock`."""
    try:
        return node.ledger.state_at(at or node.ledger.head)
    except (chain_ledger.UnknownBlock, chain_ledger.StatePruned) as error:
        raise UnknownBlock(str(error)) from None


def _value(data: bytes | None) -> str | None:
    return None if data is None else hex_of(data)


@TABLE.method("state_getStorage", key=HEX, at=optional(HASH))
def get_storage(node: NodeView, key: bytes, at: bytes | None) -> BytesJson | None:
    """The encoded value at a storage key after block ``at`` (the best one without), null when there is none."""
    return _value(state_at(node, at).get(key))


@TABLE.method("state_getKeysPaged", prefix=HEX, count=COUNT, startKey=optional(HEX), at=optional(HASH))
def get_keys_paged(
    node: NodeView, prefix: bytes, count: int, startKey: bytes | None, at: bytes | None
) -> list[BytesJson]:
    """Up to ``count`` storage keys that start with ``prefix`` and come after ``startKey``, ascending."""
    return [hex_of(key) for key in islice(state_at(node, at).keys(prefix, startKey or b""), count)]


@TABLE.method("state_queryStorageAt", keys=list_of(HEX, MAX_PAGE), at=optional(HASH))
def query_storage_at(node: NodeView, keys: list[bytes], at: bytes | None) -> list[ChangeSetJson]:
    """The values at several keys after one block, as one change set."""
    hash_ = at or node.ledger.head
    state = state_at(node, hash_)
    return [{"block": hex_of(hash_), "changes": [[hex_of(key), _value(state.get(key))] for key in keys]}]


@TABLE.method("state_getReadProof", keys=list_of(HEX, MAX_PAGE), at=optional(HASH))
def get_read_proof(node: NodeView, keys: list[bytes], at: bytes | None) -> ReadProofJson:
    """A proof of the values (or the absence) of all ``keys`` under the state root of block ``at``: one encoded
    `runtime.merkle.Proof`."""
    if not keys:
        raise InvalidParameter("keys", "a proof needs at least one key")
    hash_ = at or node.ledger.head
    proof = merkle.prove(state_at(node, hash_).get_node, keys)
    return {"at": hex_of(hash_), "proof": [hex_of(encode(proof))]}


@TABLE.method("state_getMetadata")
def get_metadata(node: NodeView) -> MetadataJson:
    """The runtime's pallets with their calls, storage, events, errors and constants, as JSON."""
    return build_metadata(system.parameters(node.ledger.state()))


@TABLE.method("state_getRuntimeVersion", at=optional(HASH))
def get_runtime_version(node: NodeView, at: bytes | None) -> RuntimeVersionJson:
    """Name and version of the rules."""
    state_at(node, at)
    return runtime_version()
