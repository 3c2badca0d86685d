"""The guide for validators, command by command, on a network of real processes."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from runtime.block import slot_of
from runtime.crypto import from_ss58
from solvent.client import Client
from tests.support.network import Network, free_ports, running_network
from tests.support.node import solvent

SHORT = {"consensus": {"epoch_slots": 4, "era_sessions": 2}}


class Operator:
    """Somebody with a shell, an account and a node. Mutable."""

    def __init__(self, folder: Path, network: Network) -> None:
        self.folder, self.network, self.genesis = folder, network, network.folder / "genesis.json"
        for name in ("account-password", "session-password"):
            (folder / name).write_text(f"{name}\n")
        self.data = folder / "DATA"
        self.environment = {
            **os.environ,
            "SOLVENT_URL": network.full.url,
            "SOLVENT_KEYSTORE": str(folder / "account"),
            "SOLVENT_PASSWORD_FILE": str(folder / "account-password"),
        }
        secret = folder / "paper"
        secret.write_text(self.run_json("key", "generate")["mnemonic"])
        kept = self.run_json(
            "key", "insert", "--suri", f"@{secret}", "--keystore", str(folder / "account"), "--password-file",
            str(folder / "account-password"),
        )  # fmt: skip
        self.account = str(kept["address"])

    def run(self, *arguments: str) -> str:
        done = solvent(*arguments, env=self.environment)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    def run_json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))

    def start_node(self, data: Path) -> Client:
        """A validator in that data directory; the first time its keystore is empty."""
        port, rpc_port = free_ports(2)
        arguments = [
            "node", "--chain", str(self.genesis), "--base-path", str(data), "--validator",
            "--password-file", str(self.folder / "session-password"), "--rpc-port", str(rpc_port),
            "--listen-addr", f"/ip4/127.0.0.1/tcp/{port}", "--bootnodes", self.network.members[0].address,
        ]  # fmt: skip
        self.network.family.start(data.name, *arguments)
        return Client(f"http://127.0.0.1:{rpc_port}", patience=60.0)

    def rotate_key(self, node: Client) -> str:
        """Have a node make a session key, and announce it; its address."""
        node.head()
        before = self.status()["key"]
        self.run("validator", "rotate-key", "--from", self.account, "--node", node.url)
        self.network.until(lambda: self.status()["key"] != before, "the announcement is final")
        made = str(self.status()["key"])
        assert node.call("author_hasKey", "0x" + from_ss58(made).hex())
        return made

    def wait_until_at_work(self, key: str) -> None:
        self.network.until(lambda: self.status()["activeKey"] == key, "the key is in office")
        self.network.until(lambda: self.makes_blocks_with(key), "it makes blocks")

    def status(self) -> Any:
        return self.run_json("validator", "status", self.account)

    def makes_blocks_with(self, address: str) -> bool:
        client = self.network.full
        return slot_of(client.header(client.finalized_hash()).digest).author == from_ss58(address)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_guide_for_validators_holds(tmp_path: Path) -> None:
    with running_network(tmp_path / "net", validators=2, parameters=SHORT) as network:
        operator = Operator(tmp_path, network)
        with operator.start_node(operator.data) as client:
            operator.run("tx", "transfer", "--from", "//Alice", "--to", operator.account, "500000")
            operator.run("validator", "bond", "--from", operator.account, "100000")
            operator.run("validator", "bond", "--from", operator.account, "1000")
            first = operator.rotate_key(client)
            operator.run("validator", "start", "--from", operator.account)
            assert operator.status()["isCandidate"]
            assert operator.status()["stake"] == str(101_000 * 10**9)
            operator.wait_until_at_work(first)

            second = operator.rotate_key(client)
            assert operator.status()["activeKey"] == first
            operator.wait_until_at_work(second)
            network.family.stop("DATA")
            purged = operator.run("purge-chain", "--base-path", str(operator.data), "-y")
            assert "what this validator has signed" in purged
        with operator.start_node(operator.data):
            network.until(lambda: operator.makes_blocks_with(second), "it makes blocks again")
            with operator.start_node(tmp_path / "NEW") as new:
                third = operator.rotate_key(new)
                operator.wait_until_at_work(third)
                network.family.stop("DATA")
                network.until(lambda: operator.makes_blocks_with(third), "the old machine is not needed")
        network.family.stop("NEW")
        memory = str(tmp_path / "memory.json")
        operator.run("validator", "export-memory", "--base-path", str(tmp_path / "NEW"), memory)
        shutil.copytree(tmp_path / "NEW" / "keystore", tmp_path / "HASTY" / "keystore")
        operator.run(
            "validator", "import-memory", "--chain", str(operator.genesis), "--base-path", str(tmp_path / "HASTY"),
            memory,
        )  # fmt: skip
        with operator.start_node(tmp_path / "HASTY") as client:
            network.until(lambda: client.finalized_number() >= network.full.finalized_number() - 2, "it keeps up")
            network.until(lambda: operator.makes_blocks_with(third), "it makes blocks with the key that moved")
            operator.run("validator", "stop", "--from", operator.account)
            operator.run("validator", "unbond", "--from", operator.account, "101000")
            network.until(lambda: operator.status()["activeKey"] == "", "it has left office")
            [chunk] = operator.status()["unbonding"]
            assert chunk["amount"] == str(101_000 * 10**9)
        assert operator.status()["slashed"] == "0"
