"""What the Triton scan kernels read and write at the steps of a window, all at once.

A window is a tuple with what the channels have at each of its steps, in fp32 or fp64.
"""
# ruff: noqa: RUF005, since Triton grows a tuple by + only

import triton
import triton.language as tl

from .leaves import exp, reciprocal, skip_rows
from .steps import load_row

# log(1 + e) / e as a polynomial on [0, 1], last term first: 3e-8 off at most
LOG1P = tl.constexpr(
    (
        0.005232693627476692,
        -0.02950523979961872,
        0.07822596281766891,
        -0.13663247227668762,
        0.19106008112430573,
        -0.2484298199415207,
        0.3331909775733948,
        -0.4999949336051941,
        0.9999999403953552,
    )
)


@triton.jit
def load_window(
    row, stride, at, PACKED: tl.constexpr, WINDOW: tl.constexpr, WORK: tl.constexpr
):
    """Load what the channels have at every step of a window.

    Where steps are neighbours in memory, `PACKED`, a lane takes several in one load:
    lanes are far apart there, and the cache serves each by itself.
    """
    element: tl.constexpr = row.dtype.element_ty
    BITS: tl.constexpr = element.primitive_bitwidth
    FIT: tl.constexpr = 64 // BITS  # steps in 8 bytes, the most of one access
    COUNT: tl.constexpr = (FIT if FIT < WINDOW else WINDOW) if PACKED else 1
    number: tl.constexpr = tl.uint16 if BITS == 16 else tl.uint32
    values = ()
    for first in tl.static_range(0, WINDOW, COUNT):
        pointer = skip_rows(row, at[first], stride)
        if COUNT == 1:
            values = values + (tl.load(pointer).to(WORK),)
        else:
            word = tl.load(_words(pointer, BITS * COUNT))
            for j in tl.static_range(COUNT):
                bits = (word >> (BITS * j)).to(number)
                values = values + (bits.to(element, bitcast=True).to(WORK),)
    return values


@triton.jit
def store_window(
    row, stride, at, values, remaining, PACKED: tl.constexpr, WINDOW: tl.constexpr
):
    """Store a value for every step of a window that remains; see `load_window`."""
    element: tl.constexpr = row.dtype.element_ty
    BITS: tl.constexpr = element.primitive_bitwidth
    FIT: tl.constexpr = 64 // BITS  # steps in 8 bytes, the most of one access
    COUNT: tl.constexpr = (FIT if FIT < WINDOW else WINDOW) if PACKED else 1
    number: tl.constexpr = tl.uint16 if BITS == 16 else tl.uint32
    for first in tl.static_range(0, WINDOW, COUNT):
        pointer = skip_rows(row, at[first], stride)
        if COUNT == 1:
            tl.store(pointer, values[first], mask=first < remaining)
        else:
            words = _words(pointer, BITS * COUNT)
            word = tl.zeros(pointer.shape, words.dtype.element_ty)
            for j in tl.static_range(COUNT):
                bits = values[first + j].to(element).to(number, bitcast=True)
                word |= bits.to(word.dtype) << (BITS * j)
            tl.store(words, word, mask=first < remaining)


@triton.jit
def _words(pointer, BITS: tl.constexpr):
    """Return the pointers as those of unsigned integers of 32 or 64 bits."""
    word: tl.constexpr = tl.uint32 if BITS == 32 else tl.uint64
    return pointer.to(tl.pointer_type(word))


@triton.jit
def shifted(values, shift, WINDOW: tl.constexpr):
    """Add the bias of the step sizes to those of a window."""
    sums = ()
    for j in tl.static_range(WINDOW):
        sums = sums + (values[j] + shift,)
    return sums


@triton.jit
def expand(low, stride, weights, shift, at, RANK: tl.constexpr, WINDOW: tl.constexpr):
    """Return step sizes of the channels from those of low rank, before softplus."""
    values = ()
    for j in tl.static_range(WINDOW):
        dt = load_row(low, at[j], stride, RANK)
        total = shift
        for r in tl.static_range(RANK):
            total += weights[r] * dt[r]
        values = values + (total,)
    return values


@triton.jit
def activate(raw, remaining, SOFTPLUS: tl.constexpr, WINDOW: tl.constexpr):
    """Return the step size and its slope for every step of a window.

    A step past the end has size 0, so it leaves the state as it is.
    """
    step = ()
    slope = ()
    for j in tl.static_range(WINDOW):
        size, derivative = _activate(raw[j], SOFTPLUS)
        step = step + (tl.where(j < remaining, size, 0.0),)
        slope = slope + (derivative,)
    return step, slope


@triton.jit
def _activate(raw, SOFTPLUS: tl.constexpr):
    """Return softplus(raw), right to the last bits for any argument, and its slope."""
    if SOFTPLUS:
        e = exp(-tl.abs(raw))
        size = tl.maximum(raw, 0.0) + _log1p(e)
        derivative = tl.where(raw >= 0, 1.0, e) * reciprocal(1.0 + e)
    else:
        size = raw
        derivative = tl.full(raw.shape, 1.0, raw.dtype)
    return size, derivative


@triton.jit
def _log1p(e):
    """Return log(1 + e) for e in [0, 1], relative to e without cancellation."""
    if e.dtype == tl.float64:  # 2 artanh(s): term i is below 9^-i / (2i + 1)
        s = e / (2.0 + e)
        square = s * s
        series = tl.full(e.shape, 1.0 / 31, e.dtype)
        for i in tl.static_range(1, 16):
            series = series * square + 1.0 / (31 - 2 * i)
        result = 2.0 * s * series
    else:
        series = tl.full(e.shape, LOG1P[0], e.dtype)
        for i in tl.static_range(1, 9):
            series = series * e + LOG1P[i]
        result = e * series
    return result
