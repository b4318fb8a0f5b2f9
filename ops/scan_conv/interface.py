"""Public function, fake kernels and autograd of the `scan_conv` ops."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..backend import register
from ..checks import (
    expect,
    expect_bool,
    expect_one_for_each_scan,
    expect_shape,
    expect_tensors,
)
from ..derivatives import register_derivatives
from ..dtypes import work_dtype
from ..layout import empty_along
from ..route import Route
from .reference import scan_conv_backward_reference, scan_conv_reference


def scan_conv(
    v: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    routes: Sequence[Route],
    silu: bool = False,
) -> Tensor:
    r"""Convolve a sequence along its length, causally in the order of each scan.

    .. math:: y_{k,i} = b_k + \sum_{j=0}^{t-1} w_{k,t-1-j}\, v_{i \mp j}

    with minus for forward and plus for backward routes; outside the sequence v is 0. A
    scan has one filter for all features, or one for each (then w_k, b_k are rows of d).

    Args:
        v: Sequence, `(b, l, d)`; convolved along l.
        weight: One filter for each scan, `(g, t)`, or for each scan and feature,
            `(g, t, d)`; the last of the t taps is on the step itself.
        bias: `(g,)`, or `(g, d)`.
        routes: Order of visit of each of the g scans; `COLUMNS` is `ROWS` here.
        silu: Return SiLU(y), of y before it is rounded to the dtype of `v`.

    Returns:
        `(b, g, l, d)` in the dtype of `v`.

    Raises:
        TypeError: If an argument is not of the kind that is named here.
        ValueError: If shapes, dtypes or devices disagree; the message names both.

    Reference: the causal convolution of Mamba before its S6, arXiv:2312.00752, which
        has a filter for each feature; along channels, with one filter for all features:
        MambaMixer, arXiv:2403.19888, section 3.2.
    """
    expect_tensors(dict(v=v, weight=weight, bias=bias))
    expect(v.dim() == 3, f'v must be (b, l, d), got {tuple(v.shape)}')
    expect(
        weight.dim() in (2, 3) and weight.shape[0] > 0 and weight.shape[1] > 0,
        'weight must be (g, t) or (g, t, d) with g > 0 and t > 0, '
        f'got {tuple(weight.shape)}',
    )
    g, t = weight.shape[:2]
    if weight.dim() == 3:
        expect_shape('weight', weight, (g, t, v.shape[2]), '(g, t, d)')
        expect_shape('bias', bias, (g, v.shape[2]), '(g, d)')
    else:
        expect_shape('bias', bias, (g,), '(g,)')
    expect_one_for_each_scan(routes, g)
    expect_bool('silu', silu)
    work = work_dtype(v)
    numbers = [int(Route(route)) for route in routes]
    return torch.ops.mmmambamixer.scan_conv(
        v, weight.to(work), bias.to(work), numbers, silu
    )


def _setup_context(ctx, inputs, output):
    *tensors, ctx.routes, ctx.silu = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx, dy):
    grads = torch.ops.mmmambamixer.scan_conv_backward(
        dy, *ctx.saved_tensors, ctx.routes, ctx.silu
    )
    return (*grads, None, None)


def _fake(v, weight, bias, routes, silu):
    b, l, d = v.shape
    return v.new_empty(b, weight.shape[0], l, d)


def _fake_backward(dy, v, weight, bias, routes, silu):
    return (
        empty_along(v) if v.is_cuda else v.new_empty(v.shape),
        weight.new_empty(weight.shape),
        bias.new_empty(bias.shape),
    )


register_derivatives('scan_conv', _backward, _setup_context)
register('scan_conv', _fake, scan_conv_reference, 'scan_conv.gpu:forward')
register(
    'scan_conv_backward',
    _fake_backward,
    scan_conv_backward_reference,
    'scan_conv.gpu:backward',
)
