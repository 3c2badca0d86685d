"""A whole network of processes while one of its validators is under attack: it goes on, and no node grows."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from runtime.crypto import derive_seed, public_key
from runtime.pallets import balances
from tests.support.network import Network, running_network
from tests.support.siege import PAYLOADS, Siege, many_addresses

MESSAGES = 2_000
"""Of each kind: enough to fill every bounded memory that fills early, in a time that one waits for."""
MOST_GROWTH = 0.15
"""Of the victim's memory beyond that of its peers. What is remembered of messages and offenders takes some 5 MB."""


def resident(network: Network) -> dict[str, float]:
    """MB of memory of each node."""
    pages = {name: Path(f"/proc/{child.process.pid}/statm") for name, child in network.family.children.items()}
    return {name: int(path.read_text().split()[1]) * 4096 / 1e6 for name, path in pages.items()}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_network_goes_on_while_one_of_its_validators_is_under_attack(tmp_path: Path) -> None:
    with running_network(tmp_path, validators=4) as network:
        network.until(lambda: network.all_final(10), "ten blocks are final on every node")
        victim, client = network.members[0], network.clients[0]
        siege = Siege(victim.address, client.genesis_hash())
        before, height = resident(network), client.finalized_number()

        async def attack() -> None:
            for name in PAYLOADS:
                await siege.flood_gossip(name, MESSAGES)
            await siege.flood_requests(200)
            await siege.flood_connections(500)
            await siege.hold_silent_peers(20, 10)

        with many_addresses():
            trio.run(attack)
        assert all(siege.sent[name] >= MESSAGES * 0.9 for name in PAYLOADS), siege.sent
        during = client.finalized_number() - height
        assert during >= 10, f"{during} blocks were finalized under attack"

        receiver = public_key(derive_seed("//Bob"))
        outcome = client.submit_and_wait(derive_seed("//Alice"), "balances", balances.Transfer(receiver, 12_345))
        assert outcome.ok
        network.until(lambda: network.all_final(outcome.block_number), "a transfer given to the victim is final")
        after = resident(network)
        growth = {name: after[name] / before[name] - 1 for name in before}
        usual = sorted(growth[name] for name in growth if name != victim.name)
        assert usual[-1] < MOST_GROWTH, growth
        assert growth[victim.name] - usual[0] < MOST_GROWTH, growth
        print(
            f"\n{sum(siege.sent.values())} attacks, {during} blocks, memory "
            + str({k: f"{v:+.1%}" for k, v in growth.items()})
        )
