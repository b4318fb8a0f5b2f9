"""Layer-wise learning rates in classifiers, segmentors and detectors."""

import pytest
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from torch import nn

import mmmambamixer.patches  # noqa: F401  (`mmdet::` bases)

LR, RATE = 1e-2, 0.5
BACKBONE = dict(
    type='mmmambamixer.ViM2',
    arch=dict(embed_dims=(8, 16), depths=(2, 1)),
    out_indices=(0, 1),
)
SCALES = {  # of 6 depths: stem, 3 + 1 mixers, norms and heads
    'backbone.stem.proj.weight': RATE**5,
    'backbone.stages.0.mixers.0.mixer.s6.A_log': RATE**4,
    'backbone.stages.0.mixers.2.mixer.in_proj.weight': RATE**2,
    'backbone.stages.1.downsample.reduction.weight': RATE,
    'backbone.stages.1.averages.0.weights': RATE,
    'backbone.norm0.weight': 1,
    'backbone.norm1.bias': 1,
}


def build(framework: str, folder) -> nn.Module:
    pytest.importorskip(framework)
    if framework == 'mmpretrain':
        model = dict(
            type='ImageClassifier',
            backbone=BACKBONE | dict(out_indices=(1,)),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=3, in_channels=16),
        )
    elif framework == 'mmseg':
        head = dict(in_channels=16, in_index=1, channels=8, num_classes=3)
        model = dict(
            type='EncoderDecoder',
            backbone=BACKBONE,
            decode_head=dict(type='FCNHead', **head),
        )
    else:
        path = folder / 'config.py'
        path.write_text(
            "_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'\n"
            f'model = dict(backbone=dict(_delete_=True, **{BACKBONE}), '
            'neck=dict(in_channels=[8, 16], num_outs=5))'
        )
        model = Config.fromfile(path).model
    init_default_scope(framework)
    return MODELS.build(model)


def optimizer(model: nn.Module, **paramwise):
    settings = dict(
        constructor='mmmambamixer.LayerDecayOptimWrapperConstructor',
        optimizer=dict(type='AdamW', lr=LR, weight_decay=0.1),
        paramwise_cfg=paramwise,
    )
    return build_optim_wrapper(model, settings).optimizer


def groups(model: nn.Module, **paramwise) -> dict[str, dict]:
    names = {id(value): name for name, value in model.named_parameters()}
    found = optimizer(model, **paramwise).param_groups
    return {names[id(p)]: group for group in found for p in group['params']}


@pytest.mark.parametrize('framework', ['mmpretrain', 'mmseg', 'mmdet'])
def test_rates_fall_from_the_heads_to_the_stem(framework, tmp_path):
    model = build(framework, tmp_path)
    found = groups(model, layer_decay_rate=RATE)
    assert sorted(found) == sorted(name for name, _ in model.named_parameters())
    for name, scale in SCALES.items():
        if name in found:  # a classifier has no norm of the first stage
            assert found[name]['lr'] == pytest.approx(LR * scale), name
    heads = [name for name in found if not name.startswith('backbone.')]
    assert heads
    assert {found[name]['lr'] for name in heads} == {LR}


def test_other_rules_hold_beside_it(tmp_path):
    model = build('mmseg', tmp_path)
    found = groups(
        model,
        layer_decay_rate=RATE,
        norm_decay_mult=0.0,
        custom_keys={'.s6.A_log': dict(decay_mult=0.0, lr_mult=0.1)},
    )
    A_log = found['backbone.stages.0.mixers.0.mixer.s6.A_log']
    assert A_log['lr'] == pytest.approx(0.1 * LR * RATE**4)
    assert A_log['weight_decay'] == 0
    assert found['backbone.norm0.weight']['weight_decay'] == 0
    assert found['backbone.stem.proj.weight']['weight_decay'] == 0.1


def test_frozen_parameters_are_left_out(tmp_path):
    model = build('mmseg', tmp_path)
    model.backbone.stem.requires_grad_(False)
    assert not any('stem' in name for name in groups(model, layer_decay_rate=RATE))


@pytest.mark.parametrize('rate', [None, 0, 1.5, '0.9'])
def test_a_rate_out_of_range_is_refused(rate, tmp_path):
    with pytest.raises(ValueError, match=r'layer_decay_rate=\.\.\.\) in \(0, 1\]'):
        optimizer(nn.Linear(1, 1), layer_decay_rate=rate, norm_decay_mult=0)


def test_a_backbone_without_depths_is_named():
    model = nn.Module()
    model.backbone = nn.Linear(1, 1)
    with pytest.raises(ValueError, match='get_layer_depth, got Linear in Module'):
        optimizer(model, layer_decay_rate=RATE)
