"""Counts the memory of the 2-D core's GPU kernels, without a GPU.

The launch code runs on tensors without data; what a launch would write does not matter.
"""

import weakref
from math import ceil

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

pytest.importorskip('triton')

from mmmambamixer.ops.cross_selective_scan import gpu
from mmmambamixer.ops.selective_scan import gpu_scan

BATCH, SCANS, STATES = 128, 4, 16
RESIDENT = 132 * 8  # of an H100
STAGES = {56: (192, 12), 28: (384, 24), 14: (768, 48), 7: (1536, 96)}
"""Side of the map -> channels and rank: the token mixers of ViM2-T."""


class Peak(TorchDispatchMode):
    """Adds up the bytes of all storages that are alive, and keeps the most."""

    def __init__(self):
        super().__init__()
        self.tensors, self.sizes = {}, {}  # how many tensors a storage has; its bytes
        self.seen, self.most = set(), 0

    def hold(self, tensor):
        if id(tensor) in self.seen:
            return
        key = tensor.untyped_storage()._cdata
        self.seen.add(id(tensor))
        self.tensors[key] = self.tensors.get(key, 0) + 1
        self.sizes[key] = tensor.untyped_storage().nbytes()
        weakref.finalize(tensor, self.drop, id(tensor), key)
        self.most = max(self.most, sum(self.sizes.values()))

    def drop(self, name, key):
        self.seen.discard(name)
        self.tensors[key] -= 1
        if not self.tensors[key]:
            del self.tensors[key], self.sizes[key]

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for x in tree_leaves(result):
            if isinstance(x, torch.Tensor):
                self.hold(x)
        return result


def empty(*shape, dtype=torch.float32):
    return torch.empty(*shape, dtype=dtype, device='meta')


def peak_of_backward(side, dtype):
    """Return the most bytes that are alive in our backward, inputs included."""
    (d, r), l = STAGES[side], side * side
    with Peak() as peak:
        u = empty(BATCH, 1, l, d, dtype=dtype)
        dt, B, C = (empty(BATCH, SCANS, l, k, dtype=dtype) for k in (r, STATES, STATES))
        weight, A = empty(SCANS, d, r), empty(SCANS, d, STATES)
        D, bias, dy = empty(SCANS, d), empty(SCANS, d), empty(BATCH, l, d)
        states = empty(BATCH, SCANS, ceil(l / 32), STATES, d)
        inputs = u, dt, weight, A, B, C, D, bias
        gpu.backward(dy, *inputs, states, [0, 1, 2, 3], side, side, 32)
        return peak.most


def peak_of_vmamba(side, dtype):
    """Return what lives in the backward of VMamba's scan, by its tensors.

    Four copies of the map and their step sizes, and the gradients of both; dy of four
    scans in fp32; B and C and their gradients, which are fp32; two numbers for each
    state of every 2048 steps.
    """
    (d, _), l = STAGES[side], side * side
    size, rows = dtype.itemsize, BATCH * SCANS * l
    sequences = rows * d * (4 * size + 4)
    matrices = rows * 2 * STATES * (size + 4)
    return sequences + matrices + BATCH * SCANS * d * ceil(l / 2048) * 2 * STATES * 4


@pytest.mark.parametrize(
    ('side', 'limit'), [(56, 0.72), (28, 0.56), (14, 0.49), (7, 0.47)]
)
def test_peak_of_the_backward(monkeypatch, side, limit):
    monkeypatch.setattr(gpu_scan, '_launch', lambda *args, **constants: None)
    monkeypatch.setattr(gpu, 'resident', lambda device: RESIDENT)
    monkeypatch.setattr(gpu, '_matmul', torch.matmul)  # such tensors know no autocast
    for dtype in (torch.bfloat16, torch.float32):
        ours, theirs = peak_of_backward(side, dtype), peak_of_vmamba(side, dtype)
        ratio = ours / theirs
        print(f'{side} x {side}, {dtype}: {ours / 1e9:.2f} GB, {ratio:.2f}')
        assert ratio <= limit
