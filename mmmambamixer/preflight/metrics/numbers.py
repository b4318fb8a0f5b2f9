"""Which numbers a metric gives, before it has measured anything."""

from collections.abc import Iterable, Sequence

from mmengine.evaluator import BaseMetric

COCO = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
COCO_RECALL = ('AR@100', 'AR@300', 'AR@1000', 'AR_s@1000', 'AR_m@1000', 'AR_l@1000')
IOU = dict(
    mIoU=('mIoU', 'mAcc'),
    mDice=('mDice', 'mAcc'),
    mFscore=('mFscore', 'mPrecision', 'mRecall'),
)
LVIS = ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'APr', 'APc', 'APf')
LVIS_RECALL = ('AR@300', 'ARs@300', 'ARm@300', 'ARl@300')
FORECAST = ('mse', 'mae', 'rmse')
FORECAST_QUANTILES = ('pinball', 'crps', 'coverage')
STOCK = ('mmpretrain.', 'mmdet.', 'mmseg.', 'mmmambamixer.')


def stock_kind(metric: BaseMetric) -> str:
    """Return the name of a metric's class if it is of the frameworks or ours, or ''."""
    kind = type(metric)
    return kind.__name__ if kind.__module__.startswith(STOCK) else ''


def numbers_of(metric: BaseMetric) -> tuple[str, ...] | None:
    """Return the names of a metric's numbers, None where they are not known.

    As mmpretrain 1.2, mmdet 3.3 and mmseg 1.2 name them.
    """
    find = NUMBERS.get(stock_kind(metric))
    if find is None or getattr(metric, 'format_only', False):
        return None
    return tuple(dict.fromkeys(find(metric)))


def boxes(metric: BaseMetric) -> Iterable[str]:
    """Return the numbers of `CocoMetric` and `LVISMetric`."""
    lvis = stock_kind(metric) == 'LVISMetric'
    for name in metric.metrics:
        if name == 'proposal_fast':
            yield from (f'AR@{number}' for number in metric.proposal_nums)
        elif name == 'proposal':
            yield from metric.metric_items or (LVIS_RECALL if lvis else COCO_RECALL)
        else:
            items = metric.metric_items or (LVIS if lvis else COCO)
            yield from (f'{name}_{item}' for item in items)
    if metric.classwise:
        names = (metric.dataset_meta or {}).get('classes') or ()
        yield from (f'{name}_precision' for name in names)


def voc(metric: BaseMetric) -> Iterable[str]:
    """Return the numbers of `VOCMetric`."""
    if metric.metric == 'mAP':
        yield 'mAP'
        yield from (f'AP{int(threshold * 100):02d}' for threshold in metric.iou_thrs)
        return
    for number in metric.proposal_nums:
        yield from (f'recall@{number}@{threshold}' for threshold in metric.iou_thrs)
    if len(metric.iou_thrs) > 1:
        yield from (f'AR@{number}' for number in metric.proposal_nums)


def panoptic(metric: BaseMetric) -> Iterable[str]:
    """Return the numbers of `CocoPanopticMetric`."""
    return [
        f'{name}{part}' for part in ('', '_th', '_st') for name in ('PQ', 'SQ', 'RQ')
    ]


def pixels(metric: BaseMetric) -> Iterable[str]:
    """Return the numbers of `IoUMetric`."""
    asked = metric.metrics
    asked = [asked] if isinstance(asked, str) else asked
    return ['aAcc', *(name for key in asked for name in IOU[key])]


def accuracies(metric: BaseMetric) -> Iterable[str]:
    """Return the numbers of `Accuracy`."""
    return [f'top{k}{end}' for k in metric.topk for end in thresholds(metric)]


def single_label(metric: BaseMetric) -> Iterable[str]:
    """Return the numbers of `SingleLabelMetric`."""
    end = '_micro' if metric.average == 'micro' else ''
    end = '_classwise' if metric.average is None else end
    return [f'{x}{middle}{end}' for x in metric.items for middle in thresholds(metric)]


def multi_label(metric: BaseMetric) -> Iterable[str]:
    """Return the numbers of `MultiLabelMetric`."""
    if metric.thr:
        middle = '' if metric.thr == 0.5 else f'_thr-{metric.thr:.2f}'
    else:
        middle = f'_top{metric.topk}'
    end = '' if metric.average == 'macro' else f'_{metric.average or "classwise"}'
    return [f'{item}{middle}{end}' for item in metric.items]


def thresholds(metric: BaseMetric) -> Sequence[str]:
    """Return the ends of names where a metric has several thresholds."""
    if len(metric.thrs) == 1:
        return ['']
    return ['_no-thr' if thr is None else f'_thr-{thr:.2f}' for thr in metric.thrs]


NUMBERS = dict(
    CocoMetric=boxes,
    LVISMetric=boxes,
    VOCMetric=voc,
    CocoPanopticMetric=panoptic,
    CityScapesMetric=lambda _: ('mAP', 'AP@50'),
    IoUMetric=pixels,
    Accuracy=accuracies,
    SingleLabelMetric=single_label,
    MultiLabelMetric=multi_label,
    AveragePrecision=lambda m: ['mAP' if m.average else 'AP_classwise'],
    ConfusionMatrix=lambda _: ['result'],
    ForecastMetric=lambda m: [*FORECAST, *(FORECAST_QUANTILES if m.quantiles else ())],
    BlendMetric=lambda _: ('weight', 'evidence', 'mse', 'line_mse', 'mixers_mse'),
)
"""How the numbers of a metric are named, by its class."""
