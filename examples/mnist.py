"""Handwritten digits: a three-layer perceptron, 784-128-64-10, trained with momentum SGD.

``solvent task submit examples/mnist.py`` captures what `build` returns. Nothing in this file knows about Solvent.
"""

from torch import nn, optim

DATA = "mnist"
BATCH_SIZE = 64
STEPS = 1000


def build() -> tuple[nn.Module, nn.Module, optim.Optimizer]:
    """The model, its loss and its optimizer."""
    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    return model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
