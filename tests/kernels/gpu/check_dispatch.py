"""The public functions on the GPU kernels, through dispatcher and autograd.

Without a GPU the dispatcher is told, for the time of a test, to send CPU tensors to the
GPU functions, which then run in Triton's interpreter. Run by `test_gpu.py`.
"""

from contextlib import nullcontext

import pytest
import torch

from mmmambamixer import ops
from mmmambamixer.ops.gpu_launches import gpu_functions_on_cpu


@pytest.fixture(autouse=True)
def dispatched(device):
    with gpu_functions_on_cpu() if device.type == 'cpu' else nullcontext():
        yield


@pytest.fixture
def compare(device, assert_close):
    def check(function, reference, tensors):
        """Compare the result and all gradients of two functions of one list."""
        exact = [t.double().requires_grad_() for t in tensors]
        given = [t.to(device).requires_grad_() for t in tensors]
        y, expected = function(given), reference(exact)
        dy = torch.randn(y.shape)
        wanted = torch.autograd.grad(expected, exact, dy.double())
        grads = torch.autograd.grad(y, given, dy.to(device))
        assert_close('y', y.detach(), expected.detach(), 2e-6)
        for i, (a, b) in enumerate(zip(grads, wanted, strict=True)):
            assert_close(f'gradient {i}', a, b, 1e-5)

    return check


def test_selective_scan(compare):
    b, d, l, n = 2, 2, 2, 1
    tensors = [torch.randn(b, d, l) for _ in range(3)]
    tensors += [-torch.rand(d, n), torch.randn(d, n), torch.randn(b, 2, n, l)]
    tensors += [torch.randn(d), torch.randn(d)]

    def run(function):
        def call(given):
            u, delta, z, A, B, C, D, bias = given
            y, h = function(u, delta, A, B, C, D, z, bias, True, True)
            return torch.cat([y, h], dim=2)

        return call

    compare(run(ops.selective_scan), run(ops.selective_scan_reference), tensors)


def test_cross_selective_scan(compare):
    b, g, l, d, n, r = 1, 4, 2, 3, 1, 2
    size = dict(routes=ops.CROSS, height=1, width=l)
    tensors = [torch.randn(b, l, d), torch.randn(b, g, l, r), torch.randn(g, d, r)]
    tensors += [
        -torch.rand(g, d, n),
        *torch.randn(2, b, g, l, n),
        *torch.randn(2, g, d),
    ]

    def reference(exact):
        u, *rest = exact
        u = u[:, None].expand(-1, g, -1, -1)
        return ops.cross_selective_scan_reference(u, *rest, **size)

    compare(lambda given: ops.cross_selective_scan(*given, **size), reference, tensors)


def test_weighted_sum(compare):
    tensors = [*torch.randn(3, 4, 5), torch.randn(3)]
    compare(
        lambda given: ops.weighted_sum(given[:-1], given[-1]),
        lambda exact: ops.weighted_sum_reference(exact[:-1], exact[-1]),
        tensors,
    )


@pytest.mark.parametrize('features', [(), (3,)])
def test_scan_conv(compare, features):
    shapes = (2, 5, 3), (4, 2, *features), (4, *features)

    def reference(exact):
        return ops.scan_conv_reference(*exact, [int(route) for route in ops.CROSS])

    compare(
        lambda given: ops.scan_conv(*given, routes=ops.CROSS),
        reference,
        [torch.randn(shape) for shape in shapes],
    )


def test_gated_norm(compare):
    shapes = (2, 5, 3), (2, 5, 3), (3,), (3,)
    compare(
        lambda given: ops.gated_norm(*given),
        lambda exact: ops.gated_norm_reference(*exact),
        [torch.randn(shape) for shape in shapes],
    )


def test_the_gpu_kernels_were_called(device, monkeypatch):
    """Guards the tests above: the dispatcher does reach the Triton kernels."""
    from mmmambamixer.ops.weighted_sum import gpu

    def refuse(x):
        raise RuntimeError('reached the GPU function')

    monkeypatch.setattr(gpu, 'work_type', refuse)
    with pytest.raises(RuntimeError, match='reached the GPU function'):
        ops.weighted_sum([torch.ones(2, device=device)], torch.ones(1, device=device))
