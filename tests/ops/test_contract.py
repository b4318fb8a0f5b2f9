"""What holds for all ops alike: opcheck, compilation, repeatability, autocast.

Each case is one call of an op, forward and backward.
"""

import pytest
import torch

from mmmambamixer.ops import (
    CROSS,
    cross_selective_scan,
    gated_norm,
    scan_conv,
    selective_scan,
    weighted_sum,
)
from mmmambamixer.ops.backend import BINARY_ERROR, INTERVAL
from mmmambamixer.ops.testing import cross_inputs, evaluate, relative_error, scan_inputs

OPS = torch.ops.mmmambamixer
OPTIONS = {
    'selective_scan': dict(delta_softplus=True, return_last_state=True),
    'cross_selective_scan': dict(routes=CROSS, height=5, width=7),
    'scan_conv': dict(routes=CROSS),
    'scan_conv of each feature': dict(routes=CROSS, silu=True),
    'gated_norm': {},
    'weighted_sum': {},
}
FUNCTIONS = {
    'selective_scan': selective_scan,
    'cross_selective_scan': cross_selective_scan,
    'scan_conv': scan_conv,
    'scan_conv of each feature': scan_conv,
    'gated_norm': gated_norm,
    'weighted_sum': lambda weights, **tensors: weighted_sum(tensors.values(), weights),
}
all_ops = pytest.mark.parametrize('name', FUNCTIONS)


def inputs_of(name, d=21, dtype=torch.float32):
    """Return inputs of the op, by name; `d` channels."""
    if name == 'selective_scan':
        return scan_inputs(3, d, 70, 3, z=True, dtypes=(dtype,) * 3)
    if name == 'cross_selective_scan':
        return cross_inputs(3, 4, 35, d, dtypes=(dtype,) * 3)
    if name == 'scan_conv':
        v = torch.randn(3, d, 300).to(dtype)
        return dict(v=v, weight=torch.randn(4, 4), bias=torch.randn(4))
    if name == 'scan_conv of each feature':
        v = torch.randn(33, 29, d).to(dtype)
        return dict(v=v, weight=torch.randn(4, 4, d), bias=torch.randn(4, d))
    if name == 'gated_norm':
        z = torch.randn(3, 300, d).to(dtype)
        parameters = dict(weight=torch.randn(d), bias=torch.randn(d))
        return dict(x=torch.randn(3, d, 300).mT, z=z, **parameters)
    return dict(weights=torch.randn(2), x0=torch.randn(d, 300), x1=torch.randn(d, 300))


def raw_calls(dtype, some):
    """Return for each op and its backward the arguments of a direct call.

    Before a blank is the name of the op, after it what form of it is called.
    """
    scan = scan_inputs(2, 4, 40, 2, dtypes=(dtype,) * 3, D=some, bias=some)
    del scan['z']
    scan = list(scan.values())
    cross = list(
        cross_inputs(2, 2, 35, 4, dtypes=(dtype,) * 3, D=some, bias=some).values()
    )
    cross[0] = cross[0][:, None]
    routes, size = [0, 3], (5, 7)
    y, last_state, states = OPS.selective_scan(*scan, True, dtype, INTERVAL)
    merged, kept = OPS.cross_selective_scan(*cross, routes, *size, INTERVAL)
    tensors, weights = [torch.randn(3, 5).to(dtype) for _ in range(3)], torch.randn(3)
    sequence, convolved = torch.randn(2, 9, 5).to(dtype), torch.randn(2, 2, 9, 5)
    convolved = convolved.to(dtype)
    taps = torch.randn(2, 3), torch.randn(2)
    own_taps = torch.randn(2, 3, 5), torch.randn(2, 5)
    normed, affine = torch.randn(2, 5, 9).to(weights).mT, torch.randn(2, 5).to(weights)
    dlast = torch.randn_like(last_state) if some else None
    weights = weights.to(last_state.dtype)
    return {
        'selective_scan': (*scan, True, dtype, INTERVAL),
        'selective_scan_backward': (
            *(torch.randn_like(y), dlast, *scan, states, True, INTERVAL),
        ),
        'cross_selective_scan': (*cross, routes, *size, INTERVAL),
        'cross_selective_scan_backward': (
            *(torch.randn_like(merged), *cross, kept, routes, *size, INTERVAL),
        ),
        'scan_conv': (sequence, *taps, [0, 2], some),
        'scan_conv_backward': (convolved, sequence, *taps, [0, 2], some),
        'scan_conv of each feature': (sequence, *own_taps, [0, 2], some),
        'scan_conv_backward of each feature': (
            *(convolved, sequence, *own_taps, [0, 2], some),
        ),
        'gated_norm': (normed, sequence, *affine, 1e-5),
        'gated_norm_backward': (sequence, normed, sequence, *affine, 1e-5),
        'weighted_sum': (tensors, weights),
        'weighted_sum_backward': (torch.randn(3, 5).to(dtype), tensors, weights),
    }


