"""Parts of one run that mean different things: both sides and the remedy are named."""

import random
import unicodedata

import numpy as np
import pytest
from toy_data import class_folders, coco, image, label_maps, labelled, voc
from toy_run import ToyHead

from mmmambamixer.preflight.data.agreement import (
    alike,
    moved,
    trained_part,
    warn_of_names,
)

pytest.importorskip('mmpretrain')

ANIMALS = ('ant', 'bee', 'cat', 'dog', 'eel', 'fox', 'gnu', 'hen')
REFUSED = 'error: the classes of val_dataloader are not those of '


def other_classes(seed: int) -> tuple[list[str], list[str], str]:
    """Return some classes, others that may be taken for them, and what tells of it."""
    draw = random.Random(seed)
    names = draw.sample(ANIMALS, draw.randint(2, 5))
    others, i = list(names), draw.randrange(len(names))
    kind = ('moved', 'another', 'fewer', 'more')[seed % 4]
    if kind == 'moved':
        others = [*names[1:], names[0]]
        return names, others, f"place 0 is '{names[0]}'"
    if kind == 'another':
        others[i] = 'yak'
        return names, others, 'yak'
    if kind == 'fewer':
        return names, others[:i] + others[i + 1 :], f'lacks {names[i]}'
    return names, [*others[:i], 'yak', *others[i:]], 'lacks yak'


@pytest.mark.parametrize('part', ['val', 'checkpoint'])
@pytest.mark.parametrize('seed', range(12))
def test_other_classes_are_refused(seed, part, tmp_path, opened):
    """Of lists of labels: every order is possible."""
    names, others, told = other_classes(seed)
    val = labelled(tmp_path, 'val', range(len(others)), others)
    if part == 'val':
        train = labelled(tmp_path, 'train', range(len(names)), names)
        head = {'head': ToyHead(len(names))}
        said = opened('mmpretrain', head, train=train, val=val)
        assert said.startswith(REFUSED + 'train_dataloader: ')
    else:
        meta = dict(dataset_meta=dict(classes=names))
        head = {'head': ToyHead(len(names))}
        said = opened('mmpretrain', head, meta=meta, val=val)
        assert said.startswith(REFUSED + 'x.pth: ')
    assert told in said and 'num_classes' not in said


@pytest.mark.parametrize('seed', range(1, 12, 2))
def test_other_class_folders_are_refused(seed, tmp_path, opened):
    names, others, _ = other_classes(seed)
    names, others = sorted(names), sorted({*others})
    train = class_folders(tmp_path, 'train', names)
    val = class_folders(tmp_path, 'val', others)
    said = opened('mmpretrain', {'head': ToyHead(len(names))}, train=train, val=val)
    assert said.startswith(REFUSED) and 'make the class folders the same' in said


def test_folders_of_one_label_are_compared_behind_the_names_of_metainfo(
    tmp_path, opened
):
    """The names are equal, the labels are not."""
    own = dict(metainfo=dict(classes=('x', 'y', 'z')))
    train = class_folders(tmp_path, 'train', ('ant', 'bee', 'cat'), **own)
    head = {'head': ToyHead(3)}
    val = class_folders(tmp_path, 'val', ('bee', 'cat', 'dog'), **own)
    said = opened('mmpretrain', head, train=train, val=val)
    assert said.startswith('error: the class folders of val_dataloader are not those')
    test = class_folders(tmp_path, 'test', ('ant', 'bee', 'dog'), **own)
    said = opened('mmpretrain', head, train=train, test=test)
    assert 'the class folders of test_dataloader are not those' in said


def test_folders_stand_in_the_order_of_their_classes(tmp_path, opened):
    own = dict(metainfo=dict(classes=('1', '2', '10')))
    train = class_folders(tmp_path, 'train', ('1', '2', '10'), **own)
    said = opened('mmpretrain', {'head': ToyHead(3)}, train=train)
    assert "place 1 is '2' in metainfo.classes, '10' in the folders" in said


def test_missing_class_folders_are_named(tmp_path, opened):
    own = dict(metainfo=dict(classes=('ant', 'bee', 'cat')))
    train = class_folders(tmp_path, 'train', ('ant', 'cat'), **own)
    said = opened('mmpretrain', {'head': ToyHead(3)}, train=train)
    assert 'has 2 class folders, train_dataloader names 3 classes' in said
    assert 'the folder lacks bee' in said


