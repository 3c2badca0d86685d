"""Scaled dot-product attention: two batched products around a softmax, and their gradients."""

from __future__ import annotations

import math

from ml.builder import Builder, Ref, float_bits
from ml.lowering.base import Application, lowers, require


def _scores(
    builder: Builder, query: Ref, key: Ref, mask: Ref | None, causal: bool, scale: float | None
) -> tuple[Ref, int]:
    """(probabilities, the f32 bits of the softmax's scale). With a mask the scores are scaled before it is added."""
    factor = 1 / math.sqrt(builder.shape(query)[-1]) if scale is None else scale
    rank = len(builder.shape(key))
    turned = builder.permute(key, [*range(rank - 2), rank - 1, rank - 2])
    scores = builder.batch_matmul(query, turned)
    if mask is None:
        return builder.emit("softmax", [scores], (float_bits(factor), int(causal))), float_bits(factor)
    scaled = builder.emit("mul", [scores, builder.constant(factor)])
    if builder.is_bool(mask):
        masked = builder.emit("select", [mask, scaled, builder.constant(float("-inf"))])
    else:
        masked = builder.emit("add", [scaled, mask])
    return builder.emit("softmax", [masked], (float_bits(1.0), int(causal))), float_bits(1.0)


@lowers("aten._scaled_dot_product_flash_attention_for_cpu.default")
def attention(builder: Builder, node: Application) -> tuple[Ref, Ref]:
    """(output, its second result, which only the backward pass reads: here the probabilities)."""
    query, key, value = node.args[:3]
    require(node.argument(3, "dropout_p", 0.0) == 0, "dropout inside attention")
    causal, mask = node.argument(4, "is_causal", False), node.kwargs.get("attn_mask")
    probabilities, _ = _scores(builder, query, key, mask, causal, node.kwargs.get("scale"))
    return builder.batch_matmul(probabilities, value, heads_inside=True), probabilities


@lowers("aten._scaled_dot_product_flash_attention_for_cpu_backward.default")
def attention_backward(builder: Builder, node: Application) -> tuple[Ref, Ref, Ref]:
    """The scores' products are shared with the forward pass, so nothing is computed twice."""
    gradient, query, key, value = node.args[:4]
    require(node.args[6] == 0, "dropout inside attention")
    mask, scale = node.kwargs.get("attn_mask"), node.kwargs.get("scale")
    probabilities, bits = _scores(builder, query, key, mask, node.args[7], scale)
    rank = len(builder.shape(query))
    swap = [*range(rank - 2), rank - 1, rank - 2]
    grad_value = builder.batch_matmul(builder.permute(probabilities, swap), gradient, heads_inside=True)
    grad_probabilities = builder.batch_matmul(gradient, builder.permute(value, swap))
    grad_scores = builder.emit("softmax_backward", [grad_probabilities, probabilities], (bits,))
    if mask is not None:
        factor = 1 / math.sqrt(builder.shape(query)[-1]) if scale is None else scale
        grad_scores = builder.emit("mul", [grad_scores, builder.constant(factor)])
    grad_query = builder.batch_matmul(grad_scores, key, heads_inside=True)
    grad_key = builder.batch_matmul(builder.permute(grad_scores, swap), query, heads_inside=True)
    return grad_query, grad_key, grad_value
