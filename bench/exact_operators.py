"""Kinds of operators under which the time of a training step is counted, for both sides alike."""

from __future__ import annotations

KINDS = (
    "products, attention",
    "convolution",
    "pooling",
    "sums",
    "losses",
    "layer norm",
    "indexing and copies",
    "optimizer",
    "element-wise",
    "framework",
)

EXACT_KINDS = {
    **dict.fromkeys(("matmul", "batch_matmul", "softmax", "softmax_backward"), "products, attention"),
    "conv2d": "convolution",
    **dict.fromkeys(("max_pool", "max_pool_backward"), "pooling"),
    **dict.fromkeys(("row_sum", "col_sum", "block_sum", "block_square_sum", "row_max"), "sums"),
    **dict.fromkeys(("log_softmax", "log_softmax_backward", "nll", "nll_backward"), "losses"),
    **dict.fromkeys(("layer_norm", "layer_norm_backward"), "layer norm"),
    **dict.fromkeys(
        ("move_f32", "move_word", "move_byte", "pad", "concat", "take_rows", "scatter_rows", "fill", "iota"),
        "indexing and copies",
    ),
    "sgd": "optimizer",
}
"""Kernel -> kind; all others are element-wise. Fused updates of Adam and batch norm's pieces are element-wise too."""

_TORCH_KINDS = (
    ("optimizer", ("Optimizer.", "aten::_foreach", "aten::_fused")),
    ("convolution", ("conv",)),
    ("products, attention", ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::matmul", "attention")),
    ("pooling", ("pool",)),
    ("losses", ("softmax", "nll_loss", "cross_entropy")),
    ("layer norm", ("layer_norm",)),
    ("sums", ("aten::sum", "aten::mean")),
    (
        "indexing and copies",
        ("aten::copy_", "aten::index", "aten::embedding", "aten::cat", "aten::fill_", "aten::zero_", "aten::clone",
         "aten::arange", "aten::contiguous"),
    ),
    (
        "element-wise",
        ("aten::add", "aten::mul", "aten::div", "aten::sub", "relu", "threshold", "gelu", "batch_norm", "aten::neg"),
    ),
)  # fmt: skip


def torch_kind(name: str) -> str:
    """The kind of an event of PyTorch's profiler; what only passes tensors on is the framework's."""
    return next((kind for kind, parts in _TORCH_KINDS if any(part in name for part in parts)), "framework")
