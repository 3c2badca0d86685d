"""Proof-of-learning as it was first proposed, to see what it accepts: the baseline of `bench.detection`.

After Jia et al. 2021, "Proof-of-Learning: Definitions and Practice" (arXiv 2103.05633): the prover publishes its
weights every few steps, with the batches and learning rates that led from one to the next. The verifier checks that the
first weights look freshly drawn, replays in each epoch the ``top_q`` segments whose weights moved most, and accepts an
error of up to a threshold, since hardware may round otherwise. All that it replays with, the prover brings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

PIXELS, HIDDEN, CLASSES = 784, 32, 10
SHAPES = ((HIDDEN, PIXELS), (HIDDEN,), (CLASSES, HIDDEN), (CLASSES,))
FAN_IN = (PIXELS, PIXELS, HIDDEN, HIDDEN)
SLACK = 3.0
"""The threshold is so many times the largest error of honest provers."""
KS_LIMIT = 1.95
"""Of the Kolmogorov-Smirnov statistic times the root of the sample: the one in a thousand."""

Batch = tuple[Tensor, Tensor]
"""f32 pixels [rows, 784] and i64 labels [rows]."""


@dataclass(frozen=True)
class Segment:
    """How the prover says that it got from one checkpoint to the next."""

    batches: tuple[Batch, ...]
    rate: float


@dataclass(frozen=True)
class Proof:
    """``weights`` are flat f32 vectors, one more than there are segments; ``gradients`` were computed to make it."""

    weights: tuple[Tensor, ...]
    segments: tuple[Segment, ...]
    segments_per_epoch: int
    gradients: float


@dataclass(frozen=True)
class Verdict:
    """``worst`` is the largest error among the segments that were replayed."""

    accepted: bool
    worst: float
    replayed: int


def split(weights: Tensor) -> list[Tensor]:
    """A flat vector as the tensors of the perceptron 784-32-10."""
    parts = weights.split([math.prod(shape) for shape in SHAPES])
    return [part.reshape(shape) for part, shape in zip(parts, SHAPES, strict=True)]


def draw_weights(seed: int) -> Tensor:
    """Fresh weights, uniform within 1 / sqrt(fan in), as ``torch.nn.Linear`` draws them."""
    generator = torch.Generator().manual_seed(seed)
    drawn = (torch.rand(math.prod(shape), generator=generator) * 2 - 1 for shape in SHAPES)
    return torch.cat([part / math.sqrt(fan) for part, fan in zip(drawn, FAN_IN, strict=True)])


def compute_scores(weights: Tensor, pixels: Tensor) -> Tensor:
    """The logits [rows, 10] of pixels [rows, 784]."""
    first, first_bias, second, second_bias = split(weights)
    return functional.linear(functional.relu(functional.linear(pixels, first, first_bias)), second, second_bias)


def compute_loss(weights: Tensor, batch: Batch) -> Tensor:
    return functional.cross_entropy(compute_scores(weights, batch[0]), batch[1])


def compute_gradient(weights: Tensor, batch: Batch) -> Tensor:
    """The loss's gradient by the weights, flat; a graph through the batch is kept where that asks for gradients."""
    leaf = weights.detach().requires_grad_()
    return torch.autograd.grad(compute_loss(leaf, batch), leaf, create_graph=batch[0].requires_grad)[0]


def train(weights: Tensor, segment: Segment, rounded: bool = False) -> Tensor:
    """Plain SGD over a segment; ``rounded``: on hardware that multiplies in bfloat16."""
    for batch in segment.batches:
        with torch.autocast("cpu", torch.bfloat16, enabled=rounded):
            gradient = compute_gradient(weights, batch)
        weights = weights - segment.rate * gradient
    return weights


def prove(start: Tensor, segments: Sequence[Segment], segments_per_epoch: int, rounded: bool) -> Proof:
    """Train honestly, and keep every checkpoint."""
    weights = [start]
    for segment in segments:
        weights.append(train(weights[-1], segment, rounded))
    return Proof(tuple(weights), tuple(segments), segments_per_epoch, sum(len(one.batches) for one in segments))


def replay_error(proof: Proof, index: int) -> float:
    """How far a replay of one segment ends from the checkpoint that the prover published."""
    return float((train(proof.weights[index], proof.segments[index]) - proof.weights[index + 1]).norm())


def calibrate(honest: Proof) -> float:
    """The threshold that lets honest provers with rounding hardware pass."""
    return SLACK * max(replay_error(honest, index) for index in range(len(honest.segments)))


def looks_fresh(weights: Tensor) -> bool:
    """Whether every tensor of more than a handful of numbers passes a Kolmogorov-Smirnov test of its distribution."""
    for tensor, fan in zip(split(weights), FAN_IN, strict=True):
        ordered = (tensor.flatten().double() * math.sqrt(fan)).sort().values
        count = len(ordered)
        expected = (ordered.clamp(-1, 1) + 1) / 2
        observed = torch.arange(1, count + 1, dtype=torch.float64) / count
        if float((observed - expected).abs().max()) * math.sqrt(count) > KS_LIMIT:
            return False
    return True


def verify(proof: Proof, threshold: float, top_q: int) -> Verdict:
    """Judge a proof as the paper does."""
    moved = [float((after - before).norm()) for before, after in pairwise(proof.weights)]
    chosen: list[int] = []
    for first in range(0, len(moved), proof.segments_per_epoch):
        epoch = range(first, min(first + proof.segments_per_epoch, len(moved)))
        chosen += sorted(epoch, key=lambda index: -moved[index])[:top_q]
    errors = [replay_error(proof, index) for index in chosen]
    accepted = looks_fresh(proof.weights[0]) and max(errors) <= threshold
    return Verdict(accepted, max(errors), len(chosen))
