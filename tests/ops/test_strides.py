"""Results lie in memory as the fake kernels announce: compilers count on it.

What runs on a GPU allocates its results without one: the launches are left out.
"""

from contextlib import ExitStack, contextmanager

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

pytest.importorskip('triton')

from gpu_calls import AXES, drawn_calls, make

from mmmambamixer.ops.backend import NAMESPACE, REFERENCES
from mmmambamixer.ops.gpu_launches import gpu_functions_on_cpu, noted_launches
from mmmambamixer.ops.testing import on_cpu


class Announced(TorchDispatchMode):
    """Compares the results of each call of our ops with its fake ones on a device."""

    def __init__(self, device):
        super().__init__()
        self.device, self.compared = device, set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        results = function(*args, **(kwargs or {}))
        if function.namespace == NAMESPACE:
            with FakeTensorMode():
                announced = function(*tree_map_only(torch.Tensor, self.fake, args))
            announced = tree_leaves(announced)
            for i, (x, fake) in enumerate(
                zip(tree_leaves(results), announced, strict=True)
            ):
                assert layout(x) == layout(fake), f'result {i} of {function}'
            self.compared.add(function._opname)
        return results

    def fake(self, x):
        return torch.empty_strided(
            x.shape, x.stride(), dtype=x.dtype, device=self.device
        )


def layout(x):
    """Return dtype, shape and strides; those that nothing depends on are None."""
    counts = [size > 1 and x.numel() > 0 for size in x.shape]
    strides = [s if c else None for s, c in zip(x.stride(), counts, strict=True)]
    return x.dtype, tuple(x.shape), strides


@contextmanager
def running(kernels):
    """Let CPU tensors go to some of the kernels."""
    with ExitStack() as stack:
        if kernels == 'Triton':
            stack.enter_context(gpu_functions_on_cpu())
            stack.enter_context(noted_launches())
        elif kernels == 'PyTorch':
            stack.enter_context(on_cpu(REFERENCES))
        yield


@pytest.mark.parametrize('op', AXES)
@pytest.mark.parametrize('kernels', ['C++', 'PyTorch', 'Triton'])
def test_results_lie_as_announced(op, kernels):
    device = 'cuda' if kernels == 'Triton' else 'cpu'
    with running(kernels):
        for call in drawn_calls(op, 40):
            with Announced(device) as mode:
                make(op, call)
            assert op in mode.compared
            assert (f'{op}_backward' in mode.compared) == (call['dy'] is not None)
