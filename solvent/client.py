"""`Client`: a program's view of a node. Synchronous; one client may be used by one thread at a time.

Reads go through the runtime's own storage descriptors, so values come back with their types::

    client = Client("http://127.0.0.1:9944")
    client.read(balances.ACCOUNTS, account)
    outcome = client.submit_and_wait(seed, "balances", balances.Transfer(account, 5))

An extrinsic is *submitted* when the pool has it and *included* when a block does; `Outcome` says what became of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from runtime import registry
from runtime.block import Call, Header, extrinsic_hash, header_hash, mortal_era, sign_extrinsic
from runtime.codec import Record, decode, encode
from runtime.crypto import public_key, to_ss58
from runtime.errors import SolventError
from runtime.executive import Failure
from runtime.merkle import Proof, verify_proof
from runtime.pallets import system
from runtime.state import Map, Value
from solvent.blobs import get_blob, put_blob
from solvent.errors import (
    BadAddress,
    BadAnswer,
    BlobFailed,
    ClientError,
    ExtrinsicExpired,
    NodeUnreachable,
    RpcFailed,
    SubmissionRefused,
    WaitTimedOut,
)
from solvent.transport import Transport

__all__ = [
    "BadAddress",
    "BadAnswer",
    "BlobFailed",
    "Client",
    "ClientError",
    "ExtrinsicExpired",
    "NodeUnreachable",
    "Outcome",
    "RpcFailed",
    "SubmissionRefused",
    "Submitted",
    "WaitTimedOut",
]

ERA_BLOCKS = 1024
"""How long a submitted extrinsic stays valid; a development chain makes a block for nearly every extrinsic."""

FIRST_POLL_SECONDS, POLL_SECONDS = 0.006, 0.05
"""How soon a waiting client looks for its block; it looks less and less often, down to the second figure."""

RESUBMIT_SECONDS = 2.0
"""How often a waiting client hands its extrinsic in again, in case the node restarted and lost its pool."""

PAGE = 500
MAX_BLOB_BYTES = 16 * 1024**3
_SUPERSEDED = {1012, 1014}
_KNOWN_ALREADY = {1013, 1014}
_NO_KEY = object()


@dataclass(frozen=True, slots=True)
class Submitted:
    """An extrinsic that the pool has. ``block_number`` was the best height when it was signed."""

    hash: bytes
    raw: bytes
    nonce: int
    block_number: int
    death: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an included extrinsic. ``error`` is None when it succeeded; fees are in units."""

    block_number: int
    block_hash: bytes
    index: int
    ok: bool
    error: Failure | None
    fee: int
    events: list[tuple[str, str, Record]]


@dataclass(frozen=True, slots=True)
class _ChainFacts:
    genesis_hash: bytes
    spec_version: int


