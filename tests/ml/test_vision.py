"""Networks for pictures, captured whole, train as PyTorch trains them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ml.data import Dataset
from tests.ml.training import train_both

SIZE, CLASSES = 8, 4


def pictures(samples: int = 40, channels: int = 3) -> Dataset:
    generator = np.random.default_rng(5)
    image = generator.standard_normal((samples, channels, SIZE, SIZE), np.float32)
    return Dataset({"image": image, "label": (np.abs(image).sum(axis=(1, 2, 3)) % CLASSES).astype(np.int32)})


def follow(model: nn.Module, steps: int = 4) -> None:
    """Train both ways with SGD and compare everything, buffers too."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    train_both(model, optimizer, nn.CrossEntropyLoss(), pictures(), steps=steps).assert_close(2e-3, 2e-5)


class Residual(nn.Module):
    """The basic block of a ResNet (He et al. 2016)."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(outer)
        self.second = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.norm_again = nn.BatchNorm2d(outer)
        self.shortcut = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.norm(self.first(x)))
        return functional.relu(self.norm_again(self.second(y)) + self.shortcut(x))


def test_a_lenet_trains_as_in_pytorch() -> None:
    torch.manual_seed(4)
    body = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.Tanh(), nn.AvgPool2d(2)
    follow(nn.Sequential(*body, nn.Flatten(), nn.Linear(8, CLASSES)))


def test_a_resnet_trains_as_in_pytorch() -> None:
    torch.manual_seed(4)
    first = nn.Conv2d(3, 4, 3, 1, 1), nn.BatchNorm2d(4), nn.ReLU()
    blocks = Residual(4, 6, 2), Residual(6, 6, 1), nn.AdaptiveAvgPool2d(1)
    follow(nn.Sequential(*first, *blocks, nn.Flatten(), nn.Linear(6, CLASSES)))


class VisionTransformer(nn.Module):
    """Patches, positions, two encoder layers, and the mean of all places (Dosovitskiy et al. 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 12, 2, stride=2)
        self.place = nn.Parameter(torch.zeros(1, 16, 12))
        layer = [
            nn.TransformerEncoderLayer(12, 3, 24, 0.0, "gelu", batch_first=True, norm_first=True) for _ in range(2)
        ]
        self.layers = nn.Sequential(*layer)
        self.output = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.layers(self.patches(x).flatten(2).transpose(1, 2) + self.place).mean(dim=1))


def test_a_vision_transformer_trains_as_in_pytorch() -> None:
    torch.manual_seed(7)
    follow(VisionTransformer(), steps=3)


def test_dropout_drops_the_named_part_and_scales_the_rest() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.25), nn.Linear(192, CLASSES))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    trained = train_both(model, optimizer, nn.CrossEntropyLoss(), pictures(), steps=30)
    assert len(set(trained.ours)) == 30, "every step draws anew"
    assert abs(np.mean(trained.ours) - np.mean(trained.theirs)) < 0.1
    assert [source.kind for source in trained.task.train.inputs].count("key") == 1
    assert "key" not in [source.kind for source in trained.task.evaluation.inputs]
