"""Our ops as standard ONNX operators, run by onnxruntime, against the references."""

import warnings

import numpy as np
import pytest
import torch

from mmmambamixer.ops import (
    CROSS,
    Route,
    cross_selective_scan,
    cross_selective_scan_reference,
    gated_norm,
    gated_norm_reference,
    scan_conv,
    scan_conv_reference,
    selective_scan,
    selective_scan_reference,
    weighted_sum,
    weighted_sum_reference,
)

pytest.importorskip('onnxscript')
ort = pytest.importorskip('onnxruntime')

F16, F32, F64 = torch.float16, torch.float32, torch.float64
TOLERANCE = {F64: 1e-12, F32: 2e-6, F16: 2e-3}
TWO_WAYS = (Route.ROWS, Route.ROWS_BACKWARD)
D, N, R = 6, 4, 2


class Call(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, inputs):
        return self.function(*inputs)


def run(function, inputs, others, axes):
    """Export with `inputs`, and return what onnxruntime makes of `others`.

    `axes` are the open ones of each input.
    """
    from mmmambamixer.export.translations import TRANSLATIONS

    open_axes = [dict.fromkeys(a, torch.export.Dim.DYNAMIC) for a in axes]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        program = torch.onnx.export(
            Call(function),
            (tuple(inputs),),
            dynamo=True,
            dynamic_shapes=(tuple(open_axes),),
            custom_translation_table=TRANSLATIONS,
            opset_version=18,
            verbose=False,
        )
    proto = program.model_proto
    assert [opset.domain for opset in proto.opset_import] == ['']
    assert not proto.functions
    session = ort.InferenceSession(proto.SerializeToString())
    names = [entry.name for entry in session.get_inputs()]
    assert len(names) == len(others)
    given = {name: x.numpy() for name, x in zip(names, others, strict=True)}
    return session.run(None, given)


def assert_close(result, truth, dtype):
    truth = truth.double().numpy()
    assert result.shape == truth.shape
    error = np.abs(result.astype(np.float64) - truth).max()
    assert error <= TOLERANCE[dtype] * max(1, np.abs(truth).max())


def maps(g, shared, batch, height, width, dtype):
    """Return u, dt, B, C as maps, and the parameters of g scans."""
    sizes = (D, R, N, N)
    leads = ((batch,) if shared else (batch, g), *[(batch, g)] * 3)
    of_places = [
        torch.randn(*lead, height, width, size).to(dtype)
        for lead, size in zip(leads, sizes, strict=True)
    ]
    dt_weight, A = torch.randn(g, D, R), -torch.randn(g, D, N).exp()
    # far below 0 too, where a careless softplus loses all digits
    D_skip, dt_bias = torch.randn(g, D), 4 * torch.randn(g, D) - 6
    return of_places, [p.to(dtype) for p in (dt_weight, A, D_skip, dt_bias)]


@pytest.mark.parametrize(
    ('routes', 'shared', 'full', 'dtype'),
    [
        (CROSS, True, True, F32),
        (CROSS, False, True, F16),
        (TWO_WAYS, False, False, F64),
        ((Route.COLUMNS_BACKWARD,), True, True, F32),
    ],
)
def test_a_cross_scan_of_another_size_than_it_was_exported_with(
    routes, shared, full, dtype
):
    _, parameters = maps(len(routes), shared, 1, 1, 1, dtype)
    dt_weight, A, *rest = parameters
    rest = rest if full else (None, None)

    def with_op(op):
        def call(*of_places):
            h, w = of_places[0].shape[-3:-1]
            u, dt, B, C = (x.flatten(-3, -2) for x in of_places)
            options = dict(routes=routes, height=h, width=w)
            return op(u, dt, dt_weight, A, B, C, *rest, **options)

        return call

    inputs, _ = maps(len(routes), shared, 2, 3, 5, dtype)
    others, _ = maps(len(routes), shared, 3, 7, 4, dtype)
    axes = [(0, x.dim() - 3, x.dim() - 2) for x in inputs]
    [result] = run(with_op(cross_selective_scan), inputs, others, axes)
    assert_close(result, with_op(cross_selective_scan_reference)(*others), dtype)


@pytest.mark.parametrize(('full', 'dtype'), [(True, F32), (False, F64)])
def test_a_selective_scan_with_groups_and_its_last_state(full, dtype):
    A = -torch.randn(D, N).exp().to(dtype)
    D_skip, bias = torch.randn(2, D).to(dtype)

    def draw(b, l):
        shapes = ((b, D, l), (b, D, l), (b, 2, N, l), (b, 2, N, l))
        return [torch.randn(shape).to(dtype) for shape in shapes]

    def with_op(op):
        def call(u, delta, B, C):
            extras = dict(D=D_skip, delta_bias=bias, z=u) if full else {}
            options = dict(delta_softplus=full, return_last_state=True)
            return op(u, delta if full else delta.abs(), A, B, C, **extras, **options)

        return call

    others = draw(3, 11)
    axes = [(0, 2), (0, 2), (0, 3), (0, 3)]
    results = run(with_op(selective_scan), draw(2, 7), others, axes)
    for result, truth in zip(
        results, with_op(selective_scan_reference)(*others), strict=True
    ):
        assert_close(result, truth, dtype)


@pytest.mark.parametrize('silu', [False, True])
@pytest.mark.parametrize('features', [(), (D,)], ids=['one filter', 'one a feature'])
def test_a_scan_convolution_in_both_directions(features, silu):
    weight, bias = torch.randn(2, 3, *features), torch.randn(2, *features)

    def call(v):
        return scan_conv(v, weight, bias, routes=TWO_WAYS, silu=silu)

    v = torch.randn(3, 9, D)
    [result] = run(call, [torch.randn(2, 5, D)], [v], [(0, 1)])
    expected = scan_conv_reference(v, weight, bias, TWO_WAYS, silu)
    assert_close(result, expected, F32)


@pytest.mark.parametrize('dtype', [F32, F16])
def test_a_gated_norm(dtype):
    weight, bias = torch.randn(2, D)

    def call(x, z):
        return gated_norm(x, z, weight, bias, 1e-3)

    def draw(b, l):
        return [torch.randn(b, l, D), torch.randn(b, l, D).to(dtype)]

    others = draw(3, 9)
    [result] = run(call, draw(2, 5), others, [(0, 1), (0, 1)])
    expected = gated_norm_reference(*others, weight, bias, 1e-3)
    assert_close(result, expected, dtype)


@pytest.mark.parametrize('dtype', [F32, F16])
def test_a_weighted_sum(dtype):
    weights = torch.randn(3)

    def call(*maps):
        return weighted_sum(maps, weights) + weighted_sum(maps[:1], weights[:1])

    others = [torch.randn(3, 4).to(dtype) for _ in range(3)]
    inputs = [torch.randn(2, 4).to(dtype) for _ in range(3)]
    [result] = run(call, inputs, others, [(0,)] * 3)
    truth = weighted_sum_reference(others, weights) + (weights[0] * others[0])
    assert_close(result, truth, dtype)
