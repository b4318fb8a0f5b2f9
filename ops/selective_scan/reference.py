"""Selective scan in plain PyTorch: the truth that the kernels are tested against.

Axis letters: b batch, g group, d channel, n state, l length.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def selective_scan_reference(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Run the recurrence of `selective_scan` step by step, differentiable by autograd.

    Same arguments and results as `selective_scan`; computes in fp64 if `u` is fp64, in
    fp32 otherwise.
    """
    dtype = state_dtype(u)
    y, last_state = scan(
        u.to(dtype),
        step_sizes(delta, delta_bias, delta_softplus, dtype),
        A.to(dtype),
        per_channel(B, u, dtype),
        per_channel(C, u, dtype),
    )
    if D is not None:
        y = y + D.to(dtype)[:, None] * u.to(dtype)
    if z is not None:
        y = y * F.silu(z.to(dtype))
    y = y.to(u.dtype)
    return (y, last_state) if return_last_state else y


def state_dtype(u: Tensor) -> torch.dtype:
    """Return the dtype of the hidden state for input `u`: fp64 for fp64, else fp32."""
    return torch.float64 if u.dtype == torch.float64 else torch.float32


def step_sizes(
    delta: Tensor, bias: Tensor | None, softplus: bool, dtype: torch.dtype
) -> Tensor:
    """Return the step sizes, `(b, d, l)`, that the recurrence uses."""
    delta = delta.to(dtype)
    if bias is not None:
        delta = delta + bias.to(dtype)[:, None]
    # threshold: with a larger argument softplus(x) = x to the last bit of fp64
    return F.softplus(delta, threshold=40) if softplus else delta


def per_channel(matrix: Tensor, u: Tensor, dtype: torch.dtype) -> Tensor:
    """Bring `B` or `C` of any accepted shape to `(b, d, n, l)`, one per channel."""
    b, d, l = u.shape
    matrix = matrix.to(dtype)
    if matrix.dim() == 2:  # (d, n)
        return matrix[None, :, :, None].expand(b, -1, -1, l)
    if matrix.dim() == 3:  # (b, n, l)
        matrix = matrix[:, None]
    return matrix.repeat_interleave(d // matrix.shape[1], dim=1)


def scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor
) -> tuple[Tensor, Tensor]:
    """Return `y`, `(b, d, l)`, without skip, and the last state, `(b, d, n)`."""
    b, d = u.shape[:2]
    h = u.new_zeros(b, d, A.shape[1])
    ys = []
    for x, step, B_t, C_t in zip(
        *(t.unbind(-1) for t in (u, delta, B, C)), strict=True
    ):
        decay = torch.exp(step[..., None] * A)
        h = decay * h + (step * x)[..., None] * B_t
        ys.append((h * C_t).sum(-1))
    y = torch.stack(ys, dim=-1) if ys else u.new_zeros(b, d, 0)
    return y, h
