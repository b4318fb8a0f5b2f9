"""Gated norm in plain PyTorch: the truth, and the ops without the binary."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..dtypes import work_dtype


def gated_norm_reference(
    x: Tensor, z: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5
) -> Tensor:
    """Same arguments and result as `gated_norm`, differentiable by autograd."""
    work = work_dtype(z)
    x, gate, weight, bias = (t.to(work) for t in (x, z, weight, bias))
    normed = F.layer_norm(x, weight.shape, weight, bias, eps)
    return (normed * F.silu(gate)).to(z.dtype)


def gated_norm_backward_reference(
    dy: Tensor, x: Tensor, z: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of `x`, `z`, `weight` and `bias`."""
    gate, dy = z.to(x.dtype), dy.to(x.dtype)
    variance, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
    rstd = torch.rsqrt(variance + eps)
    normed, s = (x - mean) * rstd, torch.sigmoid(gate)
    dz = dy * (normed * weight + bias) * s * (1 + gate * (1 - s))
    dn = dy * gate * s  # of the norm's result
    h = dn * weight
    shared = h.mean(-1, keepdim=True), (h * normed).mean(-1, keepdim=True)
    dx = rstd * (h - shared[0] - normed * shared[1])
    return dx, dz.to(z.dtype), (dn * normed).sum((0, 1)), dn.sum((0, 1))