SAME = [
    (('cat', 'dog'), ('cat', 'dog')),
    (('traffic light', 'Bus'), ('traffic_light', 'bus')),
    (('T-shirt',), ('tshirt',)),
    (('even', 'odd'), ('0', '1')),  # told, not refused
    (('tench', 'goldfish'), ('n01440764', 'n01443537')),
]


@pytest.mark.parametrize(('names', 'others'), SAME)
def test_the_same_classes_pass(names, others, tmp_path, opened):
    val = labelled(tmp_path, 'val', range(len(names)), others)
    meta = dict(dataset_meta=dict(classes=names))
    head = {'head': ToyHead(len(names))}
    said = opened('mmpretrain', head, meta=meta, val=val)
    assert 'error' not in said
    assert bool(said) != alike(names, others)


def test_names_that_differ_by_case_alone_are_not_the_same():
    assert not alike(('a b', 'ab'), ('ab', 'a b'))
    assert moved(('a', 'b'), ('b', 'c')) and not moved(('a', 'b'), ('a', 'c'))


def test_a_training_may_start_from_other_classes(tmp_path, opened):
    train = labelled(tmp_path, 'train', (0, 1), ('cat', 'dog'))
    meta = dict(dataset_meta=dict(classes=('eel', 'fox')))
    said = opened('mmpretrain', {'head': ToyHead(2)}, meta=meta, anew=True, train=train)
    assert 'starts from x.pth, whose head was trained on other classes' in said


@pytest.mark.parametrize('given', [('dog', 'cat'), ('cat', 'eel'), ('0', '1')])
def test_predictions_have_the_names_of_the_checkpoint(given, said):
    warn_of_names(['cat', 'dog'], given, 'x.pth')
    assert 'test_dataloader are not those of x.pth' in said[0]
    warn_of_names(['cat', 'dog'], ('cat', 'dog'), 'x.pth')
    warn_of_names(None, given, 'x.pth')
    assert len(said) == 1


def test_without_heads_classes_may_differ(tmp_path, opened):
    """As in retrieval."""
    train = labelled(tmp_path, 'train', (0, 1), ('cat', 'dog'))
    val = labelled(tmp_path, 'val', (0, 1), ('eel', 'fox'))
    assert opened('mmpretrain', {}, train=train, val=val) == ''


@pytest.mark.parametrize('reduced', [True, False])
@pytest.mark.parametrize('part', ['val', 'checkpoint'])
def test_labels_that_are_shifted_are_refused(reduced, part, tmp_path, opened):
    pytest.importorskip('mmseg')
    names, head = ('a', 'b'), {'decode_head': ToyHead(2, ignore_index=255)}
    sets = {
        key: label_maps(tmp_path, key, names, [1, 2], reduce_zero_label=value)
        if value
        else label_maps(tmp_path, key, names, [0, 1])
        for key, value in (('train', reduced), ('val', not reduced))
    }
    meta = dict(dataset_meta=dict(classes=names, reduce_zero_label=reduced))
    if part == 'checkpoint':
        said = opened('mmseg', head, meta=meta, val=sets['val'])
    else:
        said = opened('mmseg', head, **sets)
    assert f'has reduce_zero_label={reduced}, val_dataloader has {not reduced}' in said


PLACES = {
    'model.decode_head.ignore_index': dict(head=7),
    'data_preprocessor.seg_pad_val': dict(pad=0),
    'train_dataloader.dataset.ignore_index': dict(data=7),
    'val_evaluator.ignore_index': dict(metric=0),
    'RandomRotate.seg_pad_val of train_dataloader': dict(step=0),
}


@pytest.mark.parametrize('place', PLACES)
def test_other_ignored_labels_are_told(place, tmp_path, opened, said):
    pytest.importorskip('mmseg')
    own = PLACES[place]
    head = ToyHead(2, ignore_index=own.get('head', 255))
    train, val = (
        label_maps(tmp_path, part, ('a', 'b'), [0, 1]) for part in ('train', 'val')
    )
    train['ignore_index'] = own.get('data', 255)
    pad = own.get('step', 255)
    turn = dict(type='RandomRotate', prob=0.0, degree=9, seg_pad_val=pad)
    train['pipeline'].insert(2, turn)
    metric = dict(type='IoUMetric', ignore_index=own.get('metric', 255), prefix='x')
    fill = ToyHead(0, seg_pad_val=own.get('pad', 255))
    del fill.num_classes
    heads = {'decode_head': head, 'data_preprocessor': fill}
    said = opened('mmseg', heads, metric, train=train, val=val)
    value = next(iter(own.values()))
    assert f'{place} {value}' in said and 'ignored pixels have different' in said


