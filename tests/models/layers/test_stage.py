"""Residual units, averaging, stochastic depth and checkpointing."""

import copy

import pytest
import torch
from torch import nn

from mmmambamixer.models.layers import DropPath, MixerUnit, Stage, WeightedAverage


def linear_units(number, d_model=4):
    return [
        MixerUnit(mixer=nn.Linear(d_model, d_model), d_model=d_model)
        for _ in range(number)
    ]


def test_a_stage_averages_all_earlier_maps():
    units = linear_units(3)
    stage = Stage(mixers=units)
    with torch.no_grad():
        for average in stage.averages:
            average.weights.normal_()
    x = torch.randn(2, 3, 3, 4)
    a, b, c = (average.weights for average in stage.averages)
    y1 = units[0](a[0] * x)
    y2 = units[1](b[0] * x + b[1] * y1)
    y3 = units[2](c[0] * x + c[1] * y1 + c[2] * y2)
    torch.testing.assert_close(stage(x), y3)
    assert sum(len(average.weights) for average in stage.averages) == 3 * 4 // 2


def test_a_window_averages_the_newest_maps():
    units = linear_units(3)
    stage = Stage(mixers=units, max_connections=2)
    with torch.no_grad():
        for average in stage.averages:
            average.weights.normal_()
    x = torch.randn(2, 3, 3, 4)
    a, b, c = (average.weights for average in stage.averages)
    assert [len(w) for w in (a, b, c)] == [1, 2, 2]
    y1 = units[0](a[0] * x)
    y2 = units[1](b[0] * x + b[1] * y1)
    torch.testing.assert_close(stage(x), units[2](c[0] * y1 + c[1] * y2))


def test_initial_averages_are_the_residual_network_to_the_last_bit():
    units = linear_units(4)
    x = torch.randn(2, 3, 3, 4, dtype=torch.float64)
    averaging = Stage(mixers=units).double()
    plain = Stage(mixers=units, averaging=False).double()
    assert torch.equal(averaging(x), plain(x))
    expected = x
    for unit in units:
        expected = expected + unit.mixer(unit.norm(expected))
    assert torch.equal(plain(x), expected)


def test_every_average_gets_a_gradient():
    stage = Stage(mixers=linear_units(3))
    stage(torch.randn(2, 3, 3, 4)).square().sum().backward()
    for average in stage.averages:
        assert (average.weights.grad != 0).all()


def test_an_average_starts_at_the_newest_map():
    assert WeightedAverage(inputs=3).weights.tolist() == [0, 0, 1]


@pytest.mark.parametrize('averaging', [True, False])
def test_checkpointing_changes_no_gradient(averaging):
    units = linear_units(3)
    for unit in units:
        unit.drop_path.drop_prob = 0.5
    stages = [
        Stage(mixers=copy.deepcopy(units), averaging=averaging, with_cp=with_cp)
        for with_cp in (False, True)
    ]
    x = torch.randn(4, 3, 3, 4)
    for stage in stages:
        torch.manual_seed(1)
        stage(x).square().sum().backward()
    pairs = zip(*(stage.parameters() for stage in stages), strict=True)
    assert all(torch.equal(p.grad, q.grad) for p, q in pairs)


def test_drop_path_drops_samples_and_keeps_the_mean():
    drop, x = DropPath(drop_prob=0.5), torch.ones(4000, 2, 3)
    y = drop(x)
    per_sample = y.flatten(1)
    assert (per_sample == per_sample[:, :1]).all()
    assert set(per_sample[:, 0].tolist()) == {0, 2}
    assert y.mean().item() == pytest.approx(1, abs=0.05)
    assert drop.eval()(x) is x


@pytest.mark.parametrize('probability', [-0.1, 1.0])
def test_drop_path_refuses_what_is_no_probability(probability):
    with pytest.raises(ValueError, match=rf'\[0, 1\), got {probability}'):
        DropPath(drop_prob=probability)


@pytest.mark.parametrize(
    'settings',
    [
        dict(max_connections=0),
        dict(max_connections='x'),
        dict(max_connections=2, averaging=False),
    ],
)
def test_a_window_needs_averaging_and_one_map(settings):
    with pytest.raises(ValueError, match='max_connections must be an integer from 1'):
        Stage(mixers=linear_units(2), **settings)


def test_an_average_needs_a_number_for_each_map():
    with pytest.raises(ValueError, match=r'each of the 3 maps, got \[0.5, 0.5\]'):
        WeightedAverage(inputs=3, init_values=[0.5, 0.5])
