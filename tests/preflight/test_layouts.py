"""Toy copies of stock layouts: the checks before a training let all of them pass."""

import pytest
from mmengine.config import Config
from toy_layouts import (
    write_ade,
    write_cityscapes,
    write_coco,
    write_imagenet,
    write_voc,
)
from toy_run import ToyHead

import mmmambamixer.patches  # noqa: F401  (`mmdet::` bases)

STOCK = {
    'COCO': ('mmdet', 80, 'mmdet::_base_/datasets/coco_instance.py', write_coco),
    'COCO, boxes': (
        'mmdet',
        80,
        'mmdet::_base_/datasets/coco_detection.py',
        write_coco,
    ),
    'VOC': ('mmdet', 20, 'mmdet::_base_/datasets/voc0712.py', write_voc),
    'VOC, label maps': (
        'mmseg',
        21,
        'mmseg::_base_/datasets/pascal_voc12.py',
        write_voc,
    ),
    'ADE20K': ('mmseg', 150, 'mmseg::_base_/datasets/ade20k.py', write_ade),
    'Cityscapes': (
        'mmseg',
        19,
        'mmseg::_base_/datasets/cityscapes.py',
        write_cityscapes,
    ),
    'ImageNet': (
        'mmpretrain',
        1000,
        'mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py',
        write_imagenet,
    ),
}
FOLDERS = dict(
    write_coco='coco',
    write_voc='VOCdevkit',
    write_ade='ade/ADEChallengeData2016',
    write_cityscapes='cityscapes',
    write_imagenet='imagenet',
)


@pytest.mark.parametrize('layout', STOCK)
def test_a_stock_layout_passes(layout, tmp_path, monkeypatch, opened):
    scope, classes, base, write = STOCK[layout]
    pytest.importorskip(scope)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / 'data' / FOLDERS[write.__name__])
    path = tmp_path / 'config.py'
    path.write_text(f'_base_ = [{base!r}]')
    config = Config.fromfile(path)
    attributes = dict(ignore_index=255) if scope == 'mmseg' else {}
    for part in ('train', 'test'):
        head = {'decode_head' if attributes else 'head': ToyHead(classes, **attributes)}
        told = opened(
            scope,
            head,
            config[f'{part}_evaluator'] if part == 'test' else (),
            **{part: config[f'{part}_dataloader'].dataset},
        )
        rare = f'_dataloader has no {"pixel" if attributes else "object"} of '
        assert [line for line in told.splitlines() if rare not in line] == []
