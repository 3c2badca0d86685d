"""What the RPC layer needs of a node. `node.service.Node` implements it; tests may implement it with less."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from chain.ledger import Ledger
from chain.pool import Pool
from chain.sync import SyncState
from rpc.answers.node import RoundStateJson
from rpc.bell import Bell

if TYPE_CHECKING:
    from rpc.indexes import Indexes


class UploadView(Protocol):
    """One blob on its way in; `offset` bytes have been written."""

    offset: int

    def write(self, piece: bytes) -> None: ...
    def suspend(self) -> None: ...
    def discard(self) -> None: ...
    def verify(self) -> Iterator[None]: ...
    def sync(self) -> None: ...
    def finish(self) -> None: ...


class BlobView(Protocol):
    """The node's blob store."""

    def size(self, root: bytes) -> int | None: ...
    def partial_size(self, root: bytes) -> int: ...
    def begin(self, root: bytes, size: int, owner: str, offset: int) -> UploadView: ...
    def adopt(self, root: bytes, owner: str) -> None: ...


class FoundBlob(Protocol):
    """A blob that can be read from its first byte on, though its last ones may still be on their way."""

    @property
    def size(self) -> int:
        """Bytes."""

    def read(self, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """Bytes ``start`` to ``end`` (exclusive), in pieces. Raises `SolventError` when they stop coming."""


@dataclass(frozen=True, slots=True)
class PeerView:
    """A connected peer; the heights are what it last said, 0 before it said anything."""

    id: str
    address: str
    best_hash: bytes
    best_number: int
    finalized_number: int


class NodeView(Protocol):
    """A running node as its RPC methods see it."""

    name: str
    version: str
    chain_name: str
    genesis: dict[str, Any]
    """The genesis configuration, see `runtime.genesis`."""
    is_development: bool
    started_at: float
    """Unix seconds."""
    bell: Bell
    """Rings when the best or the finalized block changed, or an extrinsic came."""

    @property
    def ledger(self) -> Ledger:
        """The chain."""

    @property
    def pool(self) -> Pool:
        """Waiting extrinsics."""

    @property
    def blobs(self) -> BlobView:
        """Stored files."""

    @property
    def indexes(self) -> Indexes | None:
        """The index of the best chain; None where the node keeps none."""

    def submit(self, raw: bytes) -> bytes:
        """Hand in a signed extrinsic; its hash. Raises `PoolError` or `InvalidExtrinsic`."""

    async def find_blob(self, root: bytes) -> FoundBlob:
        """A blob of this node or of its peers. Raises a `SolventError` that says why there is none to be had."""

    def may_upload(self, account: bytes) -> bool:
        """Whether the account may store blobs here."""

    def peer_count(self) -> int:
        """How many peers are connected."""

    def peers(self) -> Sequence[PeerView]:
        """Connected peers."""

    def peer_id(self) -> str:
        """This node's own id on the network, empty where there is none."""

    def addresses(self) -> Sequence[str]:
        """Where other nodes reach this one."""

    def session_keys(self) -> Collection[bytes]:
        """The public keys that this node makes blocks or votes with while they are in office."""

    def rotate_keys(self, owner: bytes | None) -> tuple[bytes, bytes]:
        """Make a session key and use it from the moment that it comes into office: its public key, and its consent to
        sign for ``owner`` (empty without one). Raises a `SolventError` that says why this node makes none."""

    def now(self) -> float:
        """The pool's clock, in seconds."""

    def wall_time(self) -> float:
        """Unix seconds."""

    def is_syncing(self) -> bool:
        """Whether the node is catching up with its peers."""

    def sync_state(self) -> SyncState:
        """How far the node is, and how far its peers are."""

    def round_state(self) -> RoundStateJson | None:
        """How far the vote on finality is, as `grandpa_roundState` shows it; None where nobody votes."""
