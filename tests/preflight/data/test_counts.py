"""Data with nothing to learn, and classes without any: the numbers are told."""

import random
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_data import class_folders, coco, image, label_maps, labelled, voc
from toy_run import ToyHead

from mmmambamixer.preflight.data import counts
from mmmambamixer.preflight.data import label_maps as maps

pytest.importorskip('mmpretrain')

NAMES = ('ant', 'bee', 'cat')


def segmenter(classes: int = 3, **more) -> dict:
    return {'decode_head': ToyHead(classes, ignore_index=255, **more)}


def drop(name: str):
    """Return a change of a COCO file that takes the annotations of a category out."""

    def change(content: dict) -> None:
        ids = [c['id'] for c in content['categories'] if c['name'] == name]
        content['annotations'] = [
            a for a in content['annotations'] if a['category_id'] not in ids
        ]

    return change


def without(scope: str, root, part: str, name: str) -> dict:
    """Return the config of a data set in which a class has nothing."""
    others = [other for other in NAMES if other != name]
    if scope == 'folders':
        return class_folders(root, part, NAMES, [2 * (n != name) for n in NAMES])
    if scope == 'list':
        return labelled(root, part, [NAMES.index(n) for n in others], NAMES)
    if scope == 'coco':
        return coco(root, part, NAMES, drop(name))
    if scope == 'voc':
        return voc(root, part, others, NAMES)
    return label_maps(root, part, NAMES, [NAMES.index(n) for n in others])


SCOPES = dict(
    folders=('mmpretrain', 'image'),
    list=('mmpretrain', 'image'),
    coco=('mmdet', 'object'),
    voc=('mmdet', 'object'),
    maps=('mmseg', 'pixel'),
)


@pytest.mark.parametrize('part', ['train', 'val'])
@pytest.mark.parametrize('kind', SCOPES)
@pytest.mark.parametrize('name', NAMES[::2])
def test_a_class_without_any_is_told(name, kind, part, tmp_path, opened):
    framework, unit = SCOPES[kind]
    pytest.importorskip(framework)
    data = without(kind, tmp_path, part, name)
    heads = segmenter() if unit == 'pixel' else {'head': ToyHead(3)}
    said = opened(framework, heads, **{part: data})
    told = f'{part}_dataloader has no {unit} of 1 of 3 classes ({name}) in 2 images: '
    told = told if kind != 'folders' else told.replace('2 images', '4 images')
    assert told in said and 'error' not in said
    numbers = said.split(': ')[-1]
    assert name not in numbers and all(n in numbers for n in NAMES if n != name)


NOTHING = {
    'folders, one class': (
        'mmpretrain',
        lambda root, part: class_folders(root, part, NAMES, [3, 0, 0]),
        'has only images of the class ant in 3 images: images of ant (3)',
    ),
    'list, one label': (
        'mmpretrain',
        lambda root, part: labelled(root, part, [2, 2], NAMES),
        'has only images of the class cat in 2 images',
    ),
    'COCO, no annotations': (
        'mmdet',
        lambda root, part: coco(root, part, NAMES, lambda c: c.update(annotations=[])),
        'has no object in 2 images',
    ),
    'COCO, no list of annotations': (
        'mmdet',
        lambda root, part: coco(root, part, NAMES, lambda c: c.pop('annotations')),
        'has no object in 2 images',
    ),
    'XML, names of other case': (
        'mmdet',
        lambda root, part: voc(root, part, ('Ant', 'Bee'), NAMES),
        "objects of other names: Ant (2), Bee (2); did you mean 'ant'?",
    ),
    'XML, no objects': (
        'mmdet',
        lambda root, part: voc(root, part, (), NAMES),
        'has no object in 2 images',
    ),
    'maps of 0 and 255': (
        'mmseg',
        lambda root, part: label_maps(root, part, NAMES, [0, 255]),
        'only pixels of the class ant in 2 images: pixels of ant (1,024); 1,024 of the '
        'label 255, which is ignored',
    ),
    'maps of one class': (
        'mmseg',
        lambda root, part: label_maps(root, part, NAMES, [1]),
        'only pixels of the class bee',
    ),
    'maps of ignored pixels': (
        'mmseg',
        lambda root, part: label_maps(root, part, NAMES, [255]),
        'has no pixel in 2 images',
    ),
    'maps of 0 and 1 whose 0 is reduced': (
        'mmseg',
        lambda root, part: label_maps(
            root, part, NAMES, [0, 1], reduce_zero_label=True
        ),
        'only pixels of the class ant',
    ),
}


