"""Toy scenes, small configs of every task, and trained checkpoints for the tools."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from warm import FRAMEWORKS, python

ROOT = Path(__file__).parents[2]
BASE = str(ROOT / 'configs/_base_/mmmambamixer.py')
CLASSES = ('square', 'stripe')
SIZE = 64
BACKBONE = """dict(
    type='mmmambamixer.ViM2',
    arch=dict(embed_dims=(8, 8, 16, 16), depths=(1, 1, 1, 1)),
    out_indices=(0, 1, 2, 3),
    d_state=1,
    grid_size=2,
)"""
SCHEDULE = """
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3))
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
log_processor = dict(by_epoch=True)
env_cfg = dict(dist_cfg=dict(backend='gloo'))
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=1),
    checkpoint=dict(type='CheckpointHook', by_epoch=True, interval=1),
    visualization=dict(type={hook!r}),
)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(pipeline=train_pipeline, **dataset),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(pipeline=test_pipeline, test_mode=True, **dataset),
)
test_dataloader = val_dataloader
test_evaluator = val_evaluator
"""
CLASSIFIER = """
_base_ = [{base!r}, 'mmpretrain::_base_/default_runtime.py']
data_preprocessor = dict(num_classes=2, mean=[120] * 3, std=[60] * 3, to_rgb=True)
model = dict(
    type='ImageClassifier',
    backbone=dict({backbone}, out_indices=(3,)),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=2,
        in_channels=16,
        loss=dict(type='CrossEntropyLoss'),
    ),
)
resize = dict(type='Resize', scale=(64, 64))
train_pipeline = [dict(type='LoadImageFromFile'), resize, dict(type='PackInputs')]
test_pipeline = train_pipeline
dataset = dict(
    type='CustomDataset',
    data_root={data!r},
    ann_file='labels.txt',
    data_prefix='images',
    metainfo=dict(classes=('even', 'odd')),
)
val_evaluator = dict(type='Accuracy')
"""
DETECTOR = """
_base_ = [
    {base!r},
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    'mmdet::_base_/default_runtime.py',
]
model = dict(
    backbone=dict(_delete_=True, **{backbone}),
    neck=dict(in_channels=[8, 8, 16, 16], out_channels=16),
    rpn_head=dict(in_channels=16, feat_channels=16),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=16),
        bbox_head=dict(in_channels=16, fc_out_channels=32, num_classes=2),
        mask_roi_extractor=dict(out_channels=16),
        mask_head=dict(
            in_channels=16, conv_out_channels=16, num_convs=1, num_classes=2
        ),
    ),
    test_cfg=dict(
        rpn=dict(max_per_img=20), rcnn=dict(score_thr=0.0, max_per_img=5)
    ),
)
load = dict(type='LoadImageFromFile')
resize = dict(type='Resize', scale=(96, 64), keep_ratio=True)
annotations = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
meta_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
train_pipeline = [load, annotations, resize, dict(type='PackDetInputs')]
test_pipeline = [
    load, resize, annotations, dict(type='PackDetInputs', meta_keys=meta_keys)
]
dataset = dict(
    type='CocoDataset',
    data_root={data!r},
    ann_file='instances.json',
    data_prefix=dict(img='images'),
    metainfo=dict(
        classes=('square', 'stripe'), palette=[(220, 20, 60), (20, 120, 220)]
    ),
    filter_cfg=dict(filter_empty_gt=True),
)
val_evaluator = dict(
    type='CocoMetric', ann_file={data!r} + '/instances.json', metric=['bbox', 'segm']
)
"""
SEGMENTER = """
_base_ = [
    {base!r},
    'mmseg::_base_/models/upernet_swin.py',
    'mmseg::_base_/default_runtime.py',
]
norm_cfg = dict(type='SyncBN')
model = dict(
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(_delete_=True, **{backbone}),
    decode_head=dict(
        in_channels=[8, 8, 16, 16], channels=8, pool_scales=(1, 2), num_classes=3
    ),
    auxiliary_head=dict(in_channels=16, channels=8, num_classes=3),
)
load = dict(type='LoadImageFromFile')
annotations = dict(type='LoadAnnotations')
resize = dict(type='Resize', scale=(64, 64))
pack = dict(type='PackSegInputs')
train_pipeline = [load, annotations, resize, pack]
test_pipeline = [load, resize, annotations, pack]
flips = [dict(type='RandomFlip', prob=p, direction='horizontal') for p in (0.0, 1.0)]
tta_pipeline = [
    load,
    dict(type='TestTimeAug', transforms=[[resize], flips, [annotations], [pack]]),
]
dataset = dict(
    type='BaseSegDataset',
    data_root={data!r},
    img_suffix='.png',
    data_prefix=dict(img_path='images', seg_map_path='masks'),
    metainfo=dict(
        classes=('ground', 'square', 'stripe'),
        palette=[(90, 90, 90), (220, 20, 60), (20, 120, 220)],
    ),
)
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
"""
TASKS = {
    'mmpretrain': (CLASSIFIER, 'VisualizationHook'),
    'mmdet': (DETECTOR, 'DetVisualizationHook'),
    'mmseg': (SEGMENTER, 'SegVisualizationHook'),
}


def write_scenes(folder: Path) -> None:
    """Write four images with two objects each: COCO instances, label maps, labels."""
    for name in ('images', 'masks'):
        (folder / name).mkdir(parents=True)
    images, annotations = [], []
    for i in range(4):
        picture = np.full((SIZE, SIZE + 8 * (i % 2), 3), 20, np.uint8)
        mask = np.zeros(picture.shape[:2], np.uint8)
        boxes = [(6 + 4 * i, 8, 20, 20), (4, 40 + 2 * i, 52, 10)]
        images.append(
            dict(id=i, file_name=f'{i}.png', width=mask.shape[1], height=SIZE)
        )
        for k, (x, y, w, h) in enumerate(boxes):
            picture[y : y + h, x : x + w] = [(240, 200, 60), (60, 160, 250)][k]
            mask[y : y + h, x : x + w] = k + 1
            annotation = dict(
                id=2 * i + k + 1,
                image_id=i,
                category_id=10 + k,
                bbox=[x, y, w, h],
                area=w * h,
                iscrowd=0,
                segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]],
            )
            annotations.append(annotation)
        Image.fromarray(picture).save(folder / f'images/{i}.png')
        Image.fromarray(mask).save(folder / f'masks/{i}.png')
    categories = [dict(id=10 + k, name=name) for k, name in enumerate(CLASSES)]
    coco = dict(images=images, annotations=annotations, categories=categories)
    (folder / 'instances.json').write_text(json.dumps(coco))
    labels = ''.join(f'{i}.png {i % 2}\n' for i in range(4))
    (folder / 'labels.txt').write_text(labels)


@pytest.fixture(scope='session')
def scenes(tmp_path_factory) -> Path:
    """Folder with `images`, `masks` and annotation files; tests leave it as it is."""
    folder = tmp_path_factory.mktemp('scenes') / 'data'
    write_scenes(folder)
    return folder


@pytest.fixture(scope='session')
def configs(scenes) -> dict[str, Path]:
    """A classifier, a Mask R-CNN and an UperNet on a very small ViM2, by framework."""
    paths = {}
    for framework, (text, hook) in TASKS.items():
        values = dict(base=BASE, backbone=BACKBONE, data=str(scenes), hook=hook)
        paths[framework] = scenes.parent / f'{framework}_toy.py'
        paths[framework].write_text((text + SCHEDULE).format(**values))
    return paths


@pytest.fixture(scope='session')
def run():
    """Run a Python script in a process; return what it prints, or fail with that."""

    def run(script: object, *args: object, cwd: Path, fails: bool = False) -> str:
        result = python(script, *args, imported=FRAMEWORKS, cwd=cwd)
        output = result.stdout + result.stderr
        assert (result.returncode != 0) == fails, output[-5000:]
        return output

    return run


@pytest.fixture(scope='session')
def trained(configs, run) -> dict[str, Path]:
    """Checkpoints of detector and segmenter after an epoch with `tools/train.py`."""
    paths = {}
    for framework in ('mmdet', 'mmseg'):
        pytest.importorskip(framework)
        config = configs[framework]
        work_dir = config.parent / f'{framework}_run'
        tool = ROOT / 'tools/train.py'
        seed = ('--cfg-options', 'randomness.seed=0')
        run(tool, config, '--work-dir', work_dir, *seed, cwd=config.parent)
        paths[framework] = work_dir / 'epoch_1.pth'
    return paths


@pytest.fixture
def call(monkeypatch, tmp_path, nothing_of_other_runs):
    """Call a tool's `main` in this process, in an empty folder."""

    def call(tool: str, *args: object) -> None:
        nothing_of_other_runs()
        spec = importlib.util.spec_from_file_location('tool', ROOT / 'tools' / tool)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, args)])
        monkeypatch.chdir(tmp_path)
        module.main()

    return call
