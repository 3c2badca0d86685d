"""System: the block being executed, nonces, past block hashes, events, the network's parameters, and the beacon.

A *nonce* counts an account's extrinsics. It outlives the account: removing an account below the existential deposit
keeps its nonce, so no old extrinsic can ever be replayed when the account comes back.
"""

from __future__ import annotations

from typing import Any

from runtime.block import Call, Inherent
from runtime.codec import U32, U63, AccountId, Hash, Record, encode
from runtime.crypto import from_ss58
from runtime.errors import DispatchError
from runtime.pallet import Context, EventRecord, InvariantBroken, Pallet
from runtime.parameters import DEV, Parameters
from runtime.state import Map, State, Value
from runtime.trees import hash_tagged
from runtime.weights import CALLS

PALLET = Pallet("system")

SPEC_VERSION = 1
"""The rules that this code implements. A chain whose state says otherwise needs another release."""

MAX_REMARK_BYTES = 64 * 1024

# --- storage

CHAIN_ID = PALLET.value("chain_id", str, "")
PARAMETERS = PALLET.value("parameters", Parameters, DEV)
RUNTIME_VERSION = PALLET.value("spec_version", U32, SPEC_VERSION)
AUTHORITIES: Value[tuple[bytes, ...]] = PALLET.value("authorities", tuple[AccountId, ...], ())
NUMBER = PALLET.value("number", U63, 0)
FINALIZED = PALLET.value("finalized", U63, 0)
GENESIS_HASH = PALLET.value("genesis_hash", Hash, bytes(32))
NONCES: Map[bytes, int] = PALLET.map("nonces", AccountId, U63)
EVENTS: Value[tuple[EventRecord, ...]] = PALLET.value("events", tuple[EventRecord, ...], ())


class Link(Record):
    """What a block adds to the memory of its ancestors: its parent's hash, and its author's VRF output, which is empty
    where one author makes every block."""

    parent: Hash
    output: bytes


PAGE_LINKS = 16
"""Links lie together in pages, so that a long memory adds few entries to the state, and keeps its tree flat."""
LINKS: Map[int, tuple[Link, ...]] = PALLET.map("links", U63, tuple[Link, ...])
"""Page p holds those of the blocks whose parents are number 16p to 16p + 15."""

# --- events


@PALLET.event
class ExtrinsicSucceeded(Record):
    """The call's writes were kept."""

    weight: U63
    fee: U63


@PALLET.event
class ExtrinsicFailed(Record):
    """The call's writes were undone; the fee and the nonce remain. ``pallet`` and ``code`` name the error."""

    pallet: str
    code: str
    weight: U63
    fee: U63


@PALLET.event
class Remarked(Record):
    """An account put bytes on the chain; the event keeps only their hash."""

    sender: AccountId
    hash: Hash


# --- errors


@PALLET.error
class FalseFinality(DispatchError):
    """The noted height is not above what was final before, or not below this block. A block with it is invalid."""


@PALLET.error
class RemarkTooLong(DispatchError):
    """The remark is longer than 64 KiB."""


# --- calls


class Remark(Record):
    """Bytes of any meaning, at most 64 KiB."""

    data: bytes


@PALLET.call(weight=CALLS["system.remark"])
def remark(ctx: Context, origin: AccountId, args: Remark) -> None:
    """Put bytes on the chain that mean nothing to it."""
    if len(args.data) > MAX_REMARK_BYTES:
        raise RemarkTooLong(f"a remark of {len(args.data)} bytes; at most {MAX_REMARK_BYTES} are allowed")
    ctx.deposit(Remarked(origin, hash_tagged(b"solvent:remark", args.data)))


class NoteFinalized(Record):
    """The height up to which the author knows this chain to be final."""

    number: U63


@PALLET.inherent(weight=CALLS["system.note_finalized"])
def note_finalized(ctx: Context, args: NoteFinalized) -> None:
    """Move the finalized height that deadlines and the beacon count.

    The chain takes the author's word, forwards only and never past the parent. Importers hold a block back that notes
    more than they know to be final, so an author who lies here only loses its block.
    """
    if has_one_author(ctx.state) or not FINALIZED.get(ctx.state) <= args.number < ctx.number:
        raise FalseFinality(f"block {ctx.number} notes {args.number} as final; {ctx.finalized} was")
    FINALIZED.put(ctx.state, args.number)
    ctx.finalized = args.number


# --- hooks


