"""Public function, fake kernels and autograd of the `cross_selective_scan` ops."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..backend import register
from ..checks import (
    expect,
    expect_integer,
    expect_one_for_each_scan,
    expect_shape,
    expect_tensors,
)
from ..derivatives import register_derivatives
from ..dtypes import work_dtype
from ..route import Route
from . import fallback


def cross_selective_scan(
    u: Tensor,
    dt: Tensor,
    dt_weight: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    dt_bias: Tensor | None = None,
    *,
    routes: Sequence[Route],
    height: int,
    width: int,
) -> Tensor:
    r"""Scan a map along each route with an S6 of its own and add the results in place.

    With :math:`\Delta_{k,p} = \mathrm{softplus}(W_k\,\delta_{k,p} + b_k)` at position
    p, scan k runs `selective_scan` over the positions in the order of its route. All
    inputs lie in map order: a route is an index, nothing is copied or reordered.

    Args:
        u: Input, `(b, l, d)` with `l = height * width` if all scans share it, else
            `(b, g, l, d)`; fastest with channels contiguous.
        dt: Step sizes of low rank, `(b, g, l, r)`.
        dt_weight: From rank to channels, `(g, d, r)`.
        A: State matrices, `(g, d, n)`.
        B: Input matrices, `(b, g, l, n)`.
        C: Output matrices, `(b, g, l, n)`.
        D: Skip weights, `(g, d)`, or None for no skip.
        dt_bias: Added before softplus, `(g, d)`, or None.
        routes: The order of visit of each of the g scans.
        height: Rows of the map.
        width: Columns of the map.

    Returns:
        `y`, `(b, l, d)`, in fp32 (fp64 for fp64 inputs), also under autocast: the sum
        of several scans leaves the range of fp16.

    Raises:
        TypeError: If an argument is not of the kind that is named here.
        ValueError: If shapes, dtypes or devices disagree; the message names both.

    Reference: cross-scan and cross-merge, VMamba, arXiv:2401.10166; S6, Mamba,
    arXiv:2312.00752, Alg. 2.
    """
    _expect_agreement(
        *(u, dt, dt_weight, A, B, C, D, dt_bias),
        **dict(routes=routes, height=height, width=width),
    )
    if u.dim() == 3:
        u = u[:, None]
    work = work_dtype(u)
    dt_weight, A, D, dt_bias = (
        None if p is None else p.to(work) for p in (dt_weight, A, D, dt_bias)
    )
    numbers = [int(Route(route)) for route in routes]
    y, _ = torch.ops.mmmambamixer.cross_selective_scan(
        *(u, dt, dt_weight, A, B, C, D, dt_bias, numbers, height, width), interval=0
    )
    return y


def _expect_agreement(
    u, dt, dt_weight, A, B, C, D, dt_bias, *, routes, height, width
) -> None:
    """Raise unless kinds, shapes and devices of the arguments agree."""
    expect_tensors(
        dict(u=u, dt=dt, dt_weight=dt_weight, A=A, B=B, C=C),
        dict(D=D, dt_bias=dt_bias),
    )
    expect_integer('height', height)
    expect_integer('width', width)
    expect(
        A.dim() == 3 and A.shape[0] > 0 and A.shape[2] > 0,
        f'A must be (g, d, n) with g > 0 and n > 0, got {tuple(A.shape)}',
    )
    expect(
        dt_weight.dim() == 3 and dt_weight.shape[2] > 0,
        f'dt_weight must be (g, d, r) with r > 0, got {tuple(dt_weight.shape)}',
    )
    if height < 0 or width < 0:  # no `expect`: compiled graphs cannot format a symbol
        raise ValueError(
            f'height and width must not be negative, got {height} and {width}'
        )
    expect(
        u.dim() in (3, 4), f'u must be (b, l, d) or (b, g, l, d), got {tuple(u.shape)}'
    )
    g, d, n = A.shape
    b, l = u.shape[0], height * width
    r = dt_weight.shape[2]
    expect_one_for_each_scan(routes, g)
    if u.dim() == 3:
        expect_shape('u', u, (b, l, d), '(b, height * width, d)')
    else:
        expect_shape('u', u, (b, g, l, d), '(b, g, height * width, d)')
    expect_shape('dt', dt, (b, g, l, r), '(b, g, height * width, r)')
    expect_shape('dt_weight', dt_weight, (g, d, r), '(g, d, r)')
    expect_shape('B', B, (b, g, l, n), '(b, g, height * width, n)')
    expect_shape('C', C, (b, g, l, n), '(b, g, height * width, n)')
    expect_shape('D', D, (g, d), '(g, d)')
    expect_shape('dt_bias', dt_bias, (g, d), '(g, d)')


def _setup_context(ctx, inputs, output):
    *tensors, ctx.routes, ctx.height, ctx.width, ctx.interval = inputs
    ctx.save_for_backward(*tensors, output[1])
    ctx.set_materialize_grads(False)


def _backward(ctx, dy, dstates):
    if dy is None:
        return (None,) * 12
    *tensors, states = ctx.saved_tensors
    D, dt_bias = tensors[6], tensors[7]
    *grads, dD, dbias = torch.ops.mmmambamixer.cross_selective_scan_backward(
        dy, *tensors, states, ctx.routes, ctx.height, ctx.width, ctx.interval
    )
    dD = None if D is None else dD
    dbias = None if dt_bias is None else dbias
    return (*grads, dD, dbias, None, None, None, None)


def _fake(u, dt, dt_weight, A, B, C, D, dt_bias, routes, height, width, interval):
    (b, g, l), (d, n) = B.shape[:3], A.shape[1:]
    chunks = (l + interval - 1) // interval if interval else 0
    return A.new_empty(b, l, d), A.new_empty(b, g, chunks, n, d)


def _fake_backward(
    dy, u, dt, dt_weight, A, B, C, D, dt_bias, states, routes, height, width, interval
):
    return (
        *(t.new_empty(t.shape) for t in (u, dt, dt_weight, A, B, C)),
        *(A.new_empty(0 if t is None else t.shape) for t in (D, dt_bias)),
    )


register_derivatives('cross_selective_scan', _backward, _setup_context)
register(
    'cross_selective_scan', _fake, fallback.forward, 'cross_selective_scan.gpu:forward'
)
register(
    'cross_selective_scan_backward',
    _fake_backward,
    fallback.backward,
    'cross_selective_scan.gpu:backward',
)
