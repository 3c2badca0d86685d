"""Every layer, loss, optimizer and operation that is promised, trained exactly and compared with PyTorch in float64.

The bound is on forward pass, loss, gradients and the state after every step: the largest error of any tensor, relative
to its largest element. Single precision rounds to 6e-8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ml.data import Dataset
from tests.ml.double import Double, Optimize

BOUND, STEPS = 2e-6, 3
WIDTH, CLASSES, LETTERS, LENGTH, SIZE = 12, 4, 11, 6, 9
Build = Callable[[], nn.Module]
Loss = Callable[[Tensor, Tensor], Tensor]


def generator() -> np.random.Generator:
    return np.random.default_rng(5)


def vectors() -> Dataset:
    x = generator().standard_normal((24, WIDTH), np.float32)
    return Dataset({"x": x, "label": (np.arange(24) % CLASSES).astype(np.int32)})


def pictures() -> Dataset:
    image = generator().standard_normal((24, 3, SIZE, SIZE), np.float32)
    return Dataset({"image": image, "label": (np.arange(24) % CLASSES).astype(np.int32)})


def sentences() -> Dataset:
    tokens = generator().integers(0, LETTERS, (24, LENGTH), dtype=np.int32)
    return Dataset({"tokens": tokens, "next": ((tokens * 3 + 1) % LETTERS).astype(np.int32)})


class Apply(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def between(middle: nn.Module) -> nn.Module:
    """A layer between two linear ones."""
    return nn.Sequential(nn.Linear(WIDTH, WIDTH), middle, nn.Linear(WIDTH, CLASSES))


def on_pictures(*layers: nn.Module) -> nn.Module:
    """Layers on images, then a linear one."""
    body = nn.Sequential(*layers, nn.Flatten()).eval()
    with torch.no_grad():
        features = body(torch.zeros(2, 3, SIZE, SIZE)).shape[1]
    return nn.Sequential(*body, nn.Linear(features, CLASSES))


class OnTokens(nn.Module):
    """An embedding, a layer on [batch, length, width], and an output for every place."""

    def __init__(self, middle: nn.Module) -> None:
        super().__init__()
        self.token = nn.Embedding(LETTERS, WIDTH)
        self.middle = middle
        self.output = nn.Linear(WIDTH, LETTERS)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.output(self.middle(self.token(tokens)))


class First(nn.Module):
    """The first result of a layer that gives several."""

    def __init__(self, layer: nn.Module, times: int = 1, **options: Any) -> None:
        super().__init__()
        self.layer, self.times, self.options = layer, times, options

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.layer(*[x] * self.times, **self.options)[0]
        return result


def heads(x: Tensor) -> Tensor:
    return x.unflatten(2, (3, 4)).transpose(1, 2)


class Attention(nn.Module):
    """`scaled_dot_product_attention` with any options."""

    def __init__(self, mask: Callable[[], Tensor] | None = None, **options: Any) -> None:
        super().__init__()
        self.inner, self.mask, self.options = nn.Linear(WIDTH, 3 * WIDTH), mask, options

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (heads(part) for part in self.inner(x).chunk(3, 2))
        mask = None if self.mask is None else self.mask()
        if mask is not None and mask.dtype != torch.bool:
            mask = mask.to(x.dtype)
        options = {**self.options, "dropout_p": self.options.get("dropout_p", 0.0) * self.training}
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, **options)
        return mixed.transpose(1, 2).flatten(2)


def per_place(**options: Any) -> Loss:
    """Cross-entropy of every place of a sentence."""
    weight = options.pop("weight", None)

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        weights = None if weight is None else torch.arange(1.0, 1 + LETTERS, dtype=logits.dtype) / LETTERS
        return functional.cross_entropy(logits.flatten(0, 1), target.flatten(), weight=weights, **options)

    return loss


def against_numbers(loss: Callable[..., Tensor], **options: Any) -> Loss:
    """A loss on real targets, made of the labels."""

    def compare(found: Tensor, label: Tensor) -> Tensor:
        wanted = (label.unsqueeze(1) == torch.arange(CLASSES)).to(found.dtype) * 0.75 + 0.125
        return loss(found, wanted, **options)

    return compare


LAYERS: dict[str, Build] = {
    "Linear": lambda: between(nn.Identity()),
    "Linear without bias": lambda: nn.Linear(WIDTH, CLASSES, bias=False),
    "ReLU": lambda: between(nn.ReLU()),
    "LeakyReLU": lambda: between(nn.LeakyReLU(0.1)),
    "ELU": lambda: between(nn.ELU(0.7)),
    "SELU": lambda: between(nn.SELU()),
    "CELU": lambda: between(nn.CELU(1.5)),
    "GELU": lambda: between(nn.GELU()),
    "GELU by tanh": lambda: between(nn.GELU("tanh")),
    "SiLU": lambda: between(nn.SiLU()),
    "Mish": lambda: between(nn.Mish()),
    "hard swish": lambda: between(nn.Hardswish()),
    "hard sigmoid": lambda: between(nn.Hardsigmoid()),
    "log-sigmoid": lambda: between(nn.LogSigmoid()),
    "PReLU": lambda: between(nn.PReLU()),
    "ReLU6": lambda: between(nn.ReLU6()),
    "sigmoid": lambda: between(nn.Sigmoid()),
    "tanh": lambda: between(nn.Tanh()),
    "softplus": lambda: between(nn.Softplus(2.0)),
    "softmax": lambda: between(nn.Softmax(1)),
    "log-softmax": lambda: between(nn.LogSoftmax(1)),
    "dropout": lambda: between(nn.Dropout(0.3)),
    "BatchNorm1d": lambda: nn.Sequential(nn.Linear(WIDTH, 9, bias=False), nn.BatchNorm1d(9), nn.Linear(9, CLASSES)),
    "LayerNorm": lambda: between(nn.LayerNorm(WIDTH)),
    "RMSNorm": lambda: between(nn.RMSNorm(WIDTH)),
    "sine and cosine": lambda: between(Apply(lambda x: torch.sin(3 * x) + torch.cos(x) * x)),
    "powers": lambda: between(Apply(lambda x: x**4 + (x.abs() + 0.5) ** 1.7 + (x * x + 1) ** -3)),
    "powers of a number": lambda: between(Apply(lambda x: 10 ** (x / 4) + 2.0**x)),
    "exp, log and roots": lambda: between(Apply(lambda x: torch.log1p(x.exp()) + (x * x + 1).sqrt().rsqrt())),
    "expm1": lambda: between(Apply(lambda x: torch.expm1(x / 100) * 100)),
    "residual": lambda: between(Apply(lambda x: x + torch.tanh(x))),
    "concat": lambda: between(Apply(lambda x: torch.cat([x[:, 6:], x[:, :6] * 2], 1))),
    "slicing": lambda: between(Apply(lambda x: x[:, ::2].repeat(1, 2) + x.flip(1) * x[:, :1])),
    "assigning to a slice": lambda: between(Apply(lambda x: assign(x))),
    "where": lambda: between(Apply(lambda x: torch.where(x > 0.2, x, x * x))),
    "gather": lambda: between(Apply(lambda x: x.gather(1, torch.arange(WIDTH).flip(0).expand(x.shape) // 2))),
    "gather by data": lambda: between(Apply(lambda x: x.gather(1, x.argmax(1, keepdim=True)) + x)),
    "index by an integer tensor": lambda: between(Apply(lambda x: x[:, torch.arange(WIDTH) % 5])),
    "integers and masks": lambda: between(Apply(masked)),
    "masked fill": lambda: between(Apply(lambda x: x.masked_fill((x > 0) & ~(x > 1), 0.5))),
    "means and variances": lambda: between(Apply(lambda x: (x - x.mean(1, True)) * x.var(1, keepdim=True))),
    "norms": lambda: between(Apply(lambda x: functional.normalize(x, dim=1))),
    "einsum": lambda: between(Apply(lambda x: torch.einsum("bi,bj->bi", x, x.tanh()) * 0.1)),
    "LSTM cell": lambda: nn.Sequential(First(nn.LSTMCell(WIDTH, 9), 1), nn.Linear(9, CLASSES)),
}  # fmt: skip


def assign(x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y[:, ::2] = x[:, 6:].sin()
    y[:, 1] = x[:, 0]
    y[:, 7:] += x[:, 7:]
    return y


def masked(x: Tensor) -> Tensor:
    places = torch.arange(WIDTH)
    odd = (places % 2 == 1) & (places // 3 != 2)
    kept = torch.logical_or(odd, places == 0)
    return x * kept.to(x.dtype) + torch.where(kept, 0, places).to(x.dtype) * 0.1


PICTURES: dict[str, Build] = {
    "Conv2d": lambda: on_pictures(nn.Conv2d(3, 5, 3)),
    "Conv2d with stride, padding, dilation and groups": lambda: on_pictures(
        nn.Conv2d(3, 6, (3, 2), stride=(2, 1), padding=(2, 1), dilation=(1, 2), groups=3)
    ),
    "depthwise convolution": lambda: on_pictures(nn.Conv2d(3, 3, 3, padding="same", groups=3), nn.Conv2d(3, 4, 1)),
    "Conv1d with stride, padding, dilation and groups": lambda: on_pictures(
        nn.Flatten(2), nn.Conv1d(3, 6, 5, stride=2, padding=3, dilation=2, groups=3)
    ),
    "ConvTranspose2d": lambda: on_pictures(nn.ConvTranspose2d(3, 4, 3, 2, 1, 1, groups=1)),
    "max pool": lambda: on_pictures(nn.Conv2d(3, 4, 2), nn.MaxPool2d(3, 2, 1)),
    "max pool of one dimension": lambda: on_pictures(nn.Conv2d(3, 4, 2), nn.Flatten(2), nn.MaxPool1d(3, 2)),
    "average pool": lambda: on_pictures(nn.Conv2d(3, 4, 2), nn.AvgPool2d(3, 2, 1)),
    "average pool without padding": lambda: on_pictures(nn.AvgPool2d(3, 2, 1, count_include_pad=False)),
    "average pool of one dimension": lambda: on_pictures(nn.Conv2d(3, 4, 2), nn.Flatten(2), nn.AvgPool1d(3, 2)),
    "adaptive average pool": lambda: on_pictures(nn.Conv2d(3, 4, 2), nn.AdaptiveAvgPool2d((4, 2))),
    "uneven adaptive average pool": lambda: on_pictures(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d((4, 7))),
    "adaptive pool to more places": lambda: on_pictures(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d((13, 5))),
    "adaptive max pool": lambda: on_pictures(nn.Conv2d(3, 4, 2), nn.AdaptiveMaxPool2d((4, 2))),
    "uneven adaptive max pool": lambda: on_pictures(nn.Conv2d(3, 4, 1), nn.AdaptiveMaxPool2d((4, 7))),
    "uneven adaptive pool of one dimension": lambda: on_pictures(nn.Flatten(2), nn.AdaptiveAvgPool1d(7)),
    "BatchNorm2d": lambda: on_pictures(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
    "GroupNorm": lambda: on_pictures(nn.Conv2d(3, 6, 3), nn.GroupNorm(3, 6)),
    "InstanceNorm2d": lambda: on_pictures(nn.Conv2d(3, 6, 3, bias=False), nn.InstanceNorm2d(6, affine=True)),
    "Dropout2d": lambda: on_pictures(nn.Conv2d(3, 6, 3), nn.Dropout2d(0.4)),
    "upsampling": lambda: on_pictures(nn.Conv2d(3, 2, 3, 2), nn.Upsample(scale_factor=2)),
}


def causal() -> Tensor:
    return torch.ones(LENGTH, LENGTH).tril() == 1


def slopes() -> Tensor:
    return -(torch.arange(LENGTH).unsqueeze(1) - torch.arange(LENGTH)).abs().float() * 0.5


class Sinusoids(nn.Module):
    """Positions as sines and cosines, computed in the forward pass (Vaswani et al. 2017)."""

    def forward(self, x: Tensor) -> Tensor:
        place = torch.arange(x.shape[1], dtype=x.dtype).unsqueeze(1)
        rate = torch.exp(torch.arange(0, WIDTH, 2, dtype=x.dtype) * (-np.log(10000.0) / WIDTH))
        return x + torch.stack([torch.sin(place * rate), torch.cos(place * rate)], 2).flatten(1)


class Rotary(nn.Module):
    """Pairs of elements turned by angles that grow with the place (Su et al. 2021)."""

    def forward(self, x: Tensor) -> Tensor:
        angle = torch.outer(
            torch.arange(x.shape[1], dtype=x.dtype), 1.0 / 10000 ** (torch.arange(0, WIDTH, 2, dtype=x.dtype) / WIDTH)
        )
        left, right = x[..., ::2], x[..., 1::2]
        pair = left * angle.cos() - right * angle.sin(), left * angle.sin() + right * angle.cos()
        return torch.stack(pair, -1).flatten(2)


class Tied(nn.Module):
    """The output layer has the embedding's weights."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Embedding(LETTERS, WIDTH)
        self.output = nn.Linear(WIDTH, LETTERS, bias=False)
        self.output.weight = self.token.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.output(torch.tanh(self.token(tokens)))