@PALLET.on_initialize
def record_parent(ctx: Context) -> None:
    """Note the block's number, its parent's hash, its output, and what is final; forget the oldest page of links."""
    state = ctx.state
    parent = ctx.number - 1
    if parent == 0:
        GENESIS_HASH.put(state, ctx.parent_hash)
    page = LINKS.get(state, parent // PAGE_LINKS) or ()
    LINKS.put(state, parent // PAGE_LINKS, (*page, Link(ctx.parent_hash, ctx.output)))
    forgotten = _oldest_page(state, parent) - 1
    if forgotten >= 0:
        LINKS.delete(state, forgotten)
    NUMBER.put(state, ctx.number)
    FINALIZED.put(state, ctx.finalized)


@PALLET.genesis
def build(state: State, config: dict[str, Any]) -> None:
    """Chain id, runtime version and the one author; `runtime.genesis` has already stored the parameters."""
    CHAIN_ID.put(state, config["id"])
    if has_one_author(state):
        AUTHORITIES.put(state, tuple(from_ss58(address) for address in config["authorities"]))
    RUNTIME_VERSION.put(state, SPEC_VERSION)


# --- functions for other pallets


def parameters(state: State) -> Parameters:
    """The network's parameters."""
    return PARAMETERS.get(state)


def has_one_author(state: State) -> bool:
    """Whether the genesis names who makes every block, so that there are no sessions, elections or lotteries."""
    return PARAMETERS.get(state).block.instant_finality


def nonce(state: State, account: bytes) -> int:
    """The nonce that the account's next extrinsic must carry."""
    return NONCES.get(state, account) or 0


def finalized(state: State, parent_number: int) -> int:
    """The finalized height that a block on top of ``parent_number`` counts its deadlines in."""
    if has_one_author(state):
        return parent_number
    return FINALIZED.get(state)


def _oldest_page(state: State, parent: int) -> int:
    """The first page of links that a block keeps: at least `BlockParameters.hash_count` links are in it and above."""
    return max(parent - PARAMETERS.get(state).block.hash_count + 1, 0) // PAGE_LINKS


def _link_on(state: State, parent: int) -> Link | None:
    """The link of the block on top of that height."""
    page = LINKS.get(state, parent // PAGE_LINKS) or ()
    return page[parent % PAGE_LINKS] if parent % PAGE_LINKS < len(page) else None


def block_hash(state: State, number: int) -> bytes | None:
    """The hash of an ancestor, at least as far back as `BlockParameters.hash_count`; None where it is forgotten."""
    link = _link_on(state, number)
    return None if link is None else link.parent


def beacon(state: State, number: int, domain: bytes, identity: bytes) -> bytes | None:
    """32 unpredictable bytes that nobody knew before block ``number``, or None until they are final.

    ``domain`` says what the draw is for and ``identity`` for whom. They hash the VRF outputs of the sixteen blocks
    after ``number`` (`ConsensusParameters.beacon_outputs`), so an author has no choice but to give up a block blindly.
    With one author making every block (`dev`) the hash of the block stands in for the VRF outputs, which proves nothing
    about the author's honesty.
    """
    if has_one_author(state):
        source = block_hash(state, number) if number <= FINALIZED.get(state) else None
        return None if source is None else hash_tagged(b"solvent:beacon", encode((domain, identity, source)))
    last = number + PARAMETERS.get(state).consensus.beacon_outputs
    if last > FINALIZED.get(state):
        return None
    links = [link for parent in range(number, last) if (link := _link_on(state, parent)) is not None]
    if len(links) < last - number:
        return None
    outputs = tuple(link.output for link in links)
    return hash_tagged(b"solvent:beacon", encode((domain, identity, outputs)))


def build_inherent(finalized: int) -> bytes:
    """The bytes of the inherent that notes a height as final."""
    return encode(Inherent(Call(PALLET.name, "note_finalized", encode(NoteFinalized(finalized)))))


@PALLET.check
def check(state: State) -> None:
    """The window of block hashes reaches from the parent back as far as it should, and nothing final is to come."""
    number = NUMBER.get(state)
    if FINALIZED.get(state) > number:
        raise InvariantBroken(f"block {FINALIZED.get(state)} is final at height {number}")
    oldest = _oldest_page(state, number - 1) * PAGE_LINKS
    for past, expected in ((number - 1, number > 0), (oldest, number > 0), (oldest - 1, False), (number, False)):
        if past >= 0 and (block_hash(state, past) is not None) != expected:
            raise InvariantBroken(f"the hash of block {past} is {'missing' if expected else 'kept'} at height {number}")
