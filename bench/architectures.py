"""The models that ``solvent bench exact`` trains on both sides, each with its data, loss and optimizer.

Samples are random: what a step costs does not depend on what the numbers are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.models import build_model, random_samples
from ml.data import Dataset

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Architecture:
    """One model of the benchmark. ``steps`` is how many make one measurement."""

    name: str
    build: Callable[[], nn.Module]
    data: Callable[[], Dataset]
    loss: Loss
    optimizer: Callable[[nn.Module], torch.optim.Optimizer]
    batch: int
    steps: int


class Residual(nn.Module):
    """The basic block of a ResNet (He et al. 2016)."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer)
        self.second, self.norm_again = nn.Conv2d(outer, outer, 3, 1, 1, bias=False), nn.BatchNorm2d(outer)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inner != outer:
            self.shortcut = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.norm(self.first(x)))
        return functional.relu(self.norm_again(self.second(y)) + self.shortcut(x))


class Block(nn.Module):
    """Attention, causal or not, then a two-layer network; each adds to its input."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.norm, self.norm_again = nn.LayerNorm(width), nn.LayerNorm(width)
        self.inner, self.merge = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.network = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        parts = self.inner(self.norm(x)).split(width, dim=2)
        q, k, v = (part.view(batch, length, self.heads, width // self.heads).transpose(1, 2) for part in parts)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.merge(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.network(self.norm_again(x))


class Gpt(nn.Module):
    """Tokens to logits of the next one."""

    def __init__(self, tokens: int, length: int, width: int, layers: int) -> None:
        super().__init__()
        self.token, self.place = nn.Embedding(tokens, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(*(Block(width, width // 32, True) for _ in range(layers)))
        self.norm, self.output = nn.LayerNorm(width), nn.Linear(width, tokens, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.token(tokens) + self.place(torch.arange(tokens.shape[1]))
        return self.output(self.norm(self.blocks(x)))


class VisionTransformer(nn.Module):
    """Patches of 4 x 4 of an image of 32 x 32, and the mean of all places."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, stride=4)
        self.place = nn.Parameter(torch.zeros(1, 64, width))
        self.blocks = nn.Sequential(*(Block(width, width // 32, False) for _ in range(layers)))
        self.norm, self.output = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        places = self.patches(x).flatten(2).transpose(1, 2) + self.place
        return self.output(self.norm(self.blocks(places)).mean(dim=1))


def _lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def _resnet() -> nn.Module:
    """ResNet-8 for images of 32 x 32."""
    stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    blocks = [Residual(16, 16, 1), Residual(16, 32, 2), Residual(32, 64, 2)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def _images(channels: int, size: int) -> Dataset:
    generator = np.random.default_rng(0)
    image = generator.standard_normal((256, channels, size, size), np.float32)
    return Dataset({"image": image, "label": generator.integers(0, 10, 256, dtype=np.int32)})


def _digits() -> Dataset:
    return random_samples(2048, 784, 10)


def _texts(length: int) -> Dataset:
    tokens = np.random.default_rng(0).integers(0, 96, (256, length + 1), dtype=np.int32)
    return Dataset({"tokens": tokens[:, :-1].copy(), "next": tokens[:, 1:].copy()})


def _next_token(logits: Tensor, target: Tensor) -> Tensor:
    return functional.cross_entropy(logits.flatten(0, 1), target.flatten())


def _sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)


def _adamw(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=1e-3)


_LAYERS = (784, 128, 64, 10)
_CLASSES = functional.cross_entropy

ARCHITECTURES = (
    Architecture(
        "MLP 784-128-64-10",
        lambda: build_model(_LAYERS),
        lambda: random_samples(2048, 784, 10),
        _CLASSES,
        _sgd,
        64,
        100,
    ),
    Architecture("LeNet-5, 28x28", _lenet, lambda: _images(1, 28), _CLASSES, _sgd, 64, 10),
    Architecture("ResNet-8, 32x32", _resnet, lambda: _images(3, 32), _CLASSES, _sgd, 32, 2),
    Architecture("ViT 2x64, 32x32", lambda: VisionTransformer(64, 2), lambda: _images(3, 32), _CLASSES, _adamw, 16, 5),
    Architecture("GPT 2x64, 64 tokens", lambda: Gpt(96, 64, 64, 2), lambda: _texts(64), _next_token, _adamw, 16, 5),
    Architecture("GPT 4x128, 128 tokens", lambda: Gpt(96, 128, 128, 4), lambda: _texts(128), _next_token, _adamw, 8, 2),
)
