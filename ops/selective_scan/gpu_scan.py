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

from collections.abc import Sequence
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 32  # channels of a program: one for each lane of its warp
MAX_ROUTES = 31  # routes travel as two bits each of one int64

LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)


class Sequences(NamedTuple):
    """A tensor indexed by (batch, scan, position, last axis): its memory and strides."""

    memory: Tensor
    b: int
    g: int
    l: int
    last: int


def scan_forward(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    bias: Tensor | None,
    y: Tensor,
    last_state: Tensor | None,
    states: Tensor,
    *,
    routes: Sequence[int],
    height: int,
    width: int,
    softplus: bool,
    interval: int,
) -> None:
    """Fill `y`, `last_state` and `states`.

    `u`, `delta`, `y` are `(b, g, l, d)`, `B` and `C` `(b, g, l, n)`, all with any
    strides; `A` `(g, d, n)`, `D` and `bias` `(g, d)`; `last_state` `(b, g, d, n)` and
    `states` `(b, g, chunks, n, d)` contiguous, in the dtype of the state.
    """
    (b, g, _, d), n = u.shape, A.shape[-1]
    with torch.cuda.device_of(u):
        _launch(
            _forward_kernel,
            b * g * triton.cdiv(d, BLOCK),
            *map(_sequences, (u, delta)),
            A.contiguous(),
            *map(_sequences, (B, C)),
            *map(_contiguous, (D, bias)),
            _sequences(y),
            *(last_state, states),
            *(_pack(routes), height, width, g, d),
            N=n,
            SOFTPLUS=softplus,
            INTERVAL=_checked(interval) if interval else 0,
            WINDOW=_window(n),
            WORK=_state_type(u),
        )


