"""What a node is started with, and the development chain's genesis."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chain.author import Signer
from chain.pool import PoolLimits
from chain.store import DEFAULT_WINDOW
from node.keystore import SeedSigner, development_signer
from rpc.settings import RpcSettings
from runtime.crypto import to_ss58
from runtime.genesis import GenesisError, build_genesis
from runtime.pallets import system
from runtime.parameters import TOKEN

VERSION = "0.1.0"
DEVELOPMENT_ACCOUNTS = (
    "Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie", "Submitter", "Solver", "Verifier", "Whistleblower",
)  # fmt: skip
"""Accounts with a balance on the development chain, by their ``//Name``. Alice makes the blocks."""

DEVELOPMENT_BALANCE = 1_000_000 * TOKEN
DEVELOPMENT_WINDOW = 16 * DEFAULT_WINDOW
"""Blocks whose state can still be read: a busy development chain makes many blocks a second."""
LEAST_WINDOW = 16
"""Fewer past blocks would be gone before a peer that is a little behind can ask for them."""


def development_genesis() -> dict[str, Any]:
    """The genesis configuration of ``solvent dev``: the same as the file ``genesis.json``."""
    addresses = [to_ss58(development_signer(name).public) for name in DEVELOPMENT_ACCOUNTS]
    return {
        "id": "dev",
        "name": "Solvent Development",
        "preset": "dev",
        "parameters": {},
        "authorities": addresses[:1],
        "balances": {address: str(DEVELOPMENT_BALANCE) for address in addresses},
    }


def has_one_author(genesis: dict[str, Any]) -> bool:
    """Whether a genesis configuration is one of a development chain, whose one author makes every block."""
    return system.has_one_author(build_genesis(genesis))


def require_development_genesis(genesis: dict[str, Any]) -> None:
    """Raises `GenesisError` unless it is a chain whose one author is Alice, whose key this node has."""
    state = build_genesis(genesis)
    if not system.has_one_author(state):
        raise GenesisError(f"{genesis['id']} is a network of several validators: run it with solvent node")
    if system.AUTHORITIES.get(state) != (development_signer("Alice").public,):
        raise GenesisError("authorities: a development chain has exactly one author, //Alice")


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """Everything that may differ between two nodes. Sizes are bytes, times are seconds."""

    base_path: Path
    genesis: dict[str, Any] = field(default_factory=development_genesis)
    author: Signer = field(default_factory=lambda: development_signer("Alice"))
    rpc_host: str = "127.0.0.1"
    rpc_port: int = 9944
    seal_seconds: float = 1.0
    coalesce_seconds: float = 0.002
    blob_capacity: int = 20 * 1024**3
    blob_account_capacity: int = 10 * 1024**3
    state_window: int | None = DEVELOPMENT_WINDOW
    block_window: int | None = None
    pool: PoolLimits = field(default_factory=PoolLimits)
    index: bool = True
    holder: SeedSigner | None = None
    """Whose account keeps blobs for others, with a bond of ``holder_bond`` units."""
    holder_bond: int = 1_000 * 10**9
    rpc: RpcSettings = field(default_factory=RpcSettings)
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None
    """Where Prometheus asks; None serves no metrics."""

    @property
    def database_path(self) -> Path:
        return self.base_path / "db"

    @property
    def index_path(self) -> Path:
        return self.base_path / "index"

    @property
    def blob_path(self) -> Path:
        return self.base_path / "blobs"
