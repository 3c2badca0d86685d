"""The network in memory: its time, its losses, and that a seed is a history."""

from __future__ import annotations

from p2p.interface import Incoming, PeerConnected, Verdict
from p2p.memory import Answered, Asked, Delivery, Gossip, Link, MemoryNetwork, MemoryNode

NAMES = tuple(f"node{number}" for number in range(6))


def build(seed: int, link: Link) -> tuple[MemoryNetwork, dict[str, MemoryNode]]:
    """A ring of six nodes, all connected at time 0."""
    network = MemoryNetwork(seed, link)
    nodes = {name: MemoryNode(network, name, ("votes",)) for name in NAMES}
    for first, second in zip(NAMES, NAMES[1:] + NAMES[:1], strict=True):
        network.connect(first, second, 0.0)
    return network, nodes


def play(network: MemoryNetwork, nodes: dict[str, MemoryNode], until: float) -> list[tuple[str, Delivery]]:
    """Deliver everything due, accepting every message at once; return what was new to somebody."""
    news = []
    while (time := network.next_time()) is not None and time <= until:
        for delivery in network.pop_due(time):
            for event in nodes[delivery.target].on_delivery(delivery):
                if isinstance(event, Incoming):
                    news.append((delivery.target, delivery))
                    nodes[delivery.target].answer(event.id, Verdict.ACCEPT, time)
    return news


def test_the_same_seed_is_the_same_history() -> None:
    link = Link(loss=0.1, duplication=0.1, reordering=0.2)

    def history(seed: int) -> list[tuple[str, Delivery]]:
        network, nodes = build(seed, link)
        play(network, nodes, 1.0)
        for number in range(50):
            nodes[NAMES[number % 6]].publish("votes", bytes([number]), 1.0 + number)
            news = play(network, nodes, 2.0 + number)
        return [*news, *play(network, nodes, 100.0)]

    assert history(7) == history(7)
    assert history(7) != history(8)


def test_everybody_hears_a_message_once_after_the_time_it_takes() -> None:
    network, nodes = build(1, Link(latency=0.1, jitter=0.0))
    play(network, nodes, 1.0)
    nodes["node0"].publish("votes", b"x", 1.0)
    news = play(network, nodes, 10.0)
    assert sorted(target for target, _ in news) == sorted(NAMES[1:])
    assert max(delivery.time for _, delivery in news) < 1.31


def test_nothing_arrives_early_and_packets_keep_their_order() -> None:
    network = MemoryNetwork(3, Link(latency=0.05, jitter=0.5))
    network.connect("a", "b", 0.0)
    network.pop_due(1.0)
    for number in range(100):
        network.send("a", "b", Gossip("votes", bytes([number])), 1.0 + number / 1000)
    assert network.pop_due(1.04) == []
    packets = [delivery.packet for delivery in network.pop_due(9.0)]
    assert [packet.data[0] for packet in packets if isinstance(packet, Gossip)] == list(range(100))


def test_reordering_and_duplication_happen_as_often_as_asked() -> None:
    network = MemoryNetwork(3, Link(jitter=0.5, duplication=0.5, reordering=0.5))
    network.connect("a", "b", 0.0)
    network.pop_due(1.0)
    for number in range(200):
        network.send("a", "b", Gossip("votes", bytes([number])), 1.0 + number / 1000)
    numbers = [delivery.packet.data[0] for delivery in network.pop_due(9.0) if isinstance(delivery.packet, Gossip)]
    assert 260 < len(numbers) < 340
    assert numbers != sorted(numbers)


def test_loss_loses_its_share() -> None:
    network = MemoryNetwork(3, Link(loss=0.25))
    network.connect("a", "b", 0.0)
    network.pop_due(1.0)
    for number in range(1000):
        network.send("a", "b", Gossip("votes", number.to_bytes(2, "big")), 1.0)
    assert 700 < len(network.pop_due(9.0)) < 800
    assert network.lost == 1000 - 750 + (750 - (1000 - network.lost))


def test_a_partition_parts_and_heals() -> None:
    network, nodes = build(1, Link(latency=0.1, jitter=0.0))
    play(network, nodes, 1.0)
    network.partition(NAMES[:3])
    nodes["node0"].publish("votes", b"x", 1.0)
    assert {target for target, _ in play(network, nodes, 5.0)} == {"node1", "node2"}
    network.heal()
    nodes["node0"].publish("votes", b"y", 6.0)
    assert len(play(network, nodes, 10.0)) == 5


def test_a_rejected_message_goes_nowhere() -> None:
    network, nodes = build(1, Link(latency=0.1, jitter=0.0))
    play(network, nodes, 1.0)
    nodes["node0"].publish("votes", b"x", 1.0)
    (delivery, _) = network.pop_due(2.0)
    (message,) = nodes[delivery.target].on_delivery(delivery)
    assert isinstance(message, Incoming)
    nodes[delivery.target].answer(message.id, Verdict.REJECT, 2.0)
    nodes[delivery.target].answer(message.id, Verdict.ACCEPT, 2.0)
    assert network.pop_due(9.0) == []


def test_a_question_finds_its_answer() -> None:
    network = MemoryNetwork(1)
    client, server = MemoryNode(network, "client", ()), MemoryNode(network, "server", ())
    network.connect("client", "server", 0.0)
    events = [client.on_delivery(delivery) for delivery in network.pop_due(1.0) if delivery.target == "client"]
    assert isinstance(events[0][0], PeerConnected)
    ticket = client.ask("server", "/blocks", b"7", 1.0)
    (delivery,) = network.pop_due(2.0)
    assert server.on_delivery(delivery) == [Asked("client", ticket, "/blocks", b"7")]
    server.respond("client", ticket, "chunk", b"block 7", 2.0)
    (delivery,) = network.pop_due(3.0)
    assert client.on_delivery(delivery) == [Answered("server", ticket, "chunk", b"block 7")]


def test_packets_between_strangers_are_lost() -> None:
    network = MemoryNetwork(1)
    network.send("a", "b", Gossip("votes", b""), 0.0)
    network.connect("a", "b", 0.0)
    network.disconnect("a", "b", 1.0)
    network.disconnect("a", "b", 1.0)
    network.send("a", "b", Gossip("votes", b""), 2.0)
    assert len(network.pop_due(9.0)) == 4
    assert network.lost == 2
