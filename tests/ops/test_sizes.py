"""Every size from none to more than a block, on each axis in turn; strides past 2^32.

Random mixtures of them are in `tests/kernels/test_fuzz.py`.
"""

import mmap
import sys

import pytest
import torch

from mmmambamixer.ops import (
    CROSS,
    cross_selective_scan,
    cross_selective_scan_reference,
    gated_norm,
    scan_conv,
    scan_conv_reference,
    selective_scan,
    selective_scan_reference,
    weighted_sum,
)
from mmmambamixer.ops.backend import BINARY_ERROR
from mmmambamixer.ops.scan_conv.reference import scan_conv_backward_reference
from mmmambamixer.ops.testing import check, cross_inputs, evaluate, scan_inputs

SIZES = [0, 1, 2, 3, 31, 32, 33, 64, 65, 255, 256, 257]
F64, BF16, F16 = torch.float64, torch.bfloat16, torch.float16


def sizes_of(axes, never_empty):
    """Give each axis each size in turn."""
    pairs = [(a, s) for a in axes for s in SIZES if s > 0 or a not in never_empty]
    return pytest.mark.parametrize(('axis', 'size'), pairs)


@sizes_of(['b', 'd', 'l', 'n'], never_empty='n')
def test_selective_scan(axis, size):
    inputs = scan_inputs(**dict(b=2, d=3, l=4, n=2) | {axis: size}, z=True)
    options = dict(delta_softplus=True, return_last_state=True)
    check(selective_scan, selective_scan_reference, inputs, **options)


@sizes_of(['b', 'd', 'height', 'width', 'n', 'r'], never_empty='nr')
def test_cross_selective_scan(axis, size):
    given = dict(b=2, d=3, n=2, r=2, height=2, width=3) | {axis: size}
    size = {name: given.pop(name) for name in ('height', 'width')}
    inputs = cross_inputs(**given, g=4, l=size['height'] * size['width'])
    functions = cross_selective_scan, cross_selective_scan_reference
    check(*functions, inputs, routes=CROSS, **size)


@sizes_of(['b', 'l', 'd', 't'], never_empty='t')
def test_scan_conv(axis, size):
    b, l, d, t = (size if a == axis else 3 for a in ('b', 'l', 'd', 't'))
    inputs = dict(v=torch.randn(b, l, d), weight=torch.randn(4, t))
    inputs |= dict(bias=torch.randn(4))
    check(scan_conv, scan_conv_reference, inputs, routes=CROSS)


@sizes_of(['b', 'l', 'd', 't'], never_empty='t')
def test_scan_conv_of_each_feature(axis, size):
    b, l, d, t = (size if a == axis else 3 for a in ('b', 'l', 'd', 't'))
    inputs = dict(v=torch.randn(b, l, d), weight=torch.randn(4, t, d))
    inputs |= dict(bias=torch.randn(4, d))
    check(scan_conv, scan_conv_reference, inputs, routes=CROSS)


@pytest.mark.parametrize('shape', [(0, 4, 3), (2, 0, 3), (2, 4, 0)])
def test_scan_conv_on_gpu_takes_what_is_empty(shape):
    """There the reference runs, whose convolution takes no empty image."""
    given = torch.randn(shape), torch.randn(2, 3), torch.randn(2), CROSS[:2], True
    y = scan_conv_reference(*given)
    assert y.shape == (shape[0], 2, *shape[1:])
    grads = scan_conv_backward_reference(y, *given)
    assert [tuple(x.shape) for x in grads] == [shape, (2, 3), (2,)]
    assert not any(x.any() for x in grads)


@pytest.mark.parametrize('form', ['dn', 'bnl', 'bgnl'])
def test_no_channels(form):
    """Gradients of what is empty are empty; those of B and C are 0."""
    inputs = scan_inputs(2, 0, 5, 3, B=form, C=form)
    result = evaluate(selective_scan, inputs, return_last_state=True)
    assert result.results['last_state'].shape == (2, 0, 3)
    for name, gradient in result.gradients.items():
        assert gradient.shape == inputs[name[1:]].shape, name
        assert not gradient.any(), name


