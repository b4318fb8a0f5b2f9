"""The scan convolution against its reference: sizes, strides, dtypes, bad input."""

import pytest
import torch
import torch.nn.functional as F

from mmmambamixer.ops import CROSS, Route, scan_conv, scan_conv_reference
from mmmambamixer.ops.scan_conv.reference import scan_conv_backward_reference
from mmmambamixer.ops.testing import assert_close, check, evaluate

FORWARD_BACKWARD = (Route.ROWS, Route.ROWS_BACKWARD)


def inputs(b, l, d, g, t, dtype=torch.float32, each=False):
    """Return random inputs; with `each`, filters for each feature."""
    features = [d] if each else []
    work = torch.float64 if dtype == torch.float64 else torch.float32
    return dict(
        v=torch.randn(b, l, d).to(dtype),
        weight=torch.randn(g, t, *features, dtype=work),
        bias=torch.randn(g, *features, dtype=work),
    )


def grouped_conv1d(v, weight, bias, *, routes, silu=False):
    """Convolve by `conv1d`: pad before the sequence, turn it for backward routes."""
    d = v.shape[2]
    results = []
    for w, b, route in zip(weight, bias, routes, strict=True):
        backward = route in (Route.ROWS_BACKWARD, Route.COLUMNS_BACKWARD)
        x = v.mT.flip(2) if backward else v.mT  # (b, d, l)
        x = F.pad(x, (len(w) - 1, 0))
        if w.dim() == 1:
            w, b = w[:, None].expand(-1, d), b.expand(d)
        y = F.conv1d(x, w.mT[:, None], b, groups=d)  # (b, d, l)
        results.append((y.flip(2) if backward else y).mT)
    y = torch.stack(results, dim=1)
    return y / (1 + torch.exp(-y)) if silu else y


both_forms = pytest.mark.parametrize('each', [False, True], ids=['shared', 'each'])


@pytest.mark.parametrize(
    'size', [(2, 7, 5), (1, 1, 3), (3, 2, 1), (2, 33, 17), (1, 9, 530)]
)
@pytest.mark.parametrize('taps', [1, 2, 4, 5])
def test_equals_the_reference(size, taps):
    given = inputs(*size, 4, taps)
    for silu in (False, True):
        check(scan_conv, scan_conv_reference, given, routes=CROSS, silu=silu)


SIZES = [
    *[(2, 7, 5), (1, 1, 3), (3, 2, 1), (2, 33, 17), (1, 9, 530)],
    *[(9, 7, 32), (3, 21, 32), (2, 64, 33), (70, 3, 16), (2, 130, 48)],
]


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('taps', [1, 2, 4, 5])
def test_each_feature_equals_grouped_convolutions(size, taps):
    """Another formula than the reference: the one of Mamba, by `conv1d`."""
    given = inputs(*size, 4, taps, each=True)
    options = dict(routes=CROSS, silu=taps > 2)
    check(scan_conv, grouped_conv1d, given, **options)
    exact = {k: x.double() for k, x in given.items()}
    expected = evaluate(grouped_conv1d, exact, **options)
    actual = evaluate(scan_conv_reference, exact, expected.dys, **options)
    for kind in (0, 1):
        for name, x in expected[kind].items():
            assert_close(name, actual[kind][name], x, 1e-13)


@pytest.mark.parametrize('routes', [(route,) for route in Route])
def test_one_scan(routes):
    for each in (False, True):
        given = inputs(3, 10, 18, 1, 4, each=each)
        check(scan_conv, grouped_conv1d, given, routes=routes)


def test_equal_filters_of_features_are_one_filter():
    shared = inputs(3, 11, 37, 4, 4, torch.float64)
    each = shared | dict(
        weight=shared['weight'][:, :, None].expand(-1, -1, 37),
        bias=shared['bias'][:, None].expand(-1, 37),
    )
    expected = evaluate(scan_conv, shared, routes=CROSS)
    actual = evaluate(scan_conv, each, expected.dys, routes=CROSS)
    assert_close('y', actual.results['y'], expected.results['y'], 1e-15)
    assert_close('dv', actual.gradients['dv'], expected.gradients['dv'], 1e-15)
    for name in ('dweight', 'dbias'):
        sums = actual.gradients[name].sum(-1)
        assert_close(name, sums, expected.gradients[name], 1e-13)


