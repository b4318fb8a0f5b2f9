"""Numbers that are asked for by name: those of metrics, and what watches them."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from toy_data import coco, label_maps
from toy_run import ToyHead

from mmmambamixer.evaluation import ForecastMetric
from mmmambamixer.preflight.metrics.monitored import check_monitored
from mmmambamixer.preflight.metrics.numbers import numbers_of

pytest.importorskip('mmpretrain')
pytest.importorskip('mmdet')
pytest.importorskip('mmseg')
from mmdet.evaluation import CocoMetric, VOCMetric
from mmengine.evaluator import Evaluator
from mmpretrain.evaluation import (
    Accuracy,
    AveragePrecision,
    ConfusionMatrix,
    MultiLabelMetric,
    SingleLabelMetric,
)
from mmpretrain.structures import DataSample
from mmseg.evaluation import IoUMetric


class OwnMetric(BaseMetric):
    """Of somebody else, with numbers that nobody knows before."""

    def process(self, data_batch, data_samples) -> None:
        pass

    def compute_metrics(self, results) -> dict:
        return dict(anything=1.0)


BOXES = Evaluator([CocoMetric(metric=['bbox', 'segm'])])
FEW_BOXES = Evaluator([CocoMetric(metric='bbox', metric_items=['mAP_50'])])
PIXELS = Evaluator([IoUMetric()])
DICE = Evaluator([IoUMetric(iou_metrics='mDice')])
IMAGES = Evaluator([Accuracy(topk=(1, 5))])
OWN = Evaluator([OwnMetric()])
SEVERAL = Evaluator([Accuracy(), SingleLabelMetric()])
SEVERAL_OWN = Evaluator([Accuracy(), OwnMetric(prefix='own')])


def saves(name) -> Config:
    return Config(dict(default_hooks=dict(checkpoint=dict(save_best=name))))


def stops(name: str) -> Config:
    return Config(dict(custom_hooks=[dict(type='EarlyStoppingHook', monitor=name)]))


def reduces(name: str) -> Config:
    schedule = dict(type='ReduceOnPlateauLR', monitor=name)
    return Config(dict(param_scheduler=[dict(type='LinearLR'), schedule]))


WRONG = [
    (saves('bbox_mAP'), BOXES, "did you mean 'coco/bbox_mAP'?"),
    (saves('mAP'), BOXES, 'coco/bbox_mAP, '),
    (saves('coco/mAP'), BOXES, 'coco/bbox_mAP, '),
    (saves('coco/bbox_mAP'), FEW_BOXES, 'gives coco/bbox_mAP_50'),
    (saves(['coco/bbox_mAP', 'segm_mAP']), BOXES, "'segm_mAP'"),
    (saves('miou'), PIXELS, 'gives aAcc, mIoU, mAcc'),
    (saves('mIoU'), DICE, 'aAcc, mDice, mAcc'),
    (saves('accuracy_top-1'), IMAGES, 'accuracy/top1, accuracy/top5'),
    (saves('accuracy/top3'), IMAGES, 'accuracy/top1, accuracy/top5'),
    (saves('f1-score'), SEVERAL, "did you mean 'single-label/f1-score'?"),
    (saves('single-label/f1'), SEVERAL, "did you mean 'single-label/f1-score'?"),
    (saves('x/mse'), SEVERAL_OWN, 'accuracy/top1, own/...'),
    (stops('acc'), IMAGES, 'monitor of EarlyStoppingHook in custom_hooks'),
    (stops('bbox_mAP'), BOXES, "did you mean 'coco/bbox_mAP'?"),
    (reduces('mIOU'), PIXELS, 'monitor of ReduceOnPlateauLR in param_scheduler'),
]
RIGHT = [
    (saves('auto'), BOXES),
    (saves(None), BOXES),
    (saves('coco/bbox_mAP'), BOXES),
    (saves(['coco/bbox_mAP', 'coco/segm_mAP_50']), BOXES),
    (saves('mFscore'), Evaluator([IoUMetric(iou_metrics=['mIoU', 'mFscore'])])),
    (saves('accuracy/top5'), IMAGES),
    (saves('single-label/f1-score'), SEVERAL),
    (saves('anything'), OWN),
    (stops('accuracy/top1'), IMAGES),
    (reduces('loss'), IMAGES),
    (Config(dict(val_cfg=dict(type='OwnLoop')) | saves('x').to_dict()), BOXES),
]


@pytest.mark.parametrize(('config', 'evaluator', 'told'), WRONG)
def test_a_number_that_is_not_given_is_refused(config, evaluator, told):
    with pytest.raises(ValueError, match='which val_evaluator does not give') as caught:
        check_monitored(config, evaluator)
    assert told in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize(('config', 'evaluator'), RIGHT)
def test_a_number_that_may_be_given_passes(config, evaluator):
    check_monitored(config, evaluator)


IMAGE_METRICS = [
    Accuracy(topk=(1, 2), thrs=(0.0, 0.5, None)),
    Accuracy(topk=2),
    *(SingleLabelMetric(average=name) for name in ('macro', 'micro', None)),
    SingleLabelMetric(thrs=(0.3, None), items=('precision', 'support')),
    *(MultiLabelMetric(average=name) for name in ('macro', 'micro', None)),
    MultiLabelMetric(thr=0.3),
    MultiLabelMetric(topk=2),
    *(AveragePrecision(average=name) for name in ('macro', None)),
    ConfusionMatrix(num_classes=3),
]


@pytest.mark.parametrize('metric', IMAGE_METRICS)
def test_the_names_are_those_that_a_metric_of_images_gives(metric):
    draw = torch.Generator().manual_seed(0)
    for _ in range(12):
        sample = DataSample(num_classes=3)
        scores = torch.rand(3, generator=draw)
        sample.set_pred_score(scores).set_pred_label(scores.argmax())
        label = torch.randint(3, (1,), generator=draw)
        sample.set_gt_label(label)
        sample.set_gt_score(torch.eye(3)[label[0]])
        metric.process(None, [sample.to_dict()])
    given = metric.compute_metrics(metric.results)
    assert set(numbers_of(metric)) == set(given)
    metric.results.clear()


@pytest.mark.parametrize('asked', ['mIoU', ['mDice', 'mFscore'], ['mIoU', 'mFscore']])
def test_the_names_are_those_that_a_metric_of_pixels_gives(asked):
    metric = IoUMetric(iou_metrics=asked)
    metric.dataset_meta = dict(classes=('a', 'b'))
    labels = torch.tensor([[0, 1], [1, 1]])
    results = [metric.intersect_and_union(labels, labels, 2, 255)]
    assert set(numbers_of(metric)) == set(metric.compute_metrics(results))


@pytest.mark.parametrize('kind', ['mAP', 'recall'])
@pytest.mark.parametrize('thresholds', [0.5, [0.5, 0.75]])
def test_the_names_are_those_that_voc_gives(kind, thresholds):
    metric = VOCMetric(iou_thrs=thresholds, metric=kind)
    metric.dataset_meta = dict(classes=('a',))
    box, none = np.array([[1.0, 1, 9, 9]]), np.zeros((0, 4))
    truth = dict(bboxes=box, labels=np.array([0]), bboxes_ignore=none)
    truth['labels_ignore'] = np.zeros(0, int)
    found = [np.array([[1.0, 1, 9, 9, 0.9]])]
    assert set(numbers_of(metric)) == set(metric.compute_metrics([(truth, found)]))


@pytest.mark.parametrize('quantiles', [(), (0.1, 0.9)])
def test_the_names_are_those_of_forecasts(quantiles):
    metric = ForecastMetric(quantiles=quantiles)
    sample = dict(forecast=torch.ones(4, 2), target=torch.zeros(4, 2))
    sample['quantiles'] = torch.ones(len(quantiles), 4, 2)
    metric.process(None, [sample])
    assert set(numbers_of(metric)) == set(metric.compute_metrics(metric.results))


def test_items_of_boxes_are_checked_before_a_training(tmp_path, opened):
    data = {part: coco(tmp_path, part, ('ant', 'bee')) for part in ('train', 'val')}
    metric = dict(type='CocoMetric', ann_file=str(tmp_path / 'val.json'))
    heads = {'bbox_head': ToyHead(2)}
    assert 'error' not in opened('mmdet', heads, metric, **data)
    said = opened('mmdet', heads, metric | dict(metric_items=['bbox_mAP']), **data)
    assert "has 'bbox_mAP' in metric_items, expected some of ('mAP', " in said


@pytest.mark.parametrize('asked', ['IoU', ['mIoU', 'Dice']])
def test_a_metric_of_pixels_is_asked_for_what_it_knows(asked, tmp_path, opened):
    val = label_maps(tmp_path, 'val', ('ant', 'bee'), [0, 1])
    metric = dict(type='IoUMetric', iou_metrics=asked)
    heads = {'decode_head': ToyHead(2, ignore_index=255)}
    said = opened('mmseg', heads, metric, val=val)
    assert said.startswith('error: ') and "expected some of ('mIoU', " in said