@pytest.mark.parametrize('narrow', [BF16, F16, torch.float32])
def test_fp64_with_narrower_step_sizes(narrow):
    inputs = scan_inputs(2, 17, 40, 3, z=True, dtypes=(F64, narrow, narrow))
    check(selective_scan, selective_scan_reference, inputs, delta_softplus=True)


def test_fp64_step_sizes_with_a_narrower_input():
    """They are rounded to fp32, in which the scan runs."""
    inputs = scan_inputs(2, 17, 40, 3, dtypes=(torch.float32, F64, torch.float32))
    wide = evaluate(selective_scan, inputs, delta_softplus=True)
    inputs['delta'] = inputs['delta'].float()
    narrow = evaluate(selective_scan, inputs, wide.dys, delta_softplus=True)
    assert wide.gradients['ddelta'].dtype == F64
    for name, gradient in narrow.gradients.items():
        assert torch.equal(wide.gradients[name].to(gradient.dtype), gradient), name


# ---- Strides that do not fit in 32 bits, of memory that is never touched

NORESERVE = 0x4000  # Linux; Python's `mmap` names it from 3.13 on
BEYOND = [2**31 - 1, 2**31, 2**31 + 7, 2**32, 2**32 + 5]
on_linux = pytest.mark.skipif(sys.platform != 'linux', reason='needs its mmap')
needs_kernels = pytest.mark.skipif(
    BINARY_ERROR is not None,
    reason='the reference adds in the order of the strides',
)


def far_apart(x: torch.Tensor, axis: int, stride: int) -> torch.Tensor:
    """Return `x` with `stride` elements from one index of `axis` to the next."""
    strides = list(torch.empty_like(x).stride())
    strides[axis] = stride
    count = sum(s * (n - 1) for s, n in zip(strides, x.shape, strict=True)) + 1
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NORESERVE
    memory = mmap.mmap(-1, count * x.element_size(), flags=flags)
    view = torch.frombuffer(memory, dtype=x.dtype).as_strided(x.shape, strides)
    return view.copy_(x)


@on_linux
@pytest.mark.parametrize('stride', BEYOND)
@pytest.mark.parametrize('axis', [0, pytest.param(1, marks=needs_kernels)])
def test_strides_beyond_32_bits(axis, stride):
    """Of every input, and of the gradients of the results."""
    near = scan_inputs(2, 2, 3, 2, 2, z=True, dtypes=(BF16, F16, BF16))
    far = {k: x if x.dim() < 3 else far_apart(x, axis, stride) for k, x in near.items()}
    expected = evaluate(selective_scan, near)
    dys = [far_apart(dy, axis, stride) for dy in expected.dys]
    _equal(evaluate(selective_scan, far, dys), expected)


@on_linux
@pytest.mark.parametrize('stride', BEYOND)
def test_strides_beyond_32_bits_of_the_other_ops(stride):
    near = cross_inputs(2, 4, 6, 3, dtypes=(BF16,) * 3)
    far = {k: x if x.dim() < 3 else far_apart(x, 0, stride) for k, x in near.items()}
    size = dict(routes=CROSS, height=2, width=3)
    expected = evaluate(cross_selective_scan, near, **size)
    _equal(evaluate(cross_selective_scan, far, expected.dys, **size), expected)

    near = dict(v=torch.randn(2, 5, 3), weight=torch.randn(4, 3), bias=torch.randn(4))
    far = near | dict(v=far_apart(near['v'], 0, stride))
    expected = evaluate(scan_conv, near, routes=CROSS)
    _equal(evaluate(scan_conv, far, expected.dys, routes=CROSS), expected)

    near = dict(x=torch.randn(2, 5, 3), z=torch.randn(2, 5, 3))
    near |= dict(weight=torch.randn(3), bias=torch.randn(3))
    far = {k: x if x.dim() < 3 else far_apart(x, 0, stride) for k, x in near.items()}
    expected = evaluate(gated_norm, near)
    _equal(evaluate(gated_norm, far, expected.dys), expected)

    x, weights = torch.randn(2, 3), torch.randn(2)
    y = weighted_sum([far_apart(x, 0, stride), x], weights)
    assert torch.equal(y, weighted_sum([x, x], weights))


def _equal(actual, expected):
    for kind in (0, 1):
        for name, x in expected[kind].items():
            assert torch.equal(actual[kind][name], x), name
