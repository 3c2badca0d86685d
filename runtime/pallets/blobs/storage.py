"""What the chain keeps about holders and placements: records, storage, events and errors of the pallet."""

from __future__ import annotations

from runtime.blob_parameters import BlobParameters
from runtime.codec import U32, U63, AccountId, Hash, Record
from runtime.deadlines import DeadlineQueue
from runtime.errors import DispatchError
from runtime.pallet import Pallet
from runtime.pallets import system
from runtime.state import Map, State, Value

PALLET = Pallet("blobs")

DRAWING = "drawing"
PLACING = "placing"
PLACED = "placed"
FAILED = "failed"
LOST = "lost"
OPEN = (DRAWING, PLACING, PLACED, LOST)
"""Statuses in which the pot is held, and seats are answerable for what they signed."""

COMMITTEES = 2
"""Drawn for one placement before it fails."""


class Holder(Record):
    """A full node that keeps blobs for others. ``locked`` of ``bond`` backs the ``seats`` it has now; ``since`` is the
    block of the last change of its bond. Who is ``leaving`` is drawn no more, and gets its bond with the last seat."""

    account: AccountId
    bond: U63
    locked: U63
    seats: U32
    since: U63
    leaving: bool
    faults: U63
    slashed: U63


class Item(Record):
    """One blob of a placement: the root of the tree over its 4 KiB chunks, and its bytes."""

    root: Hash
    size: U63


class Seat(Record):
    """A place in a committee; ``signed`` once its holder says that it holds every blob of the placement."""

    holder: AccountId
    signed: bool


class Placement(Record):
    """Blobs that a committee keeps until the placement is released.

    ``drawing``: the beacon of block ``since`` draws a committee, the one after ``committees`` others; ``placing``: it
    has until finalized height ``deadline`` to sign; ``placed``: enough have; ``failed``: no committee did; ``lost``:
    too few are left that had. ``payer`` holds the ``pot``, of which each seat that signed receives ``pay``.
    """

    payer: AccountId
    status: str
    committees: U32
    since: U63
    deadline: U63
    seats: tuple[Seat, ...]
    pot: U63
    pay: U63
    lock: U63


class ChallengeKey(Record):
    """A chunk of an item of a placement, asked of one holder."""

    placement: Hash
    holder: AccountId
    item: U32
    chunk: U63


class Challenge(Record):
    """Who asked, with which bond, and until when the holder must answer."""

    challenger: AccountId
    bond: U63
    deadline: U63


class Due(Record):
    """A deadline: look at the placement if it still has the status and so many committees."""

    placement: Hash
    status: str
    committees: U32


# --- storage

HOLDERS: Map[bytes, Holder] = PALLET.map("holders", AccountId, Holder)
ROSTER: Value[tuple[bytes, ...]] = PALLET.value("roster", tuple[AccountId, ...], ())
"""Everybody with a bond: what a draw goes through."""
PLACEMENTS: Map[bytes, Placement] = PALLET.map("placements", Hash, Placement)
ITEMS: Map[bytes, tuple[Item, ...]] = PALLET.map("items", Hash, tuple[Item, ...])
"""The blobs of each placement."""
CHALLENGES: Map[ChallengeKey, Challenge] = PALLET.map("challenges", ChallengeKey, Challenge)
CHALLENGED: Map[bytes, int] = PALLET.map("challenged", Hash, U32)
"""Open challenges of each placement."""
DUES: DeadlineQueue[Due] = DeadlineQueue(PALLET, "dues", Due)
ANSWERS: DeadlineQueue[ChallengeKey] = DeadlineQueue(PALLET, "answers", ChallengeKey)

# --- events


@PALLET.event
class HolderRegistered(Record):
    """A node offers to keep blobs; its bond is now ``bond``."""

    account: AccountId
    bond: U63


@PALLET.event
class HolderLeft(Record):
    """A holder has ``returned`` units of its bond back, or will with its last seat where that is 0."""

    account: AccountId
    returned: U63