TOKENS: dict[str, Build] = {
    "embedding": lambda: OnTokens(nn.Identity()),
    "tied weights": Tied,
    "attention": lambda: OnTokens(Attention()),
    "causal attention": lambda: OnTokens(Attention(is_causal=True)),
    "attention with a boolean mask": lambda: OnTokens(Attention(causal)),
    "attention with an additive mask": lambda: OnTokens(Attention(slopes)),
    "attention with another scale": lambda: OnTokens(Attention(scale=0.3)),
    "attention with dropout": lambda: OnTokens(Attention(dropout_p=0.25)),
    "causal attention with dropout": lambda: OnTokens(Attention(is_causal=True, dropout_p=0.25)),
    "masked attention with dropout": lambda: OnTokens(Attention(causal, dropout_p=0.25)),
    "MultiheadAttention": lambda: OnTokens(First(nn.MultiheadAttention(WIDTH, 3, batch_first=True), 3)),
    "MultiheadAttention with dropout": lambda: OnTokens(
        First(nn.MultiheadAttention(WIDTH, 3, dropout=0.2, batch_first=True), 3, need_weights=False)
    ),
    "encoder layer with dropout": lambda: OnTokens(nn.TransformerEncoderLayer(WIDTH, 3, 24, 0.1, batch_first=True)),
    "LSTM": lambda: OnTokens(First(nn.LSTM(WIDTH, WIDTH, batch_first=True))),
    "two LSTM layers with dropout": lambda: OnTokens(First(nn.LSTM(WIDTH, WIDTH, 2, batch_first=True, dropout=0.2))),
    "LSTM of both directions": lambda: OnTokens(
        First(nn.LSTM(WIDTH, WIDTH // 2, batch_first=True, bidirectional=True))
    ),
    "GRU": lambda: OnTokens(First(nn.GRU(WIDTH, WIDTH, batch_first=True))),
    "RNN": lambda: OnTokens(First(nn.RNN(WIDTH, WIDTH, batch_first=True))),
    "sinusoidal positions": lambda: OnTokens(Sinusoids()),
    "rotary positions": lambda: OnTokens(Rotary()),
}

LOSSES: dict[str, Loss] = {
    "MSE": against_numbers(functional.mse_loss),
    "L1": against_numbers(functional.l1_loss),
    "Huber": against_numbers(functional.huber_loss, delta=0.3),
    "smooth L1": against_numbers(functional.smooth_l1_loss, beta=0.4),
    "BCE with logits": against_numbers(functional.binary_cross_entropy_with_logits),
    "BCE with logits and weights": against_numbers(
        lambda x, y: functional.binary_cross_entropy_with_logits(
            x,
            y,
            weight=torch.full((CLASSES,), 0.7, dtype=x.dtype),
            pos_weight=torch.full((CLASSES,), 2.5, dtype=x.dtype),
        )
    ),
    "BCE": against_numbers(lambda x, y: functional.binary_cross_entropy(torch.sigmoid(x), y)),
    "KL divergence": against_numbers(lambda x, y: functional.kl_div(x.log_softmax(1), y / 1.25, reduction="batchmean")),
    "cross-entropy of parts": against_numbers(lambda x, y: functional.cross_entropy(x, y / y.sum(1, keepdim=True))),
}
SENTENCE_LOSSES: dict[str, Loss] = {
    "cross-entropy": per_place(),
    "cross-entropy, summed": per_place(reduction="sum"),
    "label smoothing": per_place(label_smoothing=0.1),
    "ignored labels": per_place(ignore_index=3),
    "class weights": per_place(weight=True),
    "class weights, summed": per_place(weight=True, reduction="sum"),
    "class weights, smoothing and ignored labels": per_place(weight=True, label_smoothing=0.2, ignore_index=3),
}


def adam(**options: Any) -> Optimize:
    return lambda model: torch.optim.Adam(model.parameters(), **{"lr": 0.01, "eps": 1e-4, **options})


def adamw(**options: Any) -> Optimize:
    return lambda model: torch.optim.AdamW(model.parameters(), **{"lr": 0.01, "eps": 1e-4, **options})


def sgd(**options: Any) -> Optimize:
    return lambda model: torch.optim.SGD(model.parameters(), **{"lr": 0.1, **options})


def grouped(kind: Any, **options: Any) -> Optimize:
    """The first layer learns ten times slower, without decay."""

    def build(model: nn.Module) -> torch.optim.Optimizer:
        slow = list(next(iter(model.children())).parameters())
        rest = [parameter for parameter in model.parameters() if all(parameter is not one for one in slow)]
        optimizer: torch.optim.Optimizer = kind(
            [{"params": slow, "lr": 0.002, "weight_decay": 0.0}, {"params": rest}], **{"lr": 0.02, **options}
        )
        return optimizer

    return build


OPTIMIZERS: dict[str, tuple[Optimize, dict[str, Any]]] = {
    "SGD": (sgd(), {}),
    "SGD with momentum": (sgd(momentum=0.9), {}),
    "SGD with Nesterov momentum": (sgd(momentum=0.9, nesterov=True), {}),
    "SGD with weight decay": (sgd(momentum=0.9, weight_decay=0.05), {}),
    "Adam": (adam(), {}),
    "Adam with weight decay": (adam(weight_decay=0.05, betas=(0.8, 0.95)), {}),
    "Adam with amsgrad": (adam(amsgrad=True, betas=(0.5, 0.5)), {}),
    "AdamW": (adamw(weight_decay=0.1), {}),
    "AdamW with amsgrad": (adamw(amsgrad=True, betas=(0.5, 0.5)), {}),
    "clipping by norm": (sgd(momentum=0.9), {"clip_norm": 0.05}),
    "clipping with AdamW and amsgrad": (adamw(amsgrad=True), {"clip_norm": 0.05}),
    "a schedule": (sgd(momentum=0.9), {"rates": [0.1, 0.05, 0.025]}),
    "a rate for each group of SGD": (grouped(torch.optim.SGD, momentum=0.9, weight_decay=0.1), {}),
    "a rate for each group of AdamW": (grouped(torch.optim.AdamW, weight_decay=0.1, eps=1e-4), {}),
    "a schedule for each group": (
        grouped(torch.optim.Adam, eps=1e-4), {"rates": [(0.001 * k, 0.01 / k) for k in (1, 2, 3)]}
    ),
}  # fmt: skip


def accumulated(logits: Tensor, target: Tensor) -> Tensor:
    """Gradient accumulation: the mean of the losses of parts of the batch."""
    parts = zip(logits.chunk(4), target.chunk(4), strict=True)
    return torch.stack([functional.cross_entropy(*part) / 4 for part in parts]).sum()


CASES: dict[str, Callable[[], Double]] = {
    **{name: lambda b=b: Double(b(), nn.CrossEntropyLoss(), vectors()) for name, b in LAYERS.items()},
    **{name: lambda b=b: Double(b(), nn.CrossEntropyLoss(), pictures()) for name, b in PICTURES.items()},
    **{name: lambda b=b: Double(b(), per_place(), sentences()) for name, b in TOKENS.items()},
    **{name: lambda f=f: Double(between(nn.Tanh()), f, vectors()) for name, f in LOSSES.items()},
    **{name: lambda f=f: Double(OnTokens(nn.Tanh()), f, sentences()) for name, f in SENTENCE_LOSSES.items()},
    **{
        name: lambda f=f, o=o: Double(between(nn.Tanh()), nn.CrossEntropyLoss(), vectors(), f, **o)
        for name, (f, o) in OPTIMIZERS.items()
    },
    "gradient accumulation": lambda: Double(between(nn.Tanh()), accumulated, vectors()),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_promised_trains_as_pytorch_does_in_double_precision(name: str) -> None:
    torch.manual_seed(4)
    error, where = CASES[name]().train(STEPS).worst
    assert error < BOUND, (where, error)
