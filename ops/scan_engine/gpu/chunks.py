"""Triton kernels that let chunks of the steps run side by side.

Axis letters as in `kernels.py`; c chunk. What a chunk does to the state before it
is one decay, exp of A times the sum of its step sizes: one exponential for each state.
"""
# ruff: noqa: RUF005, since Triton grows a tuple by + only

import triton
import triton.language as tl

from .leaves import wide, zero_of
from .steps import (
    WARP,
    decays_of,
    earlier_visit,
    exponents,
    fours,
    load_each,
    load_row,
    parameter,
    place,
    route_of,
    rows,
    span,
    store_each,
    stride_of,
    visit,
    visits,
    zeros,
)
from .windows import activate, load_window, shifted


@triton.jit
def chain_kernel(
    states,
    sums,
    first,
    A,
    chunks,
    g,
    d,
    N: tl.constexpr,
    BACKWARD: tl.constexpr,
    WORK: tl.constexpr,
):
    """Replace what each chunk adds by what the chunks before it have left.

    `states` `(b, g, c, n, d)` holds the end of every chunk that began with 0, then the
    state with which it begins; `sums` `(b, g, c, d)` its step sizes; `first`
    `(b, n, g, d)` the state before all, or None for 0. `BACKWARD` begins at the last.
    """
    b, k, channel, real = place(tl.program_id(0), g, d)
    a = exponents(A + k * N * d + channel, d, 0, N, WORK)
    states += (b * g + k) * chunks * N * d + channel
    sums += (b * g + k) * chunks * d + channel
    if first is not None:
        first += (b * N * g + k) * d + channel
        h = load_each(first, g * d, 0, real, N, WORK)
    else:
        h = zeros(N, WORK)
    for i in range(chunks):
        chunk = wide(i)
        if BACKWARD:
            chunk = chunks - 1 - chunk
        end = load_each(states + chunk * N * d, d, 0, real, N, WORK)
        total = tl.load(sums + chunk * d, mask=real, other=0.0)
        store_each(states + chunk * N * d, d, 0, h, real, N)
        decays = decays_of(a, total, N)
        after = ()
        for n in tl.static_range(N):
            after = after + (decays[n] * h[n] + end[n],)
        h = after


@triton.jit
def adjoint_kernel(
    dy,
    delta,
    A,
    BC,
    bias,
    dstates,
    sums,
    routes,
    height,
    width,
    g,
    d,
    N: tl.constexpr,
    PACKED: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    INTERVAL: tl.constexpr,
    WINDOW: tl.constexpr,
    WORK: tl.constexpr,
):
    """Store for every chunk the gradient of the state before it, with 0 after it."""
    l = height * width
    program, begin, end = span(l, INTERVAL, True)
    b, k, channel, real = place(program, g, d)
    row = k * d + channel
    route = route_of(routes, k)
    stride = stride_of(route, height, width)
    steps = tl.where(real, l, 0)
    window_stride = (WINDOW * stride - 1) % tl.maximum(l - 1, 1) + 1

    delta_row, dy_row = rows(delta, b, k, channel), rows(dy, b, k, channel)
    C = fours(BC + (b * g + k) * l * 2 * N + N, 0, N)
    BC_stride = tl.full(
        (), 2 * N * (BC.dtype.element_ty.primitive_bitwidth // 8), tl.int32
    )
    shift = parameter(bias, row, WORK)
    a = exponents(A + k * N * d + channel, d, 0, N, WORK)

    dh = zeros(N, WORK)
    total = tl.zeros([WARP], WORK)
    windows = tl.cdiv(end - begin, WINDOW)
    window_at = visit(begin + (windows - 1) * WINDOW, route, height, width)
    window_at += zero_of(tl.arange(0, WARP))
    for v in range(windows):
        start = begin + (windows - 1 - v) * WINDOW
        at, _ = visits(window_at, stride, l - 1, route, WINDOW)
        window_at = earlier_visit(window_at, window_stride, l - 1)
        raw = load_window(delta_row, delta.l, at, PACKED, WINDOW, WORK)
        raw = shifted(raw, shift, WINDOW)
        step, _ = activate(raw, steps - start, SOFTPLUS, WINDOW)
        dy_window = load_window(dy_row, dy.l, at, PACKED, WINDOW, WORK)
        for j in tl.static_range(WINDOW - 1, -1, -1):
            dy_t = tl.where(j < steps - start, dy_window[j], 0.0)
            c_t = load_row(C, at[j], BC_stride, N)
            decays = decays_of(a, step[j], N)
            before = ()
            for n in tl.static_range(N):
                before = before + ((dh[n] + dy_t * c_t[n]) * decays[n],)
            dh = before
            total += step[j]

    chunk = (b * g + k) * tl.cdiv(l, INTERVAL) + begin // INTERVAL
    store_each(dstates + chunk * N * d + channel, d, 0, dh, real, N)
    tl.store(sums + chunk * d + channel, total, mask=real)
