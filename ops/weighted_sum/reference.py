"""Weighted sum in plain PyTorch: the truth, and the ops without the binary."""

from collections.abc import Sequence

import torch
from torch import Tensor


def weighted_sum_reference(tensors: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Return `sum_i weights[i] * tensors[i]`, differentiable by autograd.

    Same arguments and result as `weighted_sum`.
    """
    dtype = sum_dtype(tensors[0])
    total = sum(
        w * x.to(dtype) for w, x in zip(weights.to(dtype), tensors, strict=True)
    )
    return total.to(tensors[0].dtype)


def weighted_sum_backward_reference(
    dy: Tensor, tensors: Sequence[Tensor], weights: Tensor
) -> tuple[list[Tensor], Tensor]:
    """Return the gradient of every tensor and of the weights."""
    dtype = sum_dtype(dy)
    dy = dy.to(dtype)
    dtensors = [(w * dy).to(x.dtype) for w, x in zip(weights, tensors, strict=True)]
    return dtensors, torch.stack([(dy * x.to(dtype)).sum() for x in tensors])


def sum_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype of the accumulation: fp64 for fp64, else fp32."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32
