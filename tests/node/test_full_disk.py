"""A disk that fills up under a real node: it stops and says so, and goes on with everything final once there is room.

Where this user may not mount a small file system, a limit on the size of files stands in for one: LevelDB sees the same
failed write.
"""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from cli.demo_processes import Family
from runtime.crypto import derive_seed
from runtime.pallets import system
from solvent.blobs import BlobFailed
from solvent.client import Client, ClientError
from tests.support.disk import SmallDisk, small_disk
from tests.support.network import Network
from tests.support.node import dev_process

ALICE = derive_seed("//Alice")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk | None]:
    with small_disk(tmp_path / "small") as disk:
        yield disk


def limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024, 256 * 1024))


def grow(client: Client, blocks: int) -> dict[int, bytes]:
    """Final blocks by height, once there are that many more."""
    seen: dict[int, bytes] = {}
    start = client.finalized_number()
    while client.finalized_number() < start + blocks:
        client.submit_and_wait(ALICE, "system", system.Remark(b"x" * 1000))
        number = client.finalized_number()
        seen[number] = client.block_hash(number)
    return seen


def write_for_ever(client: Client) -> None:
    while True:
        client.submit_and_wait(ALICE, "system", system.Remark(b"x" * 50_000))


def rest_of(process: Popen[str]) -> str:
    """What a process says until it ends by itself."""
    assert process.stdout is not None
    rest = process.stdout.read()
    process.wait()
    return rest


def test_a_full_disk_stops_the_node_and_loses_nothing_final(tmp_path: Path, disk: SmallDisk | None) -> None:
    base = tmp_path / "small" / "data"
    limit: Callable[[], None] | None = limit_files if disk is None else None
    with dev_process("--base-path", str(base), "--quiet", preexec_fn=limit) as (process, url):
        with Client(url, patience=0.0) as client:
            seen = grow(client, 3)
            if disk is not None:
                disk.fill()
            with pytest.raises(ClientError):
                write_for_ever(client)
        rest = rest_of(process)
    assert process.returncode == 1, rest
    assert f"no room left on the disk of {base / 'db'}; free some space and start again" in rest
    assert "Traceback" not in rest
    if disk is not None:
        with pytest.raises(AssertionError, match="no room left on the disk"), dev_process("--base-path", str(base)):
            pass
        disk.free()
    with dev_process("--base-path", str(base), "--quiet") as (_, url), Client(url) as client:
        assert {number: client.block_hash(number) for number in seen} == seen
        assert len(grow(client, 2)) >= 1


@pytest.mark.slow
def test_a_full_disk_stops_a_validator_and_loses_nothing_final(tmp_path: Path, disk: SmallDisk | None) -> None:
    if disk is None:
        pytest.skip("only a user who may mount file systems can fill one up")
    with Family(tmp_path / "logs") as family, contextlib.closing(Network(disk.path, 1, family)) as network:
        member, client = network.members[0], network.clients[0]
        network.start(member)
        network.until(lambda: client.finalized_number() >= 2, "two blocks are final")
        number = client.finalized_number()
        seen = client.block_hash(number)
        disk.fill()
        child = family.children.pop(member.name)
        child.process.wait(60)
        said = child.log.read_text()
        assert child.process.returncode == 1, said
        assert "no room left on the disk of" in said
        assert "Traceback" not in said, said
        disk.free()
        network.start(member)
        network.until(lambda: client.finalized_number() >= number + 1, "it goes on")
        assert client.block_hash(number) == seen


def test_a_full_disk_refuses_a_blob_and_the_node_goes_on(tmp_path: Path) -> None:
    base = tmp_path / "data"
    data = bytes(range(256)) * 4096
    with small_disk(base / "blobs", 4) as disk:
        if disk is None:
            pytest.skip("only a user who may mount file systems can fill one up")
        with dev_process("--base-path", str(base), "--quiet") as (process, url), Client(url) as client:
            first = client.put_blob(data[:1000], ALICE)
            disk.fill()
            with pytest.raises(BlobFailed, match=r"cannot be .*No space left on device"):
                client.put_blob(data, ALICE)
            assert client.get_blob(first) == data[:1000]
            assert client.submit_and_wait(ALICE, "system", system.Remark(b"still here")).ok
            disk.free()
            assert client.get_blob(client.put_blob(data, ALICE)) == data
            process.terminate()
            rest = rest_of(process)
            assert "Traceback" not in rest, rest
