"""The `cross_selective_scan` ops on GPU: the shared Triton scan, a route for each scan.

Maps are read and written in place: a route is only an order of visit. Every scan
writes its own `y` (and its own `du` of a shared `u`), and one sum over the scans
merges them, in a fixed order. What belongs to one scan is large, so the batch is taken
in parts that just fill the GPU: only one part of it exists at a time.

Forward the kernel expands step sizes of a low rank itself, in registers: the step sizes
of all channels would take four times the memory of the map in fp32. Those of a higher
rank are expanded by a batched matrix product, as are all backward, where the registers
are full; their gradients take their place and come from two products.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
import triton
from torch import Tensor

from ..dtypes import work_dtype
from ..selective_scan.gpu_scan import (
    BLOCK,
    LowRank,
    resident,
    scan_backward,
    scan_forward,
)

MAX_RANK = 16
"""The highest rank that the forward expands: its exponentials leave room for it."""


def forward(u, dt, dt_weight, A, B, C, D, dt_bias, routes, height, width, interval):
    """Return `y`, `(b, l, d)`, and the state before every `interval`-th step."""
    (b, g, l), (d, n) = B.shape[:3], A.shape[1:]
    chunks = -(-l // interval) if interval else 0
    work = work_dtype(u)
    ys = []
    states = u.new_empty(b, g, chunks, n, d, dtype=work)
    weight = dt_weight.to(work)
    for part in parts(b, g, d, u.device):
        scans = u.new_empty(part.stop - part.start, g, l, d, dtype=work)
        delta = delta_of(dt[part].to(work), weight, n)
        scan_forward(
            *(u[part].expand(-1, g, -1, -1), delta, A, B[part], C[part], D, dt_bias),
            *(scans, None, states[part]),
            **_along(routes, height, width, interval),
        )
        ys.append(scans.sum(1))
    return _joined(ys), states


def backward(
    dy, u, dt, dt_weight, A, B, C, D, dt_bias, states, routes, height, width, interval
):
    """Return the gradients of all tensor inputs, empty for those that are None."""
    along = _along(routes, height, width, interval)
    by_batch, own = [], []  # gradients of u, dt, B and C; of parameters, added up
    for part in parts(len(u), *A.shape[:2], u.device):
        *grads, sums = _backward_of_part(
            *(dy[part], u[part], dt[part], B[part], C[part]),
            *(dt_weight, A, D, dt_bias, states[part], along),
        )
        by_batch.append(grads)
        own = [a.add_(b) for a, b in zip(own, sums, strict=True)] if own else sums
    du, ddt, dB, dC = map(_joined, zip(*by_batch, strict=True))
    ddt_weight, dA, dD, dbias = own
    return du, ddt, ddt_weight, dA, dB, dC, dD, dbias


def _backward_of_part(dy, u, dt, B, C, dt_weight, A, D, dt_bias, states, along):
    """Return the gradients of u, dt, B and C, then a list of those of parameters."""
    (b, g, l), d = B.shape[:3], A.shape[1]
    shared = u.shape[1] == 1 and g > 1
    work = work_dtype(u)
    low, weight = dt.to(work), dt_weight.to(work)
    delta = _matmul(low, weight.mT)  # (b, g, l, d)
    du = u.new_empty(b, g, l, d, dtype=work if shared else u.dtype)
    ddelta, dA, dB, dC, dD, dbias = scan_backward(
        *(dy[:, None].expand(-1, g, -1, -1), None, u.expand(-1, g, -1, -1), delta),
        *(A, B, C, D, dt_bias, states, du, None),
        **along,
    )
    ddt = _matmul(ddelta, weight)  # (b, g, l, r)
    ddt_weight = _matmul(ddelta.mT, low).sum(0)  # (g, d, r)
    if shared:
        du = du.sum(1, keepdim=True)
    grads = (
        grad.to(x.dtype).contiguous()
        for grad, x in ((du, u), (ddt, dt), (dB, B), (dC, C))
    )
    dD, dbias = (states.new_empty(0) if t is None else t for t in (dD, dbias))
    return *grads, [ddt_weight, dA, dD, dbias]


def parts(b: int, g: int, d: int, device: torch.device) -> list[slice]:
    """Return parts of the batch, as equal as may be, none with more programs than fit.

    So many programs run at once, and in as many turns as without parts.
    """
    programs = b * g * triton.cdiv(d, BLOCK)
    count = max(1, min(b, math.ceil(programs / resident(device))))
    return [slice(i * b // count, (i + 1) * b // count) for i in range(count)]


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def delta_of(dt: Tensor, weight: Tensor, n: int) -> Tensor | LowRank:
    """Return what the forward reads: `(b, g, l, d)`, or factors of low rank."""
    r = weight.shape[-1]
    if r > MAX_RANK or n % 4:  # rows of other lengths are not aligned
        return _matmul(dt, weight.mT)
    if r % 4:
        dt, weight = (F.pad(x, (0, -r % 4)) for x in (dt, weight))
    return LowRank(dt, weight)


def _matmul(x, y):
    """Multiply in the dtype of the state, also under autocast (TF32 if torch may)."""
    with torch.autocast(x.device.type, enabled=False):
        return x @ y


def _along(routes, height, width, interval):
    return dict(
        routes=routes, height=height, width=width, softplus=True, interval=interval
    )