@pytest.mark.parametrize('kind', NOTHING)
def test_nothing_to_learn_is_refused_and_nothing_to_measure_is_told(
    kind, tmp_path, opened
):
    framework, write, told = NOTHING[kind]
    pytest.importorskip(framework)
    heads = segmenter() if framework == 'mmseg' else {'head': ToyHead(3)}
    said = opened(framework, heads, train=write(tmp_path, 'train'))
    assert said.startswith('error: train_dataloader has ')
    assert told in said and 'nothing to learn' in said
    said = opened(framework, heads, val=write(tmp_path, 'val'))
    assert 'error' not in said and told in said and 'val_dataloader has ' in said


def test_names_that_match_none_are_told_where_filters_leave_nothing(tmp_path, opened):
    pytest.importorskip('mmdet')
    only = dict(filter_cfg=dict(filter_empty_gt=True))
    data = voc(tmp_path, 'train', ('Ant', 'Bee'), NAMES, **only)
    said = opened('mmdet', {'head': ToyHead(3)}, train=data)
    assert 'has no image that its filters let pass, of those in ' in said
    assert 'none of its objects is of' in said
    assert 'but of Ant (2), Bee (2)' in said


def test_names_that_differ_by_case_are_told_beside_right_ones(tmp_path, opened):
    pytest.importorskip('mmdet')
    data = voc(tmp_path, 'train', (*NAMES, 'Cat', 'cow'), NAMES)
    said = opened('mmdet', {'head': ToyHead(3)}, train=data)
    assert 'objects of other names: Cat (2), cow (2)' in said
    data = voc(tmp_path, 'train', (*NAMES, 'cow'), NAMES)  # left out by choice
    assert opened('mmdet', {'head': ToyHead(3)}, train=data) == ''


def test_objects_that_are_all_ignored_are_told_as_such(tmp_path, opened):
    pytest.importorskip('mmdet')
    data = voc(tmp_path, 'train', NAMES, NAMES, filter_cfg=dict(bbox_min_size=99))
    said = opened('mmdet', {'head': ToyHead(3)}, train=data)
    assert 'no object of a class; 6 are ignored, as crowds or difficult ones' in said


CORNERS = dict(
    point=('2', '2', '2', '2'),
    line=('2', '2', '20', '2'),
    swapped=('20', '20', '2', '2'),
    shares=('0.1', '0.1', '0.6', '0.7'),
    outside=('40', '40', '50', '50'),
)


@pytest.mark.parametrize('kind', CORNERS)
@pytest.mark.parametrize('all_of_them', [True, False])
def test_boxes_without_a_pixel_are_told(kind, all_of_them, tmp_path, opened):
    pytest.importorskip('mmdet')
    train = voc(tmp_path, 'train', ('ant', 'bee'), ('ant', 'bee'))
    for path in list((tmp_path / 'train/Annotations').iterdir())[: 1 + all_of_them]:
        text, corners = path.read_text(), ('xmin', 'ymin', 'xmax', 'ymax')
        for corner, value in zip(corners, CORNERS[kind], strict=True):
            text = re.sub(f'<{corner}>.*?</{corner}>', f'<{corner}>{value}', text)
        path.write_text(re.sub(r'(<(x|y)(min|max)>[\d.]+)', r'\1</\2\3>', text))
    said = opened('mmdet', {'bbox_head': ToyHead(2)}, train=train)
    number = 4 if all_of_them else 2
    assert f'{number} have boxes without a pixel in their image' in said
    assert said.startswith('error: train_dataloader has no object') == all_of_them


