"""Parameters of ViM2: how many, how initialised, which decay."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mmmambamixer import ViM2

ARCH = dict(embed_dims=(8, 16), depths=(2, 2))
STOCK_INIT = [
    dict(type='TruncNormal', layer=['Conv2d', 'Linear'], std=0.02, bias=0.0),
    dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
]


@pytest.mark.parametrize(
    'arch, parameters',
    [
        ('tiny', 24_086_383),
        ('small', 43_826_596),
        ('base', 75_740_100),
        ('vmamba_tiny', 22_893_448),
        ('vmamba_small', 44_417_416),
        ('vmamba_base', 76_254_056),
    ],
)
def test_count_with_a_head_of_1000_classes(arch, parameters):
    with torch.device('meta'):
        model = nn.ModuleList([ViM2(arch=arch), nn.Linear(1, 1)])
        model[1] = nn.Linear(model[0].embed_dims[-1], 1000)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_count_of_the_mlp_ablation():
    """The paper gives 40 M for ViM2-MLP: `small` with MLPs as wide as its mixers."""
    with torch.device('meta'):
        model = ViM2(arch='small', channel_mixer='mlp', averaging=False)
    count = sum(p.numel() for p in model.parameters()) + 769 * 1000
    assert count == 40_349_608


def test_a_stage_of_m_mixers_has_m_times_m_plus_1_over_2_averaging_weights():
    model = ViM2(arch=dict(embed_dims=(8, 16), depths=(2, 6)), out_indices=(1,))
    for stage in model.stages:
        m = len(stage.mixers)
        count = sum(p.numel() for p in stage.averages.parameters())
        assert count == m * (m + 1) // 2


def check_ssm_parameters(model):
    for name, parameter in model.named_parameters():
        if name.endswith('dt_bias'):
            delta = F.softplus(parameter)
            assert delta.min() >= 0.99e-3 and delta.max() <= 1.01e-1, name
        elif name.endswith('A_log'):
            n = torch.arange(1.0, parameter.shape[-1] + 1)
            torch.testing.assert_close(parameter.exp(), n.expand_as(parameter))
        elif name.endswith('s6.D'):
            assert (parameter == 1).all(), name
        elif name.endswith('weights'):
            assert parameter.tolist() == [0] * (len(parameter) - 1) + [1], name


@pytest.mark.parametrize('init_cfg', [None, STOCK_INIT])
def test_init_weights_leaves_the_ssm_parameters_right(init_cfg):
    model = ViM2(arch=ARCH, out_indices=(1,), init_cfg=init_cfg)
    check_ssm_parameters(model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    model.init_weights()
    check_ssm_parameters(model)
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert ('stages.0.mixers.0.mixer.in_proj.weight' in changed) == bool(init_cfg)
    special = ('x_proj', 'dt_weight', 'dt_bias', 'A_log', 'D', 'weights')
    assert not [name for name in changed if name.endswith(special)]


def test_linear_maps_start_small():
    model = ViM2(arch=dict(embed_dims=(64,), depths=(1,)), out_indices=(0,))
    weight = model.stages[0].mixers[0].mixer.in_proj.weight
    assert weight.std().item() == pytest.approx(0.02, rel=0.1)


def decays(model):
    """Return for every parameter whether MMEngine's constructor lets it decay."""
    constructor = DefaultOptimWrapperConstructor(
        dict(optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05)),
        paramwise_cfg=ViM2.paramwise_cfg,
    )
    groups = constructor(model).optimizer.param_groups
    decay = {id(p): group['weight_decay'] for group in groups for p in group['params']}
    return {name: decay[id(p)] for name, p in model.named_parameters()}


@pytest.mark.parametrize('channel_mixer', ['selective', 'mlp'])
def test_only_matrices_and_convolutions_decay(channel_mixer):
    backbone = ViM2(arch=ARCH, out_indices=(0, 1), channel_mixer=channel_mixer)
    model = nn.ModuleDict({'backbone': backbone, 'head': nn.Linear(16, 3)})
    matrices = (
        'proj.weight',  # the stem, and in, gate and out of the mixers
        'conv.weight',
        'reduction.weight',
        'mixer.0.weight',  # of the MLP
        'mixer.2.weight',
        's6.x_proj',
        's6.dt_weight',
        'head.weight',
    )
    for name, decay in decays(model).items():
        assert decay == (0.05 if name.endswith(matrices) else 0), name
    free = [name for name, decay in decays(model).items() if not decay]
    kinds = ['A_log', 's6.D', 'dt_bias', 'averages', 'norm', 'conv.bias']
    assert all(any(kind in name for name in free) for kind in kinds)
