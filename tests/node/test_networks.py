"""What a node needs to be one of a network: genesis, node key, session key, and the files that ``testnet`` writes."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import click
import pytest

from cli.chains import load_chain
from cli.node import ask_password
from cli.testnet import Member, arguments_of, describe, write_network
from node.keystore import Keystore, KeystoreError, development_signer
from node.networks import LOCAL_VALIDATORS, development_session, load_node_key, load_peers, local_genesis, save_peers
from node.session_keys import MAX_KEYS, RotationRefused, SessionKeys, open_session_keys
from runtime.crypto import WrongPassword, to_ss58
from runtime.genesis import build_genesis, canonical_json, parse_genesis
from runtime.pallets import session
from tests.support.node import solvent


def test_the_local_network_has_four_validators_whose_keys_everybody_knows() -> None:
    members = session.authorities_of(session.MEMBERS.get(build_genesis(local_genesis())))
    assert {member.key for member in members} == {development_session(name).public for name in LOCAL_VALIDATORS}
    assert parse_genesis(canonical_json(local_genesis())) == local_genesis()


def test_a_node_key_is_made_once_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    key = load_node_key(tmp_path / "network")
    assert len(key) == 32
    assert load_node_key(tmp_path / "network") == key
    assert stat.S_IMODE((tmp_path / "network" / "node_key").stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "zz", "00" * 31])
def test_a_damaged_node_key_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "node_key").write_text(text)
    with pytest.raises(KeystoreError, match="node_key"):
        load_node_key(tmp_path)


def test_the_address_book_outlives_a_restart(tmp_path: Path) -> None:
    assert load_peers(tmp_path) == b"[]"
    save_peers(tmp_path, b'["there"]')
    assert load_peers(tmp_path) == b'["there"]'


def test_a_validator_uses_all_keys_of_its_keystore_that_its_password_opens(tmp_path: Path) -> None:
    password, other, folder = tmp_path / "password", tmp_path / "other", tmp_path / "keystore"
    password.write_text("secret\n")
    other.write_text("wrong\n")
    assert open_session_keys(folder, None, password, ask_password).signers == []
    keystore = Keystore(folder, operations=1, memory_bytes=8192)
    first = keystore.insert(bytes(32), "secret")
    keystore.insert(b"\x01" * 32, "secret")
    keystore.insert(b"\x02" * 32, "another")
    seeds = {signer.seed for signer in open_session_keys(folder, None, password, ask_password).signers}
    assert seeds == {bytes(32), b"\x01" * 32}
    [named] = open_session_keys(folder, first, password, ask_password).signers
    assert named.seed == bytes(32)
    with pytest.raises(WrongPassword, match="none of the 3 keys"):
        open_session_keys(folder, None, other, ask_password)


def test_a_new_session_key_is_in_the_keystore_before_it_is_used(tmp_path: Path) -> None:
    keys = SessionKeys([], Keystore(tmp_path, operations=1, memory_bytes=8192), "secret")
    made = keys.generate()
    assert Keystore(tmp_path).open(to_ss58(made.public), "secret") == made
    assert keys.signers == [made]
    for _ in range(MAX_KEYS - 1):
        keys.generate()
    with pytest.raises(RotationRefused, match="remove the files"):
        keys.generate()
    with pytest.raises(RotationRefused, match="named when it was started"):
        SessionKeys([made]).generate()


def test_a_chain_is_a_file_or_local(tmp_path: Path) -> None:
    assert load_chain("local") == local_genesis()
    (tmp_path / "genesis.json").write_text(canonical_json(local_genesis()))
    assert load_chain(str(tmp_path / "genesis.json")) == local_genesis()
    with pytest.raises(click.BadParameter, match="local"):
        load_chain("nowhere")


def test_nodes_on_one_machine_have_metrics_and_connections_of_their_own(tmp_path: Path) -> None:
    few = [Member(f"n{number}", number, number, "peer", metrics_port=9615 + number) for number in range(3)]
    told = [arguments_of(tmp_path, member, few) for member in few]
    assert [one[one.index("--prometheus-port") + 1] for one in told] == ["9615", "9616", "9617"]
    assert not any("--connections-per-address" in one for one in told)
    many = few * 6
    told = [arguments_of(tmp_path, replace(member, metrics_port=None), many) for member in many]
    assert all("--no-prometheus" in one and "--connections-per-address 36" in " ".join(one) for one in told)


def test_the_files_of_a_new_network_fit_together(tmp_path: Path) -> None:
    members = write_network(tmp_path, [(30334, 9945), (30335, 9946), (30333, 9944)])
    assert [member.name for member in members] == ["validator-1", "validator-2", "rpc"]
    genesis = parse_genesis((tmp_path / "genesis.json").read_bytes())
    keys = {member.key for member in session.authorities_of(session.MEMBERS.get(build_genesis(genesis)))}
    signers = {
        open_session_keys(tmp_path / member.name / "keystore", None, tmp_path / member.name / "password", ask_password)
        .signers[0]
        .public
        for member in members[:2]
    }
    assert signers == keys
    arguments = arguments_of(tmp_path, members[0], members)
    assert arguments.count("--bootnodes") == 1
    assert members[1].address in arguments
    assert "--validator" not in arguments_of(tmp_path, members[2], members)


def test_every_built_in_chain_can_be_printed_and_read_back(tmp_path: Path) -> None:
    for name in ("testnet", "local"):
        plain, raw = solvent("build-spec", "--chain", name), solvent("build-spec", "--chain", name, "--raw")
        assert plain.stderr == raw.stderr, plain.stderr + raw.stderr
        assert plain.stderr.startswith("Genesis 0x")
        (tmp_path / "genesis.json").write_text(raw.stdout)
        assert build_genesis(load_chain(str(tmp_path / "genesis.json"))).changes() == (
            build_genesis(parse_genesis(plain.stdout)).changes()
        )


def test_a_founder_fills_in_a_template(tmp_path: Path) -> None:
    template = solvent("build-spec", "--chain", "mainnet")
    assert "template" in template.stderr
    refused = solvent("node", "--chain", "mainnet", "--tmp")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "build-spec --chain mainnet" in refused.stderr
    genesis = json.loads(template.stdout)
    assert genesis["parameters"]["consensus"]["epoch_slots"] == 150
    path = tmp_path / "genesis.json"
    alice, key = to_ss58(development_signer("Alice").public), to_ss58(development_session("Alice").public)
    genesis["authorities"] = [{"account": alice, "session_key": key, "stake": str(10**13)}]
    path.write_text(json.dumps(genesis))
    poor = solvent("build-spec", "--chain", str(path))
    assert (poor.returncode, "more than it has" in poor.stderr) == (1, True), poor.stderr
    genesis["balances"] = {alice: str(2 * 10**13)}
    path.write_text(json.dumps(genesis))
    assert solvent("build-spec", "--chain", str(path)).stderr.startswith("Genesis 0x")
    genesis["parameters"]["consensus"]["epoch_slots"] = "150"
    path.write_text(json.dumps(genesis))
    assert "parameters.consensus.epoch_slots: '150'" in solvent("node", "--chain", str(path), "--tmp").stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("node",), 2, "--chain"),
        (("node", "--dev", "--bob"), 2, "one author"),
        (("node", "--dev", "--chain", "local"), 2, "leave out --chain"),
        (("node", "--chain", "nowhere"), 2, "neither a genesis file"),
        (("dev", "--chain", "testnet", "--tmp"), 1, "solvent node"),
        (("build-spec", "--chain", "canary", "--raw"), 1, "template"),
    ],
)
def test_a_chain_that_cannot_be_run_this_way_is_refused(arguments: tuple[str, ...], code: int, message: str) -> None:
    done = solvent(*arguments)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


def test_one_password_can_open_all_keys_of_a_new_network(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("one for all\n")
    done = solvent("testnet", "2", "--out", str(tmp_path / "net"), "--keystore-password-file", str(password))
    assert done.returncode == 0, done.stderr
    for name in ("validator-1", "validator-2"):
        assert not (tmp_path / "net" / name / "password").exists()
        assert open_session_keys(tmp_path / "net" / name / "keystore", None, password, ask_password).signers
    commands = (tmp_path / "net" / "commands.sh").read_text()
    assert commands.count(f"--password-file {password}") == 2
    password.write_text("")
    refused = solvent("testnet", "1", "--out", str(tmp_path / "other"), "--keystore-password-file", str(password))
    assert (refused.returncode, "one line, the password" in refused.stderr) == (1, True)
    assert not (tmp_path / "other").exists()


def test_status_tells_who_does_not_answer() -> None:
    assert describe({}) == "no node answers"


def test_wrong_usage_says_what_to_do(tmp_path: Path) -> None:
    full = solvent("testnet", "1", "--out", str(tmp_path / "here"))
    assert full.returncode == 0, full.stderr
    assert json.loads((tmp_path / "here" / "genesis.json").read_text())["preset"] == "testnet"
    again = solvent("testnet", "1", "--out", str(tmp_path / "here"))
    assert (again.returncode, "not empty" in again.stderr) == (1, True)
    assert "--out" in solvent("testnet", "1").stderr
    chain = str(tmp_path / "here" / "genesis.json")
    assert "--chain local or testnet only" in solvent("node", "--chain", chain, "--alice").stderr
