"""The guide for validators, command by command, on a network of real processes."""

from __future__ import annotations

import json
import os
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
        self.folder, self.network = folder, network
        for name in ("account-password", "session-password"):
            (folder / name).write_text(f"{name}\n")
        self.data = folder / "DATA"
        self.environment = {
            **os.environ,
            "SOLVENT_URL": network.full.url,
            "SOLVENT_KEYSTORE": str(folder / "account"),
            "SOLVENT_PASSWORD_FILE": str(folder / "account-password"),
        }
        self.account = self.new_key(folder / "account", "account-password")
        self.port, self.rpc_port = free_ports(2)

    def run(self, *arguments: str) -> str:
        done = solvent(*arguments, env=self.environment)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    def run_json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))

    def new_key(self, keystore: Path, password: str) -> str:
        """Make a key and keep it, its mnemonic on paper, that is in a file."""
        secret = self.folder / "paper"
        secret.write_text(self.run_json("key", "generate")["mnemonic"])
        kept = self.run_json(
            "key", "insert", "--suri", f"@{secret}", "--keystore", str(keystore), "--password-file",
            str(self.folder / password),
        )  # fmt: skip
        return str(kept["address"])

    def start_node(self, *options: str) -> Client:
        arguments = [
            "node", "--chain", str(self.network.folder / "genesis.json"), "--base-path", str(self.data), "--validator",
            "--password-file", str(self.folder / "session-password"), "--rpc-port", str(self.rpc_port),
            "--listen-addr", f"/ip4/127.0.0.1/tcp/{self.port}", "--bootnodes", self.network.members[0].address,
            *options,
        ]  # fmt: skip
        self.network.family.start("joiner", *arguments)
        return Client(f"http://127.0.0.1:{self.rpc_port}", patience=60.0)

    def set_key(self, address: str) -> None:
        self.run(
            "validator", "set-key", "--from", self.account, "--keystore", str(self.data / "keystore"),
            "--session-key", address, "--password-file", str(self.folder / "session-password"),
        )  # fmt: skip

    def status(self) -> Any:
        return self.run_json("validator", "status", self.account)

    def makes_blocks_with(self, address: str) -> bool:
        client = self.network.full
        return slot_of(client.header(client.finalized_hash()).digest).author == from_ss58(address)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_guide_for_validators_holds(tmp_path: Path) -> None:
    with running_network(tmp_path / "net", validators=2, parameters=SHORT) as network:
        operator = Operator(tmp_path, network)
        session_key = operator.new_key(operator.data / "keystore", "session-password")
        with operator.start_node() as client:
            operator.run("tx", "transfer", "--from", "//Alice", "--to", operator.account, "500000")
            operator.run("validator", "bond", "--from", operator.account, "100000")
            operator.run("validator", "bond", "--from", operator.account, "1000")
            operator.set_key(session_key)
            operator.run("validator", "start", "--from", operator.account)
            assert operator.status()["isCandidate"]
            assert operator.status()["stake"] == str(101_000 * 10**9)
            network.until(lambda: operator.status()["activeKey"] == session_key, "it is in office")
            network.until(lambda: operator.makes_blocks_with(session_key), "it makes blocks")

            other = operator.new_key(operator.data / "keystore", "session-password")
            operator.set_key(other)
            network.until(lambda: operator.status()["activeKey"] == other, "the new key is in office")
            network.family.stop("joiner")
            purged = operator.run("purge-chain", "--base-path", str(operator.data), "-y")
            assert "what this validator has signed" in purged
        with operator.start_node("--session-key", other) as client:
            network.until(lambda: operator.makes_blocks_with(other), "it makes blocks with the new key")
            network.until(lambda: client.finalized_number() >= network.full.finalized_number() - 2, "it keeps up")
            operator.run("validator", "stop", "--from", operator.account)
            operator.run("validator", "unbond", "--from", operator.account, "101000")
            network.until(lambda: operator.status()["activeKey"] == "", "it has left office")
            [chunk] = operator.status()["unbonding"]
            assert chunk["amount"] == str(101_000 * 10**9)
        assert operator.status()["slashed"] == "0"
