"""Single instructions of the Triton scan kernels, fp32 on NVIDIA GPUs, and their twins.

Triton's own `exp2` treats numbers below 2^-126 with care and costs four instructions,
and it joins no loads. Triton's interpreter, other GPUs and fp64 take the plain forms.
"""

import torch
import triton
import triton.language as tl

PTX = tl.constexpr(torch.version.hip is None and not triton.knobs.runtime.interpret)


@triton.jit
def exp2(x):
    """Return 2^x, or 0 where that is below 2^-126."""
    if PTX and x.dtype == tl.float32:
        y = tl.inline_asm_elementwise(
            'ex2.approx.ftz.f32 $0, $1;', '=f,f', [x], tl.float32, is_pure=True, pack=1
        )
    else:
        y = tl.exp2(x)
    return y


@triton.jit
def exp(x):
    """Return e^x for x <= 0, also where x log2(e) is large and so rounded coarsely.

    What rounding changed there, r = x - y ln(2) for y = x log2(e), is put back by a
    factor 1 + r. At -127, 2^y is 0 already; from there to -inf x would only lose r.
    """
    if PTX and x.dtype == tl.float32:
        y = tl.inline_asm_elementwise(
            """{
            .reg .f32 x, y, r;
            max.NaN.f32 x, $1, 0fC2FE0000;
            mul.f32 y, x, 0f3FB8AA3B;
            fma.rn.f32 r, y, 0fBF317218, x;
            ex2.approx.ftz.f32 y, y;
            fma.rn.f32 $0, y, r, y;
            }""",
            '=f,f',
            [x],
            tl.float32,
            is_pure=True,
            pack=1,
        )
    else:
        y = tl.exp(x)
    return y


@triton.jit
def reciprocal(x):
    """Return 1 / x for normal x."""
    if PTX and x.dtype == tl.float32:
        y = tl.inline_asm_elementwise(
            'rcp.approx.ftz.f32 $0, $1;', '=f,f', [x], tl.float32, is_pure=True, pack=1
        )
    else:
        y = 1.0 / x
    return y


@triton.jit
def wide(number):
    """Return an integer argument as int64: Triton narrows one that fits 32 bits."""
    return tl.full((), 0, tl.int64) + number


@triton.jit
def skip_rows(pointer, count, stride):
    """Return `pointer` after `count` (int32) rows of `stride` bytes."""
    if PTX and stride.dtype == tl.int32:  # else int64 is multiplied, in four parts
        offset = tl.inline_asm_elementwise(
            'mul.wide.s32 $0, $1, $2;',
            '=l,r,r',
            [count, stride],
            tl.int64,
            is_pure=True,
            pack=1,
        )
    else:
        offset = count.to(tl.int64) * stride
    return (pointer.to(tl.int64) + offset).to(pointer.dtype)


@triton.jit
def zero_of(lane):
    """Return 0 for each lane, as a number that the compiler takes to differ.

    Added to what is the same in all lanes, it keeps addresses to one multiply-add each;
    the uniform unit of the GPU would take three instructions.
    """
    if PTX:
        zero = tl.inline_asm_elementwise(
            """{
            .reg .u32 own;
            .reg .pred none;
            mov.u32 own, %lanemask_eq;
            setp.eq.u32 none, own, 0;
            selp.u32 $0, 1, 0, none;
            }""",
            '=r,r',
            [lane],
            tl.int32,
            is_pure=True,
            pack=1,
        )
    else:
        zero = tl.zeros_like(lane)
    return zero


@triton.jit
def load_four(pointer):
    """Return four neighbours; fp32 in one load, where 16 bytes must be aligned."""
    if PTX and pointer.dtype.element_ty == tl.float32:
        four = tl.inline_asm_elementwise(
            'ld.global.nc.v4.f32 {$0, $1, $2, $3}, [$4];',
            '=f,=f,=f,=f,l',
            [pointer],
            (tl.float32, tl.float32, tl.float32, tl.float32),
            is_pure=True,
            pack=1,
        )
    else:
        four = (
            tl.load(pointer),
            tl.load(pointer + 1),
            tl.load(pointer + 2),
            tl.load(pointer + 3),
        )
    return four
