"""How results lie in memory on GPU: in the order of axes of what they belong to."""

import torch
from torch import Tensor


def is_transposed(x: Tensor) -> bool:
    """Return whether the second of three axes is closer in memory than the third."""
    return x.stride(1) < x.stride(2)


def empty_along(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return an empty tensor of the shape of `x`, dense, transposed as `x` is."""
    if is_transposed(x):
        return x.new_empty(x.mT.shape, dtype=dtype).mT
    return x.new_empty(x.shape, dtype=dtype)
