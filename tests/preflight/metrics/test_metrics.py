"""What metrics need and files lack: repaired where it is certain, else told."""

from copy import deepcopy

import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData
from torch import nn
from toy_data import coco, label_maps, labelled, voc
from toy_run import ToyHead

from mmmambamixer.preflight.data.first_samples import check_sizes_known
from mmmambamixer.preflight.metrics.ground_truth import repair
from mmmambamixer.preflight.metrics.inputs import moved_boxes, moved_labels

pytest.importorskip('mmdet')
from mmdet.datasets.api_wrappers import COCO, COCOeval

NAMES = ('ant', 'bee')
HEADS = {'bbox_head': ToyHead(2)}


def measured(root, change=None, metric='segm', masks=True, **more) -> dict:
    """Return a validation set and its metric, as arguments of `opened`."""
    val = coco(root, 'val', NAMES, change, masks=masks)
    path = str(root / 'val.json')
    more = dict(type='CocoMetric', ann_file=path, metric=metric) | more
    return dict(evaluator=more, val=val)


def each(change):
    """Return a change of a file that changes every second annotation."""

    def change_file(content: dict) -> None:
        for annotation in content['annotations'][::2]:
            change(annotation)

    return change_file


def number_from(first: int):
    def change(content: dict) -> None:
        for number, annotation in enumerate(content['annotations'], first):
            annotation['id'] = number

    return change


TRIANGLE = [3, 3, 9, 3, 9, 9]
REPAIRED = {
    'ids from 0': (number_from(0), 'numbered from 1'),
    'ids from -1': (number_from(-1), 'numbered from 1'),
    'ids that are text': (
        lambda c: [a.update(id=f'ann-{a["id"]}') for a in c['annotations']],
        'numbered from 1',
    ),
    'no iscrowd': (each(lambda a: a.pop('iscrowd')), 'iscrowd=0 added to 2'),
    'iscrowd is none': (
        each(lambda a: a.update(iscrowd=None)),
        'iscrowd=0 added to 2',
    ),
    'a line beside a polygon': (
        each(lambda a: a.update(segmentation=[TRIANGLE, [1, 1, 5, 5]])),
        'polygons without area of 2 left out',
    ),
    'a line before a polygon': (
        each(lambda a: a.update(segmentation=[[1, 1, 5, 5], TRIANGLE])),
        'polygons without area of 2 left out',
    ),
    'a point beside a polygon': (
        each(lambda a: a.update(segmentation=[[1, 1], TRIANGLE])),
        'polygons without area of 2 left out',
    ),
    'an empty polygon': (
        each(lambda a: a.update(segmentation=[[], TRIANGLE])),
        'polygons without area of 2 left out',
    ),
    'all of it': (
        lambda c: (
            number_from(0)(c),
            each(lambda a: a.pop('iscrowd'))(c),
            each(lambda a: a.update(segmentation=[TRIANGLE, [1, 1]]))(c),
        ),
        'left out; iscrowd=0 added to 2; numbered from 1',
    ),
}


def average_precision(api: COCO) -> float:
    """Return the AP of predictions that are the annotations themselves."""
    found = [
        dict(
            image_id=a['image_id'],
            category_id=a['category_id'],
            bbox=a['bbox'],
            score=0.9,
        )
        for a in deepcopy(api.dataset['annotations'])
    ]
    evaluation = COCOeval(api, api.loadRes(found), 'bbox')
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats[0]


@pytest.mark.parametrize('kind', REPAIRED)
def test_what_is_certain_is_repaired(kind, tmp_path, opened):
    change, told = REPAIRED[kind]
    arguments = measured(tmp_path, change)
    before = (tmp_path / 'val.json').read_bytes()
    said = opened('mmdet', HEADS, **arguments)
    assert 'error' not in said and told in said and 'val.json: 4 annotations' in said
    assert (tmp_path / 'val.json').read_bytes() == before
    api = COCO(str(tmp_path / 'val.json'))
    repair(api, 'val.json', NAMES)
    assert average_precision(api) == 1
    for annotation in api.anns.values():
        assert api.annToMask(annotation).any()


def test_ids_from_0_are_too_low_in_a_stock_tool(tmp_path):
    """The reason for the repair; if this fails, pycocotools has been mended."""
    coco(tmp_path, 'val', NAMES, number_from(0))
    api = COCO(str(tmp_path / 'val.json'))
    assert average_precision(api) < 1
    repair(api, 'val.json', ())
    assert average_precision(api) == 1


BARE = {
    'no segmentation': lambda a: a.pop('segmentation'),
    'an empty one': lambda a: a.update(segmentation=[]),
    'none': lambda a: a.update(segmentation=None),
}
FLAT = {
    'lines': lambda a: a.update(segmentation=[[1, 1, 5, 5]]),
    'a point': lambda a: a.update(segmentation=[[1, 1]]),
    'two lines': lambda a: a.update(segmentation=[[1, 1, 5, 5], [2, 2, 3, 3]]),
}


