"""`cross_selective_scan` on CPU against the reference in fp64: results and gradients.

Axis letters: b batch, g scan, d channel, n state, l position, r rank.
"""

from itertools import product

import pytest
import torch

from mmmambamixer.ops import (
    CROSS,
    Route,
    cross_merge,
    cross_scan,
    cross_selective_scan,
    cross_selective_scan_reference,
    selective_scan,
)
from mmmambamixer.ops.testing import assert_close, check, cross_inputs

F32, F64, BF16, F16 = torch.float32, torch.float64, torch.bfloat16, torch.float16
BIDIRECTIONAL = (Route.ROWS, Route.ROWS_BACKWARD)


def compare(inputs, routes=CROSS, height=5, width=7, dys=None):
    return check(
        *(cross_selective_scan, cross_selective_scan_reference, inputs, dys),
        **dict(routes=routes, height=height, width=width),
    )


@pytest.mark.parametrize(
    ('height', 'width'),
    [(0, 3), (1, 1), (1, 33), (65, 1), (2, 16), (5, 7), (14, 14), (9, 4)],
)
@pytest.mark.parametrize('shared', [True, False])
def test_maps(height, width, shared):
    inputs = cross_inputs(2, 4, height * width, 17, shared=shared)
    compare(inputs, CROSS, height, width)


@pytest.mark.parametrize(
    'routes',
    [
        *((route,) for route in Route),
        *product(Route, repeat=2),
        CROSS[::-1],
        (Route.COLUMNS,) * 3,
        CROSS + BIDIRECTIONAL,
    ],
    ids=lambda routes: '-'.join(route.name for route in routes),
)
def test_routes(routes):
    compare(cross_inputs(2, len(routes), 35, 6), routes)


@pytest.mark.parametrize('d', [1, 3, 15, 16, 17, 33, 64, 65, 130])
@pytest.mark.parametrize('shared', [True, False])
def test_channels(d, shared):
    compare(cross_inputs(2, 4, 35, d, shared=shared))


@pytest.mark.parametrize('n', [1, 2, 4, 5, 8, 16, 24])
@pytest.mark.parametrize('r', [1, 2, 13])
def test_states_and_ranks(n, r):
    compare(cross_inputs(1, 2, 35, 18, n, r), BIDIRECTIONAL)


@pytest.mark.parametrize('b', [0, 1, 3])
def test_batches(b):
    compare(cross_inputs(b, 4, 35, 5))


@pytest.mark.parametrize(('D', 'bias', 'shared'), [*product([False, True], repeat=3)])
def test_optional_parts(D, bias, shared):
    compare(cross_inputs(2, 4, 35, 6, D=D, bias=bias, shared=shared))


@pytest.mark.parametrize('dtypes', [*product([F32, BF16, F16], repeat=3), (F64,) * 3])
def test_dtypes(dtypes):
    y = compare(cross_inputs(2, 4, 35, 6, dtypes=dtypes)).results['y']
    assert y.dtype == (F64 if dtypes[0] == F64 else F32)


STRIDES = {
    'image-like': lambda x: x.transpose(-1, -2).contiguous().transpose(-1, -2),
    'sliced': lambda x: torch.stack([x, x + 1], -1).flatten(-2)[..., ::2],
    'part of a wider tensor': lambda x: torch.cat([x, x], -1)[..., x.shape[-1] :],
    'unaligned': lambda x: torch.cat([x.new_zeros(1), x.flatten()])[1:].view(x.shape),
    'expanded over batch': lambda x: x[:1].expand(x.shape),
    'expanded over positions': lambda x: x[..., :1, :].expand(x.shape),
    'expanded over channels': lambda x: x[..., :1].expand(x.shape),
}


@pytest.mark.parametrize('strides', STRIDES)
@pytest.mark.parametrize('shared', [True, False])
@pytest.mark.parametrize('dtype', [F32, BF16])
def test_any_strides(strides, shared, dtype):
    inputs = cross_inputs(3, 4, 35, 21, shared=shared, dtypes=(dtype,) * 3)
    change = STRIDES[strides]
    for name in ('u', 'dt', 'B', 'C', 'dt_weight', 'A'):
        inputs[name] = change(inputs[name])
    compare(inputs, dys=[change(torch.randn(3, 35, 21))])


@pytest.mark.parametrize('shared', [True, False])
def test_gradcheck(shared):
    inputs = cross_inputs(2, 4, 6, 3, 2, shared=shared, dtypes=(F64,) * 3)
    leaves = [x.requires_grad_() for x in inputs.values()]
    size = dict(routes=CROSS, height=2, width=3)
    assert torch.autograd.gradcheck(
        lambda *args: cross_selective_scan(*args, **size), leaves
    )


def test_only_some_gradients_are_wanted():
    inputs = cross_inputs(2, 4, 35, 6)
    wanted = compare(inputs)
    for name, x in inputs.items():
        leaf = x.detach().requires_grad_()
        size = dict(routes=CROSS, height=5, width=7)
        y = cross_selective_scan(**inputs | {name: leaf}, **size)
        (grad,) = torch.autograd.grad(y, leaf, wanted.dys)
        assert torch.equal(grad, wanted.gradients[f'd{name}']), name


# ---- Relations that hold whatever the reference says


