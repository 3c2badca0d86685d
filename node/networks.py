"""Networks of several validators: their genesis, and what a node needs to know to be one of them.

``local`` and ``testnet`` are networks whose keys everybody knows (``--alice`` to ``--ferdie``), for trying things out.
``canary`` and ``mainnet`` are templates: whoever founds such a network writes its authorities into the genesis file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.config import DEVELOPMENT_ACCOUNTS, DEVELOPMENT_BALANCE, NodeConfig, development_genesis
from node.keystore import KeystoreError, SeedSigner, development_signer, write_private
from node.session_keys import SessionKeys
from p2p.interface import Limits
from runtime.crypto import to_ss58
from runtime.parameters import TOKEN

KNOWN_VALIDATORS = ("Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie")
LOCAL_VALIDATORS = KNOWN_VALIDATORS[:4]
QUIET_SLOTS = 3
"""Slots in which a validator that lives is heard: it repeats its votes every other slot."""
VALIDATOR_BALANCE = 200_000 * TOKEN
VALIDATOR_STAKE = 100_000 * TOKEN
"""What each validator of a new network begins with, and how much of it is bonded."""


@dataclass(frozen=True, slots=True)
class Validator:
    """One of the first validators: the account that holds the stake, and the key that makes blocks and votes."""

    account: bytes
    session_key: bytes


def build_network_genesis(
    chain_id: str, name: str, validators: Sequence[Validator], launched: int | None = None
) -> dict[str, Any]:
    """The genesis configuration of a network that these validators start; development accounts have balances too.

    ``launched`` is when, in Unix seconds: a young network can be warped to without a checkpoint.
    """
    balances = {to_ss58(development_signer(who).public): str(DEVELOPMENT_BALANCE) for who in DEVELOPMENT_ACCOUNTS}
    for validator in validators:
        balances.setdefault(to_ss58(validator.account), str(VALIDATOR_BALANCE))
    authorities = [
        {
            "account": to_ss58(validator.account),
            "session_key": to_ss58(validator.session_key),
            "stake": str(VALIDATOR_STAKE),
        }
        for validator in validators
    ]
    return {
        "id": chain_id,
        "name": name,
        "preset": "testnet",
        "parameters": {},
        "authorities": authorities,
        "balances": balances,
        **({} if launched is None else {"launched": launched}),
    }


def development_session(name: str) -> SeedSigner:
    """The session key of a validator of the ``local`` network; everybody knows its seed."""
    return development_signer(f"{name}//session")


def development_node_key(name: str) -> bytes:
    """The node key of the same validator, so that its address on the network can be written down beforehand."""
    return development_signer(f"{name}//node").seed


def _known(names: Sequence[str]) -> list[Validator]:
    return [Validator(development_signer(name).public, development_session(name).public) for name in names]


def local_genesis() -> dict[str, Any]:
    """The network of Alice, Bob, Charlie and Dave."""
    return build_network_genesis("local", "Solvent Local Network", _known(LOCAL_VALIDATORS))


def six_genesis() -> dict[str, Any]:
    """The network of all six, Alice to Ferdie."""
    return build_network_genesis("testnet", "Solvent Testnet", _known(KNOWN_VALIDATORS))


def template_genesis(preset: str) -> dict[str, Any]:
    """A network without authorities and balances, for its founder to fill in."""
    name = f"Solvent {preset.capitalize()}"
    return {"id": preset, "name": name, "preset": preset, "parameters": {}, "authorities": [], "balances": {}}


CHAINS: dict[str, Callable[[], dict[str, Any]]] = {
    "dev": development_genesis,
    "local": local_genesis,
    "testnet": six_genesis,
    "canary": lambda: template_genesis("canary"),
    "mainnet": lambda: template_genesis("mainnet"),
}
"""Chains that go by a name instead of a genesis file."""


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """How one node takes part in a network. ``keys`` are a validator's; a full node has none.

    Without a ``node_key`` the one in `folder` counts, which is made on first use. With ``warp`` a node that is far
    behind begins with the state of a final block; ``checkpoint`` is the hash of a block to trust for that, before the
    genesis file's. A validator only listens for ``quiet_slots`` before it signs; by default for
    `QUIET_SLOTS` where its database has signed nothing yet.
    """

    node: NodeConfig
    keys: SessionKeys | None = None
    node_key: bytes | None = None
    listen: str = "/ip4/0.0.0.0/tcp/30333"
    bootnodes: tuple[str, ...] = ()
    warp: bool = False
    checkpoint: bytes | None = None
    quiet_slots: int | None = None
    connections_per_address: int = Limits().connections_per_address

    @property
    def folder(self) -> Path:
        """Where the node key and the addresses of peers lie."""
        return self.node.base_path / "network"


def load_node_key(folder: Path) -> bytes:
    """The 32-byte secret from which the node's identity on the network follows; made on first use."""
    path = folder / "node_key"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(path, os.urandom(32).hex().encode() + b"\n")
    try:
        seed = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        seed = b""
    if len(seed) != 32:
        raise KeystoreError(f"{path} is not a node key (64 hex digits); remove it and the node makes a new one")
    return seed


def load_peers(folder: Path) -> bytes:
    """The address book that `save_peers` wrote last; an empty one without it."""
    path = folder / "peers.json"
    return path.read_bytes() if path.exists() else b"[]"


def save_peers(folder: Path, data: bytes) -> None:
    """Keep the address book for the next start. What a crash loses of it is only asked for again."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = folder / ".peers.json.new"
    temporary.write_bytes(data)
    temporary.replace(folder / "peers.json")
