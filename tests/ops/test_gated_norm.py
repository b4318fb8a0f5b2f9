"""The gated norm against its reference: sizes, layouts, dtypes, bad input."""

import pytest
import torch
import torch.nn.functional as F

from mmmambamixer.ops import gated_norm, gated_norm_reference
from mmmambamixer.ops.gated_norm.reference import gated_norm_backward_reference
from mmmambamixer.ops.testing import assert_close, check, evaluate


def inputs(b, l, d, dtype=torch.float32, turned=False):
    """Return random inputs; `turned`: x has its steps as neighbours in memory."""
    work = torch.float64 if dtype == torch.float64 else torch.float32
    x = torch.randn(b, l, d, dtype=work) + 0.5
    return dict(
        x=x.mT.contiguous().mT if turned else x,
        z=2 * torch.randn(b, l, d).to(dtype),
        weight=torch.randn(d, dtype=work),
        bias=torch.randn(d, dtype=work),
    )


layouts = pytest.mark.parametrize('turned', [False, True])


@layouts
@pytest.mark.parametrize(
    'size', [(2, 7, 5), (1, 1, 3), (3, 16, 16), (2, 33, 70), (70, 17, 4), (1, 5, 1030)]
)
def test_equals_the_reference(size, turned):
    check(gated_norm, gated_norm_reference, inputs(*size, turned=turned))


@layouts
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16, torch.float64])
def test_dtypes(dtype, turned):
    given = inputs(2, 19, 40, dtype, turned)
    check(gated_norm, gated_norm_reference, given, eps=1e-3)
    assert gated_norm(**given).dtype == dtype


def test_a_16_bit_x_is_computed_in_fp32():
    given = inputs(2, 5, 6, torch.float16)
    given['x'] = (1e4 * given['x']).half()
    wide = given | dict(x=given['x'].float())
    assert torch.equal(gated_norm(**given), gated_norm(**wide))


def test_the_reference_is_pytorch():
    given = inputs(2, 5, 6, torch.float64)
    normed = F.layer_norm(given['x'], (6,), given['weight'], given['bias'], 1e-2)
    expected = normed * given['z'] / (1 + torch.exp(-given['z']))
    actual = gated_norm_reference(**given, eps=1e-2)
    assert_close('y', actual, expected, 1e-14)


@pytest.mark.parametrize('dim', [0, 1, 2])
def test_any_strides(dim):
    given = inputs(3, 6, 8)
    for name in ('x', 'z'):
        given[name] = torch.randn(6, 12, 16).transpose(0, 1)[::4, :, ::2]
        given[name] = (
            given[name]
            .repeat_interleave(2, dim)
            .narrow(
                dim, 1, given['x'].shape[dim] if name == 'z' else given[name].shape[dim]
            )
        )
    given['z'] = given['z'].expand_as(given['x'])
    given['weight'] = torch.randn(2 * given['x'].shape[2])[::2]
    given['bias'] = torch.randn(1).expand(given['x'].shape[2])
    dy = torch.randn(given['x'].shape[0], 1, 1).expand(given['x'].shape)
    check(gated_norm, gated_norm_reference, given, [dy])


@layouts
def test_the_gradient_of_x_lies_as_x_does(turned):
    given = inputs(2, 9, 5, turned=turned)
    x = given['x'].requires_grad_()
    (dx,) = torch.autograd.grad(gated_norm(**given).sum(), x)
    assert dx.stride() == x.stride()


@pytest.mark.parametrize('shape', [(0, 4, 3), (2, 0, 3), (2, 4, 0)])
def test_empty(shape):
    for function in (gated_norm, gated_norm_reference):
        leaves = [x.requires_grad_() for x in inputs(*shape).values()]
        y = function(*leaves)
        assert y.shape == shape
        for x, gradient in zip(
            leaves, torch.autograd.grad(y.sum(), leaves), strict=True
        ):
            assert gradient.shape == x.shape and not gradient.any()


@layouts
def test_gradcheck(turned):
    leaves = [
        x.requires_grad_() for x in inputs(2, 3, 5, torch.float64, turned).values()
    ]
    assert torch.autograd.gradcheck(gated_norm, leaves)


def test_the_backward_that_runs_on_gpu_equals_autograd():
    leaves = [x.requires_grad_() for x in inputs(2, 7, 5, torch.float64).values()]
    y = gated_norm_reference(*leaves)
    dy = torch.randn_like(y)
    expected = torch.autograd.grad(y, leaves, dy)
    detached = [x.detach() for x in leaves]
    actual = gated_norm_backward_reference(dy, *detached, 1e-5)
    for i, (a, b) in enumerate(zip(actual, expected, strict=True)):
        assert_close(str(i), a, b, 1e-13)


def test_a_step_depends_on_itself_only():
    given = inputs(2, 20, 5)
    before = gated_norm(**given)
    given['x'][1, 3] = float('nan')
    y = gated_norm(**given)
    assert y[1, 3].isnan().all()
    y[1, 3] = before[1, 3]
    assert torch.equal(y, before)


@layouts
@pytest.mark.parametrize('d', [3, 70, 1030])
def test_equal_features_are_exact(d, turned):
    given = inputs(2, 9, d, turned=turned)
    given['x'] = torch.randn(2, 9, 1).expand(2, 9, d)
    if turned:
        given['x'] = given['x'].mT.contiguous().mT
    y = gated_norm(**given)
    result = evaluate(gated_norm, given, [torch.randn(2, 9, d)])
    assert not result.gradients['dweight'].any()
    given['weight'] = torch.zeros(d)
    assert torch.equal(gated_norm(**given), y)


def test_many_steps_sum_in_double():
    given = inputs(4, 3000, 20)
    dy = torch.ones(4, 3000, 20)
    actual = evaluate(gated_norm, given, [dy])
    exact = {k: x.double() for k, x in given.items()}
    expected = evaluate(gated_norm_reference, exact, [dy.double()])
    for name, x in expected.gradients.items():
        assert_close(name, actual.gradients[name], x, 1e-6)


@pytest.mark.parametrize(
    ('change', 'error', 'message'),
    [
        (
            dict(x=torch.randn(3, 4)),
            ValueError,
            r'x must be \(b, l, d\), got \(3, 4\)',
        ),
        (
            dict(z=torch.randn(1, 4, 2)),
            ValueError,
            r'z must have shape \(b, l, d\) = \(1, 4, 3\), got \(1, 4, 2\)',
        ),
        (
            dict(bias=torch.randn(4)),
            ValueError,
            r'bias must have shape \(d,\) = \(3,\), got \(4,\)',
        ),
        (dict(eps='small'), TypeError, 'eps must be a number, got str'),
    ],
)
def test_bad_input(change, error, message):
    with pytest.raises(error, match=message):
        gated_norm(**(inputs(1, 4, 3) | change))