def with_gradients(argument):
    if isinstance(argument, list):
        return [with_gradients(x) for x in argument]
    is_tensor = isinstance(argument, torch.Tensor)
    return argument.detach().requires_grad_() if is_tensor else argument


@pytest.mark.parametrize('name', raw_calls(torch.float32, True))
@pytest.mark.parametrize('some', [True, False], ids=['all', 'no D, no bias'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_opcheck(name, dtype, some):
    """All four test utilities; backward ops get no gradients, they have none."""
    args = raw_calls(dtype, some)[name]
    op = name.split()[0]
    if not op.endswith('backward'):
        args = tuple(with_gradients(x) for x in args)
    results = torch.library.opcheck(getattr(OPS, op).default, args)
    assert set(results.values()) == {'SUCCESS'} and len(results) == 4


@all_ops
def test_compiles_to_one_graph_with_dynamic_shapes(name):
    torch._dynamo.reset()
    function, options = FUNCTIONS[name], OPTIONS[name]
    compiled = torch.compile(
        function, fullgraph=True, dynamic=True, backend='aot_eager'
    )
    for d in (21, 6):
        inputs = inputs_of(name, d)
        eager = evaluate(function, inputs, **options)
        result = evaluate(compiled, inputs, eager.dys, **options)
        for kind in (0, 1):
            for key, expected in eager[kind].items():
                assert relative_error(result[kind][key], expected) < 1e-6, key


def test_one_compiled_graph_serves_maps_of_any_size():
    torch._dynamo.reset()
    count = torch._dynamo.testing.CompileCounterWithBackend('aot_eager')

    @torch.compile(fullgraph=True, dynamic=True, backend=count)
    def compiled(x, inputs):
        height, width = x.shape[-2:]
        u = x.flatten(2).mT
        size = dict(routes=CROSS, height=height, width=width)
        return cross_selective_scan(u, **inputs, **size)

    for height, width in ((5, 7), (4, 9), (11, 3)):
        inputs = cross_inputs(2, 4, height * width, 6)
        u = inputs.pop('u')
        size = dict(routes=CROSS, height=height, width=width)
        result = compiled(u.mT.reshape(2, 6, height, width), inputs)
        assert torch.equal(result, cross_selective_scan(u, **inputs, **size))
    assert count.frame_count == 1


def test_export():
    class Scan(torch.nn.Module):
        def forward(self, **inputs):
            return selective_scan(**inputs, delta_softplus=True)

    inputs = scan_inputs(2, 5, 40, 3)
    del inputs['z']
    program = torch.export.export(Scan(), (), inputs)
    expected = selective_scan(**inputs, delta_softplus=True)
    assert torch.equal(program.module()(**inputs), expected)


@pytest.mark.skipif(
    BINARY_ERROR is not None,
    reason="other threads, other bits of torch's sigmoid in the reference",
)
@all_ops
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_bitwise_repeatable_for_any_number_of_threads(name, dtype):
    inputs, threads = inputs_of(name, 70, dtype), torch.get_num_threads()
    first = evaluate(FUNCTIONS[name], inputs, **OPTIONS[name])
    try:
        for count in (1, 2, 3, 2, 1):
            torch.set_num_threads(count)
            again = evaluate(FUNCTIONS[name], inputs, first.dys, **OPTIONS[name])
            for kind in (0, 1):
                for key, expected in first[kind].items():
                    assert torch.equal(again[kind][key], expected), key
    finally:
        torch.set_num_threads(threads)


@all_ops
def test_a_batch_item_does_not_depend_on_the_others(name):
    if name == 'weighted_sum':
        pytest.skip('has no batch axis')
    inputs = inputs_of(name)
    batched = ('u', 'v', 'x', 'delta', 'dt', 'B', 'C', 'z')
    alone = {
        k: x[1:2] if k in batched and x is not None else x for k, x in inputs.items()
    }
    y, y_alone = (FUNCTIONS[name](**x, **OPTIONS[name]) for x in (inputs, alone))
    if name == 'selective_scan':
        y, y_alone = y[0], y_alone[0]
    assert relative_error(y_alone, y[1:2]) < 1e-6


@all_ops
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_autocast_takes_inputs_as_they_come(name, dtype):
    inputs = inputs_of(name, dtype=dtype)
    expected = evaluate(FUNCTIONS[name], inputs, **OPTIONS[name])
    with torch.autocast('cpu', torch.bfloat16):
        result = evaluate(FUNCTIONS[name], inputs, expected.dys, **OPTIONS[name])
    for kind in (0, 1):
        for key, tensor in expected[kind].items():
            assert result[kind][key].dtype == tensor.dtype, key
            assert torch.equal(result[kind][key], tensor), key


def test_autocast_keeps_the_merged_scans_in_fp32():
    inputs = inputs_of('cross_selective_scan', dtype=torch.bfloat16)
    with torch.autocast('cpu', torch.bfloat16):
        y = cross_selective_scan(**inputs, **OPTIONS['cross_selective_scan'])
    assert y.dtype == torch.float32