@pytest.mark.parametrize('name', ['name', 'bndbox', 'ymax'])
def test_an_element_that_objects_lack_is_named(name, tmp_path, opened):
    pytest.importorskip('mmdet')
    train = voc(tmp_path, 'train', ('ant', 'bee'), ('ant', 'bee'))
    path = tmp_path / 'train/Annotations/0.xml'
    path.write_text(re.sub(f'(</?){name}>', r'\1other>', path.read_text()))
    said = opened('mmdet', {'bbox_head': ToyHead(2)}, train=train)
    assert said == f'error: {path}: object 1 has no <{name}>'


ALIEN = [
    ('mmpretrain', lambda root: labelled(root, 'train', [0, 3, 1], NAMES), 3),
    ('mmpretrain', lambda root: labelled(root, 'train', [1, 2, -1], NAMES), -1),
    ('mmpretrain', lambda root: labelled(root, 'train', [0, 1, 9], None), 9),
    ('mmseg', lambda root: label_maps(root, 'train', NAMES, [0, 1, 3]), 3),
    ('mmseg', lambda root: label_maps(root, 'train', NAMES, [1, 2, 254]), 254),
    (
        'mmseg',
        lambda root: label_maps(
            root, 'train', NAMES, [1, 2, 9], reduce_zero_label=True
        ),
        8,
    ),
]


@pytest.mark.parametrize(('framework', 'write', 'label'), ALIEN)
def test_labels_that_are_no_class_are_named_with_their_file(
    framework, write, label, tmp_path, opened
):
    pytest.importorskip(framework)
    data = write(tmp_path)
    heads = segmenter() if framework == 'mmseg' else {'head': ToyHead(3)}
    said = opened(framework, heads, train=data)
    assert str(label) in said and 'but there are 3 classes, 0 to 2' in said
    assert said.startswith(('error: the image /', 'error: the label map /'))


class LoadOwnLabels:
    """A loader of label maps with an axis for depth, after an image is loaded."""

    def __call__(self, results: dict) -> dict:
        random.random()
        label = int(Path(results['img_path']).stem) % 2
        shape = (2, *results['img'].shape[:2])
        return results | dict(gt_seg_map=np.full(shape, label))


def test_label_maps_of_an_own_loader_are_counted(tmp_path, opened):
    pytest.importorskip('mmseg')
    data = label_maps(tmp_path, 'train', NAMES, [0, 1, 2], many=9)
    data['pipeline'][1:] = [LoadOwnLabels(), dict(type='PackSegInputs')]
    before = random.getstate()
    said = opened('mmseg', segmenter(), train=data)
    assert random.getstate() == before
    assert 'has no pixel of 1 of 3 classes (cat) in 9 images' in said


def test_what_heads_ignore_is_no_alien_label(tmp_path, opened):
    pytest.importorskip('mmseg')
    data = label_maps(tmp_path, 'train', NAMES, [0, 1, 2, 77], ignore_index=77)
    heads = {'decode_head': ToyHead(3, ignore_index=77)}
    assert opened('mmseg', heads, train=data) == ''
    said = opened('mmseg', segmenter(), train=data)
    assert 'has the labels [77], but there are 3 classes, 0 to 2; 255 is ig' in said


SUFFIXES = ['.webp', '.JPEG2', '.gif', '.npy', '.jfif']


