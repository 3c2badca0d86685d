"""Convolutional and recurrent networks, captured whole, train as PyTorch trains them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
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


def follow(model: nn.Module, steps: int = 4, loss: Any = None, relative: float = 2e-3) -> None:
    """Train both ways with SGD and compare everything, buffers too."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    train_both(model, optimizer, loss or nn.CrossEntropyLoss(), pictures(), steps=steps).assert_close(relative, 2e-5)


def classify(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(CLASSES))


def ready(model: nn.Module) -> nn.Module:
    """Lazy layers get their shapes."""
    model.eval()
    with torch.no_grad():
        model(torch.zeros(2, 3, SIZE, SIZE))
    return model.train()


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


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "LeNet": lambda: classify(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.Tanh(), nn.AvgPool2d(2)
    ),
    "ResNet": lambda: classify(
        nn.Conv2d(3, 4, 3, 1, 1), nn.BatchNorm2d(4), nn.ReLU(), Residual(4, 6, 2), Residual(6, 6, 1),
        nn.AdaptiveAvgPool2d(1),
    ),
    "stride, dilation and groups": lambda: classify(
        nn.Conv2d(3, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=3), nn.LeakyReLU(0.1),
        nn.Conv2d(6, 4, 1, groups=2), nn.Softplus(),
    ),
    "padding wider than the kernel": lambda: classify(nn.Conv2d(3, 2, 2, padding=2)),
    "transposed convolution": lambda: classify(nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1)),
    "one dimension": lambda: classify(nn.Flatten(2), nn.Conv1d(3, 4, 5, stride=3, padding=2), nn.ReLU()),
    "group norm": lambda: classify(nn.Conv2d(3, 6, 3), nn.GroupNorm(3, 6)),
    "overlapping pools": lambda: classify(
        nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(3, 1, 1, count_include_pad=False), nn.MaxPool2d(2, 1, ceil_mode=True)
    ),
    "adaptive pools": lambda: classify(nn.AdaptiveMaxPool2d(4), nn.AdaptiveAvgPool2d((2, 1))),
    "upsampling": lambda: classify(nn.Conv2d(3, 2, 3, 2), nn.Upsample(scale_factor=2)),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_a_convolutional_network_trains_as_in_pytorch(name: str) -> None:
    torch.manual_seed(4)
    follow(ready(LAYERS[name]()))


class Recurrent(nn.Module):
    """Reads an image line by line."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell
        self.output = nn.Linear(10, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.cell(x.flatten(1, 2)[:, :5])
        return self.output(states[:, -1])


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_recurrent_network_is_unrolled_and_trains_as_in_pytorch(kind: Any) -> None:
    torch.manual_seed(6)
    follow(Recurrent(kind(SIZE, 10, num_layers=1, batch_first=True)), steps=3)


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


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "squares": functional.mse_loss,
    "absolute": functional.l1_loss,
    "Huber": lambda x, y: functional.huber_loss(x, y, delta=0.3),
    "smooth": lambda x, y: functional.smooth_l1_loss(x, y, beta=0.4),
    "binary": functional.binary_cross_entropy_with_logits,
}


@pytest.mark.parametrize("name", LOSSES)
def test_an_autoencoder_trains_as_in_pytorch_with_any_loss(name: str) -> None:
    torch.manual_seed(8)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.SiLU(), nn.Linear(16, 64))

    def against_rows(found: Tensor, target: Tensor) -> Tensor:
        wanted = (target.unsqueeze(1) == torch.arange(64)).float() * 0.8 + 0.1
        return LOSSES[name](found, wanted)

    follow(model, loss=against_rows)


def test_dropout_drops_the_named_part_and_scales_the_rest() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.25), nn.Linear(192, CLASSES))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    trained = train_both(model, optimizer, nn.CrossEntropyLoss(), pictures(), steps=30)
    assert len(set(trained.ours)) == 30, "every step draws anew"
    assert abs(np.mean(trained.ours) - np.mean(trained.theirs)) < 0.1
    assert [source.kind for source in trained.task.train.inputs].count("key") == 1
    assert "key" not in [source.kind for source in trained.task.evaluation.inputs]
