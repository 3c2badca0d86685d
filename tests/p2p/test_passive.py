"""Scores, addresses, places and the inbox: the parts of p2p that wait for nothing."""

from __future__ import annotations

from random import Random

import pytest
import trio

from p2p.addresses import (
    CAPACITY,
    MOST_FAILURES,
    PER_GROUP,
    PER_SUBNET,
    AddressBook,
    parse_address,
    reach_of,
)
from p2p.inbox import Inbox
from p2p.interface import AddressInvalid, Incoming, Limits, Peer, PeerConnected, PeerDisconnected
from p2p.places import Places
from p2p.scoring import BAN_SCORE, BAN_TIME, HALF_LIFE, IDS_PER_ADDRESS, MAX_PEERS, MAX_SCORE, Scores

# Scores.


def test_points_add_up_and_fade() -> None:
    scores = Scores()
    assert not scores.report("a", "", -80, 0)
    assert scores.score("a", HALF_LIFE - 1) == -80
    assert scores.score("a", HALF_LIFE) == -40
    assert scores.score("a", 3 * HALF_LIFE) == -10
    assert scores.score("stranger", 0) == 0


def test_praise_does_not_buy_more_than_a_little_patience() -> None:
    scores = Scores()
    for _ in range(1000):
        scores.report("a", "", 1, 0)
    assert scores.score("a", 0) == MAX_SCORE


def test_a_ban_ends_and_the_next_is_longer() -> None:
    scores = Scores()
    assert scores.report("a", "", BAN_SCORE, 0)
    assert scores.is_banned("a", BAN_TIME - 1)
    assert not scores.is_banned("a", BAN_TIME)
    assert scores.report("a", "", BAN_SCORE, BAN_TIME)
    assert scores.is_banned("a", 3 * BAN_TIME - 1)
    assert not scores.is_banned("a", 3 * BAN_TIME)


def test_an_address_that_brings_many_banned_ids_is_banned_itself() -> None:
    scores = Scores()
    for number in range(IDS_PER_ADDRESS - 1):
        scores.ban(f"id{number}", "192.0.2.1", 1000, 0)
    scores.ban("id0", "192.0.2.1", 1000, 0)
    assert not scores.is_address_banned("192.0.2.1", 0)
    scores.ban("one more", "192.0.2.1", 1000, 0)
    assert scores.is_address_banned("192.0.2.1", 999)
    assert not scores.is_address_banned("192.0.2.1", 1000)
    assert not scores.is_address_banned("192.0.2.2", 0)


def test_ids_that_cost_nothing_do_not_fill_the_memory() -> None:
    scores = Scores()
    for number in range(MAX_PEERS + 100):
        scores.report(f"id{number}", "", -1, 0)
        scores.ban(f"id{number}", f"10.0.{number // 256}.{number % 256}", 1, 0)
    assert len(scores._peers) == len(scores._addresses) == MAX_PEERS


# Addresses.


