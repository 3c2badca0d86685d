"""``system_*`` and ``rpc_methods``: which chain and node this is, and how it does."""

from __future__ import annotations

from typing import Literal

from rpc.answers.node import HealthJson, PeerJson, PropertiesJson, SyncStateJson
from rpc.kinds import ACCOUNT
from rpc.render import hex_of
from rpc.table import MethodTable
from rpc.view import NodeView
from runtime.crypto import SS58_PREFIX
from runtime.pallets import system

TABLE = MethodTable()


@TABLE.method("system_chain")
def chain(node: NodeView) -> str:
    """The chain's name."""
    return node.chain_name


@TABLE.method("system_name")
def name(node: NodeView) -> str:
    """The node's implementation."""
    return node.name


@TABLE.method("system_version")
def version(node: NodeView) -> str:
    """The node's version."""
    return node.version


@TABLE.method("system_chainType")
def chain_type(node: NodeView) -> Literal["Development", "Live"]:
    """``Development`` or ``Live``."""
    return "Development" if node.is_development else "Live"


@TABLE.method("system_properties")
def properties(node: NodeView) -> PropertiesJson:
    """How to show amounts and addresses."""
    return {"ss58Format": SS58_PREFIX, "tokenDecimals": 9, "tokenSymbol": "SOLV"}


@TABLE.method("system_health")
def health(node: NodeView) -> HealthJson:
    """Peers, whether the node is catching up, and whether it should have peers at all."""
    return {"peers": node.peer_count(), "isSyncing": node.is_syncing(), "shouldHavePeers": not node.is_development}


@TABLE.method("system_syncState")
def sync_state(node: NodeView) -> SyncStateJson:
    """The block this node started from, its best one, and the best one that most peers tell of."""
    state = node.sync_state()
    return {"startingBlock": state.starting, "currentBlock": state.current, "highestBlock": state.highest}


@TABLE.method("system_peers", unsafe=True)
def peers(node: NodeView) -> list[PeerJson]:
    """The connected peers and what they last said of their chain."""
    return [
        {
            "peerId": peer.id,
            "address": peer.address,
            "roles": "FULL",
            "bestHash": hex_of(peer.best_hash) if peer.best_hash else None,
            "bestNumber": peer.best_number,
            "finalizedNumber": peer.finalized_number,
        }
        for peer in node.peers()
    ]


@TABLE.method("system_nodeRoles")
def node_roles(node: NodeView) -> list[str]:
    """``Authority`` where the node makes blocks or votes, else ``Full``."""
    return ["Authority"] if node.session_keys() else ["Full"]


@TABLE.method("system_localPeerId")
def local_peer_id(node: NodeView) -> str:
    """This node's id on the network; empty where there is none."""
    return node.peer_id()


@TABLE.method("system_localListenAddresses")
def local_listen_addresses(node: NodeView) -> list[str]:
    """The addresses at which other nodes reach this one."""
    return list(node.addresses())


@TABLE.method("system_accountNextIndex", account=ACCOUNT)
def account_next_index(node: NodeView, account: bytes) -> int:
    """The nonce for the account's next extrinsic, counting those that wait in the pool."""
    return node.pool.next_nonce(account, system.nonce(node.ledger.state(), account))
