"""Scan convolution in plain PyTorch: the truth.

One filter for all features is a convolution of PyTorch; one for each feature is a sum
of shifted products, in fp32 or fp64.

Axis letters: b batch, g scan, l step, d feature, t tap.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..dtypes import work_dtype
from ..route import Route


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
    v: Tensor,
    weight: Tensor,
    bias: Tensor,
    routes: Sequence[int],
    silu: bool = False,
) -> Tensor:
    """Same arguments and result as `scan_conv`, differentiable by autograd."""
    if silu:
        return F.silu(scan_conv_reference(v, weight, bias, routes))
    if weight.dim() == 3:
        return _each_feature(v, weight, bias, routes)
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
    dy: Tensor,
    v: Tensor,
    weight: Tensor,
    bias: Tensor,
    routes: Sequence[int],
    silu: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of `v`, `weight` and `bias`."""
    if silu:
        work = work_dtype(v)
        wide = v.to(work)
        y = scan_conv_reference(wide, weight, bias, routes)
        s = torch.sigmoid(y)
        dy = dy.to(work) * s * (1 + y * (1 - s))
        dv, *sums = scan_conv_backward_reference(dy, wide, weight, bias, routes)
        return dv.to(v.dtype), *sums
    if weight.dim() == 3:
        return _each_feature_backward(dy, v, weight, routes)
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


def _each_feature(
    v: Tensor, weight: Tensor, bias: Tensor, routes: Sequence[int]
) -> Tensor:
    work = work_dtype(v)
    weight, bias = weight.to(work), bias.to(work)
    t = weight.shape[1]
    results = []
    for w, b, route in zip(weight, bias, routes, strict=True):
        y = b.expand(v.shape)
        for j, x in enumerate(_earlier(v.to(work), t, route)):
            y = y + w[t - 1 - j] * x
        results.append(y)
    return torch.stack(results, dim=1).to(v.dtype)  # (b, g, l, d)


def _each_feature_backward(
    dy: Tensor, v: Tensor, weight: Tensor, routes: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor]:
    work = work_dtype(v)
    dy, t = dy.to(work), weight.shape[1]
    dv = torch.zeros_like(v, dtype=work, memory_format=torch.contiguous_format)
    dweight = []
    for k, route in enumerate(routes):
        taps = []
        opposite = (int(route) + 2) % 4  # step i was read by those that come after it
        for j, later in enumerate(_earlier(dy[:, k], t, opposite)):
            dv = dv + weight[k, t - 1 - j].to(work) * later
            taps.append((later * v).sum((0, 1)))
        dweight.append(torch.stack(taps[::-1]))  # (t, d)
    dbias = dy.sum((0, 2))
    return (
        dv.to(v.dtype),
        torch.stack(dweight).to(weight.dtype),
        dbias.to(weight.dtype),
    )


def _earlier(x: Tensor, t: int, route: int) -> list[Tensor]:
    """Return `x`, `(b, l, d)`, of 0, 1, .. t - 1 steps ago in the order of the scan."""
    l, reach = x.shape[1], t - 1
    if x.shape[2] == 0:  # which F.pad of torch 2.8 refuses
        return [x] * t
    padded = F.pad(x, (0, 0, reach, reach))  # (b, l + 2 reach, d)
    sign = 1 if route >= Route.ROWS_BACKWARD else -1
    return [padded.narrow(1, reach + sign * j, l) for j in range(t)]