@pytest.mark.parametrize('kind', [*BARE, *FLAT])
def test_masks_that_are_missing_are_told(kind, tmp_path, opened):
    change = each((BARE | FLAT)[kind])
    train = coco(tmp_path, 'train', NAMES, change)
    said = opened('mmdet', HEADS, train=train)
    assert 'train.json: 2 annotations, as 1, 3, have ' in said
    assert said.startswith('error') == (kind in BARE)
    assert ('with_mask=True' if kind in BARE else 'fewer than 6 numbers') in said
    said = opened('mmdet', HEADS, **measured(tmp_path, change, masks=False))
    assert said.startswith('error') and 'val.json: 2 annotations, as 1, 3' in said
    assert "'segm' needs" in said
    boxes = measured(tmp_path, change, metric='bbox', masks=False)
    assert opened('mmdet', HEADS, **boxes) == ''


def test_masks_of_other_classes_may_be_missing(tmp_path, opened):
    """A data set may take some categories of a file."""

    def change(content):
        for annotation in content['annotations']:
            if annotation['category_id'] == 2:
                del annotation['segmentation']

    only = dict(metainfo=dict(classes=('ant',)))
    val = coco(tmp_path, 'val', NAMES, change, **only)
    path = str(tmp_path / 'val.json')
    metric = dict(type='CocoMetric', ann_file=path, metric='segm')
    said = opened('mmdet', {'bbox_head': ToyHead(1)}, metric, val=val)
    assert said == ''


SAID_BEFORE = {
    'two of one id': (
        lambda c: c['annotations'][1].update(id=1),
        'several annotations have the id 1',
    ),
    'no area': (lambda c: c['annotations'][1].pop('area'), "has no 'area'"),
    'no id': (lambda c: c['annotations'][1].pop('id'), "has no 'id'"),
    'an odd polygon': (
        lambda c: c['annotations'][1].update(segmentation=[[1, 2, 3, 4, 5, 6, 7]]),
        'has the polygon [1, 2, 3, 4, 5, 6, 7]',
    ),
}


@pytest.mark.parametrize('kind', SAID_BEFORE)
def test_files_of_evaluators_are_checked_as_those_of_data_sets(kind, tmp_path, opened):
    change, told = SAID_BEFORE[kind]
    arguments = measured(tmp_path, change)
    said = opened('mmdet', HEADS, **arguments)
    assert said.startswith('error') and told in said and 'val.json: ' in said
    (tmp_path / 'val.json').rename(tmp_path / 'other.json')
    arguments = measured(tmp_path, ann_file=str(tmp_path / 'other.json'))
    said = opened('mmdet', HEADS, **arguments)
    assert said.startswith('error') and told in said and 'other.json: ' in said


def test_a_metric_of_masks_needs_a_model_with_masks(tmp_path, opened):
    heads = {'roi_head': ToyHead(2, with_mask=False)}
    said = opened('mmdet', heads, **measured(tmp_path))
    assert "val_evaluator measures 'segm', but the model has no mask head" in said


def lacking(kind: str, root):
    """Return framework, heads, and data that lack what a metric needs."""
    if kind == 'Accuracy':
        val = labelled(root, 'val', [0, 1], NAMES) | dict(with_label=False)
        (root / 'val.txt').write_text('0.png\n1.png\n')
        return 'mmpretrain', {'head': ToyHead(2)}, val
    if kind == 'IoUMetric':
        val = label_maps(root, 'val', NAMES, [0, 1])
        del val['pipeline'][1]
        return 'mmseg', {'decode_head': ToyHead(2, ignore_index=255)}, val
    return 'mmdet', HEADS, coco(root, 'val', NAMES)


NEEDED = dict(Accuracy='gt_label', IoUMetric='gt_sem_seg', CocoMetric='instances')


@pytest.mark.parametrize('kind', NEEDED)
def test_what_the_pipeline_does_not_give_is_named(kind, tmp_path, opened):
    scope, heads, val = lacking(kind, tmp_path)
    pytest.importorskip(scope)
    metric = dict(type=kind, prefix='x')
    said = opened(scope, heads, metric, val=val)
    assert f'({kind}) needs {NEEDED[kind]} of every image, which the pipeline' in said
    if kind != 'Accuracy':  # which writes no results
        metric |= formats(kind, tmp_path)
        assert 'error' not in opened(scope, heads, metric, val=val)


def formats(kind: str, folder) -> dict:
    """Return what makes a metric write results only."""
    if kind == 'CocoMetric':
        return dict(format_only=True, outfile_prefix=str(folder / 'x'))
    return dict(format_only=True, output_dir=str(folder))


@pytest.mark.parametrize('topk', [(1, 5), 3, (2, 3)])
def test_more_best_classes_than_classes(topk, tmp_path, opened):
    val = labelled(tmp_path, 'val', [0, 1], NAMES)
    metric = dict(type='Accuracy', topk=topk)
    said = opened('mmpretrain', {'head': ToyHead(2)}, metric, val=val)
    assert 'val_evaluator (Accuracy) has topk=' in said
    assert 'but there are 2 classes: take topk=' in said


