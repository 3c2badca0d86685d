"""The genesis file: what it makes, and what it may not say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runtime import merkle
from runtime.crypto import to_ss58
from runtime.genesis import GenesisError, build_genesis, build_parameters, canonical_json, parse_genesis
from runtime.pallets import balances, system
from runtime.parameters import DEV
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


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "5", '{"id": "dev"}'])
def test_a_file_of_another_shape_is_refused(text: str) -> None:
    with pytest.raises(GenesisError):
        parse_genesis(text)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("balances", {"not an address": "1000000000"}),
        ("balances", {to_ss58(bytes(32)): "5"}),
        ("balances", {to_ss58(bytes(32)): "-5"}),
        ("balances", {to_ss58(bytes(32)): 10**9}),
        ("balances", {to_ss58(bytes(32)): "1_000_000_000"}),
        ("balances", {to_ss58(bytes(32)): str(2**63)}),
        ("balances", []),
        ("authorities", ["//Alice"]),
        ("authorities", []),
        ("authorities", 5),
        ("parameters", []),
        ("parameters", {"block": 5}),
        ("preset", 5),
        ("id", 5),
        ("id", ""),
    ],
)
def test_fields_that_make_no_chain_are_refused(config: dict[str, Any], field: str, value: Any) -> None:
    with pytest.raises(GenesisError):
        build_genesis(parse_genesis(json.dumps({**config, field: value})))