@PALLET.event
class PlacementOpened(Record):
    """Blobs of ``size`` bytes together wait for a committee; ``pot`` units are held of the payer."""

    placement: Hash
    payer: AccountId
    items: U32
    size: U63
    pot: U63


@PALLET.event
class CommitteeDrawn(Record):
    """These holders are asked to fetch the blobs, and to sign by ``deadline``."""

    placement: Hash
    committee: tuple[AccountId, ...]
    deadline: U63


@PALLET.event
class ReceiptSigned(Record):
    """A holder says that it holds the blobs; with ``receipts`` of them so far."""

    placement: Hash
    holder: AccountId
    receipts: U32


@PALLET.event
class Placed(Record):
    """Enough holders hold the blobs: they are available."""

    placement: Hash


@PALLET.event
class PlacementFailed(Record):
    """Too few of two committees signed."""

    placement: Hash
    receipts: U32


@PALLET.event
class PlacementLost(Record):
    """Too many of its holders refused a chunk: the blobs count as available no more."""

    placement: Hash
    receipts: U32


@PALLET.event
class PlacementReleased(Record):
    """The blobs need not be kept any longer: ``paid`` units went to the holders, ``returned`` to the payer."""

    placement: Hash
    paid: U63
    returned: U63


@PALLET.event
class ChunkChallenged(Record):
    """A holder must post a chunk by ``deadline``."""

    placement: Hash
    holder: AccountId
    item: U32
    chunk: U63
    challenger: AccountId
    deadline: U63


@PALLET.event
class ChunkPosted(Record):
    """The holder answered, and received the challenger's ``bond``."""

    placement: Hash
    holder: AccountId
    item: U32
    chunk: U63
    bond: U63


@PALLET.event
class ChunkRefused(Record):
    """The holder did not answer: of ``slashed`` units the challenger received ``reward``, the treasury the rest."""

    placement: Hash
    holder: AccountId
    item: U32
    chunk: U63
    challenger: AccountId
    slashed: U63
    reward: U63


# --- errors


@PALLET.error
class HolderBondTooSmall(DispatchError):
    """The bond would be below the minimum."""


@PALLET.error
class HolderRosterFull(DispatchError):
    """As many holders as the chain allows have registered."""


@PALLET.error
class NotAHolder(DispatchError):
    """The account holds nothing for others."""


@PALLET.error
class AvailabilityOff(DispatchError):
    """On this network nothing has to be placed."""


@PALLET.error
class NotEnoughHolders(DispatchError):
    """Fewer holders could sign than receipts are needed: run more nodes with --holder."""


@PALLET.error
class PlacementTooLarge(DispatchError):
    """The placement has too many blobs or bytes, or none."""


@PALLET.error
class AlreadyPlaced(DispatchError):
    """The placement is open already."""


@PALLET.error
class UnknownPlacement(DispatchError):
    """There is no such placement."""


@PALLET.error
class NotAsked(DispatchError):
    """The account has no seat of which a receipt is asked now."""


@PALLET.error
class NoSuchChunk(DispatchError):
    """The placement has no such item, or the item no such chunk."""


@PALLET.error
class NotHeld(DispatchError):
    """That account has signed no receipt for the placement, or is the challenger itself."""


@PALLET.error
class TooManyChallenges(DispatchError):
    """As many chunks of the placement as allowed are challenged now, or this very one is."""


@PALLET.error
class UnknownChallenge(DispatchError):
    """Nobody asks this chunk of this account."""


@PALLET.error
class WrongChunk(DispatchError):
    """The bytes with their path are not that chunk of the blob."""


# --- what every part of the pallet reads

HOLDER_REASON = b"bond:holder"
"""The reason under which a holder's bond is held."""


def parameters(state: State) -> BlobParameters:
    """The figures of availability on this network."""
    return system.parameters(state).blobs


def pot_reason(placement: bytes) -> bytes:
    """The reason under which the pot of a placement is held of its payer."""
    return b"place:" + placement