class Client:
    """A connection to one node. Mutable: it keeps HTTP connections and the chain's identity."""

    def __init__(self, url: str = "http://127.0.0.1:9944", timeout: float = 30.0, patience: float = 5.0) -> None:
        """``timeout`` bounds one request, ``patience`` how long an unreachable node is retried, both in seconds."""
        self._transport = Transport(url, timeout, patience)
        self._known_facts: _ChainFacts | None = None

    @property
    def url(self) -> str:
        return self._transport.url

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- reading

    def call(self, method: str, *params: Any) -> Any:
        """Any JSON-RPC method: its result as JSON."""
        return self._transport.call(method, *params)

    def batch(self, calls: list[tuple[str, list[Any]]]) -> list[Any]:
        """Several calls in one request; their results in order."""
        return self._transport.batch(calls)

    def head(self) -> Header:
        """The best block's header."""
        return self.header()

    def header(self, hash_: bytes | None = None) -> Header:
        """A header, checked against the hash when one is given."""
        answer = self.call("chain_getHeader", _hex(hash_) if hash_ else None)
        if answer is None:
            raise BadAnswer(f"the node does not know block {_hex(hash_ or b'')}")
        header: Header = decode(_bytes(answer.get("encoded")), Header)
        if hash_ is not None and header_hash(header) != hash_:
            raise BadAnswer(f"the node answered with another header than {_hex(hash_)}")
        return header

    def finalized_number(self) -> int:
        """The height of the last finalized block."""
        hash_ = _bytes(self.call("chain_getFinalizedHead"))
        return self.header(hash_).number

    def block_hash(self, number: int) -> bytes | None:
        """The hash of the block of that height on the best chain."""
        answer = self.call("chain_getBlockHash", number)
        return None if answer is None else _bytes(answer)

    def genesis_hash(self) -> bytes:
        return self._facts().genesis_hash

    def read(self, descriptor: Value[Any] | Map[Any, Any], key: Any = _NO_KEY, at: bytes | None = None) -> Any:
        """What a storage descriptor holds: a value (its default when nothing is stored), or a map's entry or None."""
        storage_key = _storage_key(descriptor, key)
        answer = self.call("state_getStorage", _hex(storage_key), _hex(at) if at else None)
        return _decode_entry(descriptor, None if answer is None else _bytes(answer))

    def items(self, descriptor: Map[Any, Any], at: bytes | None = None) -> Iterator[tuple[Any, Any]]:
        """All entries of a storage map after one block, in storage order."""
        pinned = _hex(at) if at else self.call("chain_getBlockHash")
        start: str | None = None
        while True:
            keys = self.call("state_getKeysPaged", _hex(descriptor.prefix), PAGE, start, pinned)
            if not keys:
                return
            [changes] = self.call("state_queryStorageAt", keys, pinned)
            for key, value in changes["changes"]:
                if value is not None:
                    yield descriptor.decode_key(_bytes(key)), descriptor.decode_value(_bytes(value))
            start = keys[-1]

    def verify_storage(
        self, descriptor: Value[Any] | Map[Any, Any], key: Any = _NO_KEY, at: bytes | None = None
    ) -> Any:
        """As `read`, but trust only the header of block ``at`` (the finalized head without): the node must prove the
        value, or its absence, under that header's state root. Raises `BadAnswer` when it cannot."""
        hash_ = at or _bytes(self.call("chain_getFinalizedHead"))
        storage_key = _storage_key(descriptor, key)
        value, answer = self.batch(
            [
                ("state_getStorage", [_hex(storage_key), _hex(hash_)]),
                ("state_getReadProof", [[_hex(storage_key)], _hex(hash_)]),
            ]
        )
        data = None if value is None else _bytes(value)
        proof: Proof = decode(_bytes(answer["proof"][0]), Proof)
        if not verify_proof(self.header(hash_).state_root, storage_key, data, proof):
            raise BadAnswer(f"the node's proof does not show what it says of {descriptor.pallet}.{descriptor.name}")
        return _decode_entry(descriptor, data)

    # --- writing

    def submit(self, seed: bytes, pallet: str, args: Record, tip: int = 0) -> Submitted:
        """Sign the call that takes ``args`` with the account's next nonce, and hand it to the pool.

        Raises `SubmissionRefused`, or `NodeUnreachable`.
        """
        for attempt in range(5):
            submitted = self._sign(seed, pallet, args, tip)
            try:
                self._hand_in(submitted)
                return submitted
            except SubmissionRefused as error:
                # Somebody else used the nonce in between: sign with the next one.
                if (error.code not in _SUPERSEDED and error.reason != "stale_nonce") or attempt == 4:
                    raise
        raise AssertionError("unreachable")

    def _sign(self, seed: bytes, pallet: str, args: Record, tip: int) -> Submitted:
        address = to_ss58(public_key(seed))
        facts = self._facts()
        nonce, answer = self.batch([("system_accountNextIndex", [address]), ("chain_getHeader", [])])
        header: Header = decode(_bytes(answer["encoded"]), Header)
        era = mortal_era(ERA_BLOCKS, header.number)
        extrinsic = sign_extrinsic(
            seed, build_call(pallet, args), nonce, tip, era, facts.genesis_hash, header_hash(header), facts.spec_version
        )
        raw = encode(extrinsic)
        return Submitted(extrinsic_hash(raw), raw, nonce, header.number, header.number + ERA_BLOCKS)

    def _hand_in(self, submitted: Submitted) -> None:
        """Submit, also over a restart of the node. A lost answer leaves it open whether the pool has the extrinsic, so
        "known already" and "nonce used" are then good news."""
        uncertain = False

        def attempt() -> None:
            nonlocal uncertain
            try:
                self._transport.call_once("author_submitExtrinsic", _hex(submitted.raw))
            except httpx.ConnectError:
                raise
            except httpx.TransportError:
                uncertain = True
                raise
            except SubmissionRefused as error:
                if error.code == 1013 or (
                    uncertain and (error.code in _KNOWN_ALREADY or error.reason == "stale_nonce")
                ):
                    return
                raise

        self._transport.retry(attempt)

    def submit_and_wait(self, seed: bytes, pallet: str, args: Record, tip: int = 0, timeout: float = 60.0) -> Outcome:
        """Submit and wait until a block includes it. A failed call is an `Outcome` with ``ok`` False, no exception."""
        return self.wait(self.submit(seed, pallet, args, tip), timeout)

    def wait(self, submitted: Submitted, timeout: float = 60.0) -> Outcome:
        """Scan blocks until one includes the extrinsic. Raises `ExtrinsicExpired` or `WaitTimedOut`."""
        deadline = time.monotonic() + timeout
        resubmit_at = time.monotonic() + RESUBMIT_SECONDS
        next_number, pause = submitted.block_number + 1, FIRST_POLL_SECONDS
        while True:
            head = self.head().number
            while next_number <= head:
                outcome = self._find(submitted.hash, next_number)
                if outcome is not None:
                    return outcome
                next_number += 1
            if head + 1 >= submitted.death:
                raise ExtrinsicExpired(f"no block up to {head} included the extrinsic before its era ended")
            now = time.monotonic()
            if now >= deadline:
                raise WaitTimedOut(f"no block up to {head} included the extrinsic within {timeout:g} seconds")
            if now >= resubmit_at:
                resubmit_at = now + RESUBMIT_SECONDS
                self._resubmit(submitted, next_number)
            time.sleep(pause)
            pause = min(2 * pause, POLL_SECONDS)

    def _resubmit(self, submitted: Submitted, next_number: int) -> None:
        """Hand the extrinsic in again in case the node lost it; refused because it is in a block by now is fine."""
        try:
            self._hand_in(submitted)
        except SubmissionRefused as error:
            waiting_or_included = error.code in _KNOWN_ALREADY or error.reason == "stale_nonce"
            if not waiting_or_included and error.code != 1012:
                raise

    def _find(self, hash_: bytes, number: int) -> Outcome | None:
        block_hash = self.block_hash(number)
        if block_hash is None:
            return None
        answer = self.call("chain_getBlockEvents", _hex(block_hash))
        wanted = _hex(hash_)
        for receipt in answer["receipts"]:
            if receipt["hash"] == wanted:
                return _outcome(number, block_hash, receipt, answer["events"])
        return None

    def estimate_fee(self, seed: bytes, pallet: str, args: Record, tip: int = 0) -> int:
        """What the call would cost now, in units, tip included."""
        submitted = self._sign(seed, pallet, args, tip)
        return int(self.call("payment_queryInfo", _hex(submitted.raw))["partialFee"])

    # --- blobs

    def put_blob(self, data: bytes | Path, seed: bytes) -> bytes:
        """Store bytes or a file at the node, signed by an account of the chain, and return the root that names it."""
        return put_blob(self._transport, self.genesis_hash(), data, seed)

    def get_blob(self, root: bytes, max_bytes: int = MAX_BLOB_BYTES) -> bytes:
        """The bytes of a blob, checked against its root."""
        return get_blob(self._transport, root, max_bytes)

    def _facts(self) -> _ChainFacts:
        if self._known_facts is None:
            hash_, version = self.batch([("chain_getBlockHash", [0]), ("state_getRuntimeVersion", [])])
            if version["specVersion"] != system.SPEC_VERSION:
                raise BadAnswer(
                    f"the node runs version {version['specVersion']} of the rules, this program {system.SPEC_VERSION}; "
                    "use the same release for both"
                )
            self._known_facts = _ChainFacts(_bytes(hash_), version["specVersion"])
        return self._known_facts


