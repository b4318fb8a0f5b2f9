"""Calls of the ops as users make them on a GPU, and the launches that come of them.

A call is drawn from the product of what decides the code that Triton compiles: dtypes,
memory layouts, sizes that are 1 or multiples of 16, options, numbers of scans, chunks
side by side or not, with a backward or without.
"""

import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from mmmambamixer import ops
from mmmambamixer.ops.gpu_launches import Launch, gpu_functions_on_cpu, noted_launches
from mmmambamixer.ops.selective_scan import gpu_scan
from mmmambamixer.ops.testing import cross_inputs, scan_inputs

F64, F32, F16, B16 = torch.float64, torch.float32, torch.float16, torch.bfloat16
DTYPES = (
    (F32,) * 3,
    (B16,) * 3,
    (F16,) * 3,
    (B16, F32, F16),
    (F32, F16, B16),
    (F64,) * 3,
)
YES_NO = True, False
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    'contiguous': lambda x: x,
    'turned': lambda x: x.mT.contiguous().mT if x.dim() > 2 else x,
    'unaligned': lambda x: _within(x, before=1),
    'spread': lambda x: _within(x.repeat_interleave(2, -1))[..., ::2],
    'far apart': lambda x: _far_apart(x) if x.dim() > 2 else x,
}
STATES = 1, 3, 4, 8
AXES = {
    'selective_scan': dict(
        dtypes=DTYPES,
        layout=LAYOUTS,
        z=YES_NO,
        D=YES_NO,
        bias=YES_NO,
        softplus=YES_NO,
        last=YES_NO,
        chunked=YES_NO,
        dy=('dense', 'expanded', None),
    ),
    'cross_selective_scan': dict(
        dtypes=DTYPES,
        layout=LAYOUTS,
        shared=YES_NO,
        D=YES_NO,
        bias=YES_NO,
        chunked=YES_NO,
        routes=([1], [3, 2, 0], [0, 1, 2, 3], [2] * 2 + [0] * 15, [3] * 31),
        dy=('dense', 'expanded', None),
    ),
    'scan_conv': dict(
        dtypes=DTYPES[:3] + DTYPES[-1:],
        layout=LAYOUTS,
        by_feature=YES_NO,
        silu=YES_NO,
        routes=([1], [3, 2, 0], [2] * 2 + [0] * 15, [0] * 15 + [2] * 2),
        taps=(1, 3),
        d=(1, 5, 64),
        dy=('dense', 'expanded', None),
    ),
    'gated_norm': dict(
        dtypes=DTYPES[:3] + DTYPES[-1:],
        layout=LAYOUTS,
        l=(1, 18),
        d=(1, 5, 64, 1000),
        dy=('dense', 'expanded', None),
    ),
    'weighted_sum': dict(
        dtypes=DTYPES[:3] + DTYPES[-1:],
        layout=LAYOUTS,
        count=(1, 2, 5),
        shape=((1, 1, 1), (1, 3, 5), (2, 16, 64)),
        dy=('dense', 'expanded', None),
    ),
}
"""What a call is drawn from, by op. Sizes that are not named here are drawn freely."""


def drawn_calls(op: str, count: int | None, seed: int = 0) -> Iterator[dict]:
    """Yield `count` calls of an op, or the whole product."""
    draw = random.Random(f'{op} {seed}')
    product = list(itertools.product(*AXES[op].values()))
    for values in draw.sample(product, count) if count else product:
        sizes = dict(
            b=draw.choice([1, 2]),
            l=draw.choice([1, 4, 18, 33, 48]),
            d=draw.choice([1, 5, 16]),
            g=draw.choice([1, 2]),
            n=draw.choice(STATES),
            r=draw.choice([1, 4, 20]),
        )
        yield sizes | dict(zip(AXES[op], values, strict=True))


