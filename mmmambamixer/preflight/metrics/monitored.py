"""Whether what is asked of metrics by name is a number that they give."""

from collections.abc import Iterator, Mapping

from mmengine.config import Config
from mmengine.evaluator import BaseMetric, Evaluator

from ...messages import did_you_mean, few
from .numbers import COCO, COCO_RECALL, IOU, numbers_of, stock_kind


def check_asked(metric: BaseMetric, key: str) -> None:
    """Raise ValueError if a metric is asked for a number that it does not know.

    mmdet and mmseg raise after the first epoch.

    Args:
        metric: Left alone if it is not one of theirs.
        key: Name of its evaluator.
    """
    kind = stock_kind(metric)
    known: tuple[str, ...]
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

    MMEngine raises after the first validation, or never stops early. Of metrics whose
    numbers are not known the prefix alone is compared; losses and the numbers of own
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


def as_list(value) -> list:
    """Return a value in a list, or those of a list; none of None and empty ones."""
    if isinstance(value, (list, tuple)):
        return list(value)
    return [value] if value else []
