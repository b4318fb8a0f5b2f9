"""The `selective_scan` ops in plain PyTorch, for CPU tensors without the binary.

Here `B` and `C` are always `(b, g, n, l)`. Axis letters as in `reference.py`.
"""

import torch

from ..dtypes import work_dtype
from .reference import selective_scan_reference, step_sizes


def forward(u, delta, A, B, C, D, delta_bias, delta_softplus, dtype, interval):
    """Return `y`, the last state and zeros for the states, which `backward` ignores."""
    work = work_dtype(u)
    (b, d, l), (g, n) = u.shape, B.shape[1:3]
    chunks = -(-l // interval) if interval else 0
    y, last_state = selective_scan_reference(
        u.to(work), delta, A, B, C, D, None, delta_bias, delta_softplus, True
    )
    return y.to(dtype), last_state, last_state.new_zeros(b, g, chunks, n, d // g)


def backward(
    dy, dlast_state, u, delta, A, B, C, D, delta_bias, states, delta_softplus, interval
):
    """Return the gradients of all tensor inputs by the adjoint recurrence.

    With g_t the gradient of h_t, g_t = dy_t C_t + exp(delta_{t+1} A) g_{t+1}; every
    gradient is a product of g_t with what the forward multiplied.
    """
    work = work_dtype(u)
    b, d, l = u.shape
    g, n = B.shape[1], B.shape[2]
    raw = delta.to(work) + (0 if delta_bias is None else delta_bias.to(work)[:, None])
    step = step_sizes(delta, delta_bias, delta_softplus, work)  # (b, d, l)
    x, dy, A = u.to(work), dy.to(work), A.to(work)
    Bd, Cd = (
        x.to(work).repeat_interleave(d // g, dim=1) for x in (B, C)
    )  # (b, d, n, l)

    h = [u.new_zeros(b, d, n, dtype=work)]
    for t in range(l):
        decay = torch.exp(step[:, :, t, None] * A)
        h.append(decay * h[-1] + (step * x)[:, :, t, None] * Bd[..., t])

    dh = torch.zeros_like(h[0]) if dlast_state is None else dlast_state.to(work)
    dx, dstep, dA = torch.zeros_like(x), torch.zeros_like(step), torch.zeros_like(A)
    dBd = torch.zeros_like(x[:, :, None] * Bd)
    dCd = torch.zeros_like(dBd)
    for t in reversed(range(l)):
        dh = dh + dy[:, :, t, None] * Cd[..., t]  # gradient of h_t
        dCd[..., t] = dy[:, :, t, None] * h[t + 1]
        dBd[..., t] = dh * (step * x)[:, :, t, None]
        dinput = (dh * Bd[..., t]).sum(-1)  # of delta_t u_t
        dh = dh * torch.exp(step[:, :, t, None] * A)  # now of h_{t-1}
        dexponent = dh * h[t]  # of delta_t A
        dx[:, :, t] = dinput * step[:, :, t]
        dstep[:, :, t] = dinput * x[:, :, t] + (dexponent * A).sum(-1)
        dA += (dexponent * step[:, :, t, None]).sum(0)

    dD = x.new_empty(0)
    if D is not None:
        dx = dx + dy * D.to(work)[:, None]
        dD = (dy * x).sum((0, 2))
    draw = dstep * torch.sigmoid(raw) if delta_softplus else dstep
    dbias = x.new_empty(0) if delta_bias is None else draw.sum((0, 2))
    dB = dBd.unflatten(1, (g, d // g)).sum(2)  # (b, d, n, l) -> (b, g, n, l)
    dC = dCd.unflatten(1, (g, d // g)).sum(2)
    return (
        dx.to(u.dtype),
        draw.to(delta.dtype),
        dA,
        dB.to(B.dtype),
        dC.to(C.dtype),
        dD,
        dbias,
    )
