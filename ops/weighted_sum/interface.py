"""Public function, fake kernels and autograd of the `weighted_sum` ops."""

from collections.abc import Iterable
from functools import reduce

import torch
from torch import Tensor

from ..backend import register
from ..checks import expect, expect_shape, expect_tensors
from ..derivatives import register_derivatives
from .reference import (
    weighted_sum_backward_reference,
    weighted_sum_reference,
    work_dtype,
)


def weighted_sum(tensors: Iterable[Tensor], weights: Tensor) -> Tensor:
    r"""Add several tensors with one learned scalar each, in one pass.

    .. math:: y = \sum_i w_i x_i

    Args:
        tensors: At least one tensor, all of one shape. Where their dtypes differ, as
            under autocast, all are promoted to the widest.
        weights: One scalar for each tensor, `(len(tensors),)`.

    Returns:
        The sum, in the (promoted) dtype of the tensors; accumulated in fp32 (fp64).

    Raises:
        TypeError: If an argument is not of the kind that is named here.
        ValueError: If there is no tensor, or shapes, dtypes or devices disagree.

    Reference: MambaMixer, arXiv:2403.19888, eq. (19), (20); DenseFormer,
    arXiv:2402.02622.
    """
    if isinstance(tensors, Tensor) or not isinstance(tensors, Iterable):
        raise TypeError(f'tensors must hold tensors, got {type(tensors).__name__}')
    tensors = list(tensors)
    expect(len(tensors) > 0, 'tensors must hold at least one tensor, got none')
    expect_tensors(
        {f'tensors[{i}]': x for i, x in enumerate(tensors)} | dict(weights=weights)
    )
    for i, x in enumerate(tensors):
        expect_shape(f'tensors[{i}]', x, tensors[0].shape, 'of tensors[0]')
    expect_shape('weights', weights, (len(tensors),), '(len(tensors),)')
    widest = reduce(torch.promote_types, (x.dtype for x in tensors))
    tensors = [x.to(widest) for x in tensors]
    weights = weights.to(work_dtype(tensors[0]))
    return torch.ops.mmmambamixer.weighted_sum(tensors, weights)


def _setup_context(ctx, inputs, output):
    tensors, weights = inputs
    ctx.save_for_backward(*tensors, weights)


def _backward(ctx, dy):
    *tensors, weights = ctx.saved_tensors
    if torch._C._functorch.is_legacy_batchedtensor(dy):  # which takes no lists
        raise RuntimeError(
            'weighted_sum takes no batch of gradients at once (is_grads_batched, '
            'vectorize=True); ask for them one by one, or use weighted_sum_reference'
        )
    return torch.ops.mmmambamixer.weighted_sum_backward(dy, tensors, weights)


def _fake(tensors, weights):
    return tensors[0].new_empty(tensors[0].shape)


def _fake_backward(dy, tensors, weights):
    return [x.new_empty(x.shape) for x in tensors], weights.new_empty(weights.shape)


register_derivatives('weighted_sum', _backward, _setup_context)
register('weighted_sum', _fake, weighted_sum_reference, 'weighted_sum.gpu:forward')
register(
    'weighted_sum_backward',
    _fake_backward,
    weighted_sum_backward_reference,
    'weighted_sum.gpu:backward',
)
