"""A small GPT that learns to write like Python's own reference manual, byte by byte; trained with AdamW.

``solvent task submit examples/gpt.py`` captures what `build` returns. Nothing in this file knows about Solvent.
The model is the usual one: token and position embeddings, blocks of causal attention and a two-layer network, both
after a layer norm, and an output layer that shares the token embedding's weights (Radford et al. 2019).
"""

import math
from pydoc_data.topics import topics

import numpy as np
import torch
from torch import Tensor, nn, optim
from torch.nn import functional

CONTEXT, WIDTH, HEADS, LAYERS = 64, 64, 4, 2
BATCH_SIZE, STEPS = 16, 400
CLIP_NORM = 1.0
ALPHABET = "\n" + "".join(map(chr, range(32, 127)))


def LEARNING_RATES(step: int) -> float:
    """Forty steps up to 3e-3, then down along a cosine to a tenth of it."""
    if step < 40:
        return 3e-3 * (step + 1) / 40
    done = min(1.0, (step - 40) / (STEPS - 40))
    return 3e-4 + 0.5 * (3e-3 - 3e-4) * (1 + math.cos(math.pi * done))


def DATA() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(train, test): windows of the text as numbers of characters, and the same one character later."""
    text = "\n".join(topics[name] for name in sorted(topics))
    numbers = np.array([ALPHABET.index(letter) for letter in text if letter in ALPHABET], dtype=np.int32)
    windows = np.arange(0, len(numbers) - CONTEXT - 1, CONTEXT)[:, None] + np.arange(CONTEXT)
    samples = {"tokens": numbers[windows], "next": numbers[windows + 1]}
    held_out = np.arange(len(windows)) % 10 == 9
    train, test = ({name: array[rows] for name, array in samples.items()} for rows in (~held_out, held_out))
    return train, test


class Block(nn.Module):
    """Causal attention, then a two-layer network; each adds to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.merge = nn.Linear(width, width)
        self.before_network = nn.LayerNorm(width)
        self.network = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        parts = self.queries_keys_values(self.before_attention(x)).split(width, dim=2)
        q, k, v = (part.view(batch, length, self.heads, width // self.heads).transpose(1, 2) for part in parts)
        heads = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.merge(heads.transpose(1, 2).reshape(batch, length, width))
        return x + self.network(self.before_network(x))


class Gpt(nn.Module):
    """tokens [batch, length] to logits [batch, length, alphabet]."""

    def __init__(self, alphabet: int, context: int, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.token = nn.Embedding(alphabet, width)
        self.position = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, alphabet, bias=False)
        self.output.weight = self.token.weight
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1])
        x = self.token(tokens) + self.position(places)
        for block in self.blocks:
            x = block(x)
        return self.output(self.norm(x))


def loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of the next character."""
    return functional.cross_entropy(logits.flatten(0, 1), target.flatten())


def build() -> tuple[nn.Module, object, optim.Optimizer]:
    """The model, its loss, and AdamW that decays weights but neither biases nor norms."""
    model = Gpt(len(ALPHABET), CONTEXT, WIDTH, HEADS, LAYERS)
    decayed = [parameter for parameter in model.parameters() if parameter.dim() == 2]
    others = [parameter for parameter in model.parameters() if parameter.dim() < 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    return model, loss, optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.99))
