"""Configs that import their classes, without a default scope, in every tool."""

import pytest

pytest.importorskip('mmpretrain')

from mmengine.config import Config, ConfigDict

from mmmambamixer.engine.config import load_config, scope_of

CONFIG = """
from mmengine.dataset import DefaultSampler, default_collate
from mmengine.hooks import CheckpointHook, LoggerHook
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, TestLoop, ValLoop
from mmpretrain.datasets import CustomDataset, LoadImageFromFile, PackInputs, Resize
from mmpretrain.evaluation import Accuracy
from mmpretrain.models import GlobalAveragePooling, ImageClassifier, LinearClsHead
from torch.optim import AdamW

from mmmambamixer.models import ViM2

default_scope = None
model = dict(
    type=ImageClassifier,
    data_preprocessor=dict(num_classes=2, mean=[120] * 3, std=[60] * 3, to_rgb=True),
    backbone=dict(
        type=ViM2,
        arch=dict(embed_dims=(8, 16), depths=(1, 1)),
        out_indices=(1,),
        d_state=2,
    ),
    neck=dict(type=GlobalAveragePooling),
    head=dict(type=LinearClsHead, num_classes=2, in_channels=16),
)
loader = dict(
    batch_size=2,
    num_workers=0,
    collate_fn=dict(type=default_collate),
    dataset=dict(
        type=CustomDataset,
        data_root={data!r},
        ann_file='labels.txt',
        data_prefix='images',
        metainfo=dict(classes=('even', 'odd')),
        pipeline=[
            dict(type=LoadImageFromFile),
            dict(type=Resize, scale=(32, 32)),
            dict(type=PackInputs),
        ],
    ),
)
train_dataloader = dict(sampler=dict(type=DefaultSampler, shuffle=True), **loader)
val_dataloader = dict(sampler=dict(type=DefaultSampler, shuffle=False), **loader)
test_dataloader = val_dataloader
val_evaluator = dict(type=Accuracy)
test_evaluator = val_evaluator
train_cfg = dict(type=EpochBasedTrainLoop, max_epochs=1)
val_cfg = dict(type=ValLoop)
test_cfg = dict(type=TestLoop)
optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=AdamW, lr=1e-3))
default_hooks = dict(
    logger=dict(type=LoggerHook, interval=1),
    checkpoint=dict(type=CheckpointHook, interval=1),
)
"""


@pytest.fixture(scope='module')
def config(scenes, tmp_path_factory):
    path = tmp_path_factory.mktemp('lazy') / 'lazy.py'
    path.write_text(CONFIG.replace('{data!r}', repr(str(scenes))))
    return path


def test_every_tool(config, scenes, tmp_path, call, capsys):
    call('train.py', config, '--work-dir', 'run')
    weights = tmp_path / 'run/epoch_1.pth'
    call('test.py', config, weights, '--work-dir', 'run')
    call('predict.py', config, weights, scenes / 'images', '--out', 'out')
    assert '4 images' in capsys.readouterr().out
    call('analysis_tools/get_flops.py', config, '--shape', 32, 32)
    short = ['--shape', 32, 32, '--steps', 2, '--seconds', 0, '--warm-up', 0]
    call('analysis_tools/benchmark.py', config, *short)
    assert 'images/s' in capsys.readouterr().out
    look = [config, scenes / 'images/0.png', '--out', 'seen', '--only', 'averaging']
    call('analysis_tools/visualize_selection.py', *look)


MODELS = [
    ('mmpretrain.models', 'ImageClassifier', 'mmpretrain'),
    ('mmdet.models', 'MaskRCNN', 'mmdet'),
    ('mmdet.models.detectors', 'RetinaNet', 'mmdet'),
    ('mmseg.models', 'EncoderDecoder', 'mmseg'),
    ('mmmambamixer.models', 'TSM2', 'mmmambamixer'),
]


@pytest.mark.parametrize(('module', 'name', 'scope'), MODELS)
@pytest.mark.parametrize('line', ['', 'default_scope = None'])
def test_the_scope_is_that_of_the_models_class(module, name, scope, line, tmp_path):
    pytest.importorskip(module.partition('.')[0])
    text = f'from {module} import {name}\n{line}\nmodel = dict(type={name})\n'
    (tmp_path / 'c.py').write_text(text)
    assert load_config(tmp_path / 'c.py').default_scope == scope
    wrapped = ConfigDict(module=dict(type=f'{module}.{name}'), type='x.TTA')
    assert scope_of(Config(dict(model=wrapped))) == scope


@pytest.mark.parametrize(
    'model', [None, {}, dict(type='ImageClassifier'), dict(type='torch.nn.Linear')]
)
def test_other_models_have_no_scope(model):
    assert scope_of(Config(dict(model=model))) is None