def launches_of(op: str, calls: Iterable[dict]) -> dict[tuple, Launch]:
    """Return what the launch code of an op launches, by specialisation."""
    found = {}
    for call in calls:
        with gpu_functions_on_cpu(), noted_launches() as launches:
            make(op, call)
        found |= {launch.specialisation: launch for launch in launches}
    return found


def make(op: str, call: dict) -> None:
    """Make a call of an op, forward and, unless its `dy` is None, backward."""
    function, tensors = MAKE[op](**call)
    leaves = [
        None if x is None else LAYOUTS[call['layout']](x).requires_grad_()
        for x in tensors
    ]
    with _chunks(call.get('chunked')):
        _differentiate(function, leaves, call['dy'])


def _differentiate(function: Callable, leaves: list, dy: str | None) -> None:
    with torch.set_grad_enabled(dy is not None):
        results = function(*leaves)
    if dy is not None:
        results = [results] if isinstance(results, Tensor) else results
        ones = (torch.ones((), dtype=y.dtype).expand_as(y) for y in results)
        dys = [x.contiguous() if dy == 'dense' else x for x in ones]
        torch.autograd.grad(results, [x for x in leaves if x is not None], dys)


def _scan(b, d, l, n, g, *, dtypes, z, D, bias, softplus, last, **_):
    tensors = scan_inputs(b, g * d, l, n, g, z=z, D=D, bias=bias, dtypes=dtypes)

    def function(*x):
        return ops.selective_scan(*x, delta_softplus=softplus, return_last_state=last)

    return function, tensors.values()


def _cross(b, d, l, n, r, *, dtypes, shared, D, bias, routes, **_):
    options = dict(shared=shared, D=D, bias=bias, dtypes=dtypes)
    height = 3 if l % 3 == 0 else 1
    size = dict(routes=routes, height=height, width=l // height)

    def function(*x):
        return ops.cross_selective_scan(*x, **size)

    return function, cross_inputs(b, len(routes), l, d, n, r, **options).values()


def _conv(b, l, d, *, dtypes, by_feature, silu, routes, taps, **_):
    features = (d,) if by_feature else ()
    v, g = torch.randn(b, l, d).to(dtypes[0]), len(routes)
    taps = taps if g < 16 else 1  # the loops over scans and taps are unrolled
    weight, bias = torch.randn(g, taps, *features), torch.randn(g, *features)

    def function(*x):
        return ops.scan_conv(*x, routes=routes, silu=silu)

    return function, [v, weight, bias]


def _norm(b, l, d, *, dtypes, **_):
    z = torch.randn(b, l, d).to(dtypes[0])
    return ops.gated_norm, [torch.randn(b, l, d), z, torch.randn(d), torch.randn(d)]


def _sum(*, dtypes, count, shape, **_):
    def function(*x):
        return ops.weighted_sum(x[1:], x[0])

    return function, [torch.randn(count), *torch.randn(count, *shape).to(dtypes[0])]


MAKE = dict(
    selective_scan=_scan,
    cross_selective_scan=_cross,
    scan_conv=_conv,
    gated_norm=_norm,
    weighted_sum=_sum,
)


@contextmanager
def _chunks(chosen: bool | None) -> Iterator[None]:
    """Let the scans run chunks of the steps side by side, or not."""
    in_chunks, gpu_scan.in_chunks = gpu_scan.in_chunks, lambda *_: bool(chosen)
    try:
        yield
    finally:
        gpu_scan.in_chunks = in_chunks


def _within(x: Tensor, before: int = 0) -> Tensor:
    """Return a copy that begins `before` elements after an aligned address."""
    memory = torch.zeros(before + x.numel(), dtype=x.dtype)
    return memory[before:].view(x.shape).copy_(x)


def _far_apart(x: Tensor) -> Tensor:
    """Return `x`; where an axis has size 1, a next one would be beyond 32 bits."""
    strides = zip(x.shape, x.stride(), strict=True)
    return x.as_strided(x.shape, [2**33 + 8 if n == 1 else s for n, s in strides])