@both_forms
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16, torch.float64])
def test_dtypes(dtype, each):
    check(
        scan_conv,
        scan_conv_reference,
        inputs(2, 19, 40, 2, 4, dtype, each),
        routes=FORWARD_BACKWARD,
        silu=True,
    )


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_16_bit_in_and_out_is_rounded_once(dtype):
    """Sums are in fp32, so the results are those of fp32, rounded."""
    given = inputs(3, 19, 40, 4, 4, dtype, each=True)
    actual = evaluate(scan_conv, given, routes=CROSS)
    wide = {k: x.float() for k, x in given.items()}
    dys = [dy.float() for dy in actual.dys]
    expected = evaluate(scan_conv, wide, dys, routes=CROSS)
    assert torch.equal(actual.results['y'], expected.results['y'].to(dtype))
    assert torch.equal(actual.gradients['dv'], expected.gradients['dv'].to(dtype))
    for name in ('dweight', 'dbias'):
        assert torch.equal(actual.gradients[name], expected.gradients[name]), name


def test_any_strides_of_each_feature():
    given = inputs(2, 8, 6, 2, 3, each=True)
    given['v'] = torch.randn(2, 6, 16).mT[:, ::2]
    given['weight'] = torch.randn(6, 3, 2).permute(2, 1, 0)
    given['bias'] = torch.randn(6, 1).T.expand(2, 6)
    dy = torch.randn(1, 1, 8, 1).expand(2, 2, 8, 6)
    check(scan_conv, scan_conv_reference, given, [dy], routes=FORWARD_BACKWARD)


def test_long_sequences_and_many_items_sum_in_double():
    """The sums of a gradient are as exact where they have 100 times as many terms."""
    for b, l in ((3, 7), (700, 3), (1, 2100)):
        given = inputs(b, l, 20, 2, 4, each=True)
        dy = torch.ones(b, 2, l, 20)
        actual = evaluate(scan_conv, given, [dy], routes=FORWARD_BACKWARD)
        exact = {k: x.double() for k, x in given.items()}
        expected = evaluate(
            grouped_conv1d, exact, [dy.double()], routes=FORWARD_BACKWARD
        )
        for name, x in expected.gradients.items():
            assert_close(name, actual.gradients[name], x, 1e-6)


def test_any_strides():
    given = inputs(2, 8, 6, 2, 3)
    given['v'] = torch.randn(2, 6, 16).mT[:, ::2]
    given['weight'] = torch.randn(3, 2).T
    dy = torch.randn(1, 1, 8, 1).expand(2, 2, 8, 6)
    check(scan_conv, scan_conv_reference, given, [dy], routes=FORWARD_BACKWARD)


@both_forms
def test_each_scan_sees_its_own_past_only(each):
    v = torch.randn(1, 9, 2, dtype=torch.float64)
    given = inputs(1, 9, 2, 2, 4, torch.float64, each) | dict(v=v)
    before = scan_conv(**given, routes=FORWARD_BACKWARD)
    v[:, 4] += 1
    changed = (scan_conv(**given, routes=FORWARD_BACKWARD) != before).all(-1)[0]
    assert changed[0].tolist() == [4 <= i < 8 for i in range(9)]
    assert changed[1].tolist() == [1 <= i <= 4 for i in range(9)]


def test_a_feature_depends_on_itself_only():
    given = inputs(2, 9, 35, 2, 4, each=True)
    before = scan_conv(**given, routes=FORWARD_BACKWARD)
    for name in given:
        changed = {k: x.clone() for k, x in given.items()}
        changed[name][..., 33] = float('nan')
        y = scan_conv(**changed, routes=FORWARD_BACKWARD)
        assert y[..., 33].isnan().all()
        y[..., 33] = before[..., 33]
        assert torch.equal(y, before), name


