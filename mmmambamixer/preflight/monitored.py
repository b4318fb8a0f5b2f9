"""Whether what is asked of metrics by name is a number that they give."""

from collections.abc import Iterator, Mapping

from mmengine.config import Config
from mmengine.evaluator import BaseMetric, Evaluator

from ..messages import did_you_mean, few

COCO = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
COCO_RECALL = ('AR@100', 'AR@300', 'AR@1000', 'AR_s@1000', 'AR_m@1000', 'AR_l@1000')
IOU = dict(
    mIoU=('mIoU', 'mAcc'),
    mDice=('mDice', 'mAcc'),
    mFscore=('mFscore', 'mPrecision', 'mRecall'),
)
STOCK = ('mmpretrain.', 'mmdet.', 'mmseg.')


def check_asked(metric: BaseMetric, key: str) -> None:
    """Raise ValueError if a metric is asked for a number that it does not know.

    mmdet and mmseg raise after the first epoch.

    Args:
        metric: Left alone if it is not one of theirs.
        key: Name of its evaluator.
    """
    kind = stock_kind(metric)
    if kind == 'CocoMetric':
        name, known = 'metric_items', (*COCO, *COCO_RECALL)
        asked = metric.metric_items or ()
    elif kind == 'IoUMetric':
        name, known, asked = 'iou_metrics', tuple(IOU), as_list(metric.metrics)
    else:
        return
    for item in asked:
        if item not in known:
            raise ValueError(
                f"{key} ({kind}) has '{item}' in {name}, expected some of {known}"
            )


def check_monitored(config: Config, evaluator: Evaluator) -> None:
    """Raise ValueError if a run watches a number that its validation does not give.

    MMEngine raises after the first validation, or never stops early. Of metrics that
    are not stock ones the prefix alone is compared; losses and the numbers of own
    loops are left alone.

    Args:
        config: Of the run.
        evaluator: Of its validation; left alone if it names numbers by data sets.
    """
    own_loop = (config.get('val_cfg') or {}).get('type', 'ValLoop') != 'ValLoop'
    if own_loop or hasattr(evaluator, 'dataset_prefixes'):
        return
    given = [
        (f'{metric.prefix}/' if metric.prefix else '', numbers_of(metric))
        for metric in evaluator.metrics
    ]
    known = [head + name for head, names in given for name in names or ()]
    open_heads = [head for head, names in given if names is None]
    for place, name in watched(config):
        if 'loss' in name or name in known or name.startswith(tuple(open_heads)):
            continue
        some = known + [f'{head}...' for head in open_heads]
        raise ValueError(
            f"{place} is '{name}', which val_evaluator does not give; it gives "
            f'{few(some)}{did_you_mean(name, known)}'
        )


def watched(config: Config) -> Iterator[tuple[str, str]]:
    """Yield where a config names a number of the validation, and the name."""
    checkpoint = (config.get('default_hooks') or {}).get('checkpoint') or {}
    for name in as_list(checkpoint.get('save_best')):
        if name != 'auto':
            yield 'default_hooks.checkpoint.save_best', name
    for key in ('custom_hooks', 'param_scheduler'):
        for entry in as_list(config.get(key)):
            name = entry.get('monitor') if isinstance(entry, Mapping) else None
            kind = str(entry.get('type')) if name else ''
            if 'EarlyStoppingHook' in kind or 'ReduceOnPlateau' in kind:
                yield f'monitor of {entry["type"]} in {key}', name


def numbers_of(metric: BaseMetric) -> tuple[str, ...] | None:
    """Return the names of a metric's numbers, None where they are not known."""
    kind = stock_kind(metric)
    if getattr(metric, 'format_only', False) or getattr(metric, 'classwise', False):
        return None
    if kind == 'CocoMetric' and {*metric.metrics} <= {'bbox', 'segm'}:
        items = metric.metric_items or COCO
        return tuple(f'{name}_{item}' for name in metric.metrics for item in items)
    if kind == 'IoUMetric':
        asked = [name for key in as_list(metric.metrics) for name in IOU[key]]
        return tuple(dict.fromkeys(['aAcc', *asked]))
    if kind == 'Accuracy' and len(metric.thrs) == 1:
        return tuple(f'top{k}' for k in metric.topk)
    return None


def stock_kind(metric: BaseMetric) -> str:
    """Return the name of a metric's class if it is one of the frameworks, or ''."""
    kind = type(metric)
    return kind.__name__ if kind.__module__.startswith(STOCK) else ''


def as_list(value) -> list:
    """Return a value in a list, or those of a list; none of None and empty ones."""
    if isinstance(value, (list, tuple)):
        return list(value)
    return [value] if value else []
