"""Triton's `cross_selective_scan` against the reference in fp64, run by `test_gpu.py`.

Axis letters: b batch, g scan, d channel, n state, l position, r rank.
"""

import pytest
import torch

from mmmambamixer.ops import CROSS, Route, cross_selective_scan_reference
from mmmambamixer.ops.cross_selective_scan import gpu
from mmmambamixer.ops.dtypes import work_dtype
from mmmambamixer.ops.selective_scan import gpu_scan
from mmmambamixer.ops.selective_scan.gpu_scan import scan_forward

NAMES = ('u', 'dt', 'dt_weight', 'A', 'B', 'C', 'D', 'dt_bias')


def make_inputs(
    b, g, l, d, n=2, r=2, *, shared=True, skip=True, bias=True, dtype=torch.float32
):
    """Return the eight tensors; `dtype` is that of the activations."""
    work = torch.float64 if dtype == torch.float64 else torch.float32
    return [
        torch.randn(b, 1 if shared else g, l, d).to(dtype),
        torch.randn(b, g, l, r).to(dtype),
        torch.randn(g, d, r).to(work),
        -torch.exp(torch.randn(g, d, n)).to(work),
        torch.randn(b, g, l, n).to(dtype),
        torch.randn(b, g, l, n).to(dtype),
        torch.randn(g, d).to(work) if skip else None,
        torch.randn(g, d).to(work) if bias else None,
    ]


@pytest.fixture
def compare(device, assert_close, tolerance):
    def check(inputs, routes, height, width, interval=32):
        """Compare results and all gradients with autograd through the reference."""
        dtype, work = inputs[0].dtype, work_dtype(inputs[0])
        exact = [None if t is None else t.double().requires_grad_() for t in inputs]
        size = dict(routes=routes, height=height, width=width)
        g = exact[4].shape[1]
        y = cross_selective_scan_reference(
            exact[0].expand(-1, g, -1, -1), *exact[1:], **size
        )
        dy = torch.randn(y.shape, dtype=work)
        wanted = [t for t in exact if t is not None]
        expected = torch.autograd.grad(y, wanted, dy.double(), materialize_grads=True)

        given = [None if t is None else t.to(device) for t in inputs]
        size = ([int(route) for route in routes], height, width, interval)
        result, states = gpu.forward(*given, *size)
        grads = gpu.backward(dy.to(device), *given, states, *size)
        assert result.dtype == work
        assert_close('y', result, y, tolerance[work][0])
        for name, x, grad in zip(NAMES, inputs, grads, strict=True):
            assert grad.is_contiguous(), name
            if x is None:
                assert grad.numel() == 0, name
                continue
            assert grad.dtype == x.dtype, name
            limit = tolerance[dtype if x.dtype == dtype else work][1]
            assert_close(f'd{name}', grad, expected[0], limit)
            expected = expected[1:]
        return (result, states, *grads)

    return check


@pytest.mark.parametrize('route', Route)
@pytest.mark.parametrize(('height', 'width'), [(2, 3), (3, 2), (1, 2), (2, 1), (1, 1)])
def test_routes(compare, route, height, width):
    compare(make_inputs(1, 1, height * width, 2, 1), [route], height, width)


@pytest.mark.parametrize(
    ('routes', 'shared'),
    [(CROSS, True), ((Route.COLUMNS_BACKWARD, Route.ROWS, Route.ROWS), False)],
)
def test_scans(compare, routes, shared):
    inputs = make_inputs(1, len(routes), 4, 3, 1, shared=shared)
    compare(inputs, routes, 2, 2)


@pytest.mark.parametrize(('height', 'width'), [(2, 4), (3, 2)])
def test_maps_of_more_than_one_chunk(compare, height, width):
    inputs = make_inputs(1, 2, height * width, 1, 1)
    compare(inputs, CROSS[1:3], height, width, interval=4)


