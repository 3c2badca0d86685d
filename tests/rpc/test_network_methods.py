"""What only a node among others can tell: peers, the vote on finality, its proofs, and blocks that are final later."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from runtime.codec import decode
from runtime.crypto import derive_seed, public_key
from runtime.finality import Justification
from runtime.pallets import balances
from solvent.errors import RpcFailed
from solvent.following import wait_until_final
from tests.support.network import running_network

ALICE, BOB = derive_seed("//Alice"), public_key(derive_seed("//Bob"))


@pytest.mark.slow
def test_a_full_node_tells_of_peers_votes_and_finality(tmp_path: Path) -> None:
    with running_network(tmp_path, validators=3) as network:
        network.until(lambda: network.all_final(2), "two blocks are final on every node")
        full, validator = network.full, network.clients[0]
        peers = full.call("system_peers")
        assert validator.call("system_localPeerId") in {peer["peerId"] for peer in peers}
        assert any(peer["bestNumber"] > 0 for peer in peers)
        assert (validator.call("system_nodeRoles"), full.call("system_nodeRoles")) == (["Authority"], ["Full"])
        network.until(lambda: httpx.get(f"{full.url}/health").status_code == 200, "the full node is healthy")

        state = full.call("grandpa_roundState")
        assert state["best"]["thresholdWeight"] > 2 * state["best"]["totalWeight"] // 3
        assert full.call("explorer_validators")["finality"]["setId"] == state["setId"]
        assert len(full.call("explorer_validators")["validators"]) == 3
        proof = full.call("grandpa_proveFinality", 1)
        justification = decode(bytes.fromhex(proof["justification"][2:]), Justification)
        assert "0x" + justification.target_hash.hex() == proof["block"]
        assert justification.target_number >= 1

        transfer = balances.Transfer(BOB, 4321)
        tried = full.call("system_dryRun", "0x" + full._sign(ALICE, "balances", transfer, 0).raw.hex())
        assert tried["ok"], tried
        submitted = full._sign(ALICE, "balances", transfer, 0)
        with full.subscribe("author_submitAndWatchExtrinsic", "0x" + submitted.raw.hex()) as statuses:
            seen = [statuses.next_within(60.0)]
            while "finalized" not in seen[-1]:
                seen.append(statuses.next_within(60.0))
        assert seen[0] == "ready"
        assert any("inBlock" in status for status in seen)
        outcome = wait_until_final(full, submitted)
        assert "0x" + outcome.block_hash.hex() == seen[-1]["finalized"]
        assert full.call("explorer_extrinsic", "0x" + submitted.hash.hex())["finalized"]
        with pytest.raises(RpcFailed, match="index"):
            validator.call("explorer_extrinsics")
