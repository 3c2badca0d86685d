"""What gets caught: published spoofs, by plain proof-of-learning and by Solvent, and how soon audits meet a cheat.

Plain proof-of-learning (`bench.learning_proofs`) judges by a threshold, with batches and rates that the prover brings.
In exact mode neither exists: the task fixes both, and a replay ends in the same state or it does not. So of a spoof
only the invented checkpoints are left, and every segment between two of them is bad.

The second part cheats in a share p of a task's segments, replays all of them, and lets the chain's own rule draw the
audited ones, again and again: the measured chance against the exact one, and against 1 - (1 - p)^q of the literature.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from bench import spoofs
from bench.learning_proofs import CLASSES, HIDDEN, PIXELS, Batch, Segment, calibrate, draw_weights, prove, verify
from bench.report import Progress, Report, Table, silent
from ml.artifacts import Tensors, compute_state_root
from ml.capture import capture_task
from ml.data import Dataset, load_mnist
from ml.executor import Executor
from ml.job import compute_scalars_root
from ml.replay import Inputs, StepRunner
from runtime.codec import replace
from runtime.commitments import EMPTY_STATE_ROOT
from runtime.pallets.proofs import draw_segments
from runtime.trees import hash_tagged
from runtime.vm.job import Job

ROWS, RATE, TOP_Q, EPOCHS = 32, 0.1, 2, 4
PLAIN_INTERVAL = 10
SEGMENTS, INTERVAL = 40, 5
CHEATED = (1, 2, 4, 8, 20)
"""Bad segments of `SEGMENTS`."""
AUDITS = (1, 3, 5)
CHANCES = ("measured", "exact", "formula")
DRAWS = 200
"""Drawings of audits for each cheat."""
COSTLY = (spoofs.matching, spoofs.vanishing, spoofs.reusing)
"""Attacks that take minutes; ``--quick`` leaves them out, and says so."""


class ExactTask:
    """A small task in exact mode, as a solver and its verifiers compute it."""

    def __init__(self, data: Dataset) -> None:
        model = nn.Sequential(nn.Linear(PIXELS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES))
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
        steps = SEGMENTS * INTERVAL
        captured = capture_task(model, nn.CrossEntropyLoss(), optimizer, data.layout, batch_size=ROWS, steps=steps)
        train, self._init, _ = captured.check()
        order = hash_tagged(b"solvent:bench", b"detection")
        names, table = captured.scalar_names, captured.scalars
        root = compute_scalars_root(table)
        source = data.source(order, ROWS)
        self._job = Job(train.root, EMPTY_STATE_ROOT, 0, steps, 1, source, names, root, steps)
        self._first_row = table[0]
        self._runner = StepRunner(train, self._job, Inputs(data.fields, table))

    def start(self, seed: int = 1) -> Tensors:
        """The initial state; the task's own has seed 1."""
        job = replace(self._job, seed=seed)
        return Executor(self._init).run_step({}, job, 0, {}, self._first_row).state

    def advance(self, state: Tensors, segment: int, steps: range | None = None) -> Tensors:
        """The state after a segment of 1 .. `SEGMENTS`, or after some of its steps only."""
        first = (segment - 1) * INTERVAL
        self._runner.load(state)
        for number in steps or range(first, first + INTERVAL):
            self._runner.advance(number)
        return self._runner.state()

    def train(self, state: Tensors, cheated: frozenset[int] = frozenset()) -> list[Tensors]:
        """Checkpoints from ``state`` on; of a ``cheated`` segment only the last step is done."""
        states = [state]
        for segment in range(1, SEGMENTS + 1):
            last = range(segment * INTERVAL - 1, segment * INTERVAL) if segment in cheated else None
            states.append(self.advance(states[-1], segment, last))
        return states

    def bad_segments(self, states: list[Tensors]) -> frozenset[int]:
        """Replay everything, the initialisation included, as verifiers would; where the roots differ."""
        roots = [compute_state_root(state) for state in states]
        bad = {0} if compute_state_root(self.start()) != roots[0] else set()
        for segment in range(1, SEGMENTS + 1):
            if compute_state_root(self.advance(states[segment - 1], segment)) != roots[segment]:
                bad.add(segment)
        return frozenset(bad)


def caught_share(bad: frozenset[int], audits: int, draws: int, tag: str) -> float:
    """The share of drawings by the chain's rule in which an audited segment is bad."""
    caught = 0
    for number in range(draws):
        randomness = hash_tagged(b"solvent:bench", f"{tag} {audits} {number}".encode())
        caught += not bad.isdisjoint(draw_segments(randomness, SEGMENTS + 1, audits))
    return caught / draws


def expected_chance(bad: int, audits: int) -> float:
    """Drawing without putting back: 1 - C(n - bad, q) / C(n, q)."""
    return 1 - math.comb(SEGMENTS - bad, audits) / math.comb(SEGMENTS, audits)


@dataclass(frozen=True)
class Row:
    """One attack: what plain proof-of-learning makes of it, and what Solvent does."""

    name: str
    segments: int
    gradients: float
    worst: float
    accepted: bool
    bad: int
    caught: float


def plain_batches(data: Dataset) -> list[Batch]:
    """An epoch's batches for the plain prover."""
    pixels = torch.from_numpy(data.fields["pixels"].astype(np.float32)) / 255
    labels = torch.from_numpy(data.fields["label"].astype(np.int64))
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0)).split(ROWS)
    return [(pixels[rows], labels[rows]) for rows in order if len(rows) == ROWS]


