"""Triton's `selective_scan` against the reference in fp64, run by `test_gpu.py`.

Axis letters as in the reference: b batch, g group, d channel, n state, l length.
"""

import pytest
import torch

from mmmambamixer.ops import selective_scan_reference
from mmmambamixer.ops.dtypes import work_dtype
from mmmambamixer.ops.selective_scan import gpu, gpu_scan

NAMES = ('u', 'delta', 'A', 'B', 'C', 'D', 'delta_bias')


def make_inputs(b, d, l, n, g=1, *, skip=True, bias=True, softplus=True, dtypes=None):
    """Return the seven tensors; `dtypes` are those of u, delta and of B and C."""
    dtypes = dtypes or (torch.float32,) * 3
    work = torch.float64 if dtypes[0] == torch.float64 else torch.float32
    delta = torch.randn(b, d, l)
    return [
        torch.randn(b, d, l).to(dtypes[0]),
        (delta if softplus else delta.abs()).to(dtypes[1]),
        -torch.exp(torch.randn(d, n)).to(work),
        torch.randn(b, g, n, l).to(dtypes[2]),
        torch.randn(b, g, n, l).to(dtypes[2]),
        torch.randn(d).to(work) if skip else None,
        torch.randn(d).to(work) if bias else None,
    ]


def on(device, tensors):
    return [None if t is None else t.to(device) for t in tensors]


def check(
    device, assert_close, tolerance, inputs, softplus=True, last=True, interval=32
):
    """Compare results and all gradients with autograd through the fp64 reference."""
    u = inputs[0]
    exact = [None if t is None else t.double().requires_grad_() for t in inputs]
    *first, D, bias = exact
    y, h = selective_scan_reference(*first, D, None, bias, softplus, True)
    dy = torch.randn(u.shape).to(u.dtype)
    dh = torch.randn(h.shape, dtype=work_dtype(u)) if last else None
    wanted = [t for t in exact if t is not None]
    loss = (y * dy).sum() + ((h * dh).sum() if last else 0)
    expected = torch.autograd.grad(loss, wanted, materialize_grads=True)

    given = on(device, inputs)
    results = gpu.forward(*given, softplus, u.dtype, interval)
    grads = gpu.backward(*on(device, (dy, dh)), *given, results[2], softplus, interval)
    assert results[0].dtype == u.dtype
    assert_close('y', results[0], y, tolerance[u.dtype][0])
    assert_close('last_state', results[1], h, tolerance[work_dtype(u)][0])
    for name, x, grad in zip(NAMES, inputs, grads, strict=True):
        if x is None:
            assert grad.numel() == 0, name
        else:
            assert grad.dtype == x.dtype, name
            assert_close(f'd{name}', grad, expected[0], tolerance[x.dtype][1])
            expected = expected[1:]
    return (*results, *grads)


@pytest.fixture
def compare(device, assert_close, tolerance):
    return lambda *args, **kwargs: check(
        device, assert_close, tolerance, *args, **kwargs
    )


@pytest.mark.parametrize(
    ('l', 'interval'), [(1, 32), (2, 32), (33, 32), (7, 8), (8, 8), (9, 4)]
)
def test_lengths(compare, l, interval):
    compare(make_inputs(1, 3, l, 1), interval=interval)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_layouts_give_the_same_bits(compare, dtype):
    """Windows of steps that are neighbours in memory are read and written at once."""
    inputs = make_inputs(1, 2, 8, 2, dtypes=[dtype] * 3)
    assert gpu_scan._packed(4, inputs[0].mT[:, None])
    runs = []
    for lay in (lambda x: x, lambda x: x.mT.contiguous().mT, shifted_by_one):
        torch.manual_seed(1)
        laid = [lay(x) if i < 2 else x for i, x in enumerate(inputs)]
        runs.append(compare(laid))
    for other in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], other, strict=True))


