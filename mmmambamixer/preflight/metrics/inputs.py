"""Whether the metrics get what they need, and read what is evaluated."""

import inspect
import re
from collections.abc import Mapping, Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from torch import nn
from torch.utils.data import Dataset

from ...messages import few
from ...wrappers import unwrapped
from ..data.first_samples import first_sample
from .ground_truth import check_ground_truth, few_ids, warn
from .monitored import check_asked

NEEDS = dict(
    Accuracy='gt_label',
    SingleLabelMetric='gt_label',
    ConfusionMatrix='gt_label',
    IoUMetric='gt_sem_seg',
    VOCMetric='gt_instances',
)
"""What metrics read from each sample."""


def check_metric(
    metric: BaseMetric,
    entry: Mapping,
    datasets: Sequence[Dataset],
    evaluated: Sequence[Dataset],
    sample,
    model: nn.Module,
    part: str,
) -> None:
    """Raise unless a metric can be computed, before anything is trained.

    What is certain is repaired in the metric, see `ground_truth.repair`.

    Args:
        metric: Built, with the `dataset_meta` that it will use.
        entry: Its config.
        datasets: Data sets without wrappers of its part.
        evaluated: Those that give its samples, with wrappers.
        sample: The first of them that the pipeline makes.
        model: Whose predictions it gets.
        part: 'val' or 'test'.

    Raises:
        ValueError: Names the metric, or its file, what it needs and the remedy.
    """
    if getattr(metric, 'format_only', False):
        return
    classes = (metric.dataset_meta or {}).get('classes')
    key = f'{part}_evaluator'
    check_numbers_of_classes(metric, classes, key)
    check_asked(metric, key)
    check_sample(metric, sample, key, f'{part}_dataloader')
    check_moved(metric, evaluated[0], f'{part}_dataloader')
    if hasattr(metric, '_lvis_api'):
        from mmdet.evaluation.metrics.lvis_metric import LVISEval

        check_lvis(LVISEval, key)
    if hasattr(metric, '_coco_api') and 'segm' in getattr(metric, 'metrics', ()):
        check_predicts_masks(model, key)
    check_ground_truth(metric, entry.get('ann_file'), datasets, evaluated, part)


def check_numbers_of_classes(metric: BaseMetric, classes, key: str) -> None:
    """Raise ValueError if a metric is for more classes than there are."""
    if not isinstance(classes, (list, tuple)):
        return
    count, told = len(classes), f'{key} ({type(metric).__name__}) has'
    topk = getattr(metric, 'topk', None)
    if isinstance(topk, tuple) and max(topk) > count:
        raise ValueError(
            f'{told} topk={topk}, but there are {count} classes: '
            f'take topk={tuple(k for k in topk if k <= count) or (1,)}'
        )
    given = getattr(metric, 'num_classes', None)
    if isinstance(given, int) and given != count:
        raise ValueError(f'{told} num_classes={given}, but there are {count} classes')


def check_sample(metric: BaseMetric, sample, key: str, loader: str) -> None:
    """Raise ValueError if the first sample lacks what a metric reads from each."""
    packed = sample.get('data_samples') if isinstance(sample, dict) else None
    if packed is None or isinstance(packed, (list, tuple)):  # of augmented images
        return
    kinds = [kind.__name__ for kind in type(metric).__mro__]
    needed = [NEEDS[kind] for kind in kinds if kind in NEEDS][:1]
    if 'CocoMetric' in kinds:
        needed = ['img_id', 'ori_shape']
        own_file = metric._coco_api or getattr(metric, '_lvis_api', None)
        needed += ['instances'] * (not own_file)
    missing = [name for name in needed if name not in packed]
    if missing:
        raise ValueError(
            f'{key} ({type(metric).__name__}) needs {few(missing)} of every image, '
            f'which the pipeline of {loader} does not give: load the annotations, and '
            'name what is needed in meta_keys where the last step has them'
        )


