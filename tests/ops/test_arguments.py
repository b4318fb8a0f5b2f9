"""What each op answers to arguments of the wrong kind: type and text of the error.

Shapes that disagree, and devices, are in the test files of the ops.
"""

import pytest
import torch

from mmmambamixer.ops import (
    CROSS,
    cross_selective_scan,
    scan_conv,
    selective_scan,
    weighted_sum,
)
from mmmambamixer.ops.testing import cross_inputs, scan_inputs

X = torch.randn(2, 4, 5)
FLOAT8, META = X.to(torch.float8_e4m3fn), torch.randn(2, 4, 5, device='meta')
SPARSE, BLOCKED = X.to_sparse(), X.to_mkldnn()
NESTED = torch.nested.nested_tensor([X[0], X[1]], layout=torch.jagged)
ONE_DEVICE = 'all tensors must be on one device: {} is on cpu, {} is on meta'
DTYPE = (
    '{} must be a real floating-point tensor (fp16, bf16, fp32 or fp64), got torch.{}'
)
ROUTES = (
    'a route must be one of ROWS (0), COLUMNS (1), ROWS_BACKWARD (2), '
    'COLUMNS_BACKWARD (3), got {}'
)

SELECTIVE_SCAN = [
    (dict(u=[[1.0]]), TypeError, 'u must be a tensor, got list'),
    (dict(u=X.numpy()), TypeError, 'u must be a tensor, got ndarray'),
    (dict(A=None), TypeError, 'A must be a tensor, got NoneType'),
    (dict(B=1.0), TypeError, 'B must be a tensor, got float'),
    (dict(D=1.0), TypeError, 'D must be a tensor, got float'),
    (dict(u=X.to(torch.complex64)), ValueError, DTYPE.format('u', 'complex64')),
    (dict(delta=X.long()), ValueError, DTYPE.format('delta', 'int64')),
    (dict(delta=X > 0), ValueError, DTYPE.format('delta', 'bool')),
    (dict(u=FLOAT8), ValueError, DTYPE.format('u', 'float8_e4m3fn')),
    (dict(u=SPARSE), ValueError, 'u must be a dense tensor, got torch.sparse_coo'),
    (dict(z=BLOCKED), ValueError, 'z must be a dense tensor, got torch._mkldnn'),
    (dict(z=NESTED), ValueError, 'z must be a dense tensor, got a nested one'),
    (dict(delta=META), ValueError, ONE_DEVICE.format('u', 'delta')),
    (
        dict(delta_softplus='yes'),
        TypeError,
        'delta_softplus must be True or False, got str',
    ),
    (
        dict(return_last_state=torch.zeros(3)),
        TypeError,
        'return_last_state must be True or False, got Tensor',
    ),
]

CROSS_SELECTIVE_SCAN = [
    (dict(u=None), TypeError, 'u must be a tensor, got NoneType'),
    (dict(dt_weight=3), TypeError, 'dt_weight must be a tensor, got int'),
    (dict(B=FLOAT8), ValueError, DTYPE.format('B', 'float8_e4m3fn')),
    (dict(C=SPARSE), ValueError, 'C must be a dense tensor, got torch.sparse_coo'),
    (dict(dt_bias=META), ValueError, ONE_DEVICE.format('u', 'dt_bias')),
    (dict(height=5.0), TypeError, 'height must be an integer, got float'),
    (dict(width='7'), TypeError, 'width must be an integer, got str'),
    (dict(routes=4), TypeError, 'routes must be a sequence of Route, got int'),
    (dict(routes=None), TypeError, 'routes must be a sequence of Route, got NoneType'),
    (dict(routes='rows'), TypeError, 'routes must be a sequence of Route, got str'),
    (dict(routes=['ROWS'] * 4), ValueError, ROUTES.format("'ROWS'")),
    (dict(routes=[0, 1, 2, 4]), ValueError, ROUTES.format('4')),
    (
        dict(A=torch.randn(0, 6, 3)),
        ValueError,
        'A must be (g, d, n) with g > 0 and n > 0, got (0, 6, 3)',
    ),
]

