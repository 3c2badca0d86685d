"""Transformers, captured whole, train as PyTorch trains them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ml.data import Dataset
from runtime.codec import encode
from tests.ml.training import load_example, train_both

gpt = load_example("gpt")
LETTERS, LENGTH = 11, 8


def sentences(samples: int = 40) -> Dataset:
    tokens = np.random.default_rng(3).integers(0, LETTERS, (samples, LENGTH), dtype=np.int32)
    return Dataset({"tokens": tokens, "next": ((tokens * 3 + 1) % LETTERS).astype(np.int32)})


def small_gpt(layers: int = 2) -> nn.Module:
    torch.manual_seed(1)
    model: nn.Module = gpt.Gpt(LETTERS, LENGTH, 16, 2, layers)
    return model


def test_a_gpt_trains_as_in_pytorch_with_decay_groups_clipping_and_a_schedule() -> None:
    model = small_gpt()
    groups = [
        {"params": [p for p in model.parameters() if p.dim() == 2], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.99), eps=1e-4)  # key biases get mere noise
    rates = [0.02 * (step + 1) / 12 for step in range(12)]
    trained = train_both(
        model, optimizer, gpt.loss, sentences(), steps=12, rates=rates, clip_norm=0.5, prepare=lambda x: x
    )
    trained.assert_close(1e-3, 2e-5)
    assert trained.ours[-1] < 0.9 * trained.ours[0]
    assert "model.output.weight" not in trained.state, "tied weights are one tensor"


def test_a_layer_of_a_gpt_costs_few_nodes_and_bytes() -> None:
    sizes = []
    for layers in (1, 2, 3):
        model = small_gpt(layers)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        program = train_both(model, optimizer, gpt.loss, sentences(), steps=1, prepare=lambda x: x).task.train
        sizes.append((len(program.nodes), len(encode(program))))
    nodes, size = (sizes[2][part] - sizes[1][part] for part in (0, 1))
    assert (nodes, size) == (sizes[1][0] - sizes[0][0], pytest.approx(sizes[1][1] - sizes[0][1], rel=0.1))
    assert nodes < 90
    assert size < 6500


class Classifier(nn.Module):
    """An embedding, one module in the middle, and an output layer."""

    def __init__(self, middle: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.token = nn.Embedding(LETTERS, 12)
        self.middle = middle
        self.output = nn.Linear(12, LETTERS)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.output(self.middle(self.token(tokens)))


class Attention(nn.Module):
    """Attention written out by hand, with a causal mask."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(12, 36)
        self.register_buffer("mask", torch.tril(torch.ones(LENGTH, LENGTH)))

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = self.inner(x).view(batch, length, 3, 3, width // 3).permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q @ k.transpose(-2, -1)) * 0.5
        weights = scores.masked_fill(self.mask[:length, :length] == 0, float("-inf")).softmax(-1)
        return (weights @ v).transpose(1, 2).flatten(2)


class Slices(nn.Module):
    """Cuts, joins, turns and repeats, forward and backward."""

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, dim=2)
        turned = torch.cat([right * 2, left], dim=2).flip(1)
        shifted = functional.pad(turned, (0, 0, 1, 0))[:, :-1]
        picked = torch.stack([x[:, ::2], shifted[:, 1::2]], dim=2).flatten(1, 2)
        running = torch.cumsum(picked, dim=1) * 0.1
        return running + x[:, :1].expand_as(x) + x.max(dim=2, keepdim=True).values + picked.amax(dim=1, keepdim=True)


@pytest.mark.parametrize("part", [Attention, Slices])
def test_a_part_of_a_transformer_trains_as_in_pytorch(part: type[nn.Module]) -> None:
    model = Classifier(part())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=0.01, eps=1e-4)
    trained = train_both(model, optimizer, gpt.loss, sentences(), steps=5, prepare=lambda x: x)
    trained.assert_close(1e-3, 2e-5)


def test_padding_rows_of_an_embedding_get_no_gradient() -> None:
    model = Classifier(nn.ReLU())
    model.token = nn.Embedding(LETTERS, 12, padding_idx=3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trained = train_both(model, optimizer, gpt.loss, sentences(), steps=3, prepare=lambda x: x)
    trained.assert_close(1e-4)
    assert not trained.state["model.token.weight"][3].any()