@pytest.mark.parametrize('suffix', SUFFIXES)
def test_files_that_are_not_read_are_told(suffix, tmp_path, opened):
    pytest.importorskip('mmseg')
    data = class_folders(tmp_path, 'train', ('ant', 'bee'))
    for i in range(3):
        image(tmp_path / f'train/bee/x{i}{suffix}')
    (tmp_path / 'train/ant/notes.txt').write_text('')
    (tmp_path / 'train/ant/.hidden.webp').write_text('')
    said = opened('mmpretrain', {'head': ToyHead(2)}, train=data)
    assert f'3 files are not read, because of their names (3 end in {suffix}' in said
    maps_of = label_maps(tmp_path / 'seg', 'train', NAMES, [0, 1, 2])
    image(tmp_path / f'seg/train_images/x{suffix}')
    said = opened('mmseg', segmenter(), train=maps_of)
    assert f"(1 end in {suffix}); img_suffix is '.png'" in said


def test_files_outside_of_class_folders_are_told(tmp_path, opened):
    data = class_folders(tmp_path, 'train', ('ant', 'bee'))
    image(tmp_path / 'train/x.png')
    said = opened('mmpretrain', {'head': ToyHead(2)}, train=data)
    assert '1 images lie beside the class folders and are not read' in said


def test_images_of_another_suffix_are_told_where_nothing_is_left(tmp_path, opened):
    data = class_folders(tmp_path, 'train', ('ant', 'bee'), suffix='.webp')
    said = opened('mmpretrain', {'head': ToyHead(2)}, train=data)
    assert said.startswith('error: ') and '4 end in .webp' in said
    pytest.importorskip('mmseg')
    data = label_maps(tmp_path, 'train', NAMES, [0, 1, 2], img_suffix='.jpg')
    data['seg_map_suffix'] = '.tif'
    said = opened('mmseg', segmenter(), train=data)
    assert said.startswith('error: ') and "2 end in .png); img_suffix is '.jpg'" in said


def test_label_maps_without_image_are_told(tmp_path, opened):
    pytest.importorskip('mmseg')
    data = label_maps(tmp_path, 'train', NAMES, [0, 1, 2], many=3)
    (tmp_path / 'train_images/0.png').unlink()
    said = opened('mmseg', segmenter(), train=data)
    assert '1 of 3 label maps in ' in said and 'have no image' in said


def test_a_sample_of_many_label_maps_says_so(tmp_path, opened, monkeypatch):
    pytest.importorskip('mmseg')
    monkeypatch.setattr(maps, 'LOOKED_AT', 4)
    data = label_maps(tmp_path, 'train', NAMES, [0, 1], many=9)
    said = opened('mmseg', segmenter(), train=data)
    assert '(cat) in 4 of 9 images, drawn with a fixed seed' in said
    # Where no second class is found, more maps are read: here all.
    data = label_maps(tmp_path, 'train', NAMES, [0, 255], many=9)
    last = random.Random(0).sample(range(9), 9)[-1]
    assert opened('mmseg', segmenter(), train=data).startswith('error: ')
    path = tmp_path / f'train_maps/{last}.png'
    Image.open(path).point(lambda v: 1 if v else 2).save(path)
    assert 'error' not in opened('mmseg', segmenter(), train=data)


def test_a_sample_of_many_images_says_so(tmp_path, opened, monkeypatch):
    monkeypatch.setattr(counts, 'MOST', 4)
    data = labelled(tmp_path, 'train', [0, 1, 0, 1, 0, 1], NAMES)
    said = opened('mmpretrain', {'head': ToyHead(3)}, train=data)
    assert '(cat) in 4 of 6 images, drawn with a fixed seed' in said


def test_wrapped_data_sets_are_counted_together(tmp_path, opened):
    """Neither has all classes, both together have."""
    parts = [
        labelled(tmp_path / 'a', 'train', [0, 1], NAMES),
        labelled(tmp_path / 'b', 'train', [2, 2], NAMES),
    ]
    both = dict(type='ConcatDataset', datasets=parts)
    data = dict(type='RepeatDataset', times=2, dataset=both)
    assert opened('mmpretrain', {'head': ToyHead(3)}, train=data) == ''