@both_forms
@pytest.mark.parametrize('shape', [(0, 4, 3), (2, 0, 3), (2, 4, 0)])
def test_empty(shape, each):
    given = inputs(*shape, 2, 3, each=each)
    for function in (scan_conv, scan_conv_reference):
        leaves = [x.requires_grad_() for x in given.values()]
        y = function(*leaves, routes=FORWARD_BACKWARD)
        assert y.shape == (shape[0], 2, *shape[1:])
        gradients = torch.autograd.grad(y.sum(), leaves)
        for x, gradient in zip(leaves, gradients, strict=True):
            assert gradient.shape == x.shape and not gradient.any()


@both_forms
def test_gradcheck(each):
    given = inputs(2, 5, 3, 4, 3, torch.float64, each)
    leaves = [x.requires_grad_() for x in given.values()]
    for silu in (False, True):

        def call(*x, silu=silu):
            return scan_conv(*x, routes=CROSS, silu=silu)

        assert torch.autograd.gradcheck(call, leaves)


@both_forms
@pytest.mark.parametrize(
    'size', [(2, 7, 5), (2, 2, 5), (0, 7, 5), (2, 0, 5), (2, 7, 0)]
)
def test_the_backward_that_runs_on_gpu_equals_autograd(size, each):
    given = inputs(*size, 4, 4, torch.float64, each)
    leaves = [x.requires_grad_() for x in given.values()]
    for silu in (False, True):
        y = scan_conv_reference(*leaves, CROSS, silu)
        dy = torch.randn_like(y)
        expected = torch.autograd.grad(y, leaves, dy)
        detached = [x.detach() for x in leaves]
        actual = scan_conv_backward_reference(dy, *detached, CROSS, silu)
        for name, a, b in zip(given, actual, expected, strict=True):
            assert_close(name, a, b, 1e-13)


@both_forms
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_silu_of_any_number(dtype, each):
    """Also where e^-x leaves the range of the dtype; and a NaN stays where it is."""
    x = torch.cat([torch.linspace(-120, 120, 4801), torch.tensor([-1e30, 1e30])])
    x = torch.stack([x.to(dtype), torch.full_like(x, float('nan'), dtype=dtype)])
    given = inputs(1, 2, len(x[0]), 1, 1, dtype, each) | dict(v=x[None])
    given['weight'].fill_(1), given['bias'].zero_()
    actual = evaluate(scan_conv, given, routes=CROSS[:1], silu=True)
    y, dv, dy = (
        actual.results['y'][0, 0],
        actual.gradients['dv'][0],
        actual.dys[0][0, 0],
    )
    s, ulp = torch.sigmoid(x.double()), torch.finfo(dtype).eps
    slope = s * (1 + x * (1 - s))  # which has a zero
    for value, truth, atol in ((y, x * s, 1e-30), (dv, dy * slope, 8 * ulp)):
        assert value[1].isnan().all()
        value, truth = value[0].double(), truth[0].double()
        assert torch.allclose(value, truth, rtol=8 * ulp, atol=atol)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(v=torch.randn(3, 4)), r'v must be \(b, l, d\), got \(3, 4\)'),
        (dict(weight=torch.randn(2, 0)), r'with g > 0 and t > 0, got \(2, 0\)'),
        (dict(weight=torch.randn(2, 0, 3)), r'g > 0 and t > 0, got \(2, 0, 3\)'),
        (
            dict(weight=torch.randn(2, 3, 4), bias=torch.randn(2, 4)),
            r'weight must have shape \(g, t, d\) = \(2, 3, 3\), got \(2, 3, 4\)',
        ),
        (
            dict(weight=torch.randn(2, 3, 3)),
            r'bias must have shape \(g, d\) = \(2, 3\), got \(2,\)',
        ),
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
