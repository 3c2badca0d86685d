"""The genesis file: what it makes, and what it may not say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runtime import merkle
from runtime.crypto import to_ss58
from runtime.errors import SolventError
from runtime.genesis import (
    GenesisError,
    NoAuthorities,
    build_genesis,
    build_parameters,
    canonical_json,
    expand_parameters,
    parse_genesis,
    raw_genesis,
)
from runtime.pallets import balances, system
from runtime.parameters import DEV, PRESETS
from runtime.state import MemoryBackend, State
from tests.support.chain import GENESIS_FILE, TestChain, account


@pytest.fixture
def config() -> dict[str, Any]:
    return parse_genesis(GENESIS_FILE.read_text())


def test_the_committed_file_is_canonical_and_names_the_development_accounts(config: dict[str, Any]) -> None:
    assert canonical_json(config) == Path(GENESIS_FILE).read_text()
    state = build_genesis(config)
    assert system.CHAIN_ID.get(state) == "dev"
    assert system.parameters(state) == DEV
    assert system.AUTHORITIES.get(state) == (account("//Alice"),)
    for name in ("Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie"):
        assert balances.free(state, account(f"//{name}")) == 10**15


def test_the_same_file_makes_the_same_state_and_any_change_another(config: dict[str, Any]) -> None:
    def root(changed: dict[str, Any]) -> bytes:
        return merkle.update(lambda path: None, build_genesis(changed).changes()).root

    same = root(dict(reversed(config.items())))
    assert same == root(config)
    others = [
        {**config, "id": "other"},
        {**config, "authorities": [to_ss58(account("//Bob"))]},
        {**config, "balances": {**config["balances"], to_ss58(account("//Zoe")): "1000000"}},
        {**config, "parameters": {"block": {"hash_count": 9}}},
    ]
    assert len({same, *(root(other) for other in others)}) == 5


def test_parameters_are_overridden_field_by_field() -> None:
    changed = build_parameters("dev", {"block": {"hash_count": 9}, "fees": {"base": 1}})
    assert (changed.block.hash_count, changed.fees.base) == (9, 1)
    assert changed.block.weight_limit == DEV.block.weight_limit
    assert system.parameters(TestChain(parameters={"fees": {"base": 1}}).state).fees.base == 1


@pytest.mark.parametrize(
    "overrides",
    [
        {"nothing": {}},
        {"preset": {}},
        {"block": {"unknown": 1}},
        {"block": {"hash_count": -1}},
        {"block": {"hash_count": 1.5}},
        {"block": {"hash_count": "1"}},
        {"block": {"hash_count": 2**70}},
        {"block": {"hash_count": None}},
        {"block": 5},
    ],
)
def test_parameters_that_make_no_sense_are_refused(overrides: dict[str, Any]) -> None:
    with pytest.raises(GenesisError):
        build_parameters("dev", overrides)


def test_a_preset_that_does_not_exist_is_refused() -> None:
    with pytest.raises(GenesisError, match="dev"):
        build_parameters("moonbase", {})


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "5", '{"id": "dev"}', '{"id": "dev", "id": "other"}'])
def test_a_file_of_another_shape_is_refused(text: str) -> None:
    with pytest.raises(GenesisError):
        parse_genesis(text)


ZERO = to_ss58(bytes(32))
AUTHORITY = {"account": ZERO, "session_key": ZERO, "stake": "1"}


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("balances", {"not an address": "1000000000"}, "balances.not an address: "),
        ("balances", {ZERO: "5"}, "balances: "),
        ("balances", {ZERO: "-5"}, f"balances.{ZERO}: "),
        ("balances", {ZERO: 10**9}, f"balances.{ZERO}: "),
        ("balances", {ZERO: "1_000_000_000"}, f"balances.{ZERO}: "),
        ("balances", {ZERO: "١٢"}, f"balances.{ZERO}: "),
        ("balances", {ZERO: str(2**63)}, f"balances.{ZERO}: "),
        ("balances", {ZERO: "9" * 50_000}, f"balances.{ZERO}: "),
        ("balances", [], "balances: "),
        ("authorities", ["//Alice"], "authorities[0]: "),
        ("authorities", [AUTHORITY], "authorities[0]: "),
        ("authorities", [], "authorities: "),
        ("authorities", 5, "authorities: "),
        ("parameters", [], "parameters: "),
        ("parameters", {"block": 5}, "parameters.block: "),
        ("parameters", {"nothing": {}}, "parameters.nothing: "),
        ("parameters", {"block": {"hash_count": -1}}, "parameters.block.hash_count: "),
        ("parameters", {"fees": {"unknown": 1}}, "parameters.fees.unknown: "),
        ("preset", 5, "preset: "),
        ("preset", "moonbase", "preset: "),
        ("id", 5, "id: "),
        ("id", "", "id: "),
        ("id", "../../etc", "id: "),
        ("name", "", "name: "),
        ("name", "\x1b[31m", "name: "),
        ("surprise", 1, "unknown fields: surprise"),
    ],
)
def test_a_field_that_makes_no_chain_is_refused_by_name(
    config: dict[str, Any], field: str, value: Any, named: str
) -> None:
    with pytest.raises(GenesisError) as caught:
        build_genesis(parse_genesis(json.dumps({**config, field: value})))
    assert named in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"account": "nobody"}, "authorities[1].account: "),
        ({"session_key": 5}, "authorities[1].session_key: "),
        ({"stake": 1000}, "authorities[1].stake: "),
        ({"extra": ""}, "authorities[1]: "),
    ],
)
def test_a_wrong_authority_of_a_network_is_named(config: dict[str, Any], change: dict[str, Any], named: str) -> None:
    config.update(preset="testnet", authorities=[AUTHORITY, {**AUTHORITY, **change}])
    with pytest.raises(GenesisError) as caught:
        parse_genesis(json.dumps(config))
    assert str(caught.value).startswith(named)


def test_a_missing_field_is_named(config: dict[str, Any]) -> None:
    del config["preset"]
    with pytest.raises(GenesisError, match="lacks fields: preset"):
        parse_genesis(json.dumps(config))


def test_a_template_is_read_as_one_but_makes_no_chain(config: dict[str, Any]) -> None:
    text = json.dumps({**config, "preset": "mainnet", "authorities": []})
    assert parse_genesis(text, template=True)["authorities"] == []
    with pytest.raises(NoAuthorities, match="template"):
        parse_genesis(text)


def test_spelling_every_parameter_out_changes_nothing(config: dict[str, Any]) -> None:
    spelled = {**config, "parameters": expand_parameters(build_parameters("dev", {}))}
    assert build_genesis(parse_genesis(json.dumps(spelled))).changes() == build_genesis(config).changes()


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_keep_their_promises(preset: str) -> None:
    parameters = PRESETS[preset]
    consensus, market = parameters.consensus, parameters.market
    slots = {"dev": 10, "testnet": 30, "canary": 150, "mainnet": 150}
    assert parameters.preset == preset
    assert (consensus.epoch_slots, consensus.era_sessions, consensus.unbonding_eras) == (slots[preset], 6, 28)
    assert parameters.block.slot_milliseconds == (1_000 if preset == "dev" else 2_000)
    assert parameters.block.instant_finality == (preset == "dev")
    assert 2 * parameters.block.weight_limit <= parameters.block.slot_milliseconds * 1_000_000
    assert market.unbonding_blocks > market.challenge_blocks + market.verdict_blocks + market.dispute_opening_blocks


def test_a_raw_file_makes_the_same_chain(config: dict[str, Any]) -> None:
    raw = parse_genesis(canonical_json(raw_genesis(config)))
    assert build_genesis(raw).changes() == build_genesis(config).changes()
    assert raw_genesis(raw) == raw


def test_a_raw_file_that_was_changed_is_refused(config: dict[str, Any]) -> None:
    raw = raw_genesis(config)
    state = dict(raw["raw"]["state"])
    key, value = next(iter(state.items()))
    for changed in ({**state, key: "0x00"}, {**state, "0x00": "0x00"}, {k: v for k, v in state.items() if k != key}):
        with pytest.raises(GenesisError, match=r"raw\.state: its root is"):
            build_genesis({**raw, "raw": {**raw["raw"], "state": changed}})
    with pytest.raises(GenesisError, match=r"raw\.state.*not hex"):
        parse_genesis(json.dumps({**raw, "raw": {**raw["raw"], "state": {key: "xyz"}}}))
    with pytest.raises(GenesisError, match=r"raw\.root"):
        parse_genesis(json.dumps({**raw, "raw": {**raw["raw"], "root": value}}))
    with pytest.raises(GenesisError, match="id: the state in raw is of the chain 'dev'"):
        build_genesis({**raw, "id": "other"})


def test_raw_state_that_breaks_an_invariant_is_refused(config: dict[str, Any]) -> None:
    """A root computed anew does not help: total issuance is still what the balances add up to."""
    state = State(MemoryBackend({k: v for k, v in build_genesis(config).changes().items() if v is not None}))
    balances.ISSUANCE.put(state, 5)
    entries = {**build_genesis(config).changes(), **state.changes()}
    forged = raw_genesis(config)
    forged["raw"] = {
        "root": merkle.update(lambda path: None, entries).root.hex(),
        "state": {key.hex(): (value or b"").hex() for key, value in entries.items()},
    }
    with pytest.raises(SolventError, match="issu"):
        build_genesis(parse_genesis(json.dumps(forged)))