@pytest.mark.parametrize(
    ('change', 'told'),
    [
        (dict(classes=NAMES[::-1]), r"differ in classes: \('ant"),
        (dict(classes=[*NAMES]), r"differ in classes: \('ant"),
        (dict(classes=NAMES, colour=1), 'differ in colour: none in the first, 1 in'),
    ],
)
def test_joined_data_sets_that_differ_are_told(change, told, tmp_path, opened):
    data = labelled(tmp_path, 'train', [0, 1, 2], NAMES)
    both = dict(type='ConcatDataset', datasets=[data, data | dict(metainfo=change)])
    said = opened('mmpretrain', {'head': ToyHead(3)}, train=both)
    assert re.match(f'error: train_dataloader joins data sets that {told}', said)


def test_an_empty_list_of_images_is_named(tmp_path, opened):
    data = labelled(tmp_path, 'train', [0, 1, 2], NAMES)
    path = tmp_path / 'train.txt'
    path.write_text('')
    said = opened('mmpretrain', {'head': ToyHead(3)}, train=data)
    assert f'no image that its filters let pass, of those in {path}' in said


@pytest.mark.parametrize(
    'line', ['0.png\t1', '0.png,1', '', 'filename label', '0.png bee', '0.png 1.0']
)
def test_a_line_without_a_label_is_named_with_its_file(line, tmp_path, opened):
    data = labelled(tmp_path, 'train', [0, 1], ('ant', 'bee'))
    with (tmp_path / 'train.txt').open('a') as file:
        file.write(f'{line}\n0.png 1\n')
    said = opened('mmpretrain', {'head': ToyHead(2)}, train=data)
    told = f"the line '{line}'" if line else 'an empty line'
    assert said.startswith('error: ') and f'train.txt has {told}, expected' in said


def test_a_byte_order_mark_in_a_list_is_told(tmp_path, opened):
    data = labelled(tmp_path, 'train', [0, 1], ('ant', 'bee'))
    path = tmp_path / 'train.txt'
    path.write_text(path.read_text(), encoding='utf-8-sig')
    said = opened('mmpretrain', {'head': ToyHead(2)}, train=data)
    assert said.startswith('error: ') and 'byte order mark' in said


def test_classes_as_an_argument_of_a_data_set_belong_into_metainfo(tmp_path, opened):
    pytest.importorskip('mmdet')
    data = coco(tmp_path, 'train', NAMES) | dict(classes=NAMES)
    said = opened('mmdet', {'bbox_head': ToyHead(3)}, train=data)
    assert said.startswith('error: ') and 'set metainfo=dict(classes=...)' in said


def stripped(data: dict, kind: str) -> dict:
    """Return a data set's config whose pipeline lacks a step."""
    steps = [step for step in data['pipeline'] if step['type'] != kind]
    return data | dict(pipeline=steps)


PACKERS = dict(mmpretrain='PackInputs', mmdet='PackDetInputs', mmseg='PackSegInputs')


@pytest.mark.parametrize('framework', PACKERS)
def test_pipelines_without_a_step_that_is_needed(framework, tmp_path, opened):
    pytest.importorskip(framework)
    write = dict(
        mmpretrain=lambda part: labelled(tmp_path, part, [0, 1, 2], NAMES),
        mmdet=lambda part: coco(tmp_path, part, NAMES, masks=False),
        mmseg=lambda part: label_maps(tmp_path, part, NAMES, [0, 1, 2]),
    )[framework]
    heads = segmenter() if framework == 'mmseg' else {'head': ToyHead(3)}
    train = write('train')
    assert 'error' not in opened(framework, heads, train=train)
    said = opened(framework, heads, train=stripped(train, PACKERS[framework]))
    assert said.startswith('error: ') and f'end it with {PACKERS[framework]}' in said
    if framework != 'mmpretrain':
        said = opened(framework, heads, train=stripped(train, 'LoadAnnotations'))
        assert said.startswith('error: ') and 'loads no annotations: put ' in said
