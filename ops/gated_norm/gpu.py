"""The `gated_norm` ops in Triton: a program owns whole rows, in any strides of x.

Backward a program adds up its part of the gradients of weight and bias, and one sum
over the programs merges them: no atomics, so results repeat bit for bit.

Axis letters: b batch, l step, d feature.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..gpu_dtypes import work_type
from ..layout import empty_along, is_transposed
from ..scan_engine.gpu.leaves import wide

TILE = 4096  # numbers of a program at a time, about
MOST_ROWS = 16
TILES = 4  # of a program in the backward, one after the other


def forward(x: Tensor, z: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Return `(b, l, d)` in the dtype of `z`."""
    y, tile = z.new_empty(z.shape), _tile_of(x)
    if y.numel():
        with torch.cuda.device_of(x):
            _forward_kernel[(triton.cdiv(len_of(x), tile['ROWS']),)](
                *(x, *x.stride(), z.contiguous(), weight.contiguous()),
                *(bias.contiguous(), y, len_of(x), x.shape[1], x.shape[2]),
                EPS=eps,
                **tile,
            )
    return y


def backward(
    dy: Tensor, x: Tensor, z: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of `x`, `z`, `weight` and `bias`."""
    d, tile = x.shape[2], _tile_of(x)
    dx, dz = empty_along(x), z.new_empty(z.shape)
    programs = triton.cdiv(len_of(x), tile['ROWS'] * TILES) if d else 0
    sums = x.new_empty(2, programs, d)
    if programs:
        with torch.cuda.device_of(x):
            _backward_kernel[(programs,)](
                *(dy.contiguous(), x, *x.stride(), z.contiguous()),
                *(weight.contiguous(), bias.contiguous(), dx, *dx.stride(), dz, sums),
                *(len_of(x), x.shape[1], d),
                EPS=eps,
                TILES=TILES,
                **tile,
            )
    dweight, dbias = sums.sum(1)
    return dx, dz, dweight.contiguous(), dbias.contiguous()


def len_of(x: Tensor) -> int:
    """Return the number of rows."""
    return x.shape[0] * x.shape[1]


def _tile_of(x: Tensor) -> dict:
    """Return the rows of a program at a time, their width, and how it is compiled.

    Where steps are neighbours in memory, an access takes as many as there are rows:
    8 of fp32 fill a sector.
    """
    width = triton.next_power_of_2(max(1, x.shape[2]))
    least = min(8, 2 * TILE // width) if is_transposed(x) else 1
    rows = max(1, least, min(MOST_ROWS, TILE // width))
    warps = max(4, min(16, rows * width // 512))  # a lane has 16 numbers, if it can
    return dict(
        ROWS=rows,
        WIDTH=width,
        WORK=work_type(x),
        num_warps=warps,
        enable_fp_fusion=False,  # copies of a sum agree, see scan_conv
    )


@triton.jit
def _forward_kernel(
    x,
    x_b,
    x_l,
    x_d,
    z,
    weight,
    bias,
    y,
    count,
    l,
    d,
    EPS: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
    WORK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    feature = tl.arange(0, WIDTH)[None, :]
    real = (row < count) & (feature < d)
    normed, _ = _normed(x, row, feature, x_b, x_l, x_d, real, l, d, EPS, WORK)
    own = feature < d
    scale = tl.load(weight + feature, mask=own, other=0.0).to(WORK)
    offset = tl.load(bias + feature, mask=own, other=0.0).to(WORK)
    at = row * d + feature
    gate = tl.load(z + at, mask=real, other=0.0).to(WORK)
    s = 1.0 / (1.0 + tl.exp(-gate))
    tl.store(y + at, (normed * scale + offset) * (gate * s), mask=real)


@triton.jit
def _backward_kernel(
    dy,
    x,
    x_b,
    x_l,
    x_d,
    z,
    weight,
    bias,
    dx,
    dx_b,
    dx_l,
    dx_d,
    dz,
    sums,
    count,
    l,
    d,
    EPS: tl.constexpr,
    ROWS: tl.constexpr,
    TILES: tl.constexpr,
    WIDTH: tl.constexpr,
    WORK: tl.constexpr,
):
    program = tl.program_id(0).to(tl.int64)
    feature = tl.arange(0, WIDTH)[None, :]
    own = feature < d
    scale = tl.load(weight + feature, mask=own, other=0.0).to(WORK)
    offset = tl.load(bias + feature, mask=own, other=0.0).to(WORK)
    dweight = tl.zeros([1, WIDTH], WORK)
    dbias = tl.zeros([1, WIDTH], WORK)
    for tile in range(TILES):
        row = (program * TILES + tile) * ROWS + tl.arange(0, ROWS)[:, None]
        real = (row < count) & own
        normed, rstd = _normed(x, row, feature, x_b, x_l, x_d, real, l, d, EPS, WORK)
        at = row * d + feature
        gate = tl.load(z + at, mask=real, other=0.0).to(WORK)
        above = tl.load(dy + at, mask=real, other=0.0).to(WORK)
        s = 1.0 / (1.0 + tl.exp(-gate))
        slope = above * s * (1.0 + gate * (1.0 - s))
        tl.store(dz + at, (normed * scale + offset) * slope, mask=real)
        below = above * gate * s
        dweight += tl.sum(below * normed, axis=0)[None, :]
        dbias += tl.sum(below, axis=0)[None, :]
        h = below * scale
        mean_h = tl.sum(h, axis=1)[:, None] / d
        mean_hn = tl.sum(h * normed, axis=1)[:, None] / d
        to = row // l * dx_b + row % l * dx_l + feature * dx_d
        tl.store(dx + to, rstd * (h - mean_h - normed * mean_hn), mask=real)
    at = program * d + feature
    tl.store(sums + at, dweight, mask=own)
    at += tl.num_programs(0).to(tl.int64) * d
    tl.store(sums + at, dbias, mask=own)


@triton.jit
def _normed(
    x,
    row,
    feature,
    x_b,
    x_l,
    x_d,
    real,
    l,
    d,
    EPS: tl.constexpr,
    WORK: tl.constexpr,
):
    """Return what is normalised, before weight and bias, and by what it was divided."""
    l, x_b, x_l, x_d = wide(l), wide(x_b), wide(x_l), wide(x_d)
    at = row // l * x_b + row % l * x_l + feature * x_d
    value = tl.load(x + at, mask=real, other=0.0).to(WORK)
    mean = tl.sum(value, axis=1)[:, None] / d
    # What rounding left: of equal numbers the mean is exact, what is normalised 0.
    mean += tl.sum(tl.where(real, value - mean, 0.0), axis=1)[:, None] / d
    away = tl.where(real, value - mean, 0.0)
    variance = tl.sum(away * away, axis=1)[:, None] / d
    rstd = 1.0 / tl.sqrt(variance + EPS)
    return away * rstd, rstd