@pytest.mark.parametrize(
    "text",
    ["/ip4/192.0.2.1/tcp/30333/p2p/12D3", "/ip6/2001:db8::1/tcp/1/p2p/12D3", "/dns/node.example/tcp/80/p2p/12D3"],
)
def test_an_address_is_read_and_written(text: str) -> None:
    assert str(parse_address(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "192.0.2.1:80",
        "/ip4/192.0.2.1/udp/1/p2p/12D3",
        "/ip4/192.0.2.256/tcp/1",
        "/ip6/::g/tcp/1",
        "/ip4/192.0.2.1/tcp/65536",
        "/ip4/192.0.2.1/tcp/-1",
        "/ip4/192.0.2.1/tcp/1/p2p/",
        "/ip4/192.0.2.1/tcp/1/p2p/a-b",
        "/ip4/192.0.2.1/tcp/1/ws/12D3",
        "/unix/x/tcp/1",
        "/ip4/192.0.2.1/tcp/1/p2p/" + "a" * 200,
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AddressInvalid):
        parse_address(text)


def book(**options: object) -> AddressBook:
    return AddressBook("me", Random(1), **options)  # type: ignore[arg-type]


def test_a_peer_that_answered_is_saved_and_loaded() -> None:
    saved: list[bytes] = []
    first = book(save=saved.append)
    address = parse_address("/ip4/192.0.2.1/tcp/1/p2p/a")
    first.on_answered("a", address, 5)
    first.learn("/ip4/192.0.2.2/tcp/1/p2p/b")
    second = book()
    second.load(saved[-1])
    assert [str(found) for found in second.candidates(9, (), 0)] == ["/ip4/192.0.2.1/tcp/1/p2p/a"]
    for damaged in (b"", b"{", b'{"a": 1}', b"[1, null]", b'["nonsense"]'):
        second.load(damaged)
    assert len(second) == 1


def test_a_stranger_that_never_answers_is_tried_less_and_then_forgotten() -> None:
    addresses = book()
    addresses.learn("/ip4/192.0.2.1/tcp/1/p2p/a")
    addresses.learn("/ip4/192.0.2.2/tcp/1/p2p/boot", trusted=True)
    now = 0
    for _ in range(MOST_FAILURES):
        assert addresses.candidates(2, ("boot",), now)
        addresses.on_failed("a", now)
        addresses.on_failed("boot", now)
        assert not addresses.candidates(2, ("boot",), now)
        now += 10**7
    assert [found.peer for found in addresses.candidates(9, (), now)] == ["boot"]


def test_one_owner_of_many_addresses_fills_only_a_part() -> None:
    addresses = book()
    for number in range(200):
        addresses.learn(f"/ip4/192.0.{number}.1/tcp/1/p2p/id{number}")
    assert len(addresses) == PER_GROUP
    addresses.on_answered("good", parse_address("/ip4/10.0.0.1/tcp/1/p2p/good"), 0)
    for number in range(3 * CAPACITY):
        addresses.learn(f"/ip4/{20 + number % 200}.{number // 200 % 250}.0.1/tcp/1/p2p/x{number}")
    assert len(addresses) == CAPACITY
    assert addresses.get("good") is not None


def test_one_subnet_of_the_internet_holds_few_places_and_a_private_one_many() -> None:
    addresses = book()
    for number in range(20):
        addresses.learn(f"/ip4/8.8.8.{number}/tcp/1/p2p/id{number}")
        addresses.learn(f"/ip4/10.0.0.{number}/tcp/1/p2p/home{number}")
    assert len(addresses) == PER_SUBNET + 20


def test_peers_are_chosen_from_different_subnets() -> None:
    addresses = book()
    for number in range(12):
        addresses.learn(f"/ip4/8.8.{number % 3}.{number}/tcp/1/p2p/id{number}")
    addresses.learn("/ip4/8.8.1.99/tcp/1/p2p/boot", trusted=True)
    chosen = addresses.candidates(10, (), 0, crowded=("8.8.2.0/24", ""))
    assert {"boot"} < {address.peer for address in chosen}
    assert sorted(address.subnet for address in chosen if address.peer != "boot") in (
        ["8.8.0.0/24"],
        ["8.8.0.0/24", "8.8.1.0/24"],
    )


def test_nobody_is_believed_or_told_about_addresses_that_only_mean_something_elsewhere() -> None:
    said = [
        "/ip4/127.0.0.1/tcp/22/p2p/here",
        "/ip4/10.0.0.1/tcp/22/p2p/home",
        "/ip4/8.8.8.8/tcp/22/p2p/world",
        "/dns/localhost/tcp/22/p2p/name",
        "nonsense",
    ]
    for teller, believed in (("9.9.9.9", 1), ("10.0.0.2", 2), ("127.0.0.1", 3)):
        addresses = book()
        addresses.learn_from(teller, said)
        assert len(addresses) == believed
        for peer in ("here", "home", "world"):
            addresses.on_answered(peer, None, 1)
        assert len(addresses.sample(9, reach_of(teller))) == believed
        assert len(addresses.sample(9, reach_of("9.9.9.9"))) == 1


def test_only_what_answered_in_this_run_is_told() -> None:
    addresses = book()
    addresses.load(b'["/ip4/8.8.8.8/tcp/1/p2p/a", "/ip4/8.8.4.4/tcp/1/p2p/b"]')
    addresses.learn("/ip4/9.9.9.9/tcp/1/p2p/stranger")
    assert addresses.sample(9) == []
    addresses.on_answered("a", None, 5)
    assert addresses.sample(9) == ["/ip4/8.8.8.8/tcp/1/p2p/a"]
    assert b"8.8.4.4" in addresses.dump()
    assert b"9.9.9.9" not in addresses.dump()


def test_a_peer_that_moved_is_known_at_its_new_address_but_a_boot_node_keeps_its_name() -> None:
    addresses = book()
    moved = parse_address("/ip4/10.0.0.9/tcp/7/p2p/a")
    addresses.learn("/ip4/10.0.0.1/tcp/1/p2p/a")
    addresses.on_seen("a", moved)
    assert addresses.get("a") == moved
    addresses.learn("/dns/boot.example/tcp/1/p2p/boot", trusted=True)
    addresses.on_seen("boot", parse_address("/ip4/10.0.0.9/tcp/7/p2p/boot"))
    assert str(addresses.get("boot")) == "/dns/boot.example/tcp/1/p2p/boot"


def test_who_only_dials_in_is_told_of_but_neither_kept_nor_able_to_push_out_who_answered() -> None:
    saved: list[bytes] = []
    addresses = book(save=saved.append)
    friend = parse_address("/ip4/9.9.9.9/tcp/1/p2p/friend")
    addresses.on_answered("friend", friend, 1)
    for number in range(3 * CAPACITY):
        where = parse_address(f"/ip4/{20 + number % 200}.{number // 200}.0.1/tcp/1/p2p/x{number}")
        addresses.on_seen(where.peer, where)
    assert len(addresses) == CAPACITY
    assert len(saved) == 1
    assert addresses.get("friend") == friend
    assert any("/p2p/x" in told for told in addresses.sample(100))
    assert addresses.learn("/ip4/10.0.0.1/tcp/1/p2p/newcomer")
    addresses.on_seen("friend", parse_address("/ip4/10.0.0.9/tcp/7/p2p/friend"))
    assert addresses.get("friend") == friend
    addresses.on_seen("me", parse_address("/ip4/10.0.0.9/tcp/7/p2p/me"))
    assert addresses.get("me") is None


def test_a_book_full_of_lost_peers_takes_new_ones() -> None:
    addresses = book()
    for number in range(CAPACITY):
        where = parse_address(f"/ip4/{20 + number % 200}.{number // 200}.0.1/tcp/1/p2p/x{number}")
        addresses.on_answered(where.peer, where, 0)
    assert not addresses.learn("/ip4/10.0.0.1/tcp/1/p2p/new")
    for _ in range(MOST_FAILURES):
        addresses.on_failed("x7", 0)
    assert addresses.learn("/ip4/10.0.0.1/tcp/1/p2p/new")
    assert addresses.get("x7") is None


def test_addresses_of_this_node_or_of_nobody_are_not_kept() -> None:
    addresses = book()
    for text in ("/ip4/192.0.2.1/tcp/1/p2p/me", "/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.1/tcp/0/p2p/a", "nonsense"):
        assert not addresses.learn(text)
    with pytest.raises(AddressInvalid):
        addresses.learn("nonsense", trusted=True)


# Places.


def test_the_oldest_handshake_makes_room() -> None:
    places = Places(Limits(pending_handshakes=3, pending_per_address=2, connections_per_address=2))
    first, second, third = (places.admit(host) for host in ("10.0.0.1", "10.0.0.2", "10.0.0.3"))
    assert first is not None
    assert second is not None
    assert third is not None
    places.admit("10.0.0.4")
    assert first.scope.cancel_called
    assert places.admit("10.0.0.2") is not None
    assert places.admit("10.0.0.2") is not None
    assert second.scope.cancel_called
    assert len(places) == 3


def test_one_subnet_of_the_internet_takes_only_some_places() -> None:
    places = Places(Limits(connections_per_subnet=3, inbound_connections=100, pending_handshakes=100))
    taken = [places.admit(f"8.8.8.{number}") for number in range(5)]
    assert [place is not None for place in taken] == [True] * 3 + [False] * 2
    assert places.admit("8.8.9.1") is not None
    assert all(places.admit(f"10.0.0.{number}") for number in range(5))


def test_finished_handshakes_keep_their_places() -> None:
    places = Places(Limits(inbound_connections=3, connections_per_address=2))
    here = [places.admit("10.0.0.1"), places.admit("10.0.0.1")]
    for place in here:
        assert place is not None
        assert places.on_connected(place)
    assert places.admit("10.0.0.1") is None
    other, late = places.admit("10.0.0.2"), places.admit("10.0.0.3")
    assert other is not None
    assert late is not None
    assert places.on_connected(other)
    assert not places.on_connected(late)
    places.release(late)
    assert places.admit("10.0.0.4") is None
    places.release(other)
    places.release(other)
    assert places.admit("10.0.0.4") is not None


# Inbox.


def message(number: int, topic: str = "blocks", source: str = "a", size: int = 1) -> Incoming:
    return Incoming(number.to_bytes(20, "big"), topic, bytes(size), source)


@pytest.mark.trio
async def test_peers_come_first_then_topics_by_precedence() -> None:
    inbox = Inbox(("votes", "blocks"), Limits())
    block, vote, peer = message(1), message(2, "votes"), PeerConnected(Peer("a", "", True))
    inbox.put(block, 0.0)
    inbox.put(vote, 0.0)
    inbox.put_peer(peer)
    assert [await inbox.get() for _ in range(3)] == [peer, vote, block]


@pytest.mark.trio
async def test_a_connection_that_nobody_saw_end_is_not_told_of() -> None:
    inbox = Inbox((), Limits())
    connected, ended = PeerConnected(Peer("a", "", True)), PeerDisconnected("a")
    inbox.put_peer(connected)
    inbox.put_peer(ended)
    inbox.put_peer(connected)
    assert await inbox.get() == connected
    for _ in range(100):
        inbox.put_peer(ended)
        inbox.put_peer(connected)
    assert await inbox.get() == ended
    assert await inbox.get() == connected
    with trio.move_on_after(0) as scope:
        await inbox.get()
    assert scope.cancelled_caught


def test_a_flood_is_dropped_by_number_bytes_and_sender() -> None:
    inbox = Inbox(("votes", "blocks"), Limits(inbox_messages=10, inbox_bytes=1000, inbox_per_peer=4))
    assert [inbox.put(message(number), 0.0) for number in range(5)] == [True] * 4 + [False]
    assert [inbox.put(message(10 + number, source="b", size=400), 0.0) for number in range(4)] == [True] * 2 + [
        False
    ] * 2
    assert inbox.put(message(20, "votes", source="c", size=900), 0.0)
    assert inbox.dropped["blocks"] == 3
    assert inbox.judged(message(0).id)
    assert not inbox.judged(message(0).id)
    assert inbox.put(message(30), 0.0)


@pytest.mark.trio
async def test_a_message_without_a_verdict_is_overdue() -> None:
    inbox = Inbox(("blocks",), Limits(verdict_seconds=5.0))
    inbox.put(message(1), 0.0)
    inbox.put(message(2), 3.0)
    assert inbox.overdue(4.9) == []
    assert inbox.overdue(5.0) == [message(1).id]
    inbox.judged(message(1).id)
    assert (await inbox.get()) == message(2), "what was judged while it waited is not handed out"
