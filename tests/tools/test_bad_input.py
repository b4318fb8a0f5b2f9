"""Data and models that do not fit: one sentence, before or while training."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmmambamixer.preflight.data.files import check_coco_classes, coco_categories

ROOT = Path(__file__).parents[2]


@pytest.fixture
def own_data(scenes, tmp_path) -> Path:
    """A copy of the scenes that a test may spoil."""
    return Path(shutil.copytree(scenes, tmp_path / 'own'))


def fails(call, configs, framework: str, *options: object) -> str:
    """Return the sentence in which a training ends."""
    pytest.importorskip(framework)
    with pytest.raises(SystemExit) as end:
        call('train.py', configs[framework], '--cfg-options', *options)
    sentence, *table = str(end.value.code).splitlines()
    assert sentence.startswith('error: ')
    assert all(line.startswith('  ') for line in table)
    return sentence


DATASET = 'train_dataloader.dataset.'
SENTENCES = [
    ('mmdet', [DATASET + 'ann_file=none.json'], 'none.json, named by train_dataloader'),
    (
        'mmdet',
        ['val_evaluator.ann_file=no'],
        'no annotation file no, named by val_eval',
    ),
    (
        'mmdet',
        [DATASET + "metainfo.classes=('square','circle')"],
        'expects the classes square, circle, but {data}/instances.json has the '
        'categories square, stripe',
    ),
    (
        'mmdet',
        [DATASET + "metainfo.classes=('stripe','square')"],
        'categories in the order square, stripe, the config in stripe, square',
    ),
    (
        'mmdet',
        [DATASET + 'metainfo.classes=square'],
        "must be a tuple of names, got the string 'square'",
    ),
    (
        'mmdet',
        [DATASET + 'filter_cfg.min_size=1000'],
        'train_dataloader has no image that its filters let pass',
    ),
    (
        'mmdet',
        ['train_dataloader.batch_size=5', 'train_dataloader.drop_last=True'],
        'train_dataloader makes no batch of 4 images',
    ),
    (
        'mmdet',
        ['model.roi_head.bbox_head.num_classes=3'],
        'roi_head.bbox_head.num_classes must be 2, the number of classes of '
        'train_dataloader (square, stripe), got 3',
    ),
    (
        'mmdet',
        ['model.neck.in_channels=[8,8,16,32]'],
        'neck.in_channels must be [8, 8, 16, 16], for the backbone gives out_channels '
        '[8, 8, 16, 16], got [8, 8, 16, 32]',
    ),
    (
        'mmseg',
        ['model.decode_head.in_channels=[8,8,16,32]'],
        'decode_head.in_channels must be [8, 8, 16, 16]',
    ),
    (
        'mmseg',
        ['model.auxiliary_head.in_channels=8'],
        'auxiliary_head.in_channels must be 16, for the backbone gives',
    ),
    (
        'mmseg',
        ['model.auxiliary_head.in_index=4'],
        'auxiliary_head.in_index is 4, but the backbone gives 4 maps',
    ),
    (
        'mmseg',
        ['model.auxiliary_head.num_classes=150'],
        'auxiliary_head.num_classes must be 3',
    ),
    (
        'mmseg',
        [DATASET + 'data_prefix.seg_map_path=labels'],
        'no data folder {data}/labels, named by train_dataloader',
    ),
    (
        'mmseg',
        [DATASET + 'img_suffix=.tif'],
        'train_dataloader has no image that its filters let pass',
    ),
]


@pytest.mark.parametrize(('framework', 'options', 'sentence'), SENTENCES)
def test_what_does_not_fit_is_said_before_training(
    framework, options, sentence, configs, scenes, call
):
    expected = sentence.format(data=scenes)
    assert expected in fails(call, configs, framework, *options)


@pytest.mark.parametrize('workers', [0, 1])
@pytest.mark.parametrize('framework', ['mmdet', 'mmseg'])
def test_an_unreadable_image_is_named(framework, workers, configs, own_data, call):
    path = own_data / 'images/2.png'
    path.write_bytes(path.read_bytes()[:60])
    options = [
        f'{DATASET}data_root={own_data}',
        f'train_dataloader.num_workers={workers}',
    ]
    sentence = fails(call, configs, framework, *options)
    assert sentence == f'error: the image {path} cannot be read: damaged, or empty?'


def test_a_missing_image_is_named(configs, own_data, call):
    (own_data / 'images/1.png').unlink()
    sentence = fails(call, configs, 'mmdet', f'{DATASET}data_root={own_data}')
    assert sentence == f'error: the image {own_data}/images/1.png is missing'


def test_an_unreadable_image_is_named_while_testing(configs, trained, own_data, call):
    (own_data / 'images/3.png').write_bytes(b'')
    options = ['--cfg-options', f'test_dataloader.dataset.data_root={own_data}']
    with pytest.raises(SystemExit, match=r'images/3\.png cannot be read'):
        call('test.py', configs['mmdet'], trained['mmdet'], *options)


def test_a_missing_label_map_is_named(configs, own_data, call):
    (own_data / 'masks/1.png').unlink()
    sentence = fails(call, configs, 'mmseg', f'{DATASET}data_root={own_data}')
    assert sentence == f'error: the label map {own_data}/masks/1.png is missing'


def test_labels_beyond_the_classes_are_named(configs, own_data, call):
    labels = np.zeros((64, 64), np.uint8)
    labels[:3, :3], labels[3:6] = 7, 255  # 255 is ignored
    Image.fromarray(labels).save(own_data / 'masks/0.png')
    sentence = fails(call, configs, 'mmseg', f'{DATASET}data_root={own_data}')
    assert 'masks/0.png has the labels [7], but there are 3 classes, 0 to 2' in sentence


def test_categories_are_found_in_a_file_of_any_order(tmp_path):
    path = tmp_path / 'a.json'
    categories = [dict(id=3, name='b'), dict(id=1, name='"categories": [')]
    path.write_text(json.dumps(dict(images=[], annotations=[], categories=categories)))
    assert coco_categories(str(path)) == ['b', '"categories": [']
    path.write_text(json.dumps(dict(categories=categories[:1], images=[]), indent=2))
    assert coco_categories(str(path)) == ['b']


@pytest.mark.parametrize('text', ['{}', '[1, 2', '{"categories": [1]}', '\x00'])
def test_a_file_without_categories_is_named(text, tmp_path):
    path = tmp_path / 'a.json'
    path.write_text(text)
    with pytest.raises(ValueError, match=r'a\.json is no COCO annotation file'):
        coco_categories(str(path))


def test_a_subset_of_the_categories_is_fine(tmp_path):
    pytest.importorskip('mmdet')
    path = tmp_path / 'a.json'
    names = ['cat', 'dog', 'cow']
    path.write_text(json.dumps(dict(categories=[dict(name=name) for name in names])))
    dataset = dict(type='CocoDataset', metainfo=dict(classes=('cat', 'cow')))
    check_coco_classes(dataset, str(path), 'mmdet')
    with pytest.raises(ValueError, match='order cat, cow, the config in cow, cat'):
        dataset = dict(dataset, metainfo=dict(classes=('cow', 'cat')))
        check_coco_classes(dataset, str(path), 'mmdet')


def test_the_classes_of_coco_are_in_the_order_of_its_file():
    """The default classes, on a file in COCO's own form."""
    pytest.importorskip('mmdet')
    data = Path(os.environ.get('MMMAMBAMIXER_DATA', ROOT / 'data'))
    path = data / 'ci_mini/coco/annotations/instances_train2017.json'
    if not path.is_file():
        pytest.skip(f'no {path}')
    check_coco_classes(dict(type='CocoDataset'), str(path), 'mmdet')
    dataset = dict(type='CocoDataset', metainfo=dict(classes=('persons',)))
    with pytest.raises(ValueError, match=r'the classes persons, but .* person,'):
        check_coco_classes(dataset, str(path), 'mmdet')


def test_starting_weights_that_do_not_fit_are_named(configs, trained, call):
    start = 'model.backbone.init_cfg.'
    sentence = fails(
        call,
        configs,
        'mmdet',
        f'{start}type=Pretrained',
        f'{start}checkpoint={trained["mmdet"]}',
        f'{start}prefix=x.',
    )
    assert "nothing in it begins with 'x.'" in sentence


def test_a_warning_comes_before_the_config_and_last_again(
    configs, own_data, call, tmp_path
):
    (own_data / 'images/one.jpeg').write_bytes(b'')
    options = ['--cfg-options', f'{DATASET}data_root={own_data}']
    call('train.py', configs['mmseg'], '--work-dir', 'run', *options)
    (path,) = tmp_path.glob('run/*/*.log')
    told = path.read_text()
    before, after = told.split('System environment:')
    assert 'end in .jpeg' in before and 'Config:' not in before
    first, *rest = after[after.index('the checks before this run') :].splitlines()
    assert first == 'the checks before this run warned of:'
    assert any(line.startswith('- ') and 'end in .jpeg' in line for line in rest)
