"""The `cross_selective_scan` ops on GPU: the shared Triton scan, a route for each scan.

Maps are read and written in place: a route is only an order of visit. Every scan
writes its own `y` (and its own `du` of a shared `u`), and one sum over the scans
merges them, in a fixed order. The low-rank step sizes are expanded by one batched
matrix product, and their gradients come from two: the rank grows with the width of the
model, and a GEMM of any rank is far cheaper than its products inside the scan.
"""

import torch

from ..selective_scan.gpu_scan import scan_backward, scan_forward
from ..selective_scan.reference import state_dtype


def forward(u, dt, dt_weight, A, B, C, D, dt_bias, routes, height, width, interval):
    """Return `y`, `(b, l, d)`, and the state before every `interval`-th step."""
    (b, g, l), (d, n) = B.shape[:3], A.shape[1:]
    chunks = -(-l // interval) if interval else 0
    work = state_dtype(u)
    delta = _matmul(dt.to(work), dt_weight.to(work).mT)  # (b, g, l, d)
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


def _matmul(x, y):
    """Multiply in the dtype of the state, also under autocast (TF32 if torch may)."""
    with torch.autocast(x.device.type, enabled=False):
        return x @ y


def _along(routes, height, width, interval):
    return dict(
        routes=routes, height=height, width=width, softplus=True, interval=interval
    )
