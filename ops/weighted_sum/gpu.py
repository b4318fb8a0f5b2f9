"""The `weighted_sum` ops in Triton: every tensor is read once, forward and backward.

The kernels are compiled for the number of tensors. Tensors that are not contiguous
are copied first, for the result is contiguous.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from .reference import sum_dtype

BLOCK = 1024


def forward(tensors: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Return `sum_i weights[i] * tensors[i]` in the dtype of the first tensor."""
    tensors = tuple(x.contiguous() for x in tensors)
    y = torch.empty_like(tensors[0])
    if y.numel():
        with torch.cuda.device_of(y):
            _forward_kernel[(triton.cdiv(y.numel(), BLOCK),)](
                *(tensors, weights.contiguous(), y, y.numel()),
                COUNT=len(tensors),
                WORK=_sum_type(y),
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
    partial = dy.new_empty(len(tensors), programs, dtype=sum_dtype(dy))
    if programs:
        with torch.cuda.device_of(dy):
            _backward_kernel[(programs,)](
                *(dy, tensors, weights.contiguous(), dtensors, partial, dy.numel()),
                COUNT=len(tensors),
                WORK=_sum_type(dy),
                BLOCK=BLOCK,
            )
    return list(dtensors), partial.sum(1)


def _sum_type(x: Tensor) -> tl.dtype:
    return tl.float64 if x.dtype == torch.float64 else tl.float32


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
    index, real = _elements(numel, BLOCK)
    total = tl.zeros([BLOCK], WORK)
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
    index, real = _elements(numel, BLOCK)
    program = tl.program_id(0)
    dy_block = tl.load(dy + index, mask=real, other=0.0).to(WORK)
    for i in tl.static_range(COUNT):
        x = tl.load(tensors[i] + index, mask=real, other=0.0).to(WORK)
        dx = tl.load(weights + i).to(WORK) * dy_block
        tl.store(dtensors[i] + index, dx, mask=real)
        dweight = tl.sum(dy_block * x, axis=0)
        tl.store(partial + i * tl.num_programs(0).to(tl.int64) + program, dweight)


@triton.jit
def _elements(numel, BLOCK: tl.constexpr):
    """Return the elements of this program, in int64, and which of them are real."""
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    return index, index < numel