SCAN_CONV = [
    (dict(v=[1.0]), TypeError, 'v must be a tensor, got list'),
    (dict(bias=None), TypeError, 'bias must be a tensor, got NoneType'),
    (dict(v=FLOAT8), ValueError, DTYPE.format('v', 'float8_e4m3fn')),
    (dict(v=SPARSE), ValueError, 'v must be a dense tensor, got torch.sparse_coo'),
    (dict(bias=META), ValueError, ONE_DEVICE.format('v', 'bias')),
    (dict(routes=0), TypeError, 'routes must be a sequence of Route, got int'),
    (dict(routes=[0, 1, 2, -1]), ValueError, ROUTES.format('-1')),
    (
        dict(weight=torch.randn(0, 3)),
        ValueError,
        'weight must be (g, t) or (g, t, d) with g > 0 and t > 0, got (0, 3)',
    ),
    (
        dict(weight=torch.randn(4)),
        ValueError,
        'weight must be (g, t) or (g, t, d) with g > 0 and t > 0, got (4,)',
    ),
    (
        dict(weight=torch.randn(4, 3, 4), bias=torch.randn(4, 5)),
        ValueError,
        'weight must have shape (g, t, d) = (4, 3, 5), got (4, 3, 4)',
    ),
    (
        dict(weight=torch.randn(4, 3, 5)),
        ValueError,
        'bias must have shape (g, d) = (4, 5), got (4,)',
    ),
    (
        dict(bias=torch.randn(4, 5)),
        ValueError,
        'bias must have shape (g,) = (4,), got (4, 5)',
    ),
]

WEIGHTED_SUM = [
    (dict(tensors=3), TypeError, 'tensors must hold tensors, got int'),
    (dict(tensors=X), TypeError, 'tensors must hold tensors, got Tensor'),
    (dict(tensors=[X, 1.0]), TypeError, 'tensors[1] must be a tensor, got float'),
    (dict(weights=[1.0, 2.0]), TypeError, 'weights must be a tensor, got list'),
    (dict(weights=None), TypeError, 'weights must be a tensor, got NoneType'),
    (
        dict(tensors=[FLOAT8] * 2),
        ValueError,
        DTYPE.format('tensors[0]', 'float8_e4m3fn'),
    ),
    (
        dict(tensors=[X, SPARSE]),
        ValueError,
        'tensors[1] must be a dense tensor, got torch.sparse_coo',
    ),
    (
        dict(tensors=[X, META]),
        ValueError,
        ONE_DEVICE.format('tensors[0]', 'tensors[1]'),
    ),
    (
        dict(weights=torch.ones(2, dtype=torch.int64)),
        ValueError,
        DTYPE.format('weights', 'int64'),
    ),
]

GIVEN = {
    selective_scan: lambda: scan_inputs(2, 4, 5, 2) | dict(delta_softplus=True),
    cross_selective_scan: lambda: (
        cross_inputs(2, 4, 35, 6) | dict(routes=CROSS, height=5, width=7)
    ),
    scan_conv: lambda: dict(
        v=X, weight=torch.randn(4, 3), bias=torch.randn(4), routes=CROSS
    ),
    weighted_sum: lambda: dict(tensors=[X, X], weights=torch.randn(2)),
}
TABLES = (SELECTIVE_SCAN, CROSS_SELECTIVE_SCAN, SCAN_CONV, WEIGHTED_SUM)
ROWS = [
    pytest.param(op, *row, id=f'{op.__name__}-{row[2]}')
    for op, table in zip(GIVEN, TABLES, strict=True)
    for row in table
]


@pytest.mark.parametrize(('op', 'change', 'error', 'text'), ROWS)
def test_is_refused_in_one_sentence(op, change, error, text):
    with pytest.raises(error) as caught:
        op(**GIVEN[op]() | change)
    assert type(caught.value) is error
    assert str(caught.value) == text


@pytest.mark.parametrize('op', GIVEN)
def test_what_the_rows_change_is_accepted_unchanged(op):
    assert op(**GIVEN[op]()).isfinite().all()


@pytest.mark.parametrize('op', GIVEN)
def test_tensors_without_memory_give_such_a_result(op):
    given = {
        name: x.to('meta') if isinstance(x, torch.Tensor) else x
        for name, x in GIVEN[op]().items()
    }
    if op is weighted_sum:
        given['tensors'] = [x.to('meta') for x in given['tensors']]
    y = op(**given)
    assert y.is_meta and y.shape == op(**GIVEN[op]()).shape
