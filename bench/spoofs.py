"""Published attacks on proof-of-learning: proofs for a model that the attacker holds, and did not train.

- Fang et al. 2023, "Proof-of-Learning is Currently More Broken Than You Think" (arXiv 2208.03567): `infinitesimal`
  updates, and `blindfold`, which keeps the verifier busy with a few real ones.
- Zhang et al. 2022, "'Adversarial Examples' for Proof-of-Learning" (arXiv 2108.09454): forged batches that seem to lead
  along an invented path, here in three forms: `matching` forges a batch whose gradient points along the path,
  `vanishing` one that moves nothing, on a path with steps below the threshold, and `reusing` forges so well that a
  batch does for many checkpoints.

They are written from the papers' descriptions for the perceptron of `bench.learning_proofs`, not taken from their code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from bench.learning_proofs import Batch, Proof, Segment, compute_gradient, compute_scores, train

WALK = 0.9
"""Of the threshold: the steps of a path on which nothing is trained."""
STEP_SHARE, FORGED_SHARE = 0.5, 0.45
"""Of the threshold: the steps of a path with forged batches, and how far those may move the weights."""
MATCHED_STEP, MATCHED_ERROR = 1.05, 0.98
"""The same where the batches make the step: it may be larger than the threshold, the error left may not."""
REAL_LEAD = 1.5
"""How many times larger than the false moves the real ones of `blindfold` are."""
LASTING = 0.3
"""Of what is good enough: how well a batch is forged that shall do for many checkpoints."""
FORGING_STEPS = 400
TURNING_RATE, SHRINKING_RATE = 0.05, 1.0
"""Of the optimizer that forges, in pixels: to turn a gradient, and to make it vanish."""
DOUBLE_BACKWARD = 3.0
"""A step of forging costs about three gradients: it differentiates through one."""


@dataclass(frozen=True)
class Target:
    """What an attacker has: a model to claim, fresh weights to start from, public data, and the verifier's rules."""

    final: Tensor
    start: Tensor
    batches: Sequence[Batch]
    rate: float
    threshold: float
    top_q: int
    segments_per_epoch: int

    def batch(self, index: int) -> Batch:
        return self.batches[index % len(self.batches)]


def interpolate(start: Tensor, end: Tensor, count: int) -> list[Tensor]:
    """``count`` equal steps on the straight line; the last point is ``end`` itself."""
    return [start + (end - start) * (index / count) for index in range(count)] + [end]


def _path(target: Target, step: float) -> list[Tensor]:
    distance = float((target.final - target.start).norm())
    return interpolate(target.start, target.final, int(distance / step) + 1)


def infinitesimal(target: Target) -> Proof:
    """Walk the straight line in steps below the threshold, with a learning rate of nearly nothing."""
    weights = _path(target, WALK * target.threshold)
    segments = [Segment((target.batch(index),), 1e-12) for index in range(len(weights) - 1)]
    return Proof(tuple(weights), tuple(segments), target.segments_per_epoch, 0.0)


def blindfold(target: Target) -> Proof:
    """In every epoch a few real updates, the largest ones, and between them jumps towards the model."""
    weights, segments, gradients = [target.start], [], 0.0
    epochs = 2
    jumps = epochs * (target.segments_per_epoch - target.top_q)
    for epoch in range(epochs):
        left = jumps - epoch * (target.segments_per_epoch - target.top_q)
        for index in range(target.top_q):
            batch = target.batch(epoch * target.top_q + index)
            jump = float((target.final - weights[-1]).norm()) / left
            size = float(compute_gradient(weights[-1], batch).norm())
            segments.append(Segment((batch,), (REAL_LEAD + 0.1 * (target.top_q - index)) * jump / size))
            weights.append(train(weights[-1], segments[-1]))
            gradients += 1
        here = weights[-1]
        ahead = interpolate(here, target.final, left)[1 : target.segments_per_epoch - target.top_q + 1]
        for index, there in enumerate(ahead):
            segments.append(Segment((target.batch(index),), target.rate))
            weights.append(there)
    return Proof(tuple(weights), tuple(segments), target.segments_per_epoch, gradients)


def forge(
    weights: Tensor, batch: Batch, objective: Callable[[Tensor], Tensor], pace: float, enough: float, goal: float
) -> tuple[Batch, float]:
    """Change a batch's pixels until an ``objective`` of its gradient falls to ``goal``, or patience ends; a batch that
    is good ``enough`` already stays as it is. ``pace``: pixels that a step changes by, at first.

    Returns the best batch, and the gradients that it took.
    """
    noise = torch.zeros_like(batch[0], requires_grad=True)
    optimizer = torch.optim.Adam([noise], pace)
    least, best, cost = float("inf"), batch, 0.0
    for attempt in range(FORGING_STEPS):
        forged = (batch[0] + noise, batch[1])
        value = objective(compute_gradient(weights, forged))
        cost += DOUBLE_BACKWARD
        if value.item() < least:
            least, best = value.item(), (forged[0].detach().clone(), batch[1])
        if least <= (goal if attempt else enough):
            break
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return best, cost


def matching(target: Target) -> Proof:
    """Forge batches whose gradients point along the path. With the best learning rate, which the prover may choose, a
    step falls short of the next checkpoint by the sine of the angle between them."""
    weights = _path(target, MATCHED_STEP * target.threshold)
    enough = 1 - math.sqrt(1 - (MATCHED_ERROR / MATCHED_STEP) ** 2)
    segments, gradients = [], 0.0
    for index, (here, there) in enumerate(pairwise(weights)):
        move = there - here
        objective = partial(_turned_away, move)
        batch, cost = forge(here, target.batch(index), objective, TURNING_RATE, enough, enough)
        found = compute_gradient(here, batch)
        segments.append(Segment((batch,), float((-found * move).sum() / (found * found).sum())))
        gradients += cost
    return Proof(tuple(weights), tuple(segments), target.segments_per_epoch, gradients)


def _turned_away(move: Tensor, gradient: Tensor) -> Tensor:
    """1 minus the cosine of the angle between a move and the descent along a gradient."""
    return 1 + (gradient * move).sum() / (gradient.norm() * move.norm())


def vanishing(target: Target, reuse: bool = False) -> Proof:
    """Forge batches that move nothing: then a path in steps below the threshold passes, at the honest learning rate."""
    weights = _path(target, STEP_SHARE * target.threshold)
    segments, gradients = [], 0.0
    batch = target.batch(0)
    for index, here in enumerate(weights[:-1]):
        source = batch if reuse and index else _agreeing(here, target.batch(index))
        enough = FORGED_SHARE * target.threshold
        goal = enough * (LASTING if reuse else 1)
        batch, cost = forge(here, source, lambda found: target.rate * found.norm(), SHRINKING_RATE, enough, goal)
        segments.append(Segment((batch,), target.rate))
        gradients += cost
    return Proof(tuple(weights), tuple(segments), target.segments_per_epoch, gradients)


def _agreeing(weights: Tensor, batch: Batch) -> Batch:
    """The batch with the labels that the model gives it: confident samples have next to no gradient."""
    return batch[0], compute_scores(weights, batch[0]).argmax(1)


def reusing(target: Target) -> Proof:
    """As `vanishing`, with the batch before where it still does: the weights hardly differ."""
    return vanishing(target, reuse=True)


ATTACKS: dict[str, Callable[[Target], Proof]] = {
    "infinitesimal update (Fang)": infinitesimal,
    "blindfold top-Q (Fang)": blindfold,
    "forged batches, matching (Zhang)": matching,
    "forged batches, vanishing (Zhang)": vanishing,
    "forged batches, reused (Zhang)": reusing,
}
