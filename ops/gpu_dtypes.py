"""The dtype that the Triton kernels compute in."""

import torch
import triton.language as tl
from torch import Tensor

from .dtypes import work_dtype


def work_type(x: Tensor) -> tl.dtype:
    """Return Triton's name of `work_dtype(x)`."""
    return tl.float64 if work_dtype(x) == torch.float64 else tl.float32
