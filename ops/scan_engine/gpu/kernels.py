"""Triton kernels of the selective scan along routes, shared by both scan ops.

Axis letters: b batch, g scan or group, l position (height * width), d channel of a
group, n state. A program is one warp and owns one block of channels of one (b, g): one
channel per lane, its states in registers, steps in order. So nothing is ever summed
by atomics, and results repeat bit for bit.

Where there are too few channels to fill the GPU, a program owns a chunk of the steps: a
first pass runs every chunk from state 0, `chunks.py` chains their ends to the state
before each, and a second pass goes on from there; backward likewise.

Steps come in windows whose loads are issued together. The backward walks the chunks
from last to first: it runs a chunk once from the state that the forward kept, notes
the state before every window in a scratch buffer (which stays in the cache), then
takes the windows from last to first, with the states of one window in registers. A lane
reads from the buffer what it wrote itself, so no barrier is needed.

B and C, and step sizes of low rank, lie side by side, so that one address serves all of
them. Where the steps of a channel are neighbours in memory, as in mamba_ssm's layout, a
lane takes those of a window at once. For the sums of dB and dC
over channels the lanes of the backward keep their states in turned orders, see
`turn_of`: lanes then exchange halves of a list without choosing which.

The kernels run compiled on a GPU and, with `TRITON_INTERPRET=1`, on CPU tensors.
"""
# ruff: noqa: RUF005, since Triton grows a tuple by + only

import triton
import triton.language as tl

from .leaves import skip_rows, zero_of
from .steps import (
    WARP,
    advance,
    decays_of,
    earlier_visit,
    exponents,
    fours,
    load_each,
    load_row,
    parameter,
    place,
    retreat,
    route_of,
    rows,
    span,
    store_each,
    store_sums,
    stride_of,
    turn_of,
    visit,
    visits,
    zeros,
)
from .windows import activate, expand, load_window, shifted, store_window

LN_2 = tl.constexpr(0.6931471805599453)

WHOLE, ENDS, FROM_STARTS = (tl.constexpr(i) for i in range(3))
"""What a program does forward: all steps, or one chunk of INTERVAL steps of them, from
state 0 to its end, or from the state that `states` has for its start."""


