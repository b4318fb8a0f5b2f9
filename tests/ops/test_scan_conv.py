"""The scan convolution against its reference: sizes, strides, dtypes, bad input."""

import pytest
import torch

from mmmambamixer.ops import CROSS, Route, scan_conv, scan_conv_reference
from mmmambamixer.ops.scan_conv.reference import scan_conv_backward_reference
from mmmambamixer.ops.testing import assert_close, check

FORWARD_BACKWARD = (Route.ROWS, Route.ROWS_BACKWARD)


def inputs(b, l, d, g, t, dtype=torch.float32):
    work = torch.float64 if dtype == torch.float64 else torch.float32
    return dict(
        v=torch.randn(b, l, d).to(dtype),
        weight=torch.randn(g, t, dtype=work),
        bias=torch.randn(g, dtype=work),
    )


@pytest.mark.parametrize(
    'size', [(2, 7, 5), (1, 1, 3), (3, 2, 1), (2, 33, 17), (1, 9, 1030)]
)
@pytest.mark.parametrize('taps', [1, 2, 4, 5])
def test_equals_the_reference(size, taps):
    check(scan_conv, scan_conv_reference, inputs(*size, 4, taps), routes=CROSS)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16, torch.float64])
def test_dtypes(dtype):
    check(
        scan_conv,
        scan_conv_reference,
        inputs(2, 19, 40, 2, 4, dtype),
        routes=FORWARD_BACKWARD,
    )


def test_any_strides():
    given = inputs(2, 8, 6, 2, 3)
    given['v'] = torch.randn(2, 6, 16).mT[:, ::2]
    given['weight'] = torch.randn(3, 2).T
    dy = torch.randn(1, 1, 8, 1).expand(2, 2, 8, 6)
    check(scan_conv, scan_conv_reference, given, [dy], routes=FORWARD_BACKWARD)


def test_each_scan_sees_its_own_past_only():
    v = torch.randn(1, 9, 2, dtype=torch.float64)
    given = inputs(1, 9, 2, 2, 4, torch.float64) | dict(v=v)
    before = scan_conv(**given, routes=FORWARD_BACKWARD)
    v[:, 4] += 1
    changed = (scan_conv(**given, routes=FORWARD_BACKWARD) != before).all(-1)[0]
    assert changed[0].tolist() == [4 <= i < 8 for i in range(9)]
    assert changed[1].tolist() == [1 <= i <= 4 for i in range(9)]


@pytest.mark.parametrize('shape', [(0, 4, 3), (2, 0, 3), (2, 4, 0)])
def test_empty(shape):
    leaves = [x.requires_grad_() for x in inputs(*shape, 2, 3).values()]
    y = scan_conv(*leaves, routes=FORWARD_BACKWARD)
    assert y.shape == (shape[0], 2, *shape[1:])
    assert all(not g.any() for g in torch.autograd.grad(y.sum(), leaves))


def test_gradcheck_and_no_second_derivative():
    leaves = [x.requires_grad_() for x in inputs(2, 5, 3, 4, 3, torch.float64).values()]
    assert torch.autograd.gradcheck(lambda *x: scan_conv(*x, routes=CROSS), leaves)
    y = scan_conv(*leaves, routes=CROSS).square().sum()
    (dv,) = torch.autograd.grad(y, leaves[:1], create_graph=True)
    with pytest.raises(RuntimeError, match='scan_conv can not be differentiated twice'):
        torch.autograd.grad(dv.sum(), leaves)


def test_the_backward_that_runs_on_gpu_equals_autograd():
    given = inputs(2, 7, 5, 4, 4, torch.float64)
    leaves = [x.requires_grad_() for x in given.values()]
    y = scan_conv_reference(*leaves, CROSS)
    dy = torch.randn_like(y)
    expected = torch.autograd.grad(y, leaves, dy)
    actual = scan_conv_backward_reference(
        dy, given['v'].detach(), given['weight'].detach(), CROSS
    )
    for name, a, b in zip(given, actual, expected, strict=True):
        assert_close(name, a, b, 1e-13)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(v=torch.randn(3, 4)), r'v must be \(b, l, d\), got \(3, 4\)'),
        (dict(weight=torch.randn(2, 0)), r'with g > 0 and t > 0, got \(2, 0\)'),
        (
            dict(bias=torch.randn(3)),
            r'bias must have shape \(g,\) = \(2,\), got \(3,\)',
        ),
        (dict(routes=CROSS), 'each of the g = 2 scans, got 4'),
        (dict(v=torch.ones(1, 2, 3, dtype=torch.int64)), 'v must be a real floating'),
    ],
)
def test_bad_input(change, message):
    given = inputs(1, 4, 3, 2, 3) | dict(routes=FORWARD_BACKWARD)
    with pytest.raises(ValueError, match=message):
        scan_conv(**(given | change))