def build_call(pallet: str, args: Record) -> Call:
    """The call of ``pallet`` that takes this argument record."""
    if pallet not in registry.BY_NAME:
        raise BadAnswer(f"there is no pallet {pallet}; there are {', '.join(registry.BY_NAME)}")
    definition = registry.BY_NAME[pallet].call_of(args)
    return Call(definition.pallet, definition.name, encode(args))


def _outcome(number: int, block_hash: bytes, receipt: dict[str, Any], events: list[dict[str, Any]]) -> Outcome:
    first = receipt["firstEvent"]
    mine = events[first : first + receipt["eventCount"]]
    error = receipt["error"]
    return Outcome(
        block_number=number,
        block_hash=block_hash,
        index=receipt["index"],
        ok=receipt["ok"],
        error=None if error is None else Failure(error["pallet"], error["code"], error["message"]),
        fee=int(receipt["fee"]),
        events=[decode_event(event) for event in mine],
    )


def decode_event(event: dict[str, Any]) -> tuple[str, str, Record]:
    """(pallet, name, record) of an event as `chain_getBlockEvents` gives it."""
    pallet = registry.BY_NAME.get(event["pallet"])
    if pallet is None or event["name"] not in pallet.events:
        raise BadAnswer(f"unknown event {event['pallet']}.{event['name']}; this program is older than the chain")
    return event["pallet"], event["name"], decode(_bytes(event["data"]), pallet.events[event["name"]])


def _storage_key(descriptor: Value[Any] | Map[Any, Any], key: Any) -> bytes:
    if isinstance(descriptor, Map):
        if key is _NO_KEY:
            raise TypeError(f"{descriptor.pallet}.{descriptor.name} is a map: give the key, or use items()")
        return descriptor.key(key)
    if key is not _NO_KEY:
        raise TypeError(f"{descriptor.pallet}.{descriptor.name} is a single value: it has no keys")
    return descriptor.key


def _decode_entry(descriptor: Value[Any] | Map[Any, Any], data: bytes | None) -> Any:
    if data is None:
        return descriptor.default if isinstance(descriptor, Value) else None
    try:
        return descriptor.decode_value(data)
    except SolventError as error:
        raise BadAnswer(f"the node's {descriptor.pallet}.{descriptor.name} does not decode: {error}") from None


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _bytes(text: Any) -> bytes:
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except (ValueError, AttributeError):
        raise BadAnswer(f"the node sent {str(text)[:80]!r} where hex belongs") from None