@pytest.mark.parametrize('dtype', [torch.float64, torch.bfloat16])
def test_chunks_side_by_side(compare, device, monkeypatch, dtype):
    """A short last chunk, two groups, a last state, more lanes than channels."""
    monkeypatch.setattr(gpu_scan, 'in_chunks', lambda *_: True)
    inputs = make_inputs(1, 2, 6, 2, g=2, dtypes=[dtype] * 3)
    compare(inputs, interval=4)
    monkeypatch.setattr(gpu_scan, 'CHUNK', 4)
    given = on(device, inputs)
    kept = gpu.forward(*given, True, dtype, 4)
    free = gpu.forward(*given, True, dtype, 0)
    assert free[2].numel() == 0
    assert all(torch.equal(a, b) for a, b in zip(kept[:2], free[:2], strict=True))


@pytest.mark.parametrize('options', [dict(last=False), dict(softplus=False)])
def test_chunks_side_by_side_without_options(compare, monkeypatch, options):
    monkeypatch.setattr(gpu_scan, 'in_chunks', lambda *_: True)
    softplus = options.get('softplus', True)
    inputs = make_inputs(1, 3, 8, 4, skip=False, bias=False, softplus=softplus)
    compare(inputs, interval=4, **options)


def shifted_by_one(x):
    """Return the same values where no window of them is aligned."""
    place = x.new_empty(x.numel() + 1)[1:].view(x.shape)
    assert not gpu_scan._packed(4, place.mT[:, None])
    return place.copy_(x)


@pytest.mark.parametrize('d', [1, 3, 33])
def test_channels(compare, d):
    compare(make_inputs(2, d, 3, 4))


@pytest.mark.parametrize('n', [1, 3, 8, 16, 20, 32, 40])
def test_states(compare, n):
    compare(make_inputs(1, 2, 3, n))


def test_groups(compare):
    compare(make_inputs(2, 4, 2, 2, g=4))


@pytest.mark.parametrize(
    ('skip', 'bias', 'softplus', 'last'),
    [(0, 0, 0, 0), (1, 0, 0, 1), (0, 1, 0, 0), (0, 0, 1, 1), (1, 1, 0, 0)],
)
def test_options(compare, skip, bias, softplus, last):
    inputs = make_inputs(1, 3, 6, 2, skip=skip, bias=False, softplus=softplus)
    if bias:
        inputs[6] = torch.rand(3)
    compare(inputs, bool(softplus), bool(last))


@pytest.mark.parametrize(
    'dtypes',
    [
        (torch.float64,) * 3,
        (torch.float16,) * 3,
        (torch.bfloat16,) * 3,
        (torch.bfloat16, torch.float32, torch.float16),
    ],
)
def test_dtypes(compare, dtypes):
    compare(make_inputs(1, 3, 9, 4, dtypes=dtypes))


def test_any_strides(compare):
    inputs = make_inputs(2, 4, 4, 3, 2)
    inputs[0] = torch.randn(2, 4, 4).transpose(1, 2)
    inputs[1] = torch.randn(2, 8, 9)[:, 1::2, ::2][..., :4]
    inputs[2] = -torch.rand(3, 4).T
    inputs[3] = torch.randn(2, 3, 1, 1).transpose(1, 2).expand(2, 2, 3, 4)
    inputs[5] = torch.randn(1).expand(4)
    compare(inputs)


def test_more_groups_than_a_scan_may_have_routes(device):
    """One step, one state: without routes, each channel may have its own matrices."""
    size = 1, 32, 1, 1, 32
    inputs = make_inputs(*size, skip=False, bias=False, softplus=False)
    u, delta, _, B, C, _, _ = inputs
    y, *_ = gpu.forward(*on(device, inputs), False, torch.float32, 0)
    torch.testing.assert_close(y[0].cpu(), (delta * u * B[0, :, 0] * C[0, :, 0])[0])


