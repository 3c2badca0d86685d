"""Executing blocks: initialise, apply each inherent and extrinsic, finalise. Author and importer run this same code.

``apply_extrinsic`` has three outcomes. The extrinsic is not includable: `InvalidExtrinsic`, nothing written. The call
fails: its writes and events are undone, fee and nonce remain, the receipt names the error. Or it succeeds. A block
may be applied piece by piece (`BlockExecution`), so that a node never stops for a whole block.
"""

from __future__ import annotations

from collections.abc import Callable

from runtime import crypto, registry
from runtime.block import (
    Block,
    DigestItem,
    Header,
    Inherent,
    decode_extrinsic,
    extrinsics_root,
    header_hash,
    logs_of,
    output_of,
    slot_of,
)
from runtime.codec import U63, Record, decode
from runtime.errors import (
    CodecError,
    DispatchError,
    InvalidBlock,
    InvalidExtrinsic,
    ProgramError,
    SolventError,
    VmHalt,
)
from runtime.pallet import Context
from runtime.pallets import system, timestamp, transaction_payment
from runtime.state import State
from runtime.validity import CheckedExtrinsic, Validity, check_extrinsic, class_limits, signature_of, validate_extrinsic

__all__ = [
    "BlockExecution",
    "Failure",
    "Receipt",
    "Validity",
    "apply_extrinsic",
    "build_inherents",
    "execute_block",
    "finalize_block",
    "initialize_block",
    "signature_of",
    "validate_extrinsic",
]


class Failure(Record):
    """Why a call failed: the error's pallet and code, which are consensus, and a message for people, which is not."""

    pallet: str
    code: str
    message: str


SUCCESS = Failure("", "", "")
MAX_MESSAGE = 1_000
"""Characters of a failure's message that are kept."""


class Receipt(Record):
    """What became of one item of a block's body. Its events are ``events[first_event : first_event + event_count]``."""

    ok: bool
    error: Failure
    fee: U63
    weight: U63
    first_event: U63
    event_count: U63


def initialize_block(state: State, parent: Header, digest: tuple[DigestItem, ...]) -> Context:
    """Start the block after ``parent``, whose state this is. Raises `InvalidBlock` for an author without authority."""
    stated = slot_of(digest)
    if system.has_one_author(state) and stated.author not in system.AUTHORITIES.get(state):
        raise InvalidBlock(f"{crypto.to_ss58(stated.author)} is not an authority")
    if system.RUNTIME_VERSION.get(state) != system.SPEC_VERSION:
        raise InvalidBlock(f"the chain runs version {system.RUNTIME_VERSION.get(state)} of the rules, not this one")
    finalized = system.finalized(state, parent.number)
    ctx = Context(state, parent.number + 1, finalized, stated.author, header_hash(parent))
    ctx.slot, ctx.output = stated.slot, output_of(digest)
    for pallet in registry.PALLETS:
        for hook in pallet.initializers:
            hook(ctx)
    return ctx


def apply_extrinsic(ctx: Context, raw: bytes, verified: bool = False) -> Receipt:
    """Apply one item of the body. ``verified`` skips the signature, for a caller that checked exactly `signature_of`.

    Raises `InvalidExtrinsic` when it cannot be in this block (nothing is written then), and `InvalidBlock` when an
    inherent is wrong or comes too late.
    """
    limit = system.parameters(ctx.state).block.length_limit
    if len(raw) > limit:
        raise InvalidExtrinsic("too_long", f"{len(raw)} bytes; a block holds {limit}")
    item = decode_extrinsic(raw)
    if isinstance(item, Inherent):
        return _apply_inherent(ctx, raw, item)
    _require_inherents(ctx)
    checked = check_extrinsic(ctx.state, ctx.number, ctx.parent_hash, raw, item, verified)
    if item.nonce > system.nonce(ctx.state, item.signer):
        raise InvalidExtrinsic("future_nonce", f"nonce {item.nonce}; {system.nonce(ctx.state, item.signer)} is next")
    _take_room(ctx, checked)
    ctx.extrinsic, first_event = len(ctx.body), len(ctx.events)
    transaction_payment.charge(ctx, item.signer, checked.fee, item.tip)
    system.NONCES.put(ctx.state, item.signer, item.nonce + 1)
    failure = _dispatch(ctx, checked)
    if failure is SUCCESS:
        ctx.deposit(system.ExtrinsicSucceeded(checked.weight, checked.fee))
    else:
        ctx.deposit(system.ExtrinsicFailed(failure.pallet, failure.code, checked.weight, checked.fee))
    return _close(ctx, raw, failure, checked.fee, checked.weight, first_event)


def finalize_block(ctx: Context) -> tuple[Receipt, ...]:
    """End the block: run the hooks and store the events. Returns a receipt for each item of the body."""
    _require_inherents(ctx)
    ctx.extrinsic = -1
    for pallet in registry.PALLETS:
        for hook in pallet.finalizers:
            hook(ctx)
    system.EVENTS.put(ctx.state, tuple(ctx.events))
    return tuple(ctx.receipts)


