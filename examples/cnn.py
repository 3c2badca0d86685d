"""Handwritten digits: a small convolutional network in the manner of LeNet-5, with batch norm, trained with Adam.

``solvent task submit examples/cnn.py`` captures what `build` returns. Nothing in this file knows about Solvent.
"""

from torch import Tensor, nn, optim

DATA = "mnist"
BATCH_SIZE = 64
STEPS = 600


def PREPROCESS(pixels: Tensor) -> Tensor:
    """Rows of 784 bytes as images of numbers in [0, 1]."""
    return pixels.view(-1, 1, 28, 28).float() * (1 / 255)


def build() -> tuple[nn.Module, nn.Module, optim.Optimizer]:
    """The model, its loss and its optimizer."""
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 84),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(84, 10),
    )
    return model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=1e-3)
