"""Parts of the Triton scan kernels: where a program reads, and what a step does.

Axis letters as in `kernels.py`. What there is of each state is a tuple of N
tensors, each with one element per lane, which the compiler keeps in registers.
"""
# ruff: noqa: RUF005, since Triton grows a tuple by + only

import triton
import triton.language as tl

from .leaves import exp2, load_four, skip_rows, wide

LOG2_E = tl.constexpr(1.4426950408889634)
WARP = tl.constexpr(32)  # channels of a program: one for each lane


@triton.jit
def span(l, INTERVAL: tl.constexpr, CHUNKED: tl.constexpr):
    """Return which channels this program has, by number, its first step and the end."""
    program = tl.program_id(0)
    begin = tl.full((), 0, tl.int32)
    end = l
    if CHUNKED:
        chunks = tl.cdiv(l, INTERVAL)
        begin = program % chunks * INTERVAL
        end = tl.minimum(begin + INTERVAL, l)
        program = program // chunks
    return program, begin, end


@triton.jit
def place(program, g, d):
    """Return batch, scan and channels of a program, in int64 for addresses.

    Lanes past the last channel are not `real`; they read that channel, so that loads
    need no mask.
    """
    blocks = tl.cdiv(d, WARP)
    scan = program // blocks
    first = program % blocks * WARP
    lane = tl.arange(0, WARP)
    channel = tl.minimum(first + lane, d - 1).to(tl.int64)
    return (scan // g).to(tl.int64), (scan % g).to(tl.int64), channel, lane < d - first


@triton.jit
def route_of(routes, k):
    """Return the route of scan `k`; without routes, that of rows for any k."""
    return (wide(routes) >> (2 * k)) & 3 if routes is not None else wide(0)


@triton.jit
def rows(x, b, k, channel):
    """Return where the channels of batch `b`, scan `k` begin."""
    return x.memory + b * x.b + k * x.g + channel * x.d


@triton.jit
def stride_of(route, height, width):
    """Return how far a route leads at each step; columns of one row are rows."""
    columns = (route % 2 == 1) & (height > 1)
    return tl.where(columns, width, tl.minimum(height * width - 1, 1))


@triton.jit
def visit(t, route, height, width):
    """Return the position of step `t`, on the map turned by 180 degrees if backward."""
    return tl.where(route % 2 == 1, (t % height) * width + t // height, t)


@triton.jit
def next_visit(at, stride, last):
    """Return the position of the next step: columns go by the width modulo `last`.

    Past the end it is any position of the map, so that loads need no mask.
    """
    at += stride
    return tl.where(at > last, at - last, at)


@triton.jit
def earlier_visit(at, stride, last):
    """Return the position of an earlier step, `stride` in 1 .. `last` away."""
    at -= stride
    return tl.where(at < 0, at + last, at)


@triton.jit
def visits(at, stride, last, route, WINDOW: tl.constexpr):
    """Return the positions of a window that starts at `at`, then the next start."""
    origin = tl.where(route >= 2, last, 0)
    sign = tl.where(route >= 2, -1, 1)
    positions = ()
    for _ in tl.static_range(WINDOW):
        positions = positions + (origin + sign * at,)
        at = next_visit(at, stride, last)
    return positions, at


@triton.jit
def decays_of(a, step, N: tl.constexpr):
    """Return by what one step multiplies the states."""
    decays = ()
    for n in tl.static_range(N):
        decays = decays + (exp2(step * a[n]),)
    return decays


@triton.jit
def advance(h, decays, input_t, b_t, N: tl.constexpr):
    """Return the states after one step."""
    after = ()
    for n in tl.static_range(N):
        after = after + (decays[n] * h[n] + input_t * b_t[n],)
    return after


@triton.jit
def retreat(
    dh,
    dA,
    states,
    decays,
    a,
    step,
    input_t,
    dy_t,
    b_t,
    c_t,
    STEP: tl.constexpr,
    N: tl.constexpr,
):
    """Undo step `STEP` of a window for gradients.

    `states` are those before each step and after the last, `decays` those of each step.
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
        grad = dh[n] + dy_t * c_t[n]  # of the state after the step
        decayed = grad * decays[STEP * N + n]
        dexponent = decayed * states[STEP * N + n]
        dinput += grad * b_t[n]
        dexponents += dexponent * a[n]
        dB = dB + (grad * input_t,)
        dC = dC + (dy_t * states[STEP * N + N + n],)
        dh_before = dh_before + (decayed,)
        dA_after = dA_after + (dA[n] + dexponent * step,)
    return dinput, dexponents, dB, dC, dh_before, dA_after


@triton.jit
def turn_of(TURNS: tl.constexpr):
    """Return what turns the states of each lane: lane i keeps state n ^ turn as n."""
    return 4 * (tl.arange(0, WARP) * TURNS // WARP)


@triton.jit
def exponents(pointer, stride, turn, N: tl.constexpr, WORK: tl.constexpr):
    """Return A log2(e), so that exp(delta A) is one exp2."""
    a = ()
    at = pointer
    for n in tl.static_range(N):
        at = pointer + (n ^ turn) * stride if n % 4 == 0 else at + stride
        a = a + (tl.load(at).to(WORK) * LOG2_E,)
    return a


@triton.jit
def parameter(rows, row, WORK: tl.constexpr):
    """Return one value per channel, zeros where there is no such parameter."""
    if rows is not None:
        value = tl.load(rows + row).to(WORK)
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
def load_each(pointer, stride, turn, mask, N: tl.constexpr, WORK: tl.constexpr):
    """Load one value per state."""
    values = ()
    for n in tl.static_range(N):
        value = tl.load(pointer + (n ^ turn) * stride, mask=mask, other=0.0)
        values = values + (value.to(WORK),)
    return values


@triton.jit
def store_each(pointer, stride, turn, values, mask, N: tl.constexpr):
    """Store one value per state."""
    for n in tl.static_range(N):
        tl.store(pointer + (n ^ turn) * stride, values[n], mask=mask)


@triton.jit
def fours(pointer, turn, N: tl.constexpr):
    """Return where the first row of B or C has each four of its states (or the one)."""
    pointers = ()
    for n in tl.static_range(0, N, 4 if N % 4 == 0 else 1):
        pointers = pointers + (pointer + (n ^ turn),)
    return pointers


@triton.jit
def load_row(pointers, at, stride, N: tl.constexpr):
    """Load B or C of one step, the same for all lanes up to their turn."""
    values = ()
    for i in tl.static_range(len(pointers)):
        pointer = skip_rows(pointers[i], at, stride)
        if N % 4 == 0:
            values = values + load_four(pointer)
        else:
            values = values + (tl.load(pointer),)
    return values


@triton.jit
def store_sums(pointer, values, mask, turn, TURNS: tl.constexpr):
    """Store the sum over the warp of each value, one after another.

    Lanes exchange halves of the list until each keeps one sum of 32: 31 shuffles
    instead of 5 for each. Where lanes are turned, the halves need no choice.
    """
    lane = tl.arange(0, WARP)
    own = lane % 4 + turn + lane // 4 % (8 // TURNS) * 4 * TURNS  # the sum it keeps
    COUNT: tl.constexpr = len(values)
    for first in tl.static_range(0, COUNT, WARP):
        folded = _padded(values, first)
        for level in tl.static_range(5):
            if 2**level < TURNS:
                folded = _fold_turned(folded, lane ^ (WARP // TURNS << level))
            else:
                folded = _fold(folded, lane, 2**level // TURNS)
        used = first + own < tl.where(mask, COUNT, 0)
        tl.store(pointer + first + own, folded[0], mask=used)


@triton.jit
def _padded(values, FIRST: tl.constexpr):
    """Return 32 of the values, or those that are left and zeros up to a power of 2."""
    LEFT: tl.constexpr = len(values) - FIRST
    HALF: tl.constexpr = 16 if LEFT > 16 else 8 if LEFT > 8 else 4 if LEFT > 4 else 2
    SIZE: tl.constexpr = 2 * HALF if LEFT > 2 else 2
    padded = ()
    for i in tl.static_range(FIRST, FIRST + SIZE):
        if i < len(values):
            padded = padded + (values[i],)
        else:
            padded = padded + (tl.zeros_like(values[0]),)
    return padded


@triton.jit
def _fold_turned(values, partner):
    """Add lanes whose turns differ by 4: what is value i here is i ^ 4 there."""
    folded = ()
    for i in tl.static_range(0, len(values), 8):
        for j in tl.static_range(i, i + 4):
            folded = folded + (values[j] + tl.gather(values[j + 4], partner, 0),)
    return folded


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
