"""The `selective_scan` ops on GPU: the shared Triton scan on views of the tensors.

Channels are split by group, `(b, g d, l)` -> `(b, g, l, d)`, without a copy. Tensors
whose channels are contiguous, `(b, l, d)` in memory, are read fastest. Results and
gradients lie in memory as what they belong to, so that they are written as fast.
"""

from torch import Tensor

from ..dtypes import work_dtype
from ..layout import empty_along, is_transposed
from .gpu_scan import scan_backward, scan_forward


def forward(u, delta, A, B, C, D, delta_bias, delta_softplus, dtype, interval):
    """Return `y`, the last state and the state before every `interval`-th step."""
    (b, d, l), (g, n) = u.shape, B.shape[1:3]
    chunks = -(-l // interval) if interval else 0
    work = work_dtype(u)
    y = empty_along(u, dtype)
    last_state = u.new_empty(b, n, d, dtype=work)
    states = u.new_empty(b, g, chunks, n, d // g, dtype=work)
    scan_forward(
        *_views(g, u, delta, A, B, C, D, delta_bias),
        *(_by_group(y, g), last_state, states),
        **_along_length(l, delta_softplus, interval),
    )
    return y, last_state.mT, states


def backward(
    dy, dlast_state, u, delta, A, B, C, D, delta_bias, states, delta_softplus, interval
):
    """Return the gradients of all tensor inputs, empty for those that are None."""
    (_, d, l), (g, n) = u.shape, B.shape[1:3]
    du, ddelta = empty_along(u), empty_along(delta)
    if is_transposed(dy) != is_transposed(u):
        dy = dy.mT.contiguous().mT if is_transposed(u) else dy.contiguous()
    _, dA, dB, dC, dD, dbias = scan_backward(
        _by_group(dy, g),
        None if dlast_state is None else dlast_state.mT,
        *_views(g, u, delta, A, B, C, D, delta_bias),
        *(states, _by_group(du, g), _by_group(ddelta, g)),
        **_along_length(l, delta_softplus, interval),
    )
    dB, dC = (  # (b, g, l, n) -> (b, g, n, l)
        grad.transpose(2, 3).to(x.dtype).contiguous() for grad, x in ((dB, B), (dC, C))
    )
    dD, dbias = (states.new_empty(0) if t is None else t.view(d) for t in (dD, dbias))
    return du, ddelta, dA.view(d, n), dB, dC, dD, dbias


def _by_group(x: Tensor, g: int) -> Tensor:
    return x.unflatten(1, (g, x.shape[1] // g)).transpose(2, 3)  # -> (b, g, l, d)


def _views(g, u, delta, A, B, C, D, bias):
    rows = [None if t is None else t.unflatten(0, (g, -1)) for t in (D, bias)]
    return (
        *(_by_group(u, g), _by_group(delta, g), A.unflatten(0, (g, -1))),
        *(B.transpose(2, 3), C.transpose(2, 3), *rows),  # (b, g, n, l) -> (b, g, l, n)
    )


def _along_length(l, softplus, interval):
    return dict(routes=None, height=1, width=l, softplus=softplus, interval=interval)
