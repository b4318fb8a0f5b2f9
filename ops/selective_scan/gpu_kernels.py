"""Triton kernels of the selective scan along routes, shared by both scan ops.

Axis letters: b batch, g scan or group, l position (height * width), d channel of a
group, n state. A program is one warp and owns one block of channels of one (b, g): one
channel per lane, its states in registers, steps in order. So nothing is ever summed
by atomics, and results repeat bit for bit.

Steps come in windows whose loads are issued together. The backward walks the chunks
from last to first: it runs a chunk once from the state that the forward kept, notes
the state before every window in a scratch buffer (which stays in the cache), then
takes the windows from last to first, with the states of one window in registers.

The kernels run compiled on a GPU and, with `TRITON_INTERPRET=1`, on CPU tensors.
"""

import triton
import triton.language as tl

from .gpu_steps import (
    WARP,
    advance,
    exponents,
    load_each,
    load_row,
    parameter,
    place,
    retreat,
    route_of,
    rows,
    store_each,
    store_sums,
    visits,
    window_inputs,
    zeros,
)

LN_2 = tl.constexpr(0.6931471805599453)


@triton.jit
def forward_kernel(
    u,
    delta,
    A,
    B,
    C,
    D,
    bias,
    y,
    last_state,
    states,
    routes,
    height,
    width,
    g,
    d,
    N: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    INTERVAL: tl.constexpr,
    WINDOW: tl.constexpr,
    WORK: tl.constexpr,
):
    l = height * width
    b, k, channel = place(g, d)
    real = channel < d
    route = route_of(routes, k)
    row = k * d + channel  # of the parameters

    u_row = rows(u, b, k) + channel * u.last
    delta_row = rows(delta, b, k) + channel * delta.last
    y_row = rows(y, b, k) + channel * y.last
    B_row, C_row = (b * g + k) * l * N + B, (b * g + k) * l * N + C
    shift, skip = parameter(bias, row, real, WORK), parameter(D, row, real, WORK)
    a = exponents(A + row * N, real, N, WORK)
    h = zeros(N, WORK)

    for start in range(0, l, WINDOW):
        if INTERVAL:  # noqa: SIM102, since a constant can not be joined by `and`
            if start % INTERVAL == 0:
                chunk = (b * g + k) * tl.cdiv(l, INTERVAL) + start // INTERVAL
                store_each(states + chunk * N * d + channel, d, h, real, N)

        at = visits(start, route, height, width, WINDOW)
        x, step, _ = window_inputs(
            *(u_row, u.l, delta_row, delta.l, shift, real),
            *(start, l, at, SOFTPLUS, WINDOW, WORK),
        )
        for j in tl.static_range(WINDOW):
            inside = start + j < l
            b_t = load_row(B_row + at[j] * N, N)
            c_t = load_row(C_row + at[j] * N, N)
            h = advance(h, a, step[j], step[j] * x[j], b_t, N)
            out = skip * x[j]
            for n in tl.static_range(N):
                out += c_t[n] * h[n]
            tl.store(y_row + at[j] * y.l, out, mask=real & inside)

    if last_state is not None:
        state_row = (b * g * d + row) * N
        store_each(last_state + state_row, 1, h, real, N)


