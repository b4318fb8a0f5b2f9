"""`weighted_sum` on CPU against the reference in fp64: the sum and every gradient."""

import pytest
import torch

from mmmambamixer.ops import weighted_sum, weighted_sum_reference
from mmmambamixer.ops.testing import check

F32, F64, BF16, F16 = torch.float32, torch.float64, torch.bfloat16, torch.float16


def named(function):
    """Take the tensors by name, as `check` gives them."""
    return lambda weights, **tensors: function(list(tensors.values()), weights)


def compare(tensors, weights=None, dy=None):
    if weights is None:
        work = F64 if tensors[0].dtype == F64 else F32
        weights = torch.randn(len(tensors), dtype=work)
    inputs = {'weights': weights} | {f'x{i}': x for i, x in enumerate(tensors)}
    dys = None if dy is None else [dy]
    return check(named(weighted_sum), named(weighted_sum_reference), inputs, dys)


@pytest.mark.parametrize('count', [1, 2, 3, 7, 36])
def test_counts(count):
    compare([torch.randn(3, 5) for _ in range(count)])


@pytest.mark.parametrize(
    'shape',
    [(), (0, 3), (1,), (15,), (17,), (2047,), (2049,), (5, 41, 11), (3, 7, 8, 9)],
)
def test_shapes(shape):
    compare([torch.randn(shape) for _ in range(3)])


@pytest.mark.parametrize('dtype', [F32, F64, BF16, F16])
def test_dtypes(dtype):
    y = compare([torch.randn(2100).to(dtype) for _ in range(3)]).results['y']
    assert y.dtype == dtype


def test_long_sums_stay_accurate():
    compare([torch.randn(1 << 20) + 1 for _ in range(2)])


@pytest.mark.parametrize('dtypes', [(F32, BF16), (BF16, F16), (F16, F64)])
def test_mixed_dtypes_are_promoted(dtypes):
    tensors = [torch.randn(100).to(dtype) for dtype in dtypes]
    weights = torch.randn(2)
    widest = torch.promote_types(*dtypes)
    y = weighted_sum(tensors, weights)
    assert y.dtype == widest
    assert torch.equal(y, weighted_sum([x.to(widest) for x in tensors], weights))


def test_weights_of_another_dtype():
    compare([torch.randn(40) for _ in range(3)], torch.randn(3).to(BF16))


@pytest.mark.parametrize('dtype', [F32, BF16])
def test_any_strides(dtype):
    compare(
        [
            torch.randn(4, 6, 5).to(dtype).transpose(0, 2),
            torch.randn(1, 6, 1).to(dtype).expand(5, 6, 4),
            torch.randn(5, 12, 4).to(dtype)[:, ::2],
        ],
        dy=torch.randn(6, 5, 4).to(dtype).transpose(0, 1),
    )


def test_channels_last_images():
    images = [torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)] * 2
    compare(images, dy=torch.ones(1).expand(2, 3, 4, 5))


def test_strided_weights():
    compare([torch.randn(9) for _ in range(3)], torch.randn(6)[::2])


def test_the_same_tensor_twice():
    x, weights = torch.randn(7, requires_grad=True), torch.tensor([2.0, 3.0])
    weighted_sum([x, x], weights).sum().backward()
    assert torch.equal(x.grad, torch.full((7,), 5.0))


def test_gradcheck():
    tensors = [torch.randn(2, 3, dtype=F64, requires_grad=True) for _ in range(3)]
    weights = torch.randn(3, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda weights, *tensors: weighted_sum(tensors, weights), (weights, *tensors)
    )


def test_only_some_gradients_are_wanted():
    x, other = torch.randn(50), torch.randn(50)
    weights = torch.randn(2, requires_grad=True)
    weighted_sum([x, other], weights).sum().backward()
    assert torch.allclose(weights.grad, torch.stack([x.sum(), other.sum()]), rtol=1e-5)


def test_one_bad_value_stays_where_it_is():
    tensors = [torch.randn(5000) for _ in range(2)]
    tensors[0][17] = float('nan')
    tensors[1][18] = float('inf')
    y = weighted_sum(tensors, torch.randn(2))
    assert (~y.isfinite()).nonzero().flatten().tolist() == [17, 18]


BAD = {
    'no tensor': ([], torch.randn(0), r'at least one tensor, got none'),
    'too few weights': (
        [torch.randn(3)] * 2,
        torch.randn(1),
        r'weights must have shape \(len\(tensors\),\) = \(2,\), got \(1,\)',
    ),
    'two shapes': (
        [torch.randn(3), torch.randn(4)],
        torch.randn(2),
        r'tensors\[1\] must have shape of tensors\[0\] = \(3,\), got \(4,\)',
    ),
    'integers': (
        [torch.ones(3, dtype=torch.int64)],
        torch.randn(1),
        r'tensors\[0\] must be a real floating-point tensor \(.*\), got torch\.int64',
    ),
    'two devices': (
        [torch.randn(3), torch.randn(3, device='meta')],
        torch.randn(2),
        r'one device: tensors\[0\] is on cpu, tensors\[1\] is on meta',
    ),
}


@pytest.mark.parametrize('case', BAD)
def test_bad_input(case):
    tensors, weights, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        weighted_sum(tensors, weights)
