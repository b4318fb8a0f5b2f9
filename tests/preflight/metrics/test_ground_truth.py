"""Annotation files of LVIS, whose metric counts the match with id 0 as a miss."""

import json
from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import pytest

from mmmambamixer.preflight.metrics.ground_truth import check_ground_truth
from mmmambamixer.preflight.metrics.inputs import check_lvis

BOX = [2, 2, 12, 12]


class Api:
    """What the checks read of LVIS's reader of annotation files."""

    def __init__(self, content: dict) -> None:
        self.dataset = content
        self._create_index()

    def _create_index(self) -> None:
        self.anns = {a['id']: a for a in self.dataset['annotations']}
        self.imgs = {i['id']: i for i in self.dataset['images']}
        self.img_ann_map = defaultdict(list)
        for annotation in self.dataset['annotations']:
            self.img_ann_map[annotation['image_id']].append(annotation)


def content(*ids) -> dict:
    """Return a file with an annotation of each id, as LVIS has them."""
    image = dict(neg_category_ids=[], not_exhaustive_category_ids=[])
    images = [
        dict(image, id=i, coco_url=f'http://x/val2017/{i}.jpg', width=32, height=32)
        for i in range(2)
    ]
    annotations = [
        dict(id=key, image_id=i % 2, category_id=1, bbox=BOX, area=144)
        | dict(segmentation=[[2, 2, 14, 2, 14, 14, 2, 14]])
        for i, key in enumerate(ids)
    ]
    names = [dict(id=1, name='ant', frequency='f', image_count=2)]
    return dict(images=images, annotations=annotations, categories=names)


class Images(list):
    """A data set of images with these ids."""

    def get_data_info(self, index: int) -> dict:
        return dict(img_id=self[index], img_path=f'val2017/{self[index]}.jpg')


def metric(api) -> SimpleNamespace:
    return SimpleNamespace(_coco_api=None, _lvis_api=api, dataset_meta={})


def check(api, *ids, path='lvis.json') -> None:
    images = [Images(ids)]
    check_ground_truth(metric(api), path, images, images, 'val')


@pytest.mark.parametrize('ids', [(0, 1), (5, 0), ('a', 'b'), (1, 0, 2, 3)])
def test_ids_that_cannot_be_matched_are_numbered(ids, said):
    api = Api(content(*ids))
    check(api, 0, 1)
    assert list(api.anns) == list(range(1, len(ids) + 1))
    assert f'lvis.json: {len(ids)} annotations, repaired for the metric' in said[0]


@pytest.mark.parametrize('ids', [(1, 2), (7, 3)])
def test_other_ids_stay(ids, said):
    api = Api(content(*ids))
    check(api, 0, 1)
    assert list(api.anns) == list(ids) and said == []


def test_images_that_the_file_lacks_are_told():
    api = Api(content(1, 2))
    with pytest.raises(ValueError, match=r'1 of 3 images of val_dataloader are not'):
        check(api, 0, 1, 7)


def test_the_package_itself_measures_all_of_it(tmp_path, said, monkeypatch):
    monkeypatch.setattr(np, 'float', float, raising=False)  # which it still calls
    lvis = pytest.importorskip('lvis')
    path = tmp_path / 'lvis.json'
    path.write_text(json.dumps(content(0, 1)))

    def measured(api) -> float:
        found = [dict(image_id=i, category_id=1, bbox=BOX, score=0.9) for i in range(2)]
        evaluation = lvis.LVISEval(api, lvis.LVISResults(api, found), 'bbox')
        evaluation.run()
        return evaluation.results['AP']

    api = lvis.LVIS(str(path))
    assert measured(api) < 1
    check(api, 0, 1, path=str(path))
    assert measured(api) == pytest.approx(1)


class Old:
    def accumulate(self) -> float:
        return np.float(1)


class New:
    def accumulate(self) -> float:
        return np.float64(1) + float(1) + np.float32(1)


def test_a_package_that_this_numpy_fails_is_told():
    check_lvis(New, 'val_evaluator')
    with pytest.raises(AttributeError):
        Old().accumulate()  # what it is about
    with pytest.raises(ValueError, match=r'val_evaluator .*test_ground_truth\.py'):
        check_lvis(Old, 'val_evaluator')