CATEGORIES = [
    (('bee', 'ant'), "place 0 is 'ant'"),
    (('ant', 'bug'), 'lacks bee'),
    (('ant', 'bee', 'bug'), None),  # a subset is evaluated
]


@pytest.mark.parametrize(('categories', 'told'), CATEGORIES)
def test_an_evaluator_with_other_categories(categories, told, tmp_path, opened):
    """mmdet numbers the categories by the file, whatever the data set says."""
    pytest.importorskip('mmdet')
    val = coco(tmp_path, 'val', ('ant', 'bee'))
    coco(tmp_path, 'other', categories, lambda c: rename(c, 'val'))
    metric = dict(type='CocoMetric', ann_file=str(tmp_path / 'other.json'))
    said = opened('mmdet', {'bbox_head': ToyHead(2)}, metric, val=val)
    assert 'other.json' in said
    assert said.startswith('error') == bool(told) and (told or '') in said


def rename(content: dict, part: str) -> None:
    """Have a COCO file be about the images of another part."""
    for i, entry in enumerate(content['images']):
        entry['file_name'] = f'{part}_{i}.png'


OTHER_FILES = {
    'other boxes': lambda c: c['annotations'][0].update(bbox=[9, 9, 9, 9]),
    'fewer boxes': lambda c: c['annotations'].pop(),
    'other order': lambda c: c['images'].reverse(),
    'no boxes': lambda c: c.update(annotations=[]),
}


@pytest.mark.parametrize('kind', OTHER_FILES)
def test_an_evaluator_with_another_file(kind, tmp_path, opened):
    pytest.importorskip('mmdet')
    val = coco(tmp_path, 'val', ('ant', 'bee'))
    change = OTHER_FILES[kind]
    coco(tmp_path, 'other', ('ant', 'bee'), lambda c: (rename(c, 'val'), change(c)))
    metric = dict(type='CocoMetric', ann_file=str(tmp_path / 'other.json'))
    said = opened('mmdet', {'bbox_head': ToyHead(2)}, metric, val=val)
    assert 'val_evaluator reads ' in said and 'other.json' in said


def test_an_evaluator_of_other_images_is_refused(tmp_path, opened):
    pytest.importorskip('mmdet')
    val = coco(tmp_path, 'val', ('ant', 'bee'))
    coco(tmp_path, 'other', ('ant', 'bee'))
    path = str(tmp_path / 'other.json')
    metric = dict(type='CocoMetric', ann_file=path)
    said = opened('mmdet', {'bbox_head': ToyHead(2)}, metric, val=val)
    assert said.startswith(f'error: val_evaluator reads {path}, val_dataloader reads ')
    assert '2 of 2 images of val_dataloader are not there' in said


def test_images_that_are_not_evaluated_are_told(tmp_path, opened):
    pytest.importorskip('mmdet')
    val = coco(tmp_path, 'val', ('ant', 'bee'), indices=1)
    metric = dict(type='CocoMetric', ann_file=str(tmp_path / 'val.json'))
    said = opened('mmdet', {'bbox_head': ToyHead(2)}, metric, val=val)
    assert '2 objects in 1 of its 2 images count as missed' in said


REPEATED = {
    'repeated': lambda val, _: dict(type='RepeatDataset', times=2, dataset=val),
    'joined twice': lambda val, _: dict(type='ConcatDataset', datasets=[val, val]),
    'of two files': lambda *both: dict(type='ConcatDataset', datasets=both),
}


@pytest.mark.parametrize('kind', REPEATED)
def test_images_that_are_evaluated_twice_are_refused(kind, tmp_path, opened):
    """Detections of one id are compared with one image, whatever it shows."""
    pytest.importorskip('mmdet')
    both = []
    for folder in (tmp_path / 'x', tmp_path / 'y'):
        folder.mkdir()
        both.append(coco(folder, 'val', ('ant', 'bee')))
    val = REPEATED[kind](*both)
    metric = dict(type='CocoMetric', ann_file=str(tmp_path / 'x/val.json'))
    said = opened('mmdet', {'bbox_head': ToyHead(2)}, metric, val=val)
    assert said.startswith('error: val_dataloader gives 2 of 2 images more than once')
    assert opened('mmdet', {'bbox_head': ToyHead(2)}, train=val) == ''


