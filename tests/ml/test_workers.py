"""What a worker does when its surroundings misbehave: no node, wrong blobs, damaged files, greedy tasks."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path

import pytest

from ml.artifacts import ArtifactError, encode_tensors
from ml.workers.journal import Journal
from ml.workers.materials import fetch_inputs
from ml.workers.session import CallFailed, FolderInUse, Session, claim_folder, run
from runtime.codec import replace
from runtime.commitments import tensor_root
from runtime.errors import ProgramError
from runtime.pallets import tasks
from solvent.client import NodeUnreachable
from tests.scenarios.market import AtOnce, DirectChain
from tests.scenarios.tiny import tiny_task
from tests.support.chain import seed


class Script:
    """A worker whose turns are scripted: an exception is raised, anything else is "nothing to do"."""

    def __init__(self, *turns: Exception | None) -> None:
        self.turns = list(turns)
        self.journal = Journal("script", as_json=True, stream=io.StringIO())
        self.session = Session(
            DirectChain(), seed("//Solver1"), Path(), self.journal, AtOnce(), stopped=lambda: not self.turns
        )

    def turn(self) -> bool:
        error = self.turns.pop(0)
        if error is not None:
            raise error
        return False

    def leave(self) -> None:
        """Nothing to do."""


def test_a_worker_outlives_a_node_that_comes_back() -> None:
    worker = Script(NodeUnreachable("gone"), NodeUnreachable("gone"), None)
    run(worker)
    assert worker.journal.names() == ["node_away", "node_back"]


def test_a_worker_gives_up_on_a_node_that_stays_away_longer_than_it_was_told_to_wait() -> None:
    with pytest.raises(NodeUnreachable):
        run(Script(*[NodeUnreachable("gone")] * 3), patience=-1.0)


def test_without_such_a_limit_a_worker_waits_longer_and_longer_and_says_so_once() -> None:
    worker = Script(*[NodeUnreachable("gone")] * 40, None)
    rests: list[float] = []
    object.__setattr__(worker.session, "jobs", Resting(rests))
    run(worker)
    assert worker.journal.names() == ["node_away", "node_back"]
    assert rests[:4] == [1.0, 1.0, 1.0, 1.0], "pauses of 1, 2 and more seconds, taken a second at a time"
    assert 30 * 35 < sum(rests) < 30 * 40


class Resting(AtOnce):
    """Notes how long the worker rests, and returns at once."""

    def __init__(self, rests: list[float]) -> None:
        self.rests = rests

    def rest(self, seconds: float) -> None:
        self.rests.append(seconds)


def test_a_second_worker_with_the_same_key_is_kept_out_until_the_first_ends(tmp_path: Path) -> None:
    mine = pytest.raises(FolderInUse, match=f"process {os.getpid()},")
    with claim_folder(tmp_path), mine, claim_folder(tmp_path):
        pass
    with claim_folder(tmp_path):
        pass


def test_a_refused_call_is_logged_once_and_the_worker_goes_on() -> None:
    worker = Script(CallFailed("no"), CallFailed("no"), CallFailed("other"), ProgramError("odd"), None)
    run(worker)
    errors = [fields["error"] for _, fields in worker.journal.recent]
    assert errors == ["CallFailed: no", "CallFailed: other", "ProgramError: odd"]


def test_a_refused_call_raises_with_the_chains_reason() -> None:
    session = Script().session
    with pytest.raises(CallFailed, match="UnknownTask"):
        session.call("tasks", tasks.Accept(bytes(32)))


def test_events_are_json_lines_for_programs_and_short_lines_for_people() -> None:
    streams = io.StringIO(), io.StringIO()
    for stream, as_json in zip(streams, (True, False), strict=True):
        Journal("solver", as_json, stream).event("checkpoint", step=3, loss=0.25, root="ab" * 32)
    event = json.loads(streams[0].getvalue())
    assert (event["event"], event["step"], event["loss"], event["root"]) == ("checkpoint", 3, 0.25, "ab" * 32)
    assert (event["level"], event["logger"], event["message"]) == ("info", "solvent.worker.solver", "checkpoint")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["time"])
    assert "step=3  loss=0.25  root=abababababab…" in streams[1].getvalue()


def chain_with_blobs() -> DirectChain:
    chain = DirectChain()
    for blob in (tiny_task().data_blob, tiny_task().scalars_blob):
        chain.put_blob(blob, b"")
    return chain


def test_inputs_are_fetched_checked_and_cached(tmp_path: Path) -> None:
    chain, spec = chain_with_blobs(), tiny_task().spec
    first = fetch_inputs(chain, spec, tmp_path)
    chain.blobs.clear()
    second = fetch_inputs(chain, spec, tmp_path)
    assert first.fields["pixels"].tobytes() == second.fields["pixels"].tobytes()
    assert first.scalars.tobytes() == tiny_task().scalars_blob


def test_a_damaged_cache_is_fetched_again(tmp_path: Path) -> None:
    chain, spec = chain_with_blobs(), tiny_task().spec
    fetch_inputs(chain, spec, tmp_path)
    (tmp_path / spec.data_blob.hex()).write_bytes(b"torn")
    assert fetch_inputs(chain, spec, tmp_path).fields["label"].shape == (160,)


def test_data_that_differ_from_the_specs_root_are_refused(tmp_path: Path) -> None:
    chain, tiny = chain_with_blobs(), tiny_task()
    fields = dict(tiny.inputs.fields)
    fields["label"] = fields["label"] + 1
    blob = chain.put_blob(encode_tensors(fields), b"")
    with pytest.raises(ArtifactError, match="samples of root"):
        fetch_inputs(chain, replace(tiny.spec, data_blob=blob), tmp_path)


def test_a_pickle_in_place_of_data_is_refused(tmp_path: Path) -> None:
    chain = chain_with_blobs()
    blob = chain.put_blob(b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.", b"")
    with pytest.raises(ArtifactError, match="not a safetensors file"):
        fetch_inputs(chain, replace(tiny_task().spec, data_blob=blob), tmp_path)


def test_a_wrong_table_of_scalars_is_refused(tmp_path: Path) -> None:
    chain, tiny = chain_with_blobs(), tiny_task()
    table = bytes(len(tiny.scalars_blob))
    blob = chain.put_blob(table, b"")
    assert tensor_root(table) == blob
    with pytest.raises(ArtifactError, match="scalars"):
        fetch_inputs(chain, replace(tiny.spec, scalars_blob=blob), tmp_path)


def test_a_loss_that_is_no_number_is_json_all_the_same() -> None:
    stream = io.StringIO()
    Journal("solver", True, stream).warn("progress", loss=float("nan"))
    event = json.loads(stream.getvalue(), parse_constant=pytest.fail)
    assert (event["level"], event["loss"]) == ("warning", "nan")