def jumping_states(task: ExactTask, final: Tensors, honest: frozenset[int]) -> list[Tensors]:
    """Checkpoints from the task's own start to somebody's ``final`` state: jumps on the straight line, and real
    training in the ``honest`` segments."""
    states = [task.start()]
    for segment in range(1, SEGMENTS + 1):
        here = states[-1]
        if segment in honest:
            states.append(task.advance(here, segment))
        else:
            left = SEGMENTS - segment + 1
            moved = {name: here[name] + (final[name] - here[name]) * np.float32(1 / left) for name in here}
            states.append(final if segment == SEGMENTS else moved)
    return states


def run_attacks(data: Dataset, task: ExactTask, quick: bool, progress: Progress) -> tuple[list[Row], float]:
    """Every attack against both; the honest prover first. Also returns the threshold."""
    torch.set_num_threads(1)
    batches = plain_batches(data)
    epoch = [
        Segment(tuple(batches[first : first + PLAIN_INTERVAL]), RATE)
        for first in range(0, len(batches) - PLAIN_INTERVAL + 1, PLAIN_INTERVAL)
    ]
    honest = prove(draw_weights(1), epoch * EPOCHS, len(epoch), rounded=True)
    threshold = calibrate(honest)
    verdict = verify(honest, threshold, TOP_Q)
    bad = task.bad_segments(task.train(task.start()))
    rows = [Row("none: honest training", len(honest.segments), honest.gradients, verdict.worst, verdict.accepted,
                len(bad), caught_share(bad, 3, DRAWS, "honest"))]  # fmt: skip
    stolen = task.train(task.start(seed=2))[-1]
    target = spoofs.Target(honest.weights[-1], draw_weights(2), batches, RATE, threshold, TOP_Q, len(epoch))
    for name, attack in spoofs.ATTACKS.items():
        if quick and attack in COSTLY:
            continue
        proof = attack(target)
        verdict = verify(proof, threshold, TOP_Q)
        kept = frozenset(range(1, SEGMENTS, SEGMENTS // 4)) if attack is spoofs.blindfold else frozenset()
        bad = task.bad_segments(jumping_states(task, stolen, kept))
        caught = caught_share(bad, 3, DRAWS, name)
        figures = (len(proof.segments), proof.gradients, verdict.worst, verdict.accepted, len(bad), caught)
        rows.append(Row(name, *figures))
        progress(f"{name}: {'accepted' if verdict.accepted else 'rejected'} by plain proof-of-learning")
    return rows, threshold


def measure_detection(task: ExactTask, runs: int, progress: Progress) -> list[dict[str, float]]:
    """Cheat in a share of the segments, find them all by replay, and draw audits."""
    generator = random.Random(0)
    found: list[dict[str, float]] = []
    for count in CHEATED:
        bads = []
        for _ in range(runs):
            cheated = frozenset(generator.sample(range(1, SEGMENTS + 1), count))
            bads.append(task.bad_segments(task.train(task.start(), cheated)))
            if bads[-1] != cheated:
                raise AssertionError(f"cheated in {sorted(cheated)}, but replay differs in {sorted(bads[-1])}")
        for audits in AUDITS:
            shares = [caught_share(bad, audits, DRAWS, f"{count} {run}") for run, bad in enumerate(bads)]
            share, p = sum(shares) / runs, count / SEGMENTS
            figures = {"cheated": p, "audits": audits, "measured": share}
            found.append({**figures, "exact": expected_chance(count, audits), "formula": 1 - (1 - p) ** audits})
        progress(f"{count} of {SEGMENTS} segments cheated, {runs} times")
    return found


def run(
    quick: bool = False, progress: Progress = silent, load: Callable[[], tuple[Dataset, Dataset]] = load_mnist
) -> Report:
    """Measure. ``load`` gives the data: digits of 784 bytes and a label."""
    data = load()[0]
    task = ExactTask(data)
    runs = 3 if quick else 40
    rows, threshold = run_attacks(data, task, quick, progress)
    detection = measure_detection(task, runs, progress)
    honest = rows[0].gradients
    attacks = Table(
        f"Spoofed proofs (model {PIXELS}-{HIDDEN}-{CLASSES}, threshold {threshold:.4f})",
        ("attack", ">checkpoints", ">cost", ">error", "plain", ">bad segments", ">caught by 3 audits"),
        tuple(
            (
                row.name,
                str(row.segments),
                f"{row.gradients / honest:.2f}x",
                f"{row.worst:.4f}",
                "accepts" if row.accepted else "rejects",
                f"{row.bad} of {SEGMENTS}",
                f"{row.caught:.1%}",
            )
            for row in rows
        ),
    )
    chances = Table(
        f"The chance that a verifier meets a cheat in some of {SEGMENTS} segments ({runs * DRAWS} drawings each)",
        (">cheated", ">audits", ">measured", ">exact", ">1-(1-p)^q"),
        tuple(
            (f"{one['cheated']:.1%}", f"{one['audits']:.0f}", *(f"{one[key]:.3f}" for key in CHANCES))
            for one in detection
        ),
    )
    remarks = [
        "Cost: gradients computed, against honest training. Error: the largest that the plain verifier met.",
        f"Solvent's column: the same path as checkpoints of a task of {SEGMENTS} segments; its initialisation is real.",
    ]
    if quick:
        remarks.append("The attacks with forged batches take minutes: --quick leaves them out.")
    figures = {"threshold": threshold, "attacks": [vars(row) for row in rows], "detection": detection}
    return Report("detection", figures, (attacks, chances), tuple(remarks))
