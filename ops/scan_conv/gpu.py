"""The `scan_conv` ops in Triton: tiles of steps and features, read in any strides.

A program owns a tile of one sequence, forward for all scans. Backward it is one warp
and adds up its part of the gradients of the filters, and one sum over the programs
merges them: no atomics, so results repeat bit for bit. Before it, behind a SiLU, the
forward's kernel computes the sums again and writes their gradient.

Axis letters: b batch, g scan, l step, d feature, t tap.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..gpu_dtypes import work_type
from ..layout import empty_along, is_transposed
from ..scan_engine.gpu.leaves import wide

SHORT, LONG = 16, 64  # sides of a tile, the longer along the neighbours in memory
MAX_ROUTES = 31  # routes travel as two bits each of one int64

# Lanes of a warp that hold copies of a sum must agree to the last bit: a product that
# is fused with the addition of what another lane sends is rounded in one of them only.
ONE_WARP = dict(num_warps=1, enable_fp_fusion=False)


def forward(
    v: Tensor, weight: Tensor, bias: Tensor, routes: Sequence[int], silu: bool
) -> Tensor:
    """Return `(b, g, l, d)` in the dtype of `v`."""
    b, l, d = v.shape
    y = v.new_empty(b, len(weight), l, d)
    tensors = bias.contiguous(), None, y
    _launch(_forward_kernel, v, weight, routes, *tensors, SILU=silu)
    return y


def backward(
    dy: Tensor,
    v: Tensor,
    weight: Tensor,
    bias: Tensor,
    routes: Sequence[int],
    silu: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of `v`, `weight` and `bias`."""
    if silu:
        ds = torch.empty_like(
            dy, dtype=weight.dtype, memory_format=torch.contiguous_format
        )
        tensors = bias.contiguous(), dy.contiguous(), ds
        _launch(_forward_kernel, v, weight, routes, *tensors, SILU=True)
        dy = ds
    (b, l, d), (g, t) = v.shape, weight.shape[:2]
    dv = empty_along(v)
    steps, features = _tile_of(v)
    parts = b * triton.cdiv(l, steps)
    if weight.dim() == 2:
        parts *= triton.cdiv(d, features)
    sums = weight.new_empty(parts, g, t + 1, *weight.shape[2:])  # of taps, of the bias
    tensors = dy.contiguous(), dv, *dv.stride(), sums
    _launch(_backward_kernel, v, weight, routes, *tensors, **ONE_WARP)
    sums = sums.sum(0)
    return dv, sums[:, :t].contiguous(), sums[:, t].contiguous()


def _tile_of(v: Tensor) -> tuple[int, int]:
    """Return how many steps and features a tile has."""
    return (LONG, SHORT) if is_transposed(v) else (SHORT, LONG)


def _launch(
    kernel, v: Tensor, weight: Tensor, routes: Sequence[int], *tensors, **options
) -> None:
    """Run a kernel on a flat grid of tiles; an empty sequence launches nothing."""
    if len(routes) > MAX_ROUTES:
        raise ValueError(
            f'the GPU kernels take at most {MAX_ROUTES} routes, got {len(routes)}'
        )
    (b, l, d), (steps, features) = v.shape, _tile_of(v)
    programs = b * triton.cdiv(l, steps) * triton.cdiv(d, features)
    if not programs:
        return
    with torch.cuda.device_of(v):
        kernel[(programs,)](
            *(v, *v.stride(), weight.contiguous(), *tensors),
            *(sum(int(route) << 2 * k for k, route in enumerate(routes)), l, d),
            G=weight.shape[0],
            T=weight.shape[1],
            BY_FEATURE=weight.dim() == 3,
            WORK=work_type(v),
            STEPS=steps,
            FEATURES=features,
            **options,
        )


