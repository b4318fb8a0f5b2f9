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
# ruff: noqa: RUF005, since Triton grows a tuple by + only

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)
WARP = tl.constexpr(32)  # channels of a program: one for each lane


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
    b, k, channel = _place(g, d)
    real = channel < d
    route = (routes >> (2 * k)) & 3
    row = k * d + channel  # of the parameters

    u_row = _rows(u, b, k) + channel * u.last
    delta_row = _rows(delta, b, k) + channel * delta.last
    y_row = _rows(y, b, k) + channel * y.last
    B_row, C_row = (b * g + k) * l * N + B, (b * g + k) * l * N + C
    shift, skip = _parameter(bias, row, real, WORK), _parameter(D, row, real, WORK)
    a = _exponents(A + row * N, real, N, WORK)
    h = _zeros(N, WORK)

    for start in range(0, l, WINDOW):
        if INTERVAL:  # noqa: SIM102, since a constant can not be joined by `and`
            if start % INTERVAL == 0:
                chunk = (b * g + k) * tl.cdiv(l, INTERVAL) + start // INTERVAL
                _store_each(states + chunk * N * d + channel, d, h, real, N)

        at = _visits(start, route, height, width, WINDOW)
        x, step, _ = _window_inputs(
            *(u_row, u.l, delta_row, delta.l, shift, real),
            *(start, l, at, SOFTPLUS, WINDOW, WORK),
        )
        for j in tl.static_range(WINDOW):
            inside = start + j < l
            b_t = _load_row(B_row + at[j] * N, N)
            c_t = _load_row(C_row + at[j] * N, N)
            h = _advance(h, a, step[j], step[j] * x[j], b_t, N)
            out = skip * x[j]
            for n in tl.static_range(N):
                out += c_t[n] * h[n]
            tl.store(y_row + at[j] * y.l, out, mask=real & inside)

    if last_state is not None:
        state_row = (b * g * d + row) * N
        _store_each(last_state + state_row, 1, h, real, N)


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
    b, k, channel = _place(g, d)
    real = channel < d
    route = (routes >> (2 * k)) & 3
    row = k * d + channel  # of the parameters
    state_row = (b * g * d + row) * N
    program = tl.program_id(0).to(tl.int64)

    u_row = _rows(u, b, k) + channel * u.last
    delta_row = _rows(delta, b, k) + channel * delta.last
    dy_row = _rows(dy, b, k) + channel * dy.last
    du_row = _rows(du, b, k) + channel * du.last
    ddelta_row = _rows(ddelta, b, k) + channel * ddelta.last
    B_row, C_row = (b * g + k) * l * N + B, (b * g + k) * l * N + C
    shift, skip = _parameter(bias, row, real, WORK), _parameter(D, row, real, WORK)
    a = _exponents(A + row * N, real, N, WORK)

    dB += program * l * N
    dC += program * l * N
    scratch += program * (INTERVAL // WINDOW) * N * WARP + tl.arange(0, WARP)
    chunks = tl.cdiv(l, INTERVAL)
    states += (b * g + k) * chunks * N * d + channel

    if dlast_state is not None:
        dh = _load_each(dlast_state + state_row, 1, real, N, WORK)
    else:
        dh = _zeros(N, WORK)
    dA_sum = _zeros(N, WORK)  # of the exponents, delta A
    dD_sum = tl.zeros([WARP], WORK)
    dbias_sum = tl.zeros([WARP], WORK)

    for i in range(chunks):
        chunk = chunks - 1 - i
        first = chunk * INTERVAL
        windows = tl.cdiv(tl.minimum(INTERVAL, l - first), WINDOW)

        h = _load_each(states + chunk.to(tl.int64) * N * d, d, real, N, WORK)
        for w in range(windows):
            start = first + w * WINDOW
            _store_each(scratch + w * N * WARP, WARP, h, True, N)
            at = _visits(start, route, height, width, WINDOW)
            x, step, _ = _window_inputs(
                *(u_row, u.l, delta_row, delta.l, shift, real),
                *(start, l, at, SOFTPLUS, WINDOW, WORK),
            )
            for j in tl.static_range(WINDOW):
                b_t = _load_row(B_row + at[j] * N, N)
                h = _advance(h, a, step[j], step[j] * x[j], b_t, N)
        tl.debug_barrier()  # what the warp wrote to scratch is there to read

        for v in range(windows):
            w = windows - 1 - v
            start = first + w * WINDOW
            at = _visits(start, route, height, width, WINDOW)
            x, step, slope = _window_inputs(
                *(u_row, u.l, delta_row, delta.l, shift, real),
                *(start, l, at, SOFTPLUS, WINDOW, WORK),
            )
            h = _load_each(scratch + w * N * WARP, WARP, True, N, WORK)
            before = h  # the states before each step, N for each
            for j in tl.static_range(WINDOW - 1):
                b_t = _load_row(B_row + at[j] * N, N)
                h = _advance(h, a, step[j], step[j] * x[j], b_t, N)
                before = before + h

            for j in tl.static_range(WINDOW - 1, -1, -1):
                inside = start + j < l
                mask = real & inside
                b_t = _load_row(B_row + at[j] * N, N)
                c_t = _load_row(C_row + at[j] * N, N)
                dy_t = tl.load(dy_row + at[j] * dy.l, mask=mask, other=0.0).to(WORK)
                input_t = step[j] * x[j]

                dinput = tl.zeros([WARP], WORK)  # of delta u
                dstep = tl.zeros([WARP], WORK)
                dB_t = ()
                dC_t = ()
                dh_before = ()
                dA_after = ()
                for n in tl.static_range(N):
                    decay = tl.exp2(step[j] * a[n])
                    decayed = decay * before[j * N + n]
                    grad = dh[n] + dy_t * c_t[n]  # of the state after this step
                    dexponent = grad * decayed  # of delta A
                    dinput += grad * b_t[n]
                    dstep += dexponent * a[n]
                    dA_after = dA_after + (dA_sum[n] + dexponent * step[j],)
                    dh_before = dh_before + (grad * decay,)
                    dB_t = dB_t + (grad * input_t,)
                    dC_t = dC_t + (dy_t * (decayed + input_t * b_t[n]),)
                dh = dh_before
                dA_sum = dA_after

                du_t = dinput * step[j] + dy_t * skip
                ddelta_t = (dinput * x[j] + dstep * LN_2) * slope[j]
                dD_sum += dy_t * x[j]
                dbias_sum += tl.where(mask, ddelta_t, 0.0)
                tl.store(du_row + at[j] * du.l, du_t, mask=mask)
                tl.store(ddelta_row + at[j] * ddelta.l, ddelta_t, mask=mask)
                _store_sums(dB + at[j] * N, dB_t, inside, N)
                _store_sums(dC + at[j] * N, dC_t, inside, N)
        tl.debug_barrier()  # scratch is read before the next chunk writes it

    _store_each(dA + state_row, 1, dA_sum, real, N)
    if dD is not None:
        tl.store(dD + b * g * d + row, dD_sum, mask=real)
    if dbias is not None:
        tl.store(dbias + b * g * d + row, dbias_sum, mask=real)


@triton.jit
def _place(g, d):
    """Return batch, scan and channels of this program, in int64 for addresses."""
    program = tl.program_id(0).to(tl.int64)
    blocks = tl.cdiv(d, WARP)
    scan = program // blocks
    channel = (program % blocks) * WARP + tl.arange(0, WARP)
    return scan // g, scan % g, channel


@triton.jit
def _rows(x, b, k):
    """Return where the rows of batch `b`, scan `k` begin."""
    return x.memory + b * x.b + k * x.g


@triton.jit
def _visits(start, route, height, width, WINDOW: tl.constexpr):
    """Return the positions that a route visits in a window of steps.

    Steps past the end stay at the last position, so that loads need no mask.
    """
    last = height * width - 1
    at = ()
    for j in tl.static_range(WINDOW):
        t = tl.minimum(start + j, last)
        t = tl.where(route >= 2, last - t, t)
        at_t = tl.where(route % 2 == 1, (t % height) * width + t // height, t)
        at = at + (at_t.to(tl.int64),)
    return at


@triton.jit
def _window_inputs(
    u_row,
    u_stride,
    delta_row,
    delta_stride,
    shift,
    real,
    start,
    l,
    at,
    SOFTPLUS: tl.constexpr,
    WINDOW: tl.constexpr,
    WORK: tl.constexpr,
):
    """Return u, the step size and its slope for every step of a window.

    A step past the end has size 0, so it leaves the state as it is.
    """
    x = ()
    raw = ()
    for j in tl.static_range(WINDOW):
        x = x + (tl.load(u_row + at[j] * u_stride, mask=real, other=0.0).to(WORK),)
        delta = tl.load(delta_row + at[j] * delta_stride, mask=real, other=0.0)
        raw = raw + (delta.to(WORK) + shift,)
    step = ()
    slope = ()
    for j in tl.static_range(WINDOW):
        size, derivative = _step_size(raw[j], SOFTPLUS)
        step = step + (tl.where(start + j < l, size, 0.0),)
        slope = slope + (derivative,)
    return x, step, slope


@triton.jit
def _step_size(raw, SOFTPLUS: tl.constexpr):
    """Return softplus(raw), right to the last bits for any argument, and its slope."""
    if SOFTPLUS:
        e = tl.exp(-tl.abs(raw))
        size = tl.maximum(raw, 0.0) + _log1p(e)
        derivative = tl.where(raw >= 0, 1.0, e) / (1.0 + e)
    else:
        size = raw
        derivative = tl.full(raw.shape, 1.0, raw.dtype)
    return size, derivative


@triton.jit
def _log1p(e):
    """Return log(1 + e) for e in [0, 1] as 2 artanh(e / (2 + e)): no cancellation."""
    TERMS: tl.constexpr = 16 if e.dtype == tl.float64 else 8
    s = e / (2.0 + e)  # at most 1/3: term i is below 9^-i / (2i + 1)
    square = s * s
    series = tl.full(e.shape, 1.0 / (2 * TERMS - 1), e.dtype)
    for i in tl.static_range(1, TERMS):
        series = series * square + 1.0 / (2 * (TERMS - i) - 1)
    return 2.0 * s * series


@triton.jit
def _advance(h, a, step, input_t, b_t, N: tl.constexpr):
    """Return the states after one step."""
    after = ()
    for n in tl.static_range(N):
        after = after + (tl.exp2(step * a[n]) * h[n] + input_t * b_t[n],)
    return after


@triton.jit
def _exponents(rows, real, N: tl.constexpr, WORK: tl.constexpr):
    """Return A log2(e), so that exp(delta A) is one exp2."""
    a = ()
    for n in tl.static_range(N):
        a = a + (tl.load(rows + n, mask=real, other=0.0).to(WORK) * LOG2_E,)
    return a


@triton.jit
def _parameter(rows, row, real, WORK: tl.constexpr):
    """Return one value per channel, zeros where there is no such parameter."""
    if rows is not None:
        value = tl.load(rows + row, mask=real, other=0.0).to(WORK)
    else:
        value = tl.zeros(row.shape, WORK)
    return value


@triton.jit
def _zeros(N: tl.constexpr, WORK: tl.constexpr):
    values = ()
    for _ in tl.static_range(N):
        values = values + (tl.zeros([WARP], WORK),)
    return values


@triton.jit
def _load_each(pointer, stride, mask, N: tl.constexpr, WORK: tl.constexpr):
    """Load one value per state."""
    values = ()
    for n in tl.static_range(N):
        value = tl.load(pointer + n * stride, mask=mask, other=0.0)
        values = values + (value.to(WORK),)
    return values


@triton.jit
def _load_row(pointer, N: tl.constexpr):
    """Load B or C of one step, the same for all lanes."""
    values = ()
    for n in tl.static_range(N):
        values = values + (tl.load(pointer + n),)
    return values


@triton.jit
def _store_each(pointer, stride, values, mask, N: tl.constexpr):
    """Store one value per state."""
    for n in tl.static_range(N):
        tl.store(pointer + n * stride, values[n], mask=mask)


@triton.jit
def _store_sums(pointer, values, mask, N: tl.constexpr):
    """Store the sum over the warp of one value per state, one after another.

    Lanes exchange halves of the list until lane i holds the sum of value i: 31 shuffles
    for 32 values instead of 5 for each.
    """
    COUNT: tl.constexpr = min(WARP, triton.next_power_of_2(N))  # of one round
    lane = tl.arange(0, WARP)
    for first in tl.static_range(0, N, COUNT):
        folded = ()
        for i in tl.static_range(COUNT):
            if first + i < N:
                folded = folded + (values[first + i],)
            else:
                folded = folded + (tl.zeros_like(values[0]),)
        for level in tl.static_range(5):
            folded = _fold(folded, lane, 1 << level)
        used = (lane < COUNT) & (first + lane < N) & mask
        tl.store(pointer + first + lane, folded[0], mask=used)


@triton.jit
def _fold(values, lane, BIT: tl.constexpr):
    """Add lanes that differ in one bit; of each pair of values a lane keeps one."""
    folded = ()
    if len(values) == 1:
        folded = folded + (values[0] + tl.gather(values[0], lane ^ BIT, 0),)
    else:
        upper = (lane & BIT) != 0
        for i in tl.static_range(0, len(values), 2):
            kept = tl.where(upper, values[i + 1], values[i])
            given = tl.where(upper, values[i], values[i + 1])
            folded = folded + (kept + tl.gather(given, lane ^ BIT, 0),)
    return folded