def test_images_without_objects_that_are_not_evaluated_are_told(tmp_path, opened):
    """False detections in them would lower the AP."""
    pytest.importorskip('mmdet')
    val = coco(tmp_path, 'val', ('ant', 'bee'), second_image_is_empty)
    val |= dict(test_mode=False, filter_cfg=dict(filter_empty_gt=True))
    metric = dict(type='CocoMetric', ann_file=str(tmp_path / 'val.json'))
    said = opened('mmdet', {'bbox_head': ToyHead(2)}, metric, val=val)
    assert 'false detections in 1 images without objects do not count' in said


def second_image_is_empty(content: dict) -> None:
    del content['annotations'][2:]


UNREAD = [
    (dict(classes='ant'), "classes of val_dataloader is the text 'ant', expected a"),
    (dict(CLASSES=('ant', 'bee')), "val_dataloader has 'CLASSES', which nothing reads"),
]


@pytest.mark.parametrize(('metainfo', 'told'), UNREAD)
@pytest.mark.parametrize('write', [coco, voc])
def test_classes_that_are_not_read_as_names(write, metainfo, told, tmp_path, opened):
    pytest.importorskip('mmdet')
    val = write(tmp_path, 'val', ('ant', 'bee'), **WRITTEN[write])
    val['metainfo'] = metainfo
    said = opened('mmdet', {'bbox_head': ToyHead(2)}, val=val)
    assert said.startswith('error: ') and told in said and 'num_classes' not in said


WRITTEN = {coco: {}, voc: dict(classes=('ant', 'bee'))}


def test_classes_of_a_checkpoint_may_be_an_array():
    meta = dict(dataset_meta=dict(classes=np.array(['ant', 'bee'])))
    assert trained_part(meta, 'x.pth').classes == ('ant', 'bee')


def test_a_copy_of_the_file_is_the_same_file(tmp_path, opened):
    pytest.importorskip('mmdet')
    val = coco(tmp_path, 'val', ('ant', 'bee'))
    (tmp_path / 'copy.json').write_bytes((tmp_path / 'val.json').read_bytes())
    metric = dict(type='CocoMetric', ann_file=str(tmp_path / 'copy.json'))
    assert opened('mmdet', {'bbox_head': ToyHead(2)}, metric, val=val) == ''


def test_bands_are_compared_where_the_model_does_not_say_how_many(tmp_path, opened):
    train, val = (
        class_folders(tmp_path, part, ('ant', 'bee')) for part in ('train', 'val')
    )
    for path in (tmp_path / 'val').rglob('*.png'):
        image(path, channels=4)
    val['pipeline'][0] = dict(type='LoadImageFromFile', color_type='unchanged')
    said = opened('mmpretrain', {'head': ToyHead(2)}, train=train, val=val)
    assert 'val_dataloader have 4 channels, those of train_dataloader 3' in said


@pytest.mark.parametrize('std', [60.0, 1.0])
def test_images_that_one_part_alone_normalises_are_told(std, tmp_path, opened):
    train, val = (
        class_folders(tmp_path, part, ('ant', 'bee')) for part in ('train', 'val')
    )
    step = dict(type='Normalize', mean=[120.0] * 3, std=[std] * 3, to_rgb=False)
    train['pipeline'].insert(1, step)
    said = opened('mmpretrain', {'head': ToyHead(2)}, train=train, val=val)
    assert ('does one of the pipelines normalise' in said) == (std > 1)
    val['pipeline'].insert(1, step)
    assert opened('mmpretrain', {'head': ToyHead(2)}, train=train, val=val) == ''


def test_the_two_forms_of_an_accent_are_the_same_name():
    composed, apart = (unicodedata.normalize(form, 'café') for form in ('NFC', 'NFD'))
    assert composed != apart
    assert alike([composed, 'dog'], [apart, 'dog'])


@pytest.mark.parametrize('parts', [('val',), ('train', 'val')])
def test_hidden_folders_are_no_classes(parts, tmp_path, opened):
    names = ('ant', 'bee')
    data = {part: class_folders(tmp_path, part, names) for part in ('train', 'val')}
    for part in parts:
        (tmp_path / part / '.ipynb_checkpoints').mkdir()
    said = opened('mmpretrain', {'head': ToyHead(2)}, **data)
    assert said.startswith(f'error: {parts[0]}_dataloader has a class for the hidden ')
    assert 'remove it' in said and 'num_classes' not in said
    data = {part: d | dict(metainfo=dict(classes=names)) for part, d in data.items()}
    said = opened('mmpretrain', {'head': ToyHead(2)}, **data)
    assert said.startswith('error: ') and '.ipynb_checkpoints' in said
    assert 'remove it' in said
