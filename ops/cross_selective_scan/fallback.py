"""The `cross_selective_scan` ops in plain PyTorch, for CPU tensors without the binary.

Here `u` is always `(b, g, l, d)` or `(b, 1, l, d)`. Letters as in `reference.py`.
"""

import torch

from ..dtypes import work_dtype
from ..selective_scan import fallback
from .reference import cross_merge, cross_scan, cross_selective_scan_reference


def forward(u, dt, dt_weight, A, B, C, D, dt_bias, routes, height, width, interval):
    """Return `y` and zeros for the states, which `backward` ignores."""
    (b, g, l), (d, n) = B.shape[:3], A.shape[1:]
    chunks = -(-l // interval) if interval else 0
    u = u.expand(-1, g, -1, -1)
    y = cross_selective_scan_reference(
        u.to(work_dtype(u)),
        *(dt, dt_weight, A, B, C, D, dt_bias),
        **dict(routes=routes, height=height, width=width),
    )
    return y, A.new_zeros(b, g, chunks, n, d)


def backward(
    dy, u, dt, dt_weight, A, B, C, D, dt_bias, states, routes, height, width, interval
):
    """Return the gradients of all tensor inputs: the reference's steps in reverse."""
    work = work_dtype(u)
    (b, g, l), (d, n), size = B.shape[:3], A.shape[1:], (routes, height, width)
    low, weight = dt.to(work), dt_weight.to(work)
    delta = torch.einsum('bglr,gdr->bgld', low, weight)

    def flat(x):  # (b, g, l, d) -> (b, g d, l), in the order of visit
        return cross_scan(x, *size).transpose(2, 3).flatten(1, 2)

    def unflat(x):  # the inverse of `flat`, scan by scan; from (b, g, n, l) too
        x = (x if x.dim() == 4 else x.unflatten(1, (g, d))).transpose(2, 3)
        return torch.cat(
            [
                cross_merge(x[:, k : k + 1], routes[k : k + 1], height, width)[:, None]
                for k in range(g)
            ],
            dim=1,
        )

    du, ddelta, dA, dB, dC, dD, dbias = fallback.backward(
        flat(dy[:, None].expand(-1, g, -1, -1)),
        None,
        flat(u.to(work).expand(-1, g, -1, -1)),
        flat(delta),
        A.reshape(g * d, n),
        flat(B.to(work)).reshape(b, g, n, l),
        flat(C.to(work)).reshape(b, g, n, l),
        None if D is None else D.reshape(g * d),
        None if dt_bias is None else dt_bias.reshape(g * d),
        *(states, True, interval),
    )
    du, ddelta = unflat(du), unflat(ddelta)
    if u.shape[1] == 1:
        du = du.sum(1, keepdim=True)
    return (
        du.to(u.dtype),
        torch.einsum('bgld,gdr->bglr', ddelta, weight).to(dt.dtype),
        torch.einsum('bgld,bglr->gdr', ddelta, low),
        dA.reshape(g, d, n),
        unflat(dB).to(B.dtype),
        unflat(dC).to(C.dtype),
        dD if D is None else dD.reshape(g, d),
        dbias if dt_bias is None else dbias.reshape(g, d),
    )
