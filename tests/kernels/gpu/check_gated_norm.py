"""Triton's `gated_norm` against the reference in fp64, run by `test_gpu.py`."""

import pytest
import torch

from mmmambamixer.ops import gated_norm_reference
from mmmambamixer.ops.dtypes import work_dtype
from mmmambamixer.ops.gated_norm import gpu


def make_inputs(b, l, d, dtype=torch.float32, turned=False):
    """Return x, z, weight and bias; `dtype` is that of z."""
    z = torch.randn(b, l, d).to(dtype)
    x, weight, bias = (
        torch.randn(shape, dtype=work_dtype(z)) for shape in ((b, l, d), (d,), (d,))
    )
    return [x.mT.contiguous().mT if turned else x, z, weight, bias]


@pytest.fixture
def compare(device, assert_close, tolerance):
    def check(inputs):
        """Compare the result and all gradients with autograd through the reference."""
        dtype, work = inputs[1].dtype, inputs[0].dtype
        exact = [t.double().requires_grad_() for t in inputs]
        y = gated_norm_reference(*exact, 1e-5)
        dy = torch.randn(y.shape).to(dtype)
        expected = torch.autograd.grad(y, exact, dy.double())
        given = [t.to(device) for t in inputs]
        result = gpu.forward(*given, 1e-5)
        grads = gpu.backward(dy.to(device), *given, 1e-5)
        assert result.dtype == dtype
        assert_close('y', result, y, tolerance[dtype][0])
        for name, grad, truth, x in zip('xzwb', grads, expected, given, strict=True):
            assert grad.dtype == x.dtype
            limit = tolerance[dtype if name == 'z' else work][1]
            assert_close(f'd{name}', grad, truth, limit)
        return (result, *grads)

    return check


@pytest.mark.parametrize('turned', [False, True])
@pytest.mark.parametrize('size', [(1, 1, 3), (2, 17, 5), (3, 50, 64), (1, 9, 1030)])
def test_sizes(compare, size, turned):
    compare(make_inputs(*size, turned=turned))


@pytest.mark.parametrize('dtype', [torch.float64, torch.float16, torch.bfloat16])
def test_dtypes(compare, dtype):
    compare(make_inputs(2, 18, 70, dtype))


@pytest.mark.parametrize('turned', [False, True])
def test_equal_features_are_exact(device, turned):
    inputs = make_inputs(2, 9, 70, turned=turned)
    inputs[0].copy_(torch.randn(2, 9, 1))
    given = [t.to(device) for t in inputs]
    *_, dweight, _ = gpu.backward(torch.randn(2, 9, 70, device=device), *given, 1e-5)
    assert not dweight.any()


def test_any_strides(compare):
    inputs = make_inputs(2, 18, 6)
    inputs[:2] = torch.randn(2, 6, 2, 18, 3).permute(2, 0, 3, 1, 4)[..., 1]
    inputs[2] = torch.randn(12)[::2]
    compare(inputs)


@pytest.mark.parametrize('shape', [(0, 2, 3), (2, 0, 3), (2, 3, 0)])
def test_empty(compare, shape):
    compare(make_inputs(*shape))


def test_repeats_bit_for_bit_in_any_order(compare, assert_repeats):
    inputs = make_inputs(2, 200, 70)
    assert_repeats(lambda: compare(inputs))
