"""The dtype that the ops compute in."""

import torch
from torch import Tensor


def work_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype of states and sums for input `x`: fp64 for fp64, else fp32."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32