@triton.jit
def _forward_kernel(
    v,
    v_b,
    v_l,
    v_d,
    weight,
    bias,
    dy,
    result,
    routes,
    l,
    d,
    G: tl.constexpr,
    T: tl.constexpr,
    BY_FEATURE: tl.constexpr,
    WORK: tl.constexpr,
    STEPS: tl.constexpr,
    FEATURES: tl.constexpr,
    SILU: tl.constexpr,
):
    """Store y or, if there is `dy`, the gradient of what goes into the SiLU."""
    l, d = wide(l), wide(d)
    b, step, feature, _ = _tile(l, d, STEPS, FEATURES)
    real = (step < l) & (feature < d)
    v += b * v_b
    for k in tl.static_range(G):
        sign = _sign_of(routes, k)
        total = tl.zeros([STEPS, FEATURES], WORK)
        total += _filter(bias, k, feature, d, BY_FEATURE, WORK)
        for j in tl.static_range(T):
            x = _load(v, step - sign * j, feature, v_l, v_d, l, d, WORK)
            tap = k * T + T - 1 - j
            total += _filter(weight, tap, feature, d, BY_FEATURE, WORK) * x
        at = ((b * G + k) * l + step) * d + feature
        if SILU:
            s = 1.0 / (1.0 + tl.exp(-total))
            if dy is None:
                total *= s
            else:
                total = s * (1.0 + total * (1.0 - s))
                total *= tl.load(dy + at, mask=real, other=0.0).to(WORK)
        tl.store(result + at, total, mask=real)


@triton.jit
def _backward_kernel(
    v,
    v_b,
    v_l,
    v_d,
    weight,
    dy,
    dv,
    dv_b,
    dv_l,
    dv_d,
    sums,
    routes,
    l,
    d,
    G: tl.constexpr,
    T: tl.constexpr,
    BY_FEATURE: tl.constexpr,
    WORK: tl.constexpr,
    STEPS: tl.constexpr,
    FEATURES: tl.constexpr,
):
    l, d = wide(l), wide(d)
    b, step, feature, part = _tile(l, d, STEPS, FEATURES)
    v += b * v_b
    dv_tile = tl.zeros([STEPS, FEATURES], WORK)
    for k in tl.static_range(G):
        sign = _sign_of(routes, k)
        dy_k = dy + (b * G + k) * l * d
        own = _load(dy_k, step, feature, d, 1, l, d, WORK)
        for j in tl.static_range(T):
            tap = T - 1 - j
            w = _filter(weight, k * T + tap, feature, d, BY_FEATURE, WORK)
            dv_tile += w * _load(dy_k, step + sign * j, feature, d, 1, l, d, WORK)
            x = _load(v, step - sign * j, feature, v_l, v_d, l, d, WORK)
            _store_sum(sums, part, k, tap, own * x, feature, d, G, T, BY_FEATURE)
        _store_sum(sums, part, k, T, own, feature, d, G, T, BY_FEATURE)
    real = (step < l) & (feature < d)
    dv += b * dv_b
    tl.store(dv + step * dv_l + feature * dv_d, dv_tile, mask=real)


@triton.jit
def _tile(l, d, STEPS: tl.constexpr, FEATURES: tl.constexpr):
    """Return sequence, steps, features and number of this program, in int64."""
    program = tl.program_id(0).to(tl.int64)
    columns, rows = tl.cdiv(d, FEATURES), tl.cdiv(l, STEPS)
    row = program // columns
    step = row % rows * STEPS + tl.arange(0, STEPS)[:, None]
    feature = program % columns * FEATURES + tl.arange(0, FEATURES)[None, :]
    return row // rows, step, feature, program


@triton.jit
def _sign_of(routes, k):
    """Return 1 for a route that runs forward, -1 for one that runs backward."""
    return 1 - ((wide(routes) >> (2 * k)) & 2)


@triton.jit
def _load(x, step, feature, x_l, x_d, l, d, WORK: tl.constexpr):
    """Load a tile, 0 outside the sequence."""
    inside = (step >= 0) & (step < l) & (feature < d)
    return tl.load(x + step * x_l + feature * x_d, mask=inside, other=0.0).to(WORK)


@triton.jit
def _filter(values, row, feature, d, BY_FEATURE: tl.constexpr, WORK: tl.constexpr):
    """Load a tap or bias: one number, or one for each feature."""
    if BY_FEATURE:
        value = tl.load(values + row * d + feature, mask=feature < d, other=0.0)
    else:
        value = tl.load(values + row)
    return value.to(WORK)


@triton.jit
def _store_sum(
    sums,
    part,
    k,
    tap,
    tile,
    feature,
    d,
    G: tl.constexpr,
    T: tl.constexpr,
    BY_FEATURE: tl.constexpr,
):
    """Store the sum of a tile, over its steps or over all of it, among the others."""
    total = tl.sum(tile, axis=0)[None, :]
    if BY_FEATURE:
        part = part // tl.cdiv(d, tile.shape[1])
        row = (part * G + k) * (T + 1) + tap
        tl.store(sums + row * d + feature, total, mask=feature < d)
    else:
        row = (part * G + k) * (T + 1) + tap
        tl.store(sums + row, tl.sum(total))
