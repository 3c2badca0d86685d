"""Plain proof-of-learning accepts what it should not; exact replay finds every invented checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

import bench.detection
from bench import spoofs
from bench.learning_proofs import Proof, Segment, calibrate, draw_weights, looks_fresh, prove, verify
from ml.data import Dataset

SAMPLES, TOP_Q = 1280, 2
STEPS_AWAY = 6
"""How many thresholds the attackers of these tests have to cover: a real model is hundreds away."""


@pytest.fixture(scope="module")
def digits() -> Dataset:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 10, SAMPLES, dtype=np.int32)
    pixels = generator.integers(0, 64, (SAMPLES, 784), dtype=np.uint8)
    pixels[np.arange(SAMPLES), labels * 70] = 255
    return Dataset({"pixels": pixels, "label": labels})


@pytest.fixture(scope="module")
def honest(digits: Dataset) -> Proof:
    torch.set_num_threads(1)
    batches = bench.detection.plain_batches(digits)
    segments = [Segment(tuple(batches[first : first + 5]), 0.1) for first in range(0, len(batches), 5)]
    return prove(draw_weights(1), segments, len(segments), rounded=True)


@pytest.fixture(scope="module")
def target(honest: Proof, digits: Dataset) -> spoofs.Target:
    threshold, start = calibrate(honest), draw_weights(2)
    ahead = honest.weights[-1] - start
    final = start + ahead / ahead.norm() * threshold * STEPS_AWAY
    batches = bench.detection.plain_batches(digits)
    return spoofs.Target(final, start, batches, 0.1, threshold, TOP_Q, honest.segments_per_epoch)


def test_an_honest_proof_passes_and_a_moved_checkpoint_does_not(honest: Proof) -> None:
    threshold = calibrate(honest)
    assert verify(honest, threshold, TOP_Q).accepted
    moved = (*honest.weights[:2], honest.weights[2] + 1.0, *honest.weights[3:])
    assert not verify(replace(honest, weights=moved), threshold, TOP_Q).accepted


def test_a_proof_that_starts_from_trained_weights_is_refused(honest: Proof) -> None:
    assert looks_fresh(honest.weights[0])
    assert not looks_fresh(3 * honest.weights[0])


@pytest.mark.parametrize("attack", spoofs.ATTACKS.values(), ids=lambda attack: attack.__name__)
def test_plain_proof_of_learning_accepts_the_attack(
    attack: Callable[[spoofs.Target], Proof], target: spoofs.Target
) -> None:
    proof = attack(target)
    assert torch.equal(proof.weights[0], target.start)
    assert torch.equal(proof.weights[-1], target.final)
    assert verify(proof, target.threshold, TOP_Q).accepted


def test_solvent_finds_every_invented_segment_and_no_honest_one(digits: Dataset) -> None:
    task = bench.detection.ExactTask(digits)
    assert task.bad_segments(task.train(task.start())) == frozenset()
    stolen = task.train(task.start(seed=2))[-1]
    kept = frozenset({1, 7})
    everything = frozenset(range(1, bench.detection.SEGMENTS + 1))
    assert task.bad_segments(bench.detection.jumping_states(task, stolen, kept)) == everything - kept


def test_one_bit_of_one_weight_is_a_bad_segment(digits: Dataset) -> None:
    task = bench.detection.ExactTask(digits)
    states = task.train(task.start())
    name = min(states[9])
    states[9][name].view(np.uint32).flat[0] ^= 1
    assert task.bad_segments(states) == {9, 10}


def test_the_benchmark_reports_attacks_and_chances(digits: Dataset) -> None:
    report = bench.detection.run(quick=True, load=lambda: (digits, digits))
    document = json.loads(json.dumps(report.to_document()))
    assert document["name"] == "detection"
    rows = document["figures"]["attacks"]
    assert [row["bad"] for row in rows] == [0, 40, 36]
    assert [row["caught"] > 0.99 for row in rows] == [False, True, True]
    assert all(abs(one["measured"] - one["exact"]) < 0.1 for one in document["figures"]["detection"])
