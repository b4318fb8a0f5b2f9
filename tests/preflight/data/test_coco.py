"""COCO files that mmdet would read in part and in silence: what is said instead."""

import json
from copy import deepcopy

import pytest

from mmmambamixer.preflight.data.coco import check_annotations, watch_coco

BOX = dict(id=1, image_id=1, category_id=3, bbox=[2, 2, 8, 6], area=48)
IMAGE = dict(id=1, file_name='1.png', width=20, height=10)
CONTENT = dict(
    images=[IMAGE, IMAGE | dict(id=2)],
    annotations=[BOX, BOX | dict(id=2, bbox=[0, 0, 20, 10])],
    categories=[dict(id=3, name='cat'), dict(id=5, name='dog')],
)


def change(name: str, key: str, value=None, entry: int = 0) -> dict:
    """Return the content with another value, or without the key if that is None."""
    content = deepcopy(CONTENT)
    if value is None:
        del content[name][entry][key]
    else:
        content[name][entry][key] = value
    return content


def boxes(*values: list, **more) -> dict:
    """Return the content with these boxes."""
    boxes = [BOX | dict(id=i, bbox=box) | more for i, box in enumerate(values, 1)]
    return CONTENT | dict(annotations=boxes)


FORM = r', expected \[x, y, width, height\]'
MASK = 'has a segmentation of size'
WRONG = [
    (CONTENT | dict(images=[]), "needs a list of 'images', it has list of 0"),
    (CONTENT | dict(images=None), "needs a list of 'images', it has none"),
    (CONTENT | dict(categories=[]), "needs a list of 'categories'"),
    (change('images', 'id'), r"images\[0\] has no 'id'"),
    (change('images', 'file_name'), r"images\[0\] has no 'file_name'"),
    (change('images', 'width'), r"images\[0\] has no 'width'"),
    (change('images', 'id', 2), 'several images have the id 2'),
    (change('images', 'width', 0), r'width and height \(0, 10\), expected positive'),
    (change('images', 'height', '10'), r"width and height \(20, '10'\), expected pos"),
    (change('categories', 'id', 5), 'several categories have the id 5'),
    (change('categories', 'name'), r"categories\[0\] has no 'name'"),
    (change('annotations', 'id', 2), 'several annotations have the id 2'),
    (
        change('annotations', 'image_id', 9),
        'annotation 1 has the image_id 9, expected one of',
    ),
    (
        change('annotations', 'category_id', 4),
        r'category_id 4, expected one of \[3, 5\]',
    ),
    (change('annotations', 'category_id'), r"annotations\[0\] has no 'category_id'"),
    (change('annotations', 'bbox'), r"annotations\[0\] has no 'bbox'"),
    (change('annotations', 'area', entry=1), r"annotations\[1\] has no 'area'"),
    (change('annotations', 'area', '48'), "annotation 1 has the area '48', expected a"),
    (change('annotations', 'area', float('nan')), 'annotation 1 has the area nan'),
    (change('annotations', 'area', [48]), r'annotation 1 has the area \[48\]'),
    (change('annotations', 'iscrowd', '0'), "annotation 1 has iscrowd='0', expected 0"),
    (change('annotations', 'iscrowd', 2), 'annotation 1 has iscrowd=2'),
    (boxes([1, 2, 3]), r'annotation 1 has the bbox \[1, 2, 3\]' + FORM),
    (boxes('1234'), 'annotation 1 has the bbox 1234' + FORM),
    (boxes([1, 2, 3, 'x']), r"has the bbox \[1, 2, 3, 'x'\]" + FORM),
    (boxes([1, 2, -3, 4]), r'has the bbox \[1, 2, -3, 4\]' + FORM),
    (boxes([1, 2, float('nan'), 4]), r'has the bbox \[1, 2, nan, 4\]' + FORM),
    (boxes([1, float('inf'), 3, 4]), r'has the bbox \[1, inf, 3, 4\]' + FORM),
    (boxes([1, 2, 0, 0], [3, 3, 0, 5]), 'none of the 2 boxes can be learnt'),
    (boxes([100, 100, 5, 5]), 'none of the 1 boxes can be learnt'),
    (boxes([0.1, 0.1, 0.4, 0.6]), 'none of the 1 boxes can be learnt'),  # of 1
    (boxes([2, 2, 8, 6], iscrowd=1), 'none of the 1 boxes can be learnt'),
    (boxes([15, 5, 18, 9], [9, 6, 17, 9]), '2 of 2 boxes reach beyond .*, not corners'),
    (boxes([2, 2, 8, 6], segmentation='x'), f'{MASK} None, expected polygons'),
    (
        boxes([2, 2, 8, 6], segmentation=dict(size=[3, 3])),
        rf'{MASK} \[3, 3\], expected',
    ),
    (
        boxes([2, 2, 8, 6], segmentation=dict(size=[10, 20], counts=[9])),
        'has run lengths of 9 pixels, expected those of its image',
    ),
    (change('annotations', 'category_id', [3]), r'has the category_id \[3\], expected'),
    (change('annotations', 'id', [1]), r'annotations\[0\] has the id \[1\]'),
    (
        boxes([2, 2, 8, 6], segmentation=dict(size=[10, 20])),
        'has a segmentation without counts',
    ),
    (
        boxes([2, 2, 8, 6], segmentation=[[[2, 2]] * 6]),
        r'has the polygon \[\[2, 2\].*, expected \[x1, y1',
    ),
    (boxes([2, 2, 8, 6], segmentation=[['1'] * 6]), r"has the polygon \['1', "),
    (boxes([2, 2, 8, 6], segmentation=[[float('nan')] * 6]), r'polygon \[nan, '),
    (boxes([2, 2, 8, 6], segmentation=[[1, 2, 3]]), r'has the polygon \[1, 2, 3\]'),
]


