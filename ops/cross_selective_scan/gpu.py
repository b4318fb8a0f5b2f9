"""The `cross_selective_scan` ops on GPU: the shared Triton scan, a route for each scan.

Maps are read and written in place: a route is only an order of visit. Every scan
writes its own `y` (and its own `du` of a shared `u`), and one sum over the scans
merges them, in a fixed order. Forward the kernel expands step sizes of a low rank
itself, in registers: the step sizes of all channels would take four times the memory of
the map in fp32. Those of a higher rank are expanded by a batched matrix product, as
are all backward, where the registers are full; their gradients come from two products.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..selective_scan.gpu_scan import LowRank, scan_backward, scan_forward
from ..selective_scan.reference import state_dtype

MAX_RANK = 16
"""The highest rank that the forward expands: its exponentials leave room for it."""


def forward(u, dt, dt_weight, A, B, C, D, dt_bias, routes, height, width, interval):
    """Return `y`, `(b, l, d)`, and the state before every `interval`-th step."""
    (b, g, l), (d, n) = B.shape[:3], A.shape[1:]
    chunks = -(-l // interval) if interval else 0
    work = state_dtype(u)
    delta = step_sizes(dt.to(work), dt_weight.to(work), n)
    y = u.new_empty(b, g, l, d, dtype=work)
    states = u.new_empty(b, g, chunks, n, d, dtype=work)
    scan_forward(
        *(u.expand(-1, g, -1, -1), delta, A, B, C, D, dt_bias, y, None, states),
        **_along(routes, height, width, interval),
    )
    return y.sum(1), states


def backward(
    dy, u, dt, dt_weight, A, B, C, D, dt_bias, states, routes, height, width, interval
):
    """Return the gradients of all tensor inputs, empty for those that are None."""
    (b, g, l), d = B.shape[:3], A.shape[1]
    shared = u.shape[1] == 1 and g > 1
    work = state_dtype(u)
    low, weight = dt.to(work), dt_weight.to(work)
    delta = _matmul(low, weight.mT)  # (b, g, l, d)
    ddelta = torch.empty_like(delta)
    du = u.new_empty(b, g, l, d, dtype=work if shared else u.dtype)
    dA, dB, dC, dD, dbias = scan_backward(
        *(dy[:, None].expand(-1, g, -1, -1), None, u.expand(-1, g, -1, -1), delta),
        *(A, B, C, D, dt_bias, states, du, ddelta),
        **_along(routes, height, width, interval),
    )
    if shared:
        du = du.sum(1, keepdim=True).to(u.dtype)
    ddt = _matmul(ddelta, weight).to(dt.dtype)  # (b, g, l, r)
    ddt_weight = _matmul(ddelta.mT, low).sum(0)  # (g, d, r)
    dB, dC = (grad.to(x.dtype).contiguous() for grad, x in ((dB, B), (dC, C)))
    dD, dbias = (states.new_empty(0) if t is None else t for t in (dD, dbias))
    return du, ddt, ddt_weight, dA, dB, dC, dD, dbias


def step_sizes(dt: Tensor, weight: Tensor, n: int) -> Tensor | LowRank:
    """Return what the forward reads: `(b, g, l, d)`, or factors of low rank."""
    r = weight.shape[-1]
    if r > MAX_RANK or n % 4:  # rows of other lengths are not aligned
        return _matmul(dt, weight.mT)
    padding = (0, -r % 4)
    return LowRank(F.pad(dt, padding), F.pad(weight, padding))


def _matmul(x, y):
    """Multiply in the dtype of the state, also under autocast (TF32 if torch may)."""
    with torch.autocast(x.device.type, enabled=False):
        return x @ y


def _along(routes, height, width, interval):
    return dict(
        routes=routes, height=height, width=width, softplus=True, interval=interval
    )
