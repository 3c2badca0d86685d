"""`Client`: a program's view of a node. Synchronous; threads may share one, and its account's nonces do not clash.

Reads go through the runtime's own storage descriptors, so values come back with their types::

    client = Client("http://127.0.0.1:9944")
    client.read(balances.ACCOUNTS, account)
    outcome = client.submit_and_wait(seed, "balances", balances.Transfer(account, 5))

An extrinsic is *submitted* when the pool has it and *included* when a block does; `Outcome` says what became of it.
"""

from __future__ import annotations

import threading
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
from solvent.outcomes import Outcome, bytes_of_hex, decode_event, read_outcome
from solvent.transport import Transport
from solvent.websocket import Subscription

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
    "decode_event",
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
NO_KEY = object()
"""In place of a key: the descriptor is one of a single value."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """An extrinsic that the pool has. It can only be in a block below height ``death``, on top of the block ``anchor``
    of height ``block_number``."""

    hash: bytes
    raw: bytes
    nonce: int
    block_number: int
    death: int
    anchor: bytes


@dataclass(frozen=True, slots=True)
class _ChainFacts:
    genesis_hash: bytes
    spec_version: int


class Client:
    """A connection to one node. Mutable: it keeps HTTP connections and the chain's identity."""

    def __init__(self, url: str = "http://127.0.0.1:9944", timeout: float = 30.0, patience: float = 5.0) -> None:
        """``timeout`` bounds one request, ``patience`` how long an unreachable node is retried, both in seconds."""
        self._transport, self._timeout = Transport(url, timeout, patience), timeout
        self._known_facts: _ChainFacts | None = None
        self._signing = threading.Lock()

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

    def subscribe(self, method: str, *params: Any) -> Subscription:
        """A subscription such as ``chain_subscribeNewHeads``, over a WebSocket of its own; close it, or use it as a
        context. Raises `RpcFailed` or `NodeUnreachable`."""
        return Subscription(self.url, method, params, self._timeout)

    def head(self) -> Header:
        """The best block's header."""
        return self.header()

    def header(self, hash_: bytes | None = None) -> Header:
        """A header, checked against the hash when one is given."""
        answer = self.call("chain_getHeader", _hex(hash_) if hash_ else None)
        if answer is None:
            raise BadAnswer(f"the node does not know block {_hex(hash_ or b'')}")
        header: Header = decode(bytes_of_hex(answer.get("encoded")), Header)
        if hash_ is not None and header_hash(header) != hash_:
            raise BadAnswer(f"the node answered with another header than {_hex(hash_)}")
        return header

    def finalized_hash(self) -> bytes:
        """The last finalized block."""
        return bytes_of_hex(self.call("chain_getFinalizedHead"))

    def finalized_number(self) -> int:
        """The height of the last finalized block."""
        return self.header(self.finalized_hash()).number

    def block_hash(self, number: int) -> bytes | None:
        """The hash of the block of that height on the best chain."""
        answer = self.call("chain_getBlockHash", number)
        return None if answer is None else bytes_of_hex(answer)

    def genesis_hash(self) -> bytes:
        return self._facts().genesis_hash

    def read(self, descriptor: Value[Any] | Map[Any, Any], key: Any = NO_KEY, at: bytes | None = None) -> Any:
        """What a storage descriptor holds: a value (its default when nothing is stored), or a map's entry or None."""
        storage_key = _storage_key(descriptor, key)
        answer = self.call("state_getStorage", _hex(storage_key), _hex(at) if at else None)
        return _decode_entry(descriptor, None if answer is None else bytes_of_hex(answer))

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
                    yield descriptor.decode_key(bytes_of_hex(key)), descriptor.decode_value(bytes_of_hex(value))
            start = keys[-1]

    def verify_storage(self, descriptor: Value[Any] | Map[Any, Any], key: Any = NO_KEY, *, at: bytes) -> Any:
        """As `read`, but trust only the hash of block ``at``: the node must prove the value, or its absence, under that
        block's state root. Raises `BadAnswer` when it cannot. `solvent.light` finds a hash to trust."""
        storage_key = _storage_key(descriptor, key)
        value, answer = self.batch(
            [
                ("state_getStorage", [_hex(storage_key), _hex(at)]),
                ("state_getReadProof", [[_hex(storage_key)], _hex(at)]),
            ]
        )
        data = None if value is None else bytes_of_hex(value)
        proof: Proof = decode(bytes_of_hex(answer["proof"][0]), Proof)
        if not verify_proof(self.header(at).state_root, storage_key, data, proof):
            raise BadAnswer(f"the node's proof does not show what it says of {descriptor.pallet}.{descriptor.name}")
        return _decode_entry(descriptor, data)

    # --- writing

    def submit(self, seed: bytes, pallet: str, args: Record, tip: int = 0, anchor: Header | None = None) -> Submitted:
        """Sign the call that takes ``args`` with the account's next nonce, and hand it to the pool.

        The extrinsic is valid only on top of ``anchor``: name the block that the call rests on where the same call
        would be wrong on another fork. Without one it survives a change of forks. Raises `SubmissionRefused`, or
        `NodeUnreachable`.
        """
        for attempt in range(5):
            try:
                with self._signing:
                    submitted = self._sign(seed, pallet, args, tip, anchor)
                    self._hand_in(submitted)
                return submitted
            except SubmissionRefused as error:
                # Somebody else used the nonce in between: sign with the next one.
                if (error.code not in _SUPERSEDED and error.reason != "stale_nonce") or attempt == 4:
                    raise
        raise AssertionError("unreachable")

    def _sign(self, seed: bytes, pallet: str, args: Record, tip: int, anchor: Header | None = None) -> Submitted:
        address = to_ss58(public_key(seed))
        facts = self._facts()
        nonce, final, answer = self.batch(
            [("system_accountNextIndex", [address]), ("chain_getFinalizedHead", []), ("chain_getHeader", [])]
        )
        head: Header = decode(bytes_of_hex(answer["encoded"]), Header)
        header = anchor or self._lasting_block(head, bytes_of_hex(final))
        era = mortal_era(ERA_BLOCKS, header.number)
        extrinsic = sign_extrinsic(
            seed, build_call(pallet, args), nonce, tip, era, facts.genesis_hash, header_hash(header), facts.spec_version
        )
        raw = encode(extrinsic)
        death = header.number + ERA_BLOCKS
        return Submitted(extrinsic_hash(raw), raw, nonce, header.number, death, header_hash(header))

    def _lasting_block(self, head: Header, final: bytes) -> Header:
        """What an era is born at: the finalized block, which no fork lacks, unless finality has stopped long ago."""
        if header_hash(head) == final:
            return head
        header = self.header(final)
        return header if head.number - header.number < ERA_BLOCKS // 2 else head

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

    def submit_and_wait(
        self,
        seed: bytes,
        pallet: str,
        args: Record,
        tip: int = 0,
        timeout: float = 60.0,
        anchor: Header | None = None,
    ) -> Outcome:
        """Submit and wait until a block includes it. A failed call is an `Outcome` with ``ok`` False, no exception."""
        return self.wait(self.submit(seed, pallet, args, tip, anchor), timeout)

    def wait(self, submitted: Submitted, timeout: float = 60.0) -> Outcome:
        """Scan blocks until one includes the extrinsic. Raises `ExtrinsicExpired` or `WaitTimedOut`."""
        deadline = time.monotonic() + timeout
        resubmit_at = time.monotonic() + RESUBMIT_SECONDS
        seen: list[bytes] = []
        """The best chain's blocks above ``block_number`` that do not include it."""
        pause = FIRST_POLL_SECONDS
        while True:
            best = self.head()
            head = best.number
            if not seen or header_hash(best) != seen[-1]:
                outcome = self._scan(submitted, seen)
                if outcome is not None:
                    return outcome
            if head + 1 >= submitted.death:
                raise ExtrinsicExpired(f"no block up to {head} included the extrinsic before its era ended")
            now = time.monotonic()
            if now >= deadline:
                raise WaitTimedOut(f"no block up to {head} included the extrinsic within {timeout:g} seconds")
            if now >= resubmit_at:
                resubmit_at = now + RESUBMIT_SECONDS
                if self.block_hash(submitted.block_number) not in (None, submitted.anchor):
                    raise ExtrinsicExpired(
                        f"the chain left the fork of block {submitted.block_number} it was signed for"
                    )
                self._resubmit(submitted)
            time.sleep(pause)
            pause = min(2 * pause, POLL_SECONDS)

    def _scan(self, submitted: Submitted, seen: list[bytes]) -> Outcome | None:
        """Look at what is new on the best chain since ``seen``, and remember it there; after a change of forks also at
        the heights that were looked at before."""
        first = submitted.block_number + 1
        while seen and self.block_hash(first + len(seen) - 1) != seen[-1]:
            seen.pop()
        while (block_hash := self.block_hash(first + len(seen))) is not None:
            outcome = self._find(submitted.hash, first + len(seen), block_hash)
            if outcome is not None:
                return outcome
            seen.append(block_hash)
        return None

    def _resubmit(self, submitted: Submitted) -> None:
        """Hand the extrinsic in again in case the node lost it; refused because it is in a block by now is fine."""
        try:
            self._hand_in(submitted)
        except SubmissionRefused as error:
            waiting_or_included = error.code in _KNOWN_ALREADY or error.reason == "stale_nonce"
            if not waiting_or_included and error.code != 1012:
                raise

    def _find(self, hash_: bytes, number: int, block_hash: bytes) -> Outcome | None:
        answer = self.call("chain_getBlockEvents", _hex(block_hash))
        wanted = _hex(hash_)
        for receipt in answer["receipts"]:
            if receipt["hash"] == wanted:
                return read_outcome(number, block_hash, receipt, answer["events"])
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
            self._known_facts = _ChainFacts(bytes_of_hex(hash_), version["specVersion"])
        return self._known_facts


def build_call(pallet: str, args: Record) -> Call:
    """The call of ``pallet`` that takes this argument record."""
    if pallet not in registry.BY_NAME:
        raise BadAnswer(f"there is no pallet {pallet}; there are {', '.join(registry.BY_NAME)}")
    definition = registry.BY_NAME[pallet].call_of(args)
    return Call(definition.pallet, definition.name, encode(args))


def _storage_key(descriptor: Value[Any] | Map[Any, Any], key: Any) -> bytes:
    if isinstance(descriptor, Map):
        if key is NO_KEY:
            raise TypeError(f"{descriptor.pallet}.{descriptor.name} is a map: give the key, or use items()")
        return descriptor.key(key)
    if key is not NO_KEY:
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
