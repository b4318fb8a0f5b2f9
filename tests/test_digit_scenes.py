"""Scenes of digits: masks, label maps and boxes agree, stock data sets read them."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.random import RandomState
from PIL import Image

pytest.importorskip('sklearn')
rle = pytest.importorskip('pycocotools.mask')
TOOLS = Path(__file__).parents[1] / 'tools'
COUNTS = dict(train=6, test=4)
MANY = (5, 6)
"""Fewest and most digits of a scene for training."""
SIZE = 64
CLASSES = tuple('0123456789')


@pytest.fixture(scope='module')
def tools():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TOOLS)
        import digit_scenes
        import make_digits

        yield make_digits, digit_scenes


@pytest.fixture(scope='module')
def data(tools, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp('scenes')
    tools[0].write_scenes(out, 0.2, 1, tuple(COUNTS.values()), MANY, SIZE)
    return out


def annotations(data: Path, part: str) -> dict:
    return json.loads((data / f'annotations/instances_{part}.json').read_text())


def content(folder: Path) -> dict[str, bytes]:
    files = sorted(p for p in folder.rglob('*') if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def test_folders_hold_images_labels_and_annotations(data):
    found = content(data)
    expected = {f'annotations/instances_{part}.json' for part in COUNTS}
    for part, count in COUNTS.items():
        for stem in range(1, count + 1):
            expected |= {f'{part}/{stem:04d}.png', f'labels/{part}/{stem:04d}.png'}
    assert set(found) == expected
    assert {p.name for p in data.iterdir()} == {
        'annotations',
        'labels',
        'test',
        'train',
    }


def test_training_scenes_may_be_crowded(tools, data):
    for part, (fewest, most) in (('train', MANY), ('test', tools[1].DIGITS)):
        shown = Counter(a['image_id'] for a in annotations(data, part)['annotations'])
        assert max(shown.values()) <= most
        if part == 'train':
            assert max(shown.values()) > tools[1].DIGITS[1]
            assert sum(shown.values()) / len(shown) > fewest - 1  # some find no place


def test_training_scenes_are_like_those_of_the_test_by_default(
    tools, tmp_path, monkeypatch
):
    monkeypatch.setattr(tools[1], 'DIGITS', (1, 1))
    tools[0].write_scenes(tmp_path, 0.2, 1, tuple(COUNTS.values()), None, SIZE)
    for part, count in COUNTS.items():
        assert len(annotations(tmp_path, part)['annotations']) == count


def test_the_same_call_writes_the_same_bytes(tools, data, tmp_path):
    (tmp_path / 'train').mkdir()
    (tmp_path / 'train/old.png').touch()  # goes, the rest of the folder stays
    (tmp_path / 'notes.txt').touch()
    tools[0].write_scenes(tmp_path, 0.2, 1, tuple(COUNTS.values()), MANY, SIZE)
    found = content(tmp_path)
    assert found.pop('notes.txt') == b''
    assert found == content(data)
    tools[0].write_scenes(tmp_path, 0.2, 2, tuple(COUNTS.values()), MANY, SIZE)
    assert content(tmp_path)['train/0001.png'] != found['train/0001.png']


@pytest.mark.parametrize('part', COUNTS)
def test_masks_label_maps_and_boxes_agree(data, part):
    """Painted one by one, the masks give the label map: none shows a hidden pixel."""
    coco = annotations(data, part)
    assert [c['name'] for c in coco['categories']] == list(CLASSES)
    assert [a['id'] for a in coco['annotations']] == [
        *range(1, len(coco['annotations']) + 1)
    ]
    for image in coco['images']:
        assert (image['width'], image['height']) == (SIZE, SIZE)
        label_map = np.asarray(Image.open(data / 'labels' / part / image['file_name']))
        assert label_map.dtype == np.uint8
        painted = np.zeros_like(label_map)
        for annotation in coco['annotations']:
            if annotation['image_id'] != image['id']:
                continue
            mask = rle.decode(annotation['segmentation']).astype(bool)
            assert not painted[mask].any()
            painted[mask] = annotation['category_id']
            rows, columns = np.nonzero(mask)
            x, y, width, height = annotation['bbox']
            assert (x, x + width) == (columns.min(), columns.max() + 1)
            assert (y, y + height) == (rows.min(), rows.max() + 1)
            assert annotation['area'] == mask.sum() > 0
            assert annotation['iscrowd'] == 0
        np.testing.assert_array_equal(painted, label_map)


def test_no_digit_is_in_both_parts_and_classes_are_right(tools, data):
    _, labels = tools[0].load()
    sources = {}
    for part in COUNTS:
        found = annotations(data, part)['annotations']
        assert [a['category_id'] - 1 for a in found] == [
            labels[a['source']] for a in found
        ]
        sources[part] = {a['source'] for a in found}
    assert not sources['train'] & sources['test']
    parts = tools[0].split(labels, 0.2, 1)
    assert all(sources[part] <= set(parts[part]) for part in COUNTS)


def test_digits_overlap_and_stay_visible(tools):
    """Alone and in the crowd, with the same random numbers: most of each is seen."""
    _, scenes = tools
    block = np.full((1, 8, 8), 255, np.uint8)  # as large as its place, no glyph
    overlaps, counts = 0, set()
    for seed in range(40):
        generator = RandomState(seed)
        scene = scenes.draw_scene(block.repeat(5, 0), np.arange(5), SIZE, generator)
        areas = np.bincount(scene.owner[scene.owner >= 0])
        assert len(areas) == len(scene.sources) == len(set(scene.sources))
        for i, area in enumerate(areas):
            rows, columns = np.nonzero(scene.owner == i)
            side = max(np.ptp(rows), np.ptp(columns)) + 1
            assert area >= scenes.MIN_VISIBLE * side**2
            overlaps += area < side**2
        counts.add(len(areas))
    assert overlaps > 10
    assert (min(counts), max(counts)) == scenes.DIGITS


def test_digits_stand_out_from_the_ground(tools):
    _, scenes = tools
    digits, _ = tools[0].load()
    for seed in range(20):
        scene = scenes.draw_scene(digits, np.arange(99), 128, RandomState(seed))
        brightness = scene.image.mean(-1)
        ground = np.median(brightness[scene.owner < 0])
        for i in range(len(scene.sources)):
            shown = np.median(brightness[scene.owner == i])
            assert abs(shown - ground) > 30


def test_mmdet_reads_the_instances(data):
    pytest.importorskip('mmdet')
    from mmdet.datasets import CocoDataset
    from mmdet.utils import register_all_modules

    register_all_modules()
    dataset = CocoDataset(
        data_root=str(data),
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train'),
        metainfo=dict(classes=CLASSES),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
        ],
    )
    assert len(dataset) == COUNTS['train']
    coco = annotations(data, 'train')
    for sample in dataset:
        found = [a for a in coco['annotations'] if a['image_id'] == sample['img_id']]
        assert sample['gt_masks'].areas.tolist() == [a['area'] for a in found]
        labels = [a['category_id'] - 1 for a in found]
        assert sample['gt_bboxes_labels'].tolist() == labels


def test_mmseg_reads_the_label_maps(data):
    pytest.importorskip('mmseg')
    from mmseg.datasets import BaseSegDataset
    from mmseg.utils import register_all_modules

    register_all_modules()
    dataset = BaseSegDataset(
        data_root=str(data),
        data_prefix=dict(img_path='test', seg_map_path='labels/test'),
        img_suffix='.png',
        metainfo=dict(classes=('ground', *CLASSES)),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')],
    )
    assert len(dataset) == COUNTS['test']
    for sample in dataset:
        path = data / 'labels/test' / Path(sample['img_path']).name
        label_map = np.asarray(Image.open(path))
        np.testing.assert_array_equal(sample['gt_seg_map'], label_map)
        assert sample['img'].shape == (SIZE, SIZE, 3)


@pytest.mark.parametrize(
    ('share', 'counts', 'many', 'size', 'message'),
    [
        (
            0.2,
            (0, 4),
            (2, 4),
            64,
            r'each part must have at least one scene, got \(0, 4\)',
        ),
        (0.2, (4, 4), (2, 4), 40, 'scenes must be at least 48 pixels wide, got 40'),
        (0.001, (4, 4), (2, 4), 64, 'at least .* digits .* 0.001 leaves 0 for test'),
        (
            0.2,
            (4, 4),
            (0, 4),
            64,
            r'the fewest \(at least 1\) and the most .* got \(0, 4\)',
        ),
        (0.2, (4, 4), (5, 4), 64, r'at least 1\) and the most .* got \(5, 4\)'),
    ],
)
def test_refuses_what_gives_no_scenes(
    tools, tmp_path, share, counts, many, size, message
):
    with pytest.raises(ValueError, match=message):
        tools[0].write_scenes(tmp_path, share, 1, counts, many, size)
    assert not list(tmp_path.iterdir())