@pytest.mark.parametrize(('content', 'text'), WRONG)
def test_what_is_wrong_is_named(content, text):
    with pytest.raises(ValueError, match=f'^a.json.*{text}'):
        check_annotations(content, 'a.json')


WARNED = [
    (
        boxes([2, 2, 8, 6], [100, 2, 5, 5], [1, 1, 5, 5], area=20),
        '1 of 3 boxes are left out',
    ),
    (boxes([2, 2, 8, 6], [2, 2, 5, 5], area=0.2), '2 of 2 annotations, as 1, have an'),
    (boxes([2, 2, 8, 6], [2, 2, 5, 5], area=480), '2 of 2 annotations, as 1, have an'),
    (boxes([2, 2, 8, 6], [2, 2, 0, 5]), '1 of 2 boxes are left out'),
    (boxes([2, 2, 8, 6], [15, 2, 9, 5]), '1 of 2 boxes are cut'),
]


@pytest.mark.parametrize(('content', 'text'), WARNED)
def test_what_mmdet_changes_is_said(content, text, said):
    check_annotations(content, 'a.json')
    assert f'a.json: {text}' in ''.join(said)


FINE = [
    CONTENT,
    {key: CONTENT[key] for key in ('images', 'categories')},  # test images of COCO
    boxes([2, 2, 8, 6], segmentation=[[1, 1, 5, 1, 5, 5]]),
    boxes([2, 2, 8, 6], segmentation=dict(size=[10, 20], counts=[200])),
    boxes([12.5, 2, 8.2, 6]),  # rounding
]


@pytest.mark.parametrize('content', FINE)
def test_what_is_right_is_silent(content, said):
    check_annotations(content, 'a.json')
    assert not said


def test_mmdet_reads_through_the_check(tmp_path):
    coco = pytest.importorskip('mmdet.datasets').CocoDataset
    reader, path = coco.COCOAPI, tmp_path / 'a.json'
    settings = dict(
        ann_file=str(path),
        data_prefix=dict(img=''),
        metainfo=dict(classes=('cat', 'dog')),
    )
    path.write_text(json.dumps(CONTENT))
    with watch_coco(coco) as files:
        assert len(coco(**settings)) == 2
        assert files[str(path)].boxes == dict(cat=2)
        path.write_text(json.dumps(boxes([1, 2, -3, 4])))
        with pytest.raises(ValueError, match=r'a\.json: annotation 1 has the bbox'):
            coco(**settings)
    assert coco.COCOAPI is reader
