"""Triton's `scan_conv` against the reference in fp64, run by `test_gpu.py`.

Axis letters: b batch, g scan, l step, d feature, t tap.
"""

import pytest
import torch

from mmmambamixer.ops import CROSS, Route, scan_conv_reference
from mmmambamixer.ops.dtypes import work_dtype
from mmmambamixer.ops.scan_conv import gpu


def make_inputs(b, l, d, g=2, t=3, *, by_feature=False, dtype=torch.float32):
    """Return v, weight and bias; `dtype` is that of v."""
    work = torch.float64 if dtype == torch.float64 else torch.float32
    features = (d,) if by_feature else ()
    v = torch.randn(b, l, d).to(dtype)
    return [
        v,
        torch.randn(g, t, *features).to(work),
        torch.randn(g, *features).to(work),
    ]


@pytest.fixture
def compare(device, assert_close, tolerance):
    def check(inputs, routes, silu=False):
        """Compare the result and all gradients with autograd through the reference."""
        dtype, work = inputs[0].dtype, work_dtype(inputs[0])
        routes = [int(route) for route in routes]
        exact = [t.double().requires_grad_() for t in inputs]
        y = scan_conv_reference(*exact, routes, silu)
        dy = torch.randn(y.shape).to(dtype)
        expected = torch.autograd.grad(y, exact, dy.double())
        given = [*(t.to(device) for t in inputs), routes, silu]
        result = gpu.forward(*given)
        grads = gpu.backward(dy.to(device), *given)
        assert result.dtype == dtype
        assert_close('y', result, y, tolerance[dtype][0])
        for name, grad, truth in zip(
            ('v', 'weight', 'bias'), grads, expected, strict=True
        ):
            assert name == 'v' or grad.is_contiguous(), name
            limit = tolerance[dtype if name == 'v' else work][1]
            assert_close(f'd{name}', grad, truth, limit)
        return (result, *grads)

    return check


@pytest.mark.parametrize('by_feature', [False, True])
@pytest.mark.parametrize('route', Route)
def test_routes(compare, route, by_feature):
    compare(make_inputs(2, 5, 3, g=1, by_feature=by_feature), [route])


@pytest.mark.parametrize('by_feature', [False, True])
@pytest.mark.parametrize(
    ('b', 'l', 'd', 't'),
    [(1, 1, 1, 1), (2, 16, 64, 4), (1, 17, 65, 4), (1, 33, 2, 2), (1, 2, 3, 7)],
)
def test_sizes(compare, b, l, d, t, by_feature):
    compare(make_inputs(b, l, d, g=4, t=t, by_feature=by_feature), CROSS)


@pytest.mark.parametrize('by_feature', [False, True])
@pytest.mark.parametrize('dtype', [torch.float64, torch.float16, torch.bfloat16])
def test_dtypes(compare, dtype, by_feature):
    compare(make_inputs(1, 6, 3, by_feature=by_feature, dtype=dtype), CROSS[1:3])


@pytest.mark.parametrize('by_feature', [False, True])
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16])
def test_silu(compare, dtype, by_feature):
    inputs = make_inputs(2, 18, 66, by_feature=by_feature, dtype=dtype)
    inputs[0][0] *= 30  # where e^x leaves the range of fp32
    compare(inputs, CROSS[1:3], silu=True)


@pytest.mark.parametrize('by_feature', [False, True])
def test_any_strides(compare, by_feature):
    inputs = make_inputs(2, 18, 3, by_feature=by_feature)
    inputs[0] = torch.randn(2, 3, 36).mT[:, ::2]
    inputs[1] = torch.randn(3, 2, *inputs[1].shape[2:]).transpose(0, 1)
    compare(inputs, CROSS[1:3])


@pytest.mark.parametrize('by_feature', [False, True])
@pytest.mark.parametrize(('b', 'l', 'd'), [(0, 2, 3), (2, 0, 3), (2, 3, 0)])
def test_empty(compare, b, l, d, by_feature):
    compare(make_inputs(b, l, d, by_feature=by_feature), CROSS[1:3])


def test_repeats_bit_for_bit_in_any_order(compare, assert_repeats):
    inputs = make_inputs(2, 40, 70)
    assert_repeats(lambda: compare(inputs, CROSS[1:3]))


def test_too_many_routes_are_refused(device):
    v, weight, bias = (t.to(device) for t in make_inputs(1, 2, 2, g=32))
    with pytest.raises(ValueError, match='at most 31 routes, got 32'):
        gpu.forward(v, weight, bias, [0] * 32, False)
