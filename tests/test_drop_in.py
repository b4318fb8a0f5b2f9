"""Configs of the README and the docs, as a user of mmdet or mmseg writes them."""

import json
import math
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from PIL import Image
from warm import FRAMEWORKS, python

ROOT = Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text()
PAGE = (ROOT / 'docs/detection_segmentation.md').read_text()
LINE = re.compile(r"^_base_ = '(mmdet|mmseg)::(.+)'$", re.M)


def examples() -> list[tuple[str, str]]:
    """Return framework and text of every whole config in the README and the page."""
    blocks = re.findall(r'^```python\n(.*?)^```', README + PAGE, re.M | re.S)
    return [(LINE.search(block)[1], block) for block in blocks if LINE.search(block)]


def write(folder: Path, text: str) -> Path:
    path = folder / 'config.py'
    path.write_text(text)
    return path


def without(config: Config, *keys: str) -> dict:
    """Return the model of a config without the backbone and these keys."""
    model = config.model.to_dict()
    model.pop('backbone')
    for key in keys:
        *path, last = key.split('.')
        part = model
        for name in path:
            part = part[name]
        part.pop(last)
    return model


@pytest.mark.parametrize('framework, text', examples())
def test_backbone_and_in_channels_are_all_that_a_config_says(framework, text, tmp_path):
    pytest.importorskip(framework)
    config = Config.fromfile(write(tmp_path, text))
    assert 'custom_imports' not in config
    base = LINE.search(text)[0]
    stock = Config.fromfile(write(tmp_path, base))
    keys = ['neck.in_channels']
    if framework == 'mmseg':
        keys = ['decode_head.in_channels', 'auxiliary_head.in_channels']
    assert without(config, *keys) == without(stock, *keys)
    others = [key for key in config if key != 'model']
    assert [key for key in stock if key != 'model'] == others
    assert all(config[key] == stock[key] for key in others)
    init_default_scope(framework)
    with torch.device('meta'):
        model = MODELS.build(config.model)
    assert type(model.backbone).__name__ == 'ViM2'
    assert [len(m.mixers) for m in model.backbone.stages] == [3, 3, 9, 3]


def test_both_frameworks_have_an_example():
    assert {framework for framework, _ in examples()} == {'mmdet', 'mmseg'}
    assert LINE.search(README)[1] == 'mmdet'


def write_images(folder: Path) -> None:
    images, annotations = [], []
    for i in (1, 2):
        name = f'{i}.png'
        Image.new('RGB', (96, 64), (90 * i, 60, 30)).save(folder / name)
        images.append(dict(id=i, file_name=name, height=64, width=96))
        corners = [10.0, 8.0, 60.0, 8.0, 60.0, 50.0, 10.0, 50.0]
        box = dict(id=i, image_id=i, category_id=1, bbox=[10, 8, 50, 42], area=2100)
        annotations.append(dict(box, iscrowd=0, segmentation=[corners]))
    people = [dict(id=1, name='person')]
    coco = dict(images=images, annotations=annotations, categories=people)
    (folder / 'boxes.json').write_text(json.dumps(coco))


def test_the_readmes_mask_rcnn_trains_under_the_stock_tool(tmp_path):
    """In a fresh process that knows of us by the backbone's type only."""
    package = Path(pytest.importorskip('mmdet').__file__).parent
    text = next(text for framework, text in examples() if framework == 'mmdet')
    write_images(tmp_path)
    data = 'train_dataloader.dataset'
    options = [
        f'{data}.data_root={tmp_path}/',
        f'{data}.ann_file=boxes.json',
        f'{data}.data_prefix.img=',
        f'{data}.filter_cfg.min_size=1',
        f'{data}.pipeline.2.scale=(96,64)',
        *(
            'train_dataloader.num_workers=0',
            'train_dataloader.persistent_workers=False',
        ),
        *('val_cfg=None', 'val_dataloader=None', 'val_evaluator=None'),
        *('train_cfg.max_epochs=1', 'default_hooks.checkpoint=None'),
    ]
    stock = package / '.mim/tools/train.py'
    arguments = [write(tmp_path, text), '--work-dir', 'run', '--cfg-options', *options]
    run = python(stock, *arguments, imported=FRAMEWORKS, cwd=tmp_path)
    assert run.returncode == 0, run.stderr[-3000:]
    (log,) = tmp_path.glob('run/*/vis_data/scalars.json')
    (step,) = map(json.loads, log.read_text().splitlines())
    assert step['iter'] == 1
    assert math.isfinite(step['loss'])
    assert step['loss_mask'] > 0