@triton.jit
def forward_kernel(
    u,
    delta,
    dt_weight,
    A,
    matrices,
    D,
    bias,
    y,
    last_state,
    states,
    sums,
    routes,
    height,
    width,
    g,
    d,
    N: tl.constexpr,
    RANK: tl.constexpr,
    PACKED: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    PHASE: tl.constexpr,
    INTERVAL: tl.constexpr,
    WINDOW: tl.constexpr,
    WORK: tl.constexpr,
):
    l = height * width
    program, begin, end = span(l, INTERVAL, PHASE != WHOLE)
    b, k, channel, real = place(program, g, d)
    row = k * d + channel  # of the parameters
    route = route_of(routes, k)
    stride = stride_of(route, height, width)
    steps = tl.where(real, l, 0)  # of each lane

    u_row = rows(u, b, k, channel)
    if PHASE != ENDS:
        y_row = rows(y, b, k, channel)
    WIDTH: tl.constexpr = 2 * N + RANK
    matrices += (b * g + k) * l * WIDTH
    B, C = fours(matrices, 0, N), fours(matrices + N, 0, N)
    BC_stride = tl.full(
        (), WIDTH * (matrices.dtype.element_ty.primitive_bitwidth // 8), tl.int32
    )
    if RANK:
        low = fours(matrices + 2 * N, 0, RANK)
        dt_weight += k * RANK * d + channel
        weights = load_each(dt_weight, d, 0, real, RANK, WORK)
    else:
        delta_row = rows(delta, b, k, channel)
    shift, skip = parameter(bias, row, WORK), parameter(D, row, WORK)
    a = exponents(A + k * N * d + channel, d, 0, N, WORK)

    h = zeros(N, WORK)
    next_at = zero_of(tl.arange(0, WARP))
    chunk_steps = INTERVAL if INTERVAL else tl.maximum(l, 1)
    if INTERVAL:
        chunk = (b * g + k) * tl.cdiv(l, INTERVAL) + begin // INTERVAL
        states += chunk * N * d + channel
    if PHASE != WHOLE:
        next_at += visit(begin, route, height, width)
    if PHASE == FROM_STARTS:
        h = load_each(states, d, 0, real, N, WORK)
    total = tl.zeros([WARP], WORK)  # of the step sizes
    for first in range(begin, end, chunk_steps):
        if INTERVAL and PHASE == WHOLE:
            store_each(states, d, 0, h, real, N)
            states += N * d

        for start in range(first, tl.minimum(first + chunk_steps, l), WINDOW):
            at, next_at = visits(next_at, stride, l - 1, route, WINDOW)
            x = load_window(u_row, u.l, at, PACKED, WINDOW, WORK)
            if RANK:
                raw = expand(low, BC_stride, weights, shift, at, RANK, WINDOW)
            else:
                raw = load_window(delta_row, delta.l, at, PACKED, WINDOW, WORK)
                raw = shifted(raw, shift, WINDOW)
            step, _ = activate(raw, steps - start, SOFTPLUS, WINDOW)
            outs = ()
            for j in tl.static_range(WINDOW):
                b_t = load_row(B, at[j], BC_stride, N)
                h = advance(h, decays_of(a, step[j], N), step[j] * x[j], b_t, N)
                if PHASE == ENDS:
                    total += step[j]
                else:
                    c_t = load_row(C, at[j], BC_stride, N)
                    out = skip * x[j]
                    for n in tl.static_range(N):
                        out += c_t[n] * h[n]
                    outs = outs + (out,)
            if PHASE != ENDS:
                store_window(y_row, y.l, at, outs, steps - start, PACKED, WINDOW)

    if PHASE == ENDS:
        store_each(states, d, 0, h, real, N)
        tl.store(sums + chunk * d + channel, total, mask=real)
    elif last_state is not None:
        last_state += b * N * g * d + row
        # a tensor: the interpreter of Triton 3.9 takes no mask of two scalars
        at_end = real & (tl.full([WARP], end, tl.int32) >= l)
        store_each(last_state, g * d, 0, h, at_end, N)


@triton.jit
def backward_kernel(
    dy,
    dstates,
    u,
    delta,
    A,
    BC,
    D,
    bias,
    states,
    scratch,
    du,
    ddelta,
    dA,
    dBC,
    dD,
    dbias,
    routes,
    height,
    width,
    g,
    d,
    N: tl.constexpr,
    TURNS: tl.constexpr,
    PACKED: tl.constexpr,
    CHUNKED: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    INTERVAL: tl.constexpr,
    WINDOW: tl.constexpr,
    WORK: tl.constexpr,
):
    l = height * width
    chunks = tl.cdiv(l, INTERVAL)
    program, begin, end = span(l, INTERVAL, CHUNKED)
    b, k, channel, real = place(program, g, d)
    row = k * d + channel  # of the parameters
    part = b  # of the sums over the batch, and over chunks of their own
    if CHUNKED:
        part = b * chunks + begin // INTERVAL
    turn = turn_of(TURNS)
    zero = zero_of(tl.arange(0, WARP))
    route = route_of(routes, k)
    stride = stride_of(route, height, width)
    steps = tl.where(real, l, 0)  # of each lane
    window_stride = (WINDOW * stride - 1) % tl.maximum(l - 1, 1) + 1

    u_row, delta_row = rows(u, b, k, channel), rows(delta, b, k, channel)
    dy_row, du_row = rows(dy, b, k, channel), rows(du, b, k, channel)
    ddelta_row = rows(ddelta, b, k, channel)
    BC += (b * g + k) * l * 2 * N
    B, C = fours(BC, turn, N), fours(BC + N, turn, N)
    BC_stride = tl.full(
        (), 2 * N * (BC.dtype.element_ty.primitive_bitwidth // 8), tl.int32
    )
    shift, skip = parameter(bias, row, WORK), parameter(D, row, WORK)
    a = exponents(A + k * N * d + channel, d, turn, N, WORK)

    dBC += program.to(tl.int64) * l * 2 * N
    scratch += tl.program_id(0).to(tl.int64) * (INTERVAL // WINDOW) * N * WARP
    scratch += tl.arange(0, WARP)
    states += (b * g + k) * chunks * N * d + channel

    if CHUNKED:  # the gradients of the states after each chunk
        dstates += ((b * g + k) * chunks + begin // INTERVAL) * N * d + channel
        dh = load_each(dstates, d, turn, real, N, WORK)
    elif dstates is not None:  # of the last state
        dstates += b * N * g * d + row
        dh = load_each(dstates, g * d, turn, real, N, WORK)
    else:
        dh = zeros(N, WORK)
    dA_sum = zeros(N, WORK)
    dD_sum = tl.zeros([WARP], WORK)
    dbias_sum = tl.zeros([WARP], WORK)

    last = tl.cdiv(end, INTERVAL) - 1
    for i in range(last - begin // INTERVAL + 1):
        chunk = last - i
        first = chunk * INTERVAL
        windows = tl.cdiv(tl.minimum(INTERVAL, l - first), WINDOW)

        h = load_each(states + chunk.to(tl.int64) * N * d, d, turn, real, N, WORK)
        next_at = visit(first, route, height, width) + zero
        for w in range(windows):
            start = first + w * WINDOW
            store_each(scratch + w * N * WARP, WARP, 0, h, True, N)
            at, next_at = visits(next_at, stride, l - 1, route, WINDOW)
            x = load_window(u_row, u.l, at, PACKED, WINDOW, WORK)
            raw = load_window(delta_row, delta.l, at, PACKED, WINDOW, WORK)
            raw = shifted(raw, shift, WINDOW)
            step, _ = activate(raw, steps - start, SOFTPLUS, WINDOW)
            for j in tl.static_range(WINDOW):
                b_t = load_row(B, at[j], BC_stride, N)
                h = advance(h, decays_of(a, step[j], N), step[j] * x[j], b_t, N)

        window_at = visit(first + (windows - 1) * WINDOW, route, height, width) + zero
        for v in range(windows):
            w = windows - 1 - v
            start = first + w * WINDOW
            at, _ = visits(window_at, stride, l - 1, route, WINDOW)
            window_at = earlier_visit(window_at, window_stride, l - 1)
            x = load_window(u_row, u.l, at, PACKED, WINDOW, WORK)
            raw = load_window(delta_row, delta.l, at, PACKED, WINDOW, WORK)
            raw = shifted(raw, shift, WINDOW)
            step, slope = activate(raw, steps - start, SOFTPLUS, WINDOW)
            h = load_each(scratch + w * N * WARP, WARP, 0, True, N, WORK)
            kept, decays = h, ()  # states around each step and decays, N for each
            for j in tl.static_range(WINDOW):
                b_t = load_row(B, at[j], BC_stride, N)
                decays_t = decays_of(a, step[j], N)
                h = advance(h, decays_t, step[j] * x[j], b_t, N)
                kept, decays = kept + h, decays + decays_t

            dy_window = load_window(dy_row, dy.l, at, PACKED, WINDOW, WORK)
            du_window = ()
            ddelta_window = ()
            for j in tl.static_range(WINDOW - 1, -1, -1):
                mask = j < steps - start
                b_t = load_row(B, at[j], BC_stride, N)
                c_t = load_row(C, at[j], BC_stride, N)
                dy_t = tl.where(mask, dy_window[j], 0.0)

                dinput, dexponent, dB_t, dC_t, dh, dA_sum = retreat(
                    *(dh, dA_sum, kept, decays, a, step[j], step[j] * x[j], dy_t),
                    *(b_t, c_t, j, N),
                )
                du_t = dinput * step[j] + dy_t * skip
                ddelta_t = (dinput * x[j] + dexponent * LN_2) * slope[j]
                dD_sum += dy_t * x[j]
                dbias_sum += tl.where(mask, ddelta_t, 0.0)
                du_window = (du_t,) + du_window
                ddelta_window = (ddelta_t,) + ddelta_window
                store_sums(
                    skip_rows(dBC, at[j], BC_stride),
                    dB_t + dC_t,
                    j < l - start,
                    turn,
                    TURNS,
                )
            remaining = steps - start
            store_window(du_row, du.l, at, du_window, remaining, PACKED, WINDOW)
            store_window(
                *(ddelta_row, ddelta.l, at, ddelta_window, remaining, PACKED, WINDOW)
            )

    dA += (part * g + k) * N * d + channel
    store_each(dA, d, turn, dA_sum, real, N)
    if dD is not None:
        tl.store(dD + part * g * d + row, dD_sum, mask=real)
    if dbias is not None:
        tl.store(dbias + part * g * d + row, dbias_sum, mask=real)
