"""Networks of every family reach PyTorch's accuracy on real digits, from the same weights on the same batches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ml.data import Dataset, load_mnist
from ml.executor import Executor
from tests.ml.test_vision import Residual
from tests.ml.training import job_of, train_both

SIDE, STEPS, BATCH, TESTED = 14, 150, 32, 400


def halved(digits: Dataset) -> Dataset:
    """Digits of 14 x 14 pixels: the means of four."""
    pixels = digits.fields["pixels"].reshape(-1, SIDE, 2, SIDE, 2).mean(axis=(2, 4))
    return Dataset({"image": (pixels / 255).astype(np.float32)[:, None], "label": digits.fields["label"]})


class Lines(nn.Module):
    """An LSTM that reads an image line by line."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.output = nn.LSTM(SIDE, 32, batch_first=True), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.cell(x.squeeze(1))[0][:, -1])


class Patches(nn.Module):
    """A small vision transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.place = nn.Conv2d(1, 24, 2, stride=2), nn.Parameter(torch.zeros(1, 49, 24))
        self.layer = nn.TransformerEncoderLayer(24, 3, 48, 0.0, "gelu", batch_first=True, norm_first=True)
        self.output = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.layer(self.patches(x).flatten(2).transpose(1, 2) + self.place).mean(dim=1))


def convolutional() -> nn.Module:
    first = nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 3), nn.ReLU()
    return nn.Sequential(*first, nn.Flatten(), nn.Linear(400, 10))


def residual() -> nn.Module:
    first = nn.Conv2d(1, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), Residual(8, 16, 2)
    return nn.Sequential(*first, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "LeNet": convolutional, "ResNet": residual, "ViT": Patches, "LSTM": Lines,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_network_reaches_pytorchs_accuracy_on_real_digits(name: str) -> None:
    train, test = (halved(part) for part in load_mnist())
    torch.manual_seed(3)
    model = MODELS[name]()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    trained = train_both(model, optimizer, functional.cross_entropy, train, steps=STEPS, batch_size=BATCH)
    images, labels = test.fields["image"][:TESTED], test.fields["label"][:TESTED]
    evaluation = trained.task.check()[2]
    executor, job, guesses = Executor(evaluation), job_of(evaluation, trained.task, test, BATCH), []
    for first in range(0, TESTED - BATCH + 1, BATCH):
        batch = {"image": images[first : first + BATCH]}
        result = executor.run_step(trained.state, job, 0, batch, trained.task.scalars[0])
        guesses.append(result.metrics["logits"].argmax(axis=1))
    ours = float((np.concatenate(guesses) == labels[: BATCH * len(guesses)]).mean())
    with torch.no_grad():
        found = trained.model.eval()(torch.from_numpy(images[: BATCH * len(guesses)])).argmax(dim=1).numpy()
    theirs = float((found == labels[: BATCH * len(guesses)]).mean())
    assert abs(ours - theirs) <= 0.02
    assert ours > 0.5, "guessing is right in one of ten"