@triton.jit
def backward_kernel(
    dy,
    dlast_state,
    u,
    delta,
    A,
    B,
    C,
    D,
    bias,
    states,
    scratch,
    du,
    ddelta,
    dA,
    dB,
    dC,
    dD,
    dbias,
    routes,
    height,
    width,
    g,
    d,
    N: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    INTERVAL: tl.constexpr,
    WINDOW: tl.constexpr,
    WORK: tl.constexpr,
):
    l = height * width
    b, k, channel = place(g, d)
    real = channel < d
    route = route_of(routes, k)
    row = k * d + channel  # of the parameters
    state_row = (b * g * d + row) * N
    program = tl.program_id(0).to(tl.int64)

    u_row = rows(u, b, k) + channel * u.last
    delta_row = rows(delta, b, k) + channel * delta.last
    dy_row = rows(dy, b, k) + channel * dy.last
    du_row = rows(du, b, k) + channel * du.last
    ddelta_row = rows(ddelta, b, k) + channel * ddelta.last
    B_row, C_row = (b * g + k) * l * N + B, (b * g + k) * l * N + C
    shift, skip = parameter(bias, row, real, WORK), parameter(D, row, real, WORK)
    a = exponents(A + row * N, real, N, WORK)

    dB += program * l * N
    dC += program * l * N
    scratch += program * (INTERVAL // WINDOW) * N * WARP + tl.arange(0, WARP)
    chunks = tl.cdiv(l, INTERVAL)
    states += (b * g + k) * chunks * N * d + channel

    if dlast_state is not None:
        dh = load_each(dlast_state + state_row, 1, real, N, WORK)
    else:
        dh = zeros(N, WORK)
    dA_sum = zeros(N, WORK)
    dD_sum = tl.zeros([WARP], WORK)
    dbias_sum = tl.zeros([WARP], WORK)

    for i in range(chunks):
        chunk = chunks - 1 - i
        first = chunk * INTERVAL
        windows = tl.cdiv(tl.minimum(INTERVAL, l - first), WINDOW)

        h = load_each(states + chunk.to(tl.int64) * N * d, d, real, N, WORK)
        for w in range(windows):
            start = first + w * WINDOW
            store_each(scratch + w * N * WARP, WARP, h, True, N)
            at = visits(start, route, height, width, WINDOW)
            x, step, _ = window_inputs(
                *(u_row, u.l, delta_row, delta.l, shift, real),
                *(start, l, at, SOFTPLUS, WINDOW, WORK),
            )
            for j in tl.static_range(WINDOW):
                b_t = load_row(B_row + at[j] * N, N)
                h = advance(h, a, step[j], step[j] * x[j], b_t, N)
        tl.debug_barrier()  # what the warp wrote to scratch is there to read

        for v in range(windows):
            w = windows - 1 - v
            start = first + w * WINDOW
            at = visits(start, route, height, width, WINDOW)
            x, step, slope = window_inputs(
                *(u_row, u.l, delta_row, delta.l, shift, real),
                *(start, l, at, SOFTPLUS, WINDOW, WORK),
            )
            h = load_each(scratch + w * N * WARP, WARP, True, N, WORK)
            before = h  # the states before each step, N for each
            for j in tl.static_range(WINDOW - 1):
                b_t = load_row(B_row + at[j] * N, N)
                h = advance(h, a, step[j], step[j] * x[j], b_t, N)
                before = before + h

            for j in tl.static_range(WINDOW - 1, -1, -1):
                inside = start + j < l
                mask = real & inside
                b_t = load_row(B_row + at[j] * N, N)
                c_t = load_row(C_row + at[j] * N, N)
                dy_t = tl.load(dy_row + at[j] * dy.l, mask=mask, other=0.0).to(WORK)
                input_t = step[j] * x[j]

                dinput, dexponent, dB_t, dC_t, dh, dA_sum = retreat(
                    *(dh, dA_sum, before, a, step[j], input_t, dy_t, b_t, c_t),
                    *(j * N, N),
                )
                du_t = dinput * step[j] + dy_t * skip
                ddelta_t = (dinput * x[j] + dexponent * LN_2) * slope[j]
                dD_sum += dy_t * x[j]
                dbias_sum += tl.where(mask, ddelta_t, 0.0)
                tl.store(du_row + at[j] * du.l, du_t, mask=mask)
                tl.store(ddelta_row + at[j] * ddelta.l, ddelta_t, mask=mask)
                store_sums(dB + at[j] * N, dB_t, inside, N)
                store_sums(dC + at[j] * N, dC_t, inside, N)
        tl.debug_barrier()  # scratch is read before the next chunk writes it

    store_each(dA + state_row, 1, dA_sum, real, N)
    if dD is not None:
        tl.store(dD + b * g * d + row, dD_sum, mask=real)
    if dbias is not None:
        tl.store(dbias + b * g * d + row, dbias_sum, mask=real)
