"""Scan convolution in plain PyTorch: the truth, and the ops on GPU.

Axis letters: b batch, g scan, l step, d feature, t tap.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..cross_selective_scan.route import Route


def centred_taps(weight: Tensor, routes: Sequence[int]) -> Tensor:
    """Return the filters as they lie on the sequence: `(g, t)` -> `(g, 2t - 1)`.

    The tap t - 1 is on the step itself, earlier steps before it, later ones behind.
    """
    reach = weight.shape[1] - 1
    taps = [
        F.pad(w.flip(0), (reach, 0))
        if route >= Route.ROWS_BACKWARD
        else F.pad(w, (0, reach))
        for w, route in zip(weight, routes, strict=True)
    ]
    return torch.stack(taps)


def scan_conv_reference(
    v: Tensor, weight: Tensor, bias: Tensor, routes: Sequence[int]
) -> Tensor:
    """Same arguments and result as `scan_conv`, differentiable by autograd."""
    if v.numel() == 0:  # conv2d takes no empty image
        nothing = (weight.sum(1) + bias).to(v.dtype)
        return v[:, None] + nothing[:, None, None]
    reach = weight.shape[1] - 1
    taps = centred_taps(weight, routes).to(v.dtype)
    padding = (reach, 0)
    return F.conv2d(
        v[:, None], taps[:, None, :, None], bias.to(v.dtype), padding=padding
    )


def scan_conv_backward_reference(
    dy: Tensor, v: Tensor, weight: Tensor, routes: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of `v`, `weight` and `bias`."""
    t, l = weight.shape[1], v.shape[1]
    if v.numel() == 0:
        return (
            v.new_zeros(v.shape),
            torch.zeros_like(weight),
            weight.new_zeros(len(weight)),
        )
    taps = centred_taps(weight, routes).to(v.dtype)
    dv = F.conv_transpose2d(dy, taps[:, None, :, None], padding=(t - 1, 0))
    padded = F.pad(v, (0, 0, t - 1, t - 1))
    dtaps = torch.stack(  # (g, 2t - 1)
        [
            (dy * padded[:, None, i : i + l]).sum((0, 2, 3), dtype=weight.dtype)
            for i in range(2 * t - 1)
        ],
        dim=1,
    )
    rows = [
        dtaps[k, t - 1 :].flip(0) if route >= Route.ROWS_BACKWARD else dtaps[k, :t]
        for k, route in enumerate(routes)
    ]
    return dv[:, 0], torch.stack(rows), dy.sum((0, 2, 3), dtype=weight.dtype)
