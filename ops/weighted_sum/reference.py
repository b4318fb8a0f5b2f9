"""Weighted sum in plain PyTorch: the truth, and the ops without the binary."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..dtypes import work_dtype


def weighted_sum_reference(tensors: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Return `sum_i weights[i] * tensors[i]`, differentiable by autograd.

    Same arguments and result as `weighted_sum`.
    """
    dtype = work_dtype(tensors[0])
    total = sum(
        w * x.to(dtype) for w, x in zip(weights.to(dtype), tensors, strict=True)
    )
    return total.to(tensors[0].dtype)


def weighted_sum_backward_reference(
    dy: Tensor, tensors: Sequence[Tensor], weights: Tensor
) -> tuple[list[Tensor], Tensor]:
    """Return the gradient of every tensor and of the weights."""
    dtype = work_dtype(dy)
    dy = dy.to(dtype)
    dtensors = [(w * dy).to(x.dtype) for w, x in zip(weights, tensors, strict=True)]
    return dtensors, torch.stack([(dy * x.to(dtype)).sum() for x in tensors])
