"""Public function, fake kernels and autograd of the `gated_norm` ops."""

import torch
from torch import Tensor

from ..backend import register
from ..checks import expect, expect_shape, expect_tensors
from ..derivatives import register_derivatives
from ..dtypes import work_dtype
from ..layout import empty_along
from .reference import gated_norm_backward_reference, gated_norm_reference


def gated_norm(
    x: Tensor, z: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5
) -> Tensor:
    r"""Normalise each step over its features and multiply it by SiLU of a gate.

    .. math:: y = \Bigl(w \odot \frac{x - \mathrm{mean}(x)}{\sqrt{\mathrm{var}(x) +
        \epsilon}} + b\Bigr) \odot \mathrm{SiLU}(z)

    In one pass, and without what `F.layer_norm`, `F.silu` and the product keep for the
    backward: it keeps x and z alone.

    Args:
        x: `(b, l, d)` of any strides, as a scan leaves it; computed in fp32, in fp64 if
            z is fp64.
        z: The gate before its SiLU, `(b, l, d)`.
        weight: `(d,)`.
        bias: `(d,)`.
        eps: Added to the variance.

    Returns:
        `y`, `(b, l, d)`, in the dtype of `z`.

    Raises:
        TypeError: If an argument is not of the kind that is named here.
        ValueError: If shapes, dtypes or devices disagree; the message names both.

    Reference: LayerNorm, arXiv:1607.06450; before the gate as in VMamba,
        arXiv:2401.10166.
    """
    expect_tensors(dict(x=x, z=z, weight=weight, bias=bias))
    expect(x.dim() == 3, f'x must be (b, l, d), got {tuple(x.shape)}')
    expect_shape('z', z, x.shape, '(b, l, d)')
    expect_shape('weight', weight, x.shape[2:], '(d,)')
    expect_shape('bias', bias, x.shape[2:], '(d,)')
    if not isinstance(eps, (int, float)) or isinstance(eps, bool):
        raise TypeError(f'eps must be a number, got {type(eps).__name__}')
    work = work_dtype(z)
    return torch.ops.mmmambamixer.gated_norm(
        x.to(work), z, weight.to(work), bias.to(work), float(eps)
    )


def _setup_context(ctx, inputs, output):
    *tensors, ctx.eps = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx, dy):
    grads = torch.ops.mmmambamixer.gated_norm_backward(dy, *ctx.saved_tensors, ctx.eps)
    return (*grads, None)


def _fake(x, z, weight, bias, eps):
    return z.new_empty(z.shape)


def _fake_backward(dy, x, z, weight, bias, eps):
    return (
        empty_along(x),
        *(t.new_empty(t.shape) for t in (z, weight, bias)),
    )


register_derivatives('gated_norm', _backward, _setup_context)
register('gated_norm', _fake, gated_norm_reference, 'gated_norm.gpu:forward')
register(
    'gated_norm_backward',
    _fake_backward,
    gated_norm_backward_reference,
    'gated_norm.gpu:backward',
)