def test_rows_are_the_plain_scan():
    x = cross_inputs(2, 1, 35, 6)
    delta = torch.einsum('bglr,gdr->bgld', x['dt'], x['dt_weight'])[:, 0].mT
    plain = selective_scan(
        *(x['u'].mT, delta, x['A'][0], x['B'].mT, x['C'].mT, x['D'][0]),
        **dict(delta_bias=x['dt_bias'][0], delta_softplus=True),
    )
    y = compare(x, (Route.ROWS,)).results['y']
    assert_close('y', y, plain.mT, 1e-6)


def test_turning_the_map_swaps_the_routes():
    """Reversed positions swap a route with its backward one, transposed axes rows
    with columns."""
    inputs = cross_inputs(2, 4, 35, 6)
    y = compare(inputs).results['y']
    positions = torch.arange(35).view(5, 7)
    for order, routes, size in (
        (positions.flatten().flip(0), (2, 3, 0, 1), (5, 7)),
        (positions.T.flatten(), (1, 0, 3, 2), (7, 5)),
    ):
        turned = dict(inputs, u=inputs['u'][:, order])
        turned |= {name: inputs[name][:, :, order] for name in ('dt', 'B', 'C')}
        result = compare(turned, [Route(k) for k in routes], *size).results['y']
        assert_close('y', result, y[:, order], 1e-6)


def test_cross_scan_and_cross_merge_are_transposes():
    x, y = torch.randn(2, 35, 3, dtype=F64), torch.randn(2, 4, 35, 3, dtype=F64)
    scanned, merged = cross_scan(x, CROSS, 5, 7), cross_merge(y, CROSS, 5, 7)
    assert torch.allclose((scanned * y).sum(), (x * merged).sum())


def test_cross_merge_puts_back_what_cross_scan_read():
    x = torch.randn(2, 35, 3)
    assert torch.equal(cross_merge(cross_scan(x, CROSS, 5, 7), CROSS, 5, 7), x * 4)


def test_scan_order_of_a_small_map():
    x = torch.arange(6.0).view(1, 6, 1)
    scanned = cross_scan(x, CROSS, 2, 3)[0, :, :, 0].tolist()
    assert scanned == [
        [0, 1, 2, 3, 4, 5],
        [0, 3, 1, 4, 2, 5],
        [5, 4, 3, 2, 1, 0],
        [5, 2, 4, 1, 3, 0],
    ]


BAD = {
    'one route too few': (
        dict(routes=CROSS[:3]),
        r'routes must name one route for each of the g = 4 scans, got 3',
    ),
    'another map': (
        dict(height=6),
        r'u must have shape \(b, height \* width, d\) = \(2, 42, 6\), got \(2, 35, 6\)',
    ),
    'a map turned inside out': (
        dict(height=-5, width=-7),
        r'height and width must not be negative, got -5 and -7',
    ),
    'A without scans': (
        dict(A=torch.randn(6, 3)),
        r'A must be \(g, d, n\) with g > 0 and n > 0, got \(6, 3\)',
    ),
    'u of two axes': (
        dict(u=torch.randn(35, 6)),
        r'u must be \(b, l, d\) or \(b, g, l, d\), got \(35, 6\)',
    ),
    'u of other scans': (
        dict(u=torch.randn(2, 2, 35, 6)),
        r'u must have shape \(b, g, height \* width, d\) = \(2, 4, 35, 6\), got',
    ),
    'dt of another rank': (
        dict(dt=torch.randn(2, 4, 35, 3)),
        r'dt must have shape \(b, g, height \* width, r\) = \(2, 4, 35, 2\), got',
    ),
    'no rank': (
        dict(dt=torch.randn(2, 4, 35, 0), dt_weight=torch.randn(4, 6, 0)),
        r'dt_weight must be \(g, d, r\) with r > 0, got \(4, 6, 0\)',
    ),
    'dt_weight of other channels': (
        dict(dt_weight=torch.randn(4, 5, 2)),
        r'dt_weight must have shape \(g, d, r\) = \(4, 6, 2\), got \(4, 5, 2\)',
    ),
    'B of other states': (
        dict(B=torch.randn(2, 4, 35, 2)),
        r'B must have shape \(b, g, height \* width, n\) = \(2, 4, 35, 3\), got',
    ),
    'C of other scans': (
        dict(C=torch.randn(2, 1, 35, 3)),
        r'C must have shape \(b, g, height \* width, n\) = \(2, 4, 35, 3\), got',
    ),
    'D of one scan': (
        dict(D=torch.randn(6)),
        r'D must have shape \(g, d\) = \(4, 6\), got \(6,\)',
    ),
    'dt_bias of other channels': (
        dict(dt_bias=torch.randn(4, 1)),
        r'dt_bias must have shape \(g, d\) = \(4, 6\), got \(4, 1\)',
    ),
    'scalar dt_weight': (
        dict(dt_weight=torch.tensor(1.0)),
        r'dt_weight must be \(g, d, r\) with r > 0, got \(\)',
    ),
    'integers': (
        dict(B=torch.ones(2, 4, 35, 3, dtype=torch.int32)),
        r'B must be a real floating-point tensor \(.*\), got torch\.int32',
    ),
}


@pytest.mark.parametrize('case', BAD)
def test_bad_input(case):
    changed, message = BAD[case]
    size = dict(routes=CROSS, height=5, width=7)
    with pytest.raises(ValueError, match=message):
        cross_selective_scan(**cross_inputs(2, 4, 35, 6) | size | changed)
