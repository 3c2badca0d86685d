"""Real nodes, killed again and again while they write: nothing that was ever final may be lost or changed.

The moments of death follow from a seed and from what the node has told so far, never from a clock.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from chain.db import Database
from chain.ledger import Ledger, open_ledger
from chain.maintenance import check_block
from chain.slots import is_primary
from chain.store import Store
from cli.demo_processes import Family
from node.config import development_genesis
from runtime.block import header_hash, slot_of
from runtime.crypto import derive_seed, public_key
from runtime.pallets import balances
from solvent.client import Client, ClientError
from solvent.errors import SubmissionRefused
from tests.support.network import Network
from tests.support.node import dev_process, solvent

ALICE, BOB = derive_seed("//Alice"), public_key(derive_seed("//Bob"))


class Witness:
    """What a node has told of its chain; it must say the same after every restart. Mutable.

    ``by_slot`` also takes down the best blocks, final or not, by their slot: a validator that makes another one for a
    slot equivocates. (A development node makes many blocks in a slot.)
    """

    def __init__(self, by_slot: bool) -> None:
        self.final: dict[int, bytes | None] = {}
        self.heads: dict[int, bytes | None] = {}
        self._by_slot = by_slot

    def look(self, client: Client) -> int:
        """Take down the present finalized head and the best one; the former's height."""
        number = client.finalized_number()
        self.agree(self.final, number, client.block_hash(number))
        head = client.head()
        if self._by_slot and head.number:
            self.agree(self.heads, slot_of(head.digest).slot, header_hash(head))
        return number

    def agree(self, known: dict[int, bytes | None], key: int, hash_: bytes | None) -> None:
        assert known.setdefault(key, hash_) == hash_, f"another block at {key} than before"

    def check(self, client: Client) -> None:
        """A node that was started again has everything that was final, and no less."""
        assert client.finalized_number() >= max(self.final)
        for number, hash_ in self.final.items():
            assert client.block_hash(number) == hash_


def torment(client: Client, witness: Witness, random: Random, kill: Callable[[], None], blocks: int) -> None:
    """Send transfers until some more blocks are final, then kill the node in the middle of a burst of further ones."""
    target = witness.look(client) + random.randint(1, blocks)
    while witness.look(client) < target:
        with contextlib.suppress(SubmissionRefused):  # a pool keeps no more than so many of one account
            client.submit(ALICE, "balances", balances.Transfer(BOB, 1_000_000))
    last = random.randint(0, 12)
    with contextlib.suppress(ClientError):
        for index in range(last + 1):
            client.submit(ALICE, "balances", balances.Transfer(BOB, 1_000_000 + index))
            if index == last:
                kill()


def replay(path: Path, copy: Path, genesis: Path | None = None) -> None:
    """Check every block of a stopped node, and build the same chain from genesis in another database."""
    chain = ("--chain", str(genesis or "dev"))
    with Database(path / "db") as database:
        ledger = Ledger(Store(database, None), is_primary)
        for number in range(1, ledger.head_number + 1):
            hash_ = ledger.hash_at(number)
            assert hash_ is not None
            assert check_block(ledger, hash_).hash == hash_
        final, number = ledger.finalized, ledger.finalized_number
    for done in (
        solvent("export-blocks", "--base-path", str(path), str(copy.with_suffix(".blocks"))),
        solvent("import-blocks", *chain, "--base-path", str(copy), str(copy.with_suffix(".blocks"))),
    ):
        assert done.returncode == 0, done.stderr
    with Database(copy / "db") as database:
        again = Ledger(Store(database), is_primary)
        assert (again.finalized_number, again.finalized) == (number, final)


def kill_development_nodes(folder: Path, seed: int, kills: int) -> None:
    random, witness = Random(seed), Witness(by_slot=False)
    for _ in range(kills):
        with (
            dev_process("--base-path", str(folder / "node"), "--quiet") as (process, url),
            Client(url, patience=0.0) as client,
        ):
            if witness.final:
                witness.check(client)
            torment(client, witness, random, process.kill, blocks=6)
            process.wait()
    with dev_process("--base-path", str(folder / "node"), "--quiet") as (process, url), Client(url) as client:
        witness.check(client)
        process.terminate()
        process.wait()
    replay(folder / "node", folder / "copy")


def kill_validators(folder: Path, seed: int, kills: int) -> None:
    random, witness = Random(seed), Witness(by_slot=True)
    with Family(folder / "logs") as family, contextlib.closing(Network(folder / "net", 1, family)) as network:
        member, client = network.members[0], network.clients[0]
        for _ in range(kills):
            network.start(member)
            network.until(lambda: client.finalized_number() >= max(witness.final, default=0), "it has what was final")
            if witness.final:
                witness.check(client)
            child = family.children.pop(member.name)
            with Client(client.url, patience=0.0) as hasty:
                torment(hasty, witness, random, lambda child=child: child.signal(signal.SIGKILL), blocks=2)  # type: ignore[misc]
            child.process.wait()
        network.start(member)
        network.until(lambda: client.finalized_number() > max(witness.final), "it goes on")
        witness.check(client)
        family.stop_all()
    replay(folder / "net" / member.name, folder / "copy", folder / "net" / "genesis.json")


def test_a_development_node_that_is_killed_thrice_loses_nothing_final(tmp_path: Path) -> None:
    kill_development_nodes(tmp_path, seed=1, kills=3)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [2, 3])
def test_a_development_node_that_is_killed_often_loses_nothing_final(tmp_path: Path, seed: int) -> None:
    kill_development_nodes(tmp_path, seed, kills=20)


def test_a_validator_that_is_killed_loses_nothing_final_and_never_contradicts_itself(tmp_path: Path) -> None:
    kill_validators(tmp_path, seed=4, kills=1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_validator_that_is_killed_often_loses_nothing_final_and_never_contradicts_itself(tmp_path: Path) -> None:
    kill_validators(tmp_path, seed=5, kills=20)


def test_the_witness_notices_a_lost_block(tmp_path: Path) -> None:
    """What these tests rest on: a node that went back is caught."""
    witness = Witness(by_slot=False)
    witness.final = {5: b"\x05" * 32}
    with Database(tmp_path / "db") as database:
        ledger = open_ledger(database, development_genesis())
        assert ledger.finalized_number < max(witness.final)
    with pytest.raises(AssertionError, match="another block at 5"):
        witness.agree(witness.final, 5, bytes(32))
