"""The `weighted_sum` ops in Triton: every tensor is read once, forward and backward.

The kernels are compiled for the number of tensors. Tensors that are not contiguous
are copied first, for the result is contiguous. A mask that may end anywhere would keep
lanes from loading several neighbours at once, so elements are masked by sixteens, and
the last program takes those that are left.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..dtypes import work_dtype
from ..gpu_dtypes import work_type

BLOCK = 1024
REST = tl.constexpr(16)  # elements, which the longest load of a lane divides


def forward(tensors: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Return `sum_i weights[i] * tensors[i]` in the dtype of the first tensor."""
    tensors = tuple(x.contiguous() for x in tensors)
    y = torch.empty_like(tensors[0])
    if y.numel():
        with torch.cuda.device_of(y):
            _forward_kernel[(triton.cdiv(y.numel(), BLOCK),)](
                *(tensors, weights.contiguous(), y, y.numel()),
                COUNT=len(tensors),
                WORK=work_type(y),
                BLOCK=BLOCK,
            )
    return y


def backward(
    dy: Tensor, tensors: Sequence[Tensor], weights: Tensor
) -> tuple[list[Tensor], Tensor]:
    """Return the gradient of every tensor and of the weights."""
    dy, tensors = dy.contiguous(), tuple(x.contiguous() for x in tensors)
    dtensors = tuple(torch.empty_like(x) for x in tensors)
    programs = triton.cdiv(dy.numel(), BLOCK)
    partial = dy.new_empty(len(tensors), programs, dtype=work_dtype(dy))
    if programs:
        with torch.cuda.device_of(dy):
            _backward_kernel[(programs,)](
                *(dy, tensors, weights.contiguous(), dtensors, partial, dy.numel()),
                COUNT=len(tensors),
                WORK=work_type(dy),
                BLOCK=BLOCK,
                enable_fp_fusion=False,  # copies of a sum agree, see scan_conv
            )
    return list(dtensors), partial.sum(1)


@triton.jit
def _forward_kernel(
    tensors,
    weights,
    y,
    numel,
    COUNT: tl.constexpr,
    WORK: tl.constexpr,
    BLOCK: tl.constexpr,
):
    first = tl.program_id(0).to(tl.int64) * BLOCK
    whole = numel // REST * REST
    index = first + tl.arange(0, BLOCK)
    _add_up(tensors, weights, y, index, index < whole, COUNT, WORK)
    if first + BLOCK >= numel:
        rest = whole + tl.arange(0, REST)
        _add_up(tensors, weights, y, rest, rest < numel, COUNT, WORK)


@triton.jit
def _add_up(tensors, weights, y, index, real, COUNT: tl.constexpr, WORK: tl.constexpr):
    """Store the weighted sum of the elements that are real."""
    total = tl.zeros(index.shape, WORK)
    for i in tl.static_range(COUNT):
        x = tl.load(tensors[i] + index, mask=real, other=0.0).to(WORK)
        total += tl.load(weights + i).to(WORK) * x
    tl.store(y + index, total, mask=real)


@triton.jit
def _backward_kernel(
    dy,
    tensors,
    weights,
    dtensors,
    partial,
    numel,
    COUNT: tl.constexpr,
    WORK: tl.constexpr,
    BLOCK: tl.constexpr,
):
    program = tl.program_id(0)
    first = program.to(tl.int64) * BLOCK
    last = first + BLOCK >= numel
    whole = numel // REST * REST
    index, rest = first + tl.arange(0, BLOCK), whole + tl.arange(0, REST)
    real, left = index < whole, rest < tl.where(last, numel, 0)
    dy_block = tl.load(dy + index, mask=real, other=0.0).to(WORK)
    dy_rest = tl.load(dy + rest, mask=left, other=0.0).to(WORK)
    for i in tl.static_range(COUNT):
        x, dx, weight = tensors[i], dtensors[i], tl.load(weights + i).to(WORK)
        dweight = _spread(dy_block, x, dx, weight, index, real, WORK)
        if last:
            dweight += _spread(dy_rest, x, dx, weight, rest, left, WORK)
        tl.store(partial + i * tl.num_programs(0).to(tl.int64) + program, dweight)


@triton.jit
def _spread(dy, x, dx, weight, index, real, WORK: tl.constexpr):
    """Store the gradients of the real elements; return their part of dweight."""
    tl.store(dx + index, weight * dy, mask=real)
    return tl.sum(dy * tl.load(x + index, mask=real, other=0.0).to(WORK))