@pytest.mark.parametrize(('b', 'd', 'l'), [(0, 3, 3), (2, 0, 3), (2, 3, 0)])
def test_empty(compare, b, d, l):
    compare(make_inputs(b, d, l, 2))


def test_the_interval_only_moves_the_kept_states(device, compare):
    inputs = make_inputs(1, 2, 10, 2)
    torch.manual_seed(1)
    coarse = compare(inputs, interval=32)
    torch.manual_seed(1)
    fine = compare(inputs, interval=4)
    for a, b in zip(coarse[:2], fine[:2], strict=True):
        assert torch.equal(a, b)
    *first, D, bias = (t.double() for t in inputs)
    for chunk, t in enumerate((0, 4, 8)):
        prefix = [x[..., :t] if x.dim() > 2 else x for x in first]
        _, h = selective_scan_reference(*prefix, D, None, bias, True, True)
        kept = fine[2][0, 0, chunk].T.double().cpu()  # (n, d) -> (d, n)
        torch.testing.assert_close(kept, h[0], rtol=1e-5, atol=1e-6)
    assert fine[2].shape == (1, 1, 3, 2, 2)
    none = gpu.forward(*on(device, inputs), True, torch.float32, 0)
    assert torch.equal(none[0], coarse[0])
    assert none[2].shape == (1, 1, 0, 2, 2)


def test_repeats_bit_for_bit_in_any_order(compare, assert_repeats):
    inputs = make_inputs(1, 33, 3, 2)
    assert_repeats(lambda: compare(inputs))


def test_step_sizes_are_right_for_every_argument(device):
    """With one step and B = C = u = 1, y is softplus(delta), its gradient the slope."""
    raw = torch.cat([torch.linspace(-86, 86, 173), torch.tensor([-1e4, 0.0, 1e4])])
    d = len(raw)
    one = torch.ones(1, 1, 1, 1)
    u = torch.ones(1, d, 1)
    inputs = on(
        device, (u, raw[None, :, None], -torch.ones(d, 1), one, one, None, None)
    )
    y, _, states = gpu.forward(*inputs, True, torch.float32, 32)
    grads = gpu.backward(inputs[0], None, *inputs, states, True, 32)
    exact = raw.double().requires_grad_()
    size = torch.nn.functional.softplus(exact, threshold=40)
    size.sum().backward()
    close = dict(rtol=2e-6, atol=1e-37)  # relative, down to the smallest normal number
    torch.testing.assert_close(y[0, :, 0].cpu().double(), size.detach(), **close)
    torch.testing.assert_close(grads[1][0, :, 0].cpu().double(), exact.grad, **close)


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_a_bad_value_stays_in_its_row(device, bad):
    inputs = make_inputs(1, 3, 4, 2)
    clean = gpu.forward(*on(device, inputs), True, torch.float32, 32)
    inputs[0][0, 2, 3] = bad
    dirty = gpu.forward(*on(device, inputs), True, torch.float32, 32)
    dy = torch.ones(1, 3, 4, device=device)
    grads = gpu.backward(dy, None, *on(device, inputs), dirty[2], True, 32)
    rows = torch.ones(1, 3, dtype=torch.bool, device=device)
    rows[0, 2] = False
    for a, b in zip(clean[:2], dirty[:2], strict=True):
        assert torch.equal(a[rows], b[rows])
    assert torch.equal(clean[0][..., :3], dirty[0][..., :3])
    assert all(grad[rows].isfinite().all() for grad in grads[:2])


def test_an_interval_of_broken_windows_is_refused(device):
    inputs = on(device, make_inputs(1, 1, 1, 1))
    with pytest.raises(ValueError, match=r'multiple of 4.*got 6'):
        gpu.forward(*inputs, True, torch.float32, 6)
    states = torch.zeros(1, 1, 0, 1, 1, device=device)
    with pytest.raises(ValueError, match=r'multiple of 4.*got 0'):
        gpu.backward(inputs[0], None, *inputs, states, True, 0)
