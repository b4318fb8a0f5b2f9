"""Triton's `weighted_sum` against the reference in fp64, run by `test_gpu.py`."""

import pytest
import torch

from mmmambamixer.ops import weighted_sum_reference
from mmmambamixer.ops.weighted_sum import gpu


@pytest.fixture
def compare(device, assert_close, tolerance):
    def check(tensors):
        """Compare the sum and all gradients with autograd through the reference."""
        dtype = tensors[0].dtype
        work = torch.float64 if dtype == torch.float64 else torch.float32
        weights = torch.randn(len(tensors), dtype=work)
        exact = [x.double().requires_grad_() for x in (*tensors, weights)]
        y = weighted_sum_reference(exact[:-1], exact[-1])
        dy = torch.randn(y.shape).to(dtype)
        expected = torch.autograd.grad(y, exact, dy.double())

        given = [x.to(device) for x in tensors]
        result = gpu.forward(given, weights.to(device))
        grads, dweights = gpu.backward(dy.to(device), given, weights.to(device))
        assert result.dtype == dtype
        assert dweights.dtype == work
        assert_close('y', result, y, tolerance[dtype][0])
        assert_close('dweights', dweights, expected[-1], tolerance[work][1])
        for i, grad in enumerate(grads):
            assert grad.is_contiguous() and grad.dtype == dtype
            assert_close(f'dtensors[{i}]', grad, expected[i], tolerance[dtype][1])
        return (result, dweights, *grads)

    return check


@pytest.mark.parametrize('count', [1, 2, 7, 36])
def test_counts(compare, count):
    compare([torch.randn(3, 5) for _ in range(count)])


@pytest.mark.parametrize('shape', [(), (1,), (1023,), (1024,), (5, 41, 11), (0, 3)])
def test_shapes(compare, shape):
    compare([torch.randn(shape) for _ in range(3)])


@pytest.mark.parametrize('dtype', [torch.float64, torch.float16, torch.bfloat16])
def test_dtypes(compare, dtype):
    compare([torch.randn(1030).to(dtype) for _ in range(3)])


def test_any_strides(compare):
    compare(
        [
            torch.randn(4, 6, 5).transpose(0, 2),
            torch.randn(1, 6, 1).expand(5, 6, 4),
            torch.randn(5, 12, 4)[:, ::2],
        ]
    )


def test_repeats_bit_for_bit_in_any_order(compare, assert_repeats):
    tensors = [torch.randn(3000) for _ in range(3)]
    assert_repeats(lambda: compare(tensors))