def check_moved(metric: BaseMetric, dataset: Dataset, loader: str) -> None:
    """Raise ValueError if annotations that a metric compares with are resized.

    Predictions are brought back to the size of the image, annotations are not.

    Args:
        metric: Left alone unless it reads what the pipeline has loaded.
        dataset: That gives the samples; the first one is looked at.
        loader: Name of its part.
    """
    kinds = {kind.__name__ for kind in type(metric).__mro__}
    if not kinds & {'VOCMetric', 'IoUMetric'}:
        return
    sample = first_sample(dataset)
    packed = sample.get('data_samples') if isinstance(sample, dict) else None
    if packed is None or isinstance(packed, (list, tuple)):  # of augmented images
        return
    moved = moved_boxes if 'VOCMetric' in kinds else moved_labels
    if told := moved(packed, dataset.get_data_info(0)):
        raise ValueError(
            f'{told}: {type(metric).__name__} compares predictions, which are brought '
            'back to the size of the image, with annotations that are not; in the '
            f'pipeline of {loader} put LoadAnnotations after the steps that resize'
        )


def moved_labels(packed, info: Mapping) -> str:
    """Return a clause about a label map of another size than its image, or ''."""
    labels, size = packed.get('gt_sem_seg'), packed.get('ori_shape')
    shape = None if labels is None else tuple(labels.data.shape[-2:])
    if None in (shape, size) or shape == tuple(size[:2]):
        return ''
    return f'the label map of {info.get("img_path")} has the size {shape}, not {size}'


def moved_boxes(packed, info: Mapping) -> str:
    """Return a clause about boxes that are not where the annotations say, or ''."""
    objects = packed.get('gt_instances')
    given = [x['bbox'] for x in info['instances'] if not x.get('ignore_flag')]
    if not objects or len(objects) != len(given):
        return ''
    boxes = getattr(objects.bboxes, 'tensor', objects.bboxes).tolist()
    if np.abs(np.subtract(boxes, given)).max() < 1:
        return ''
    return f'the first box of {info.get("img_path")} is {boxes[0]}, not {given[0]}'


def check_lvis(evaluation: type, key: str) -> None:
    """Raise ValueError if the package lvis calls what NumPy no longer has.

    As its version 0.5.3, and mmlvis 10.5.3, would after the first epoch.

    Args:
        evaluation: The package's `LVISEval`.
        key: Name of the evaluator.
    """
    if hasattr(np, 'float') or not re.search(
        r'\bnp\.float\b', inspect.getsource(evaluation)
    ):
        return
    raise ValueError(
        f'{key} needs the package lvis, which calls np.float, and NumPy '
        f'{np.__version__} has none: write float for np.float in '
        f'{inspect.getfile(evaluation)}'
    )


def check_predicts_masks(model: nn.Module, key: str) -> None:
    """Raise ValueError if masks are measured that a two-stage detector has not."""
    heads = getattr(unwrapped(model), 'roi_head', None)
    if heads is not None and not getattr(heads, 'with_mask', True):
        raise ValueError(
            f"{key} measures 'segm', but the model has no mask head: take "
            "metric='bbox', or a model with model.roi_head.mask_head"
        )


def check_masks(
    dataset: Dataset, classes: Sequence[str], files: Mapping, key: str
) -> None:
    """Raise unless objects have the masks that the pipeline of a data set loads.

    Args:
        dataset: Without wrappers.
        classes: Names of its classes.
        files: COCO files that were read, as from `watch_coco`.
        key: Name of its part.

    Raises:
        ValueError: Names the file, an annotation, and `with_mask`.
    """
    steps = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    if not any(getattr(step, 'with_mask', False) for step in steps):
        return
    remedy = (
        f'which LoadAnnotations of {key} loads, for it has with_mask=True: add masks, '
        'or set with_mask=False and take a model without a mask head'
    )
    file = files.get(getattr(dataset, 'ann_file', None))
    if file is not None:
        bare = [i for i, name in file.no_mask.items() if name in classes]
        if bare:
            raise ValueError(
                f'{dataset.ann_file}: {few_ids(bare)} no segmentation, {remedy}'
            )
        flat = [i for i, name in file.no_area.items() if name in classes]
        if flat:
            warn(
                f'{dataset.ann_file}: {few_ids(flat)} only polygons of fewer than 6 '
                'numbers; mmdet ignores these objects',
            )
        return
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        bare = [x for x in info.get('instances', ()) if 'mask' not in x]
        if bare:
            raise ValueError(
                f'{len(bare)} objects in the image {info["img_path"]} have no mask, '
                f'{remedy}'
            )