def test_a_metric_for_other_classes(tmp_path, opened):
    val = labelled(tmp_path, 'val', [0, 1], NAMES)
    metric = dict(type='ConfusionMatrix', num_classes=3)
    said = opened('mmpretrain', {'head': ToyHead(2)}, metric, val=val)
    assert '(ConfusionMatrix) has num_classes=3, but there are 2 classes' in said


def test_a_metric_for_each_data_set_reads_the_file_of_its_own(tmp_path, opened):
    sets = [coco(tmp_path, part, NAMES) for part in ('a', 'b')]
    metrics = [
        dict(type='CocoMetric', ann_file=str(tmp_path / f'{part}.json'))
        for part in ('a', 'b')
    ]
    val = dict(type='ConcatDataset', datasets=sets)
    assert 'are not there' in opened('mmdet', HEADS, metrics, val=val)
    kind = dict(type='MultiDatasetsEvaluator', dataset_prefixes=['a', 'b'])
    assert opened('mmdet', HEADS, dict(kind, metrics=metrics), val=val) == ''


def square(x: float, y: float, side: float) -> list:
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


APART = {
    'a line of four corners': square(4, 4, 0),
    'outside of the image': square(100, 100, 9),
    'in shares of the image': square(0.1, 0.1, 0.4),
    'of another object': square(29, 1, 2),
    'run lengths without a pixel': dict(size=[32, 32], counts=[1024]),
}


@pytest.mark.parametrize('kind', APART)
@pytest.mark.parametrize('number', [1, 4])
def test_masks_apart_from_their_boxes_are_told(kind, number, tmp_path, opened):
    def change(content: dict) -> None:
        for annotation in content['annotations'][:number]:
            annotation['segmentation'] = APART[kind]

    said = opened('mmdet', HEADS, **measured(tmp_path, change))
    assert 'a segmentation of no pixel in the box, of 4 that are measured' in said
    assert said.startswith('error') == (number == 4)
    change = measured(tmp_path, change, metric='bbox', masks=False)
    assert opened('mmdet', HEADS, **change) == ''


RESIZE, FLIP = dict(type='Resize', scale=(64, 64)), dict(type='RandomFlip', prob=0.5)


@pytest.mark.parametrize('framework', ['mmdet', 'mmseg'])
@pytest.mark.parametrize('place', [1, 2])
def test_annotations_that_are_resized_are_refused(place, framework, tmp_path, opened):
    """Before the annotations are loaded it is right."""
    pytest.importorskip(framework)
    if framework == 'mmdet':
        val, metric = voc(tmp_path, 'val', NAMES, NAMES), dict(type='VOCMetric')
        val, heads = val | dict(test_mode=True), HEADS
    else:
        val = label_maps(tmp_path, 'val', NAMES, [0, 1])
        heads = {'decode_head': ToyHead(2, ignore_index=255)}
        metric = dict(type='IoUMetric', prefix='x')
    val['pipeline'].insert(place, RESIZE)
    said = opened(framework, heads, metric, val=val)
    assert said.startswith('error: ') == (place == 2)
    assert said == '' or 'put LoadAnnotations after the steps that resize' in said


def test_a_measured_pipeline_with_random_steps_is_told(tmp_path, opened):
    arguments = measured(tmp_path)
    arguments['val']['pipeline'].insert(2, FLIP)
    said = opened('mmdet', HEADS, **arguments)
    assert 'pipeline of val_dataloader has RandomFlip' in said and 'error' not in said
    arguments['val']['pipeline'][2] = FLIP | dict(prob=0.0)
    assert opened('mmdet', HEADS, **arguments) == ''


class TwoStageDetector(nn.Module):
    """Named as that of mmdet."""


@pytest.mark.parametrize('views', [False, True])
def test_a_detector_needs_the_sizes_of_images_to_predict(views):
    packed = BaseDataElement(metainfo=dict(ori_shape=(8, 8), img_shape=(8, 8)))
    sample = dict(data_samples=[packed] if views else packed)
    with pytest.raises(ValueError, match='val_dataloader does not give scale_factor'):
        check_sizes_known(TwoStageDetector(), sample, 'val')
    packed.set_metainfo(dict(scale_factor=(1.0, 1.0)))
    check_sizes_known(TwoStageDetector(), sample, 'val')


@pytest.mark.parametrize('side', [0, 1])
def test_annotations_moved_along_one_side_are_told(side):
    info = dict(img_path='a.png', instances=[dict(bbox=[10, 10, 20, 20])])
    box = torch.tensor([[10.0, 10.0, 20.0, 20.0]])
    assert moved_boxes(dict(gt_instances=InstanceData(bboxes=box)), info) == ''
    box[:, side::2] *= 2
    assert 'a.png is [' in moved_boxes(
        dict(gt_instances=InstanceData(bboxes=box)), info
    )

    labels = BaseDataElement(data=torch.zeros(1, 32, 32))
    assert moved_labels(dict(gt_sem_seg=labels, ori_shape=(32, 32)), info) == ''
    size = [32, 32]
    size[side] = 64
    told = moved_labels(dict(gt_sem_seg=labels, ori_shape=size), info)
    assert told.startswith('the label map of a.png has the size (32, 32), not [')
