"""Selective scan in plain PyTorch: the truth that the kernels are tested against.

Axis letters: b batch, g group, d channel, n state, l length.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..dtypes import work_dtype


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
    dtype = work_dtype(u)
    y, last_state = scan(
        u.to(dtype),
        step_sizes(delta, delta_bias, delta_softplus, dtype),
        A.to(dtype),
        B.to(dtype),
        C.to(dtype),
    )
    if D is not None:
        y = y + D.to(dtype)[:, None] * u.to(dtype)
    if z is not None:
        y = y * F.silu(z)
    y = y.to(u.dtype)
    return (y, last_state) if return_last_state else y


def step_sizes(
    delta: Tensor, bias: Tensor | None, softplus: bool, dtype: torch.dtype
) -> Tensor:
    """Return the step sizes, `(b, d, l)`, that the recurrence uses."""
    delta = delta.to(dtype)
    if bias is not None:
        delta = delta + bias.to(dtype)[:, None]
    # threshold: with a larger argument softplus(x) = x to the last bit of fp64
    return F.softplus(delta, threshold=40) if softplus else delta


def scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor
) -> tuple[Tensor, Tensor]:
    """Return `y`, `(b, d, l)`, without skip, and the last state, `(b, d, n)`.

    `B` and `C` have any shape that `selective_scan` accepts.
    """
    (b, d, l), n = u.shape, A.shape[1]
    h = u.new_zeros(b, d, n)
    steps = (t.movedim(-1, 0).contiguous() for t in (u, delta))
    ys = []
    for x, step, B_t, C_t in zip(
        *steps, over_steps(B, l), over_steps(C, l), strict=True
    ):
        decay = torch.exp(step[..., None] * A)
        h = decay * h + (step * x)[..., None] * to_channels(B_t, b, d)
        ys.append((h * to_channels(C_t, b, d)).sum(-1))
    y = torch.stack(ys, dim=-1) if ys else u.new_zeros(b, d, 0)
    return y, h


def over_steps(matrix: Tensor, l: int) -> Tensor:
    """Bring `B` or `C` to `(l, b, g, n)`, or `(l, 1, d, n)` if it has no steps."""
    if matrix.dim() == 2:
        return matrix.expand(l, 1, -1, -1)
    if matrix.dim() == 3:
        matrix = matrix[:, None]
    return matrix.movedim(-1, 0).contiguous()


def to_channels(matrix: Tensor, b: int, d: int) -> Tensor:
    """Give each channel the row of its group: `(b, g, n)` -> `(b, d, n)`."""
    channels = d // max(1, matrix.shape[1])  # of a group; without any, no group
    return matrix[:, :, None].expand(b, -1, channels, -1).flatten(1, 2)