@pytest.mark.parametrize('route', [Route.COLUMNS, Route.COLUMNS_BACKWARD])
def test_chunks_side_by_side(compare, monkeypatch, route):
    """Along a route, with step sizes of low rank and a short last chunk."""
    monkeypatch.setattr(gpu_scan, 'in_chunks', lambda *_: True)
    compare(make_inputs(1, 1, 6, 1, 4, 1), [route], 2, 3, interval=4)


@pytest.mark.parametrize(
    ('d', 'n', 'r'),
    [(1, 1, 1), (33, 1, 3), (3, 16, 5), (33, 4, 1), (2, 4, 16), (2, 4, 17)],
)
def test_sizes(compare, d, n, r):
    compare(make_inputs(1, 2, 2, d, n, r), CROSS[:2], 2, 1)


@pytest.mark.parametrize(('skip', 'bias'), [(True, False), (False, True)])
def test_without_skip_or_bias(compare, skip, bias):
    compare(make_inputs(1, 2, 2, 3, 1, skip=skip, bias=bias), CROSS[:2], 2, 1)


@pytest.mark.parametrize('dtype', [torch.float64, torch.float16, torch.bfloat16])
def test_dtypes(compare, dtype):
    compare(make_inputs(1, 2, 4, 3, dtype=dtype), CROSS[:2], 2, 2)


def test_any_strides(compare):
    inputs = make_inputs(2, 2, 4, 3)
    inputs[0] = torch.randn(2, 3, 4).transpose(1, 2)[:, None]
    inputs[1], inputs[4], inputs[5] = torch.randn(2, 2, 4, 6).split(2, dim=-1)
    inputs[3] = -torch.rand(2, 3).T[None].expand(2, 3, 2)
    compare(inputs, CROSS[1:3], 2, 2)


@pytest.mark.parametrize(('b', 'height', 'width'), [(0, 2, 3), (2, 0, 3)])
def test_empty(compare, b, height, width):
    compare(make_inputs(b, 2, height * width, 3), CROSS[:2], height, width)


def test_repeats_bit_for_bit_in_any_order(compare, assert_repeats):
    inputs = make_inputs(1, 2, 2, 33)
    assert_repeats(lambda: compare(inputs, CROSS[:2], 2, 1))


@pytest.mark.parametrize('shared', [True, False])
def test_parts_of_the_batch(compare, monkeypatch, shared):
    """Three maps of two programs each, where four programs run at once."""
    monkeypatch.setattr(gpu, 'resident', lambda device: 4)
    parts = gpu.parts(3, 2, 3, torch.device('cpu'))
    assert [part.stop - part.start for part in parts] == [1, 2]
    compare(make_inputs(3, 2, 2, 3, 1, 1, shared=shared), CROSS[:2], 2, 1)


def test_autocast_does_not_round_the_step_sizes(device):
    inputs = [t.to(device) for t in make_inputs(1, 2, 6, 3)]
    plain = gpu.forward(*inputs, [0, 1], 2, 3, 32)
    with torch.autocast(device.type, torch.bfloat16):
        cast = gpu.forward(*inputs, [0, 1], 2, 3, 32)
    assert all(torch.equal(a, b) for a, b in zip(plain, cast, strict=True))


def test_too_many_routes_are_refused(device):
    inputs = [t.to(device) for t in make_inputs(1, 32, 1, 1)]
    with pytest.raises(ValueError, match='at most 31 routes, got 32'):
        gpu.forward(*inputs, [0] * 32, 1, 1, 32)


def test_too_many_steps_are_refused(device):
    one = torch.zeros(1, 1, 1, 1, device=device)
    x, size = one.expand(1, 1, 2**30 + 1, 1), dict(height=1, width=2**30 + 1)
    with pytest.raises(ValueError, match=r'at most 2\^30 steps, got 1073741825'):
        scan_forward(
            *(x, x, one[0], x, x, None, None, x, None, one),
            **dict(routes=None, softplus=True, interval=0, **size),
        )
