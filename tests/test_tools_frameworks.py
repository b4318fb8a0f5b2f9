"""`tools/train.py` and `tools/test.py` on a detector and a segmenter with ViM2."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

ROOT = Path(__file__).parents[1]
BASE = ROOT / 'configs/_base_/mmmambamixer.py'
SIZE = 64
BACKBONE = """dict(
    type='mmmambamixer.ViM2',
    arch=dict(embed_dims=(8, 16), depths=(1, 1)),
    out_indices=(0, 1),
    d_state=2,
    grid_size=2,
)"""
RUN = """
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3))
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    checkpoint=dict(type='CheckpointHook', by_epoch=True, interval=1),
    visualization=dict(type={hook!r}),
)
"""

SEGMENTER = """
_base_ = [{base!r}, 'mmseg::_base_/default_runtime.py']
norm_cfg = dict(type='BN')
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[127.5] * 3, std=[127.5] * 3, size=(64, 64)
    ),
    backbone={backbone},
    decode_head=dict(
        type='FCNHead', in_channels=16, in_index=1, channels=8, num_convs=1,
        num_classes=2, norm_cfg=norm_cfg,
    ),
    test_cfg=dict(mode='whole'),
)
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='BaseSegDataset',
        data_root={data!r},
        img_suffix='.png',
        metainfo=dict(classes=('ground', 'box'), palette=[[0, 0, 0], [255, 255, 255]]),
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        pipeline=pipeline,
    ),
)
val_dataloader = train_dataloader
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
log_processor = dict(by_epoch=True)
"""

DETECTOR = """
_base_ = [
    {base!r},
    'mmdet::_base_/models/retinanet_r50_fpn.py',
    'mmdet::_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(pad_size_divisor=1),
    backbone=dict(_delete_=True, **{backbone}),
    neck=dict(
        in_channels=[8, 16], out_channels=8, start_level=0, num_outs=5,
        add_extra_convs='on_output',
    ),
    bbox_head=dict(num_classes=1, in_channels=8, feat_channels=8, stacked_convs=1),
    test_cfg=dict(score_thr=0.0),
)
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
resized = [pipeline[0], dict(type='Resize', scale=(64, 64)), *pipeline[1:]]
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='CocoDataset',
        data_root={data!r},
        ann_file='boxes.json',
        metainfo=dict(classes=('box',)),
        data_prefix=dict(img='images'),
        pipeline=resized,
    ),
)
val_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset',
        data_root={data!r},
        ann_file='boxes.json',
        metainfo=dict(classes=('box',)),
        data_prefix=dict(img='images'),
        test_mode=True,
        pipeline=resized,
    ),
)
test_dataloader = val_dataloader
annotations = {data!r} + '/boxes.json'
val_evaluator = dict(type='CocoMetric', ann_file=annotations, metric='bbox')
test_evaluator = val_evaluator
"""


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """Four images of a bright box, as COCO boxes and as label maps."""
    folder = tmp_path_factory.mktemp('boxes')
    for name in ('images', 'masks'):
        (folder / name).mkdir()
    images, annotations = [], []
    for i in range(4):
        mask = np.zeros((SIZE, SIZE), np.uint8)
        x, y = 8 + 6 * i, 30 - 5 * i
        mask[y : y + 24, x : x + 20] = 1
        Image.fromarray(mask).save(folder / f'masks/{i}.png')
        Image.fromarray(np.stack([mask * 200 + 20] * 3, -1)).save(
            folder / f'images/{i}.png'
        )
        images.append(dict(id=i, file_name=f'{i}.png', width=SIZE, height=SIZE))
        box = dict(id=i + 1, image_id=i, category_id=1, bbox=[x, y, 20, 24])
        annotations.append(dict(box, area=480, iscrowd=0))
    categories = [dict(id=1, name='box')]
    coco = dict(images=images, annotations=annotations, categories=categories)
    (folder / 'boxes.json').write_text(json.dumps(coco))
    return folder


def run(tool: str, *args: object, cwd: Path) -> str:
    result = subprocess.run(
        [sys.executable, str(ROOT / 'tools' / tool), *map(str, args)],
        cwd=cwd,
        env=dict(os.environ, OMP_NUM_THREADS='1'),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout[-1000:] + result.stderr[-4000:]
    return result.stdout + result.stderr


@pytest.mark.parametrize(
    ('framework', 'config', 'hook', 'metric'),
    [
        ('mmseg', SEGMENTER, 'SegVisualizationHook', 'mIoU'),
        ('mmdet', DETECTOR, 'DetVisualizationHook', 'coco/bbox_mAP'),
    ],
)
def test_one_tool_trains_and_tests_every_framework(
    framework, config, hook, metric, data, tmp_path
):
    pytest.importorskip(framework)
    values = dict(base=str(BASE), backbone=BACKBONE, data=str(data))
    text = config.format(**values) + RUN.replace('{hook!r}', repr(hook))
    (tmp_path / 'config.py').write_text(text)
    run('train.py', 'config.py', '--work-dir', 'run', cwd=tmp_path)
    torch.load(tmp_path / 'run/epoch_1.pth', weights_only=True)
    command = ['config.py', 'run/epoch_1.pth', '--work-dir', 'tested']
    command += ['--out', 'metrics.json', '--out-item', 'metrics', '--show-dir', 'shown']
    run('test.py', *command, cwd=tmp_path)
    assert metric in json.loads((tmp_path / 'metrics.json').read_text())
    assert len(list(tmp_path.rglob('shown/**/*.png'))) == 4