def scan_backward(
    dy: Tensor,
    dlast_state: Tensor | None,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    bias: Tensor | None,
    states: Tensor,
    du: Tensor,
    ddelta: Tensor,
    *,
    routes: Sequence[int],
    height: int,
    width: int,
    softplus: bool,
    interval: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None]:
    """Fill `du` and `ddelta`, `(b, g, l, d)` with any strides; return the other five.

    Shapes as in `scan_forward`; `dlast_state` is `(b, g, d, n)` or None.

    Returns:
        The gradients of `A` `(g, d, n)`, of `B` and `C` `(b, g, l, n)`, of `D` and
        `bias` `(g, d)` (None for None), in the dtype of the state.
    """
    (b, g, l, d), n = u.shape, A.shape[-1]
    blocks, window = triton.cdiv(d, BLOCK), _window(n)
    interval = _checked(interval)
    dA = states.new_empty(b, g, d, n)
    dB, dC = (states.new_empty(b, g, blocks, l, n) for _ in range(2))
    dD, dbias = (None if t is None else states.new_empty(b, g, d) for t in (D, bias))
    scratch = states.new_empty(b, g, blocks, interval // window, n, BLOCK)
    with torch.cuda.device_of(u):
        _launch(
            _backward_kernel,
            b * g * blocks,
            _sequences(dy),
            _contiguous(dlast_state),
            *map(_sequences, (u, delta)),
            A.contiguous(),
            *map(_sequences, (B, C)),
            *map(_contiguous, (D, bias)),
            *(states, scratch),
            *map(_sequences, (du, ddelta)),
            *(dA, dB, dC, dD, dbias),
            *(_pack(routes), height, width, g, d),
            N=n,
            N_PADDED=triton.next_power_of_2(n),
            SOFTPLUS=softplus,
            INTERVAL=interval,
            WINDOW=window,
            WORK=_state_type(u),
        )
    dD, dbias = (None if t is None else t.sum(0) for t in (dD, dbias))
    return dA.sum(0), dB.sum(2), dC.sum(2), dD, dbias


def _launch(kernel, programs: int, *args, **constants) -> None:
    """Run a kernel on a flat grid; an empty batch launches nothing."""
    if programs:
        kernel[(programs,)](*args, **constants, BLOCK=BLOCK, num_warps=1)


def _sequences(x: Tensor) -> Sequences:
    return Sequences(x, *x.stride())


def _contiguous(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.contiguous()


def _state_type(u: Tensor) -> tl.dtype:
    return tl.float64 if u.dtype == torch.float64 else tl.float32


def _window(n: int) -> int:
    """Return the steps of a window: what the registers hold of `n` states each."""
    return 4 if n <= 16 else 2 if n <= 32 else 1


def _checked(interval: int) -> int:
    if interval <= 0 or interval % 4:
        raise ValueError(
            f'interval must be a positive multiple of 4 (the steps of a window), '
            f'got {interval}'
        )
    return interval


def _pack(routes: Sequence[int]) -> int:
    """Return the routes of all scans as one integer, two bits each."""
    if len(routes) > MAX_ROUTES:
        raise ValueError(
            f'the GPU kernels take at most {MAX_ROUTES} routes, got {len(routes)}'
        )
    return sum(int(route) << 2 * k for k, route in enumerate(routes))


@triton.jit
def _forward_kernel(
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
    BLOCK: tl.constexpr,
):
    l = height * width
    b, k, channel = _place(g, d, BLOCK)
    real = channel < d
    route = (routes >> (2 * k)) & 3
    row = k * d + channel  # of the parameters

    u_row = _rows(u, b, k) + channel * u.last
    delta_row = _rows(delta, b, k) + channel * delta.last
    y_row = _rows(y, b, k) + channel * y.last
    B_row, C_row = _rows(B, b, k), _rows(C, b, k)
    shift, skip = _parameter(bias, row, real, WORK), _parameter(D, row, real, WORK)
    a = _exponents(A + row * N, real, N, WORK)
    h = _zeros(N, WORK, BLOCK)

    for start in range(0, l, WINDOW):
        if INTERVAL:
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
            b_t = _load_each(B_row + at[j] * B.l, B.last, inside, N, WORK)
            c_t = _load_each(C_row + at[j] * C.l, C.last, inside, N, WORK)
            h = _advance(h, a, step[j], step[j] * x[j], b_t, N)
            out = skip * x[j]
            for n in tl.static_range(N):
                out += c_t[n] * h[n]
            tl.store(y_row + at[j] * y.l, out, mask=real & inside)

    if last_state is not None:
        state_row = (b * g * d + row) * N
        _store_each(last_state + state_row, 1, h, real, N)


@triton.jit
def _backward_kernel(
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
    N_PADDED: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    INTERVAL: tl.constexpr,
    WINDOW: tl.constexpr,
    WORK: tl.constexpr,
    BLOCK: tl.constexpr,
):
    l = height * width
    b, k, channel = _place(g, d, BLOCK)
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
    B_row, C_row = _rows(B, b, k), _rows(C, b, k)
    shift, skip = _parameter(bias, row, real, WORK), _parameter(D, row, real, WORK)
    a = _exponents(A + row * N, real, N, WORK)

    kept = tl.arange(0, N_PADDED)  # dB and dC of a step, one state in each element
    partial = program * l * N + kept
    scratch += program * (INTERVAL // WINDOW) * N * BLOCK + tl.arange(0, BLOCK)
    chunks = tl.cdiv(l, INTERVAL)
    states += (b * g + k) * chunks * N * d + channel

    if dlast_state is not None:
        dh = _load_each(dlast_state + state_row, 1, real, N, WORK)
    else:
        dh = _zeros(N, WORK, BLOCK)
    dA_sum = _zeros(N, WORK, BLOCK)  # of the exponents, delta A
    dD_sum = tl.zeros([BLOCK], WORK)
    dbias_sum = tl.zeros([BLOCK], WORK)

    for i in range(chunks):
        chunk = chunks - 1 - i
        first = chunk * INTERVAL
        windows = tl.cdiv(tl.minimum(INTERVAL, l - first), WINDOW)

        h = _load_each(states + chunk.to(tl.int64) * N * d, d, real, N, WORK)
        for w in range(windows):
            start = first + w * WINDOW
            _store_each(scratch + w * N * BLOCK, BLOCK, h, True, N)
            at = _visits(start, route, height, width, WINDOW)
            x, step, _ = _window_inputs(
                *(u_row, u.l, delta_row, delta.l, shift, real),
                *(start, l, at, SOFTPLUS, WINDOW, WORK),
            )
            for j in tl.static_range(WINDOW):
                b_t = _load_each(B_row + at[j] * B.l, B.last, start + j < l, N, WORK)
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
            h = _load_each(scratch + w * N * BLOCK, BLOCK, True, N, WORK)
            before = h  # the states before each step, N for each
            for j in tl.static_range(WINDOW - 1):
                b_t = _load_each(B_row + at[j] * B.l, B.last, start + j < l, N, WORK)
                h = _advance(h, a, step[j], step[j] * x[j], b_t, N)
                before = before + h

            for j in tl.static_range(WINDOW - 1, -1, -1):
                inside = start + j < l
                mask = real & inside
                b_t = _load_each(B_row + at[j] * B.l, B.last, inside, N, WORK)
                c_t = _load_each(C_row + at[j] * C.l, C.last, inside, N, WORK)
                dy_t = tl.load(dy_row + at[j] * dy.l, mask=mask, other=0.0).to(WORK)
                input_t = step[j] * x[j]

                dinput = tl.zeros([BLOCK], WORK)  # of delta u
                dstep = tl.zeros([BLOCK], WORK)
                dB_t = tl.zeros([N_PADDED], WORK)
                dC_t = tl.zeros([N_PADDED], WORK)
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
                    dB_n = tl.sum(grad * input_t, axis=0)
                    dC_n = tl.sum(dy_t * (decayed + input_t * b_t[n]), axis=0)
                    dB_t = tl.where(kept == n, dB_n, dB_t)
                    dC_t = tl.where(kept == n, dC_n, dC_t)
                dh = dh_before
                dA_sum = dA_after

                du_t = dinput * step[j] + dy_t * skip
                ddelta_t = (dinput * x[j] + dstep * LN_2) * slope[j]
                dD_sum += dy_t * x[j]
                dbias_sum += tl.where(mask, ddelta_t, 0.0)
                tl.store(du_row + at[j] * du.l, du_t, mask=mask)
                tl.store(ddelta_row + at[j] * ddelta.l, ddelta_t, mask=mask)
                used = (kept < N) & inside
                tl.store(dB + partial + at[j] * N, dB_t, mask=used)
                tl.store(dC + partial + at[j] * N, dC_t, mask=used)
        tl.debug_barrier()  # scratch is read before the next chunk writes it

    _store_each(dA + state_row, 1, dA_sum, real, N)
    if dD is not None:
        tl.store(dD + b * g * d + row, dD_sum, mask=real)
    if dbias is not None:
        tl.store(dbias + b * g * d + row, dbias_sum, mask=real)


@triton.jit
def _place(g, d, BLOCK: tl.constexpr):
    """Return batch, scan and channels of this program, in int64 for addresses."""
    program = tl.program_id(0).to(tl.int64)
    blocks = tl.cdiv(d, BLOCK)
    scan = program // blocks
    channel = (program % blocks) * BLOCK + tl.arange(0, BLOCK)
    return scan // g, scan % g, channel


@triton.jit
def _rows(x, b, k):
    """Return where the rows of batch `b`, scan `k` begin."""
    return x.memory + b * x.b + k * x.g


@triton.jit
def _visits(start, route, height, width, WINDOW: tl.constexpr):
    """Return the positions that a route visits in a window of steps."""
    at = ()
    for j in tl.static_range(WINDOW):
        t = tl.where(route >= 2, height * width - 1 - start - j, start + j)
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

    A step past the end gets size 0, so it leaves the state as it is.
    """
    x = ()
    raw = ()
    for j in tl.static_range(WINDOW):
        mask = real & (start + j < l)
        x = x + (tl.load(u_row + at[j] * u_stride, mask=mask, other=0.0).to(WORK),)
        delta = tl.load(delta_row + at[j] * delta_stride, mask=mask, other=0.0)
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
    """Return log(1 + e) for e in [0, 1] as 2 artanh(e / (2 + e)), without cancellation."""
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
def _zeros(N: tl.constexpr, WORK: tl.constexpr, BLOCK: tl.constexpr):
    values = ()
    for n in tl.static_range(N):
        values = values + (tl.zeros([BLOCK], WORK),)
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
def _store_each(pointer, stride, values, mask, N: tl.constexpr):
    """Store one value per state."""
    for n in tl.static_range(N):
        tl.store(pointer + n * stride, values[n], mask=mask)
