"""Where several validators take turns, a block's author is shown by its account, and found by its session key."""

from __future__ import annotations

from pathlib import Path

from runtime.block import slot_of
from runtime.crypto import to_ss58
from runtime.pallets import session
from tests.rpc.view import View, ask
from tests.support.chain import account
from tests.support.validators import NAMES, Authorities, session_signer


def test_an_author_is_an_account_and_a_session_key_leads_to_it(tmp_path: Path) -> None:
    with Authorities(tmp_path / "db") as network:
        layers = network.grow(3)
        view = View(network, tmp_path)
        shown = ask(view, "explorer_blocks")["result"]["items"]
        for layer, block in zip(reversed(layers), shown, strict=False):
            key = slot_of(layer.header.digest).author
            assert block["author"] == to_ss58(session.KEY_OWNERS.get(network.ledger.state(), key))
        for name in NAMES:
            address, key = to_ss58(account(f"//{name}")), to_ss58(session_signer(name).public)
            found = ask(view, "explorer_search", key)["result"]
            assert [match["id"] for match in found] == [address, key]
        assert len(ask(view, "explorer_validators")["result"]["validators"]) == len(NAMES)
        view.indexes.close()
