"""Copies of a backbone compute what it computes, bit for bit, before and after use."""

import copy
import io
import pickle

import pytest
import torch
from mmengine.model import ExponentialMovingAverage

from mmmambamixer import ViM2

ARCH = dict(embed_dims=(4, 8), depths=(2, 1))


@pytest.fixture(params=[False, True], ids=['fresh', 'used'])
def model(request) -> ViM2:
    """A backbone, in one case after a training step."""
    torch.manual_seed(0)
    model = ViM2(arch=ARCH, out_indices=(0, 1), d_state=2, grid_size=2)
    if request.param:
        sum(out.square().mean() for out in model(torch.randn(2, 3, 20, 28))).backward()
        torch.optim.SGD(model.parameters(), lr=0.1).step()
    return model.eval()


def same(model: ViM2, other: ViM2) -> None:
    """Fail unless both have the same tensors, maps and gradients."""
    assert other is not model
    pairs = zip(model.state_dict().items(), other.state_dict().items(), strict=True)
    for (key, value), (other_key, other_value) in pairs:
        assert key == other_key and torch.equal(value, other_value)
    image, results = torch.randn(1, 3, 20, 28), []
    for part in (model, other):
        part.zero_grad()
        outs = part(image)
        sum(out.square().sum() for out in outs).backward()
        results.append([*outs, *(p.grad for p in part.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_deepcopy(model):
    same(model, copy.deepcopy(model))


def test_pickle(model):
    same(model, pickle.loads(pickle.dumps(model)))


def test_a_saved_module(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    same(model, torch.load(file, weights_only=False))


def test_exponential_moving_average(model):
    average = ExponentialMovingAverage(model, momentum=0.5)
    same(model, copy.deepcopy(average.module).requires_grad_(True))
    before = [p.detach().clone() for p in model.parameters()]
    average.update_parameters(model)  # the first takes the weights as they are
    for parameter in model.parameters():
        parameter.data.add_(1)
    average.update_parameters(model)
    for old, mean in zip(before, average.module.parameters(), strict=True):
        torch.testing.assert_close(mean, old + 0.5)


def test_a_spawned_process(model):
    image = torch.randn(1, 3, 20, 28)
    model.requires_grad_(False)
    with torch.multiprocessing.get_context('spawn').Pool(1) as pool:
        outs = pool.apply(model, (image,))
    assert all(torch.equal(a, b) for a, b in zip(model(image), outs, strict=True))
