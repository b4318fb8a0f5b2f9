"""Parts of the Triton scan kernels: where a program reads, and what a step does.

Axis letters as in `gpu_kernels.py`. What there is of each state is a tuple of N
tensors, each with one element per lane, which the compiler keeps in registers.
"""
# ruff: noqa: RUF005, since Triton grows a tuple by + only

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
WARP = tl.constexpr(32)  # channels of a program: one for each lane


@triton.jit
def place(g, d):
    """Return batch, scan and channels of this program, in int64 for addresses."""
    program = tl.program_id(0).to(tl.int64)
    blocks = tl.cdiv(d, WARP)
    scan = program // blocks
    channel = (program % blocks) * WARP + tl.arange(0, WARP)
    return scan // g, scan % g, channel


@triton.jit
def route_of(routes, k):
    """Return the route of scan `k`; without routes, that of rows for any k."""
    return (routes >> (2 * k)) & 3 if routes is not None else tl.full((), 0, tl.int64)


@triton.jit
def rows(x, b, k):
    """Return where the rows of batch `b`, scan `k` begin."""
    return x.memory + b * x.b + k * x.g


@triton.jit
def visits(start, route, height, width, WINDOW: tl.constexpr):
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
def window_inputs(
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
def advance(h, a, step, input_t, b_t, N: tl.constexpr):
    """Return the states after one step."""
    after = ()
    for n in tl.static_range(N):
        after = after + (tl.exp2(step * a[n]) * h[n] + input_t * b_t[n],)
    return after


@triton.jit
def retreat(
    dh,
    dA,
    before,
    a,
    step,
    input_t,
    dy_t,
    b_t,
    c_t,
    FIRST: tl.constexpr,
    N: tl.constexpr,
):
    """Undo `advance` for gradients; the states before the step start at `FIRST`.

    Returns the gradients of delta u and (summed with a) of the exponents delta A, each
    channel's part of dB and dC, then `dh` before the step and `dA` with its part added.
    Nothing is divided by a decay, which may be 0.
    """
    dinput = tl.zeros_like(step)
    dexponents = tl.zeros_like(step)
    dB = ()
    dC = ()
    dh_before = ()
    dA_after = ()
    for n in tl.static_range(N):
        decay = tl.exp2(step * a[n])
        decayed = decay * before[FIRST + n]
        grad = dh[n] + dy_t * c_t[n]  # of the state after the step
        dexponent = grad * decayed
        dinput += grad * b_t[n]
        dexponents += dexponent * a[n]
        dB = dB + (grad * input_t,)
        dC = dC + (dy_t * (decayed + input_t * b_t[n]),)
        dh_before = dh_before + (grad * decay,)
        dA_after = dA_after + (dA[n] + dexponent * step,)
    return dinput, dexponents, dB, dC, dh_before, dA_after


@triton.jit
def exponents(rows, real, N: tl.constexpr, WORK: tl.constexpr):
    """Return A log2(e), so that exp(delta A) is one exp2."""
    a = ()
    for n in tl.static_range(N):
        a = a + (tl.load(rows + n, mask=real, other=0.0).to(WORK) * LOG2_E,)
    return a


@triton.jit
def parameter(rows, row, real, WORK: tl.constexpr):
    """Return one value per channel, zeros where there is no such parameter."""
    if rows is not None:
        value = tl.load(rows + row, mask=real, other=0.0).to(WORK)
    else:
        value = tl.zeros(row.shape, WORK)
    return value


@triton.jit
def zeros(N: tl.constexpr, WORK: tl.constexpr):
    values = ()
    for _ in tl.static_range(N):
        values = values + (tl.zeros([WARP], WORK),)
    return values


@triton.jit
def load_each(pointer, stride, mask, N: tl.constexpr, WORK: tl.constexpr):
    """Load one value per state."""
    values = ()
    for n in tl.static_range(N):
        value = tl.load(pointer + n * stride, mask=mask, other=0.0)
        values = values + (value.to(WORK),)
    return values


@triton.jit
def load_row(pointer, N: tl.constexpr):
    """Load B or C of one step, the same for all lanes."""
    values = ()
    for n in tl.static_range(N):
        values = values + (tl.load(pointer + n),)
    return values


@triton.jit
def store_each(pointer, stride, values, mask, N: tl.constexpr):
    """Store one value per state."""
    for n in tl.static_range(N):
        tl.store(pointer + n * stride, values[n], mask=mask)


@triton.jit
def store_sums(pointer, values, mask, N: tl.constexpr):
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