class BlockExecution:
    """The import of one block as a job that can be paused between extrinsics. Mutable; call `step` until it is False.

    Everything in the block is checked but the state root and the seal. ``is_verified`` says of a body item whether its
    signature was already found good against exactly what `signature_of` returns.
    """

    def __init__(
        self, state: State, parent: Header, block: Block, is_verified: Callable[[Context, bytes], bool] | None = None
    ) -> None:
        _validate_header(state, parent, block)
        self.block = block
        self.receipts: tuple[Receipt, ...] = ()
        self.context = initialize_block(state, parent, block.header.digest)
        self._is_verified = is_verified
        self._finished = False

    def step(self) -> bool:
        """Apply the next item, or finish after the last. Returns whether there is more. Raises `InvalidBlock`."""
        position = len(self.context.body)
        if self._finished:
            return False
        if position == len(self.block.body):
            self.receipts = finalize_block(self.context)
            if logs_of(self.block.header.digest) != tuple(self.context.logs):
                raise InvalidBlock(f"the digest of block {self.block.header.number} is not what executing it yields")
            self._finished = True
            return False
        raw = self.block.body[position]
        verified = self._is_verified is not None and self._is_verified(self.context, raw)
        try:
            apply_extrinsic(self.context, raw, verified)
        except InvalidExtrinsic as error:
            raise InvalidBlock(f"item {position} of the body is not includable ({error.code}): {error}") from error
        return True


def execute_block(state: State, parent: Header, block: Block) -> tuple[Receipt, ...]:
    """Execute a whole block on its parent's state, checking everything but the state root and the seal."""
    execution = BlockExecution(state, parent, block)
    while execution.step():
        pass
    return execution.receipts


def _take_room(ctx: Context, checked: CheckedExtrinsic) -> None:
    """Count the extrinsic against the block; ordinary ones also against the share left to them."""
    weight_limit, length_limit = class_limits(ctx.state, operational=True)
    fits = ctx.weight + checked.weight <= weight_limit and ctx.length + checked.length <= length_limit
    if not checked.operational:
        weight_limit, length_limit = class_limits(ctx.state, operational=False)
        fits = fits and ctx.normal_weight + checked.weight <= weight_limit
        fits = fits and ctx.normal_length + checked.length <= length_limit
    if not fits:
        raise InvalidExtrinsic(
            "block_full", f"no room for {checked.weight} ns and {checked.length} bytes in this block"
        )
    ctx.weight += checked.weight
    ctx.length += checked.length
    if not checked.operational:
        ctx.normal_weight += checked.weight
        ctx.normal_length += checked.length


def _dispatch(ctx: Context, checked: CheckedExtrinsic) -> Failure:
    """Run the call in a transaction. Bytes, programs and operands that prove malformed inside it are failures too."""
    try:
        with ctx.transaction():
            checked.definition.handler(ctx, checked.extrinsic.signer, checked.arguments)
    except DispatchError as error:
        return _fail(error.pallet, error.code, error)
    except CodecError as error:
        return _fail("system", "Malformed", error)
    except ProgramError as error:
        return _fail("system", "InvalidProgram", error)
    except VmHalt as error:
        return _fail("system", "Halted", error)
    return SUCCESS


def _fail(pallet: str, code: str, error: SolventError) -> Failure:
    """A failure whose message is short: it may quote the arguments, and every node keeps it."""
    message = str(error)
    if len(message) > MAX_MESSAGE:
        message = f"{message[:MAX_MESSAGE]}..."
    return Failure(pallet, code, message)


def _apply_inherent(ctx: Context, raw: bytes, item: Inherent) -> Receipt:
    definition = registry.find_inherent(item.call.pallet, item.call.name)
    name = (item.call.pallet, item.call.name)
    if definition is None:
        raise InvalidExtrinsic("unknown_call", f"there is no inherent {item.call.pallet}.{item.call.name}"[:200])
    order = [(pallet.name, known) for pallet in registry.PALLETS for known in pallet.inherents]
    in_order = not ctx.inherents or order.index(ctx.inherents[-1]) < order.index(name)
    if not in_order or len(ctx.inherents) < len(ctx.body):
        raise InvalidBlock(f"the inherent {definition.pallet}.{definition.name} comes twice, or too late in the body")
    ctx.extrinsic, first_event = len(ctx.body), len(ctx.events)
    try:
        arguments: Record = decode(item.call.arguments, definition.arguments)
        with ctx.transaction():
            definition.handler(ctx, arguments)
    except (DispatchError, CodecError) as error:
        raise InvalidBlock(f"the inherent {definition.pallet}.{definition.name} failed: {error}") from error
    weight = definition.compute_weight(arguments)
    ctx.inherents.append(name)
    ctx.weight += weight
    ctx.length += len(raw)
    return _close(ctx, raw, SUCCESS, 0, weight, first_event)


def _close(ctx: Context, raw: bytes, failure: Failure, fee: int, weight: int, first_event: int) -> Receipt:
    receipt = Receipt(failure is SUCCESS, failure, fee, weight, first_event, len(ctx.events) - first_event)
    ctx.body.append(raw)
    ctx.receipts.append(receipt)
    ctx.extrinsic = -1
    return receipt


def _require_inherents(ctx: Context) -> None:
    for pallet in registry.PALLETS:
        for definition in pallet.inherents.values():
            if definition.mandatory and (definition.pallet, definition.name) not in ctx.inherents:
                raise InvalidBlock(f"the block lacks the inherent {definition.pallet}.{definition.name}")


def _validate_header(state: State, parent: Header, block: Block) -> None:
    header, limit = block.header, system.parameters(state).block.length_limit
    if header.parent != header_hash(parent) or header.number != parent.number + 1:
        raise InvalidBlock(f"block {header.number} does not follow block {parent.number} that it is executed on")
    if sum(len(raw) for raw in block.body) > limit:
        raise InvalidBlock(f"the body of block {header.number} is longer than {limit} bytes")
    if header.extrinsics_root != extrinsics_root(block.body):
        raise InvalidBlock(f"the body of block {header.number} is not the one that its header commits to")


def build_inherents(milliseconds: int, finalized: int | None = None) -> tuple[bytes, ...]:
    """The inherents of a block made at that time, in order; ``finalized`` is the height that its author knows to be
    final, where there are several authors."""
    noted = () if finalized is None else (system.build_inherent(finalized),)
    return (*noted, timestamp.build_inherent(milliseconds))
