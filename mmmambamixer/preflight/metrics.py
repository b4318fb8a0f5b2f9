"""Whether the metrics get what they need, and read what is evaluated."""

import filecmp
import os
from collections.abc import Mapping, Sequence
from numbers import Real

from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import nn
from torch.utils.data import Dataset

from ..messages import few
from ..wrappers import unwrapped
from .agreement import tell_apart
from .coco import check_annotations, whole_polygons
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
    sample,
    model: nn.Module,
    part: str,
) -> None:
    """Raise unless a metric can be computed, before anything is trained.

    What is certain is repaired in the metric, see `repair`.

    Args:
        metric: Built, with the `dataset_meta` that it will use.
        entry: Its config.
        datasets: Data sets without wrappers of its part.
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
    path, api = entry.get('ann_file'), getattr(metric, '_coco_api', None)
    if path:
        warn_of_other_file(path, datasets, part)
    if hasattr(metric, '_coco_api') and 'segm' in getattr(metric, 'metrics', ()):
        check_predicts_masks(model, key)
    if api is None or any(isinstance(entry, list) for entry in api.anns.values()):
        return  # without a file, or a panoptic one
    path = path or key
    if not any(same_file(path, own) for own in files_like(path, datasets)):
        check_annotations(api.dataset, path)
    check_images(api, path, datasets, part)
    check_categories(api, path, classes, f'{part}_dataloader')
    repair(api, path, classes if 'segm' in metric.metrics else ())


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
        needed += ['instances'] * (metric._coco_api is None)
    missing = [name for name in needed if name not in packed]
    if missing:
        raise ValueError(
            f'{key} ({type(metric).__name__}) needs {few(missing)} of every image, '
            f'which the pipeline of {loader} does not give: load the annotations, and '
            'name what is needed in meta_keys where the last step has them'
        )


def check_predicts_masks(model: nn.Module, key: str) -> None:
    """Raise ValueError if masks are measured that a two-stage detector has not."""
    heads = getattr(unwrapped(model), 'roi_head', None)
    if heads is not None and not getattr(heads, 'with_mask', True):
        raise ValueError(
            f"{key} measures 'segm', but the model has no mask head: take "
            "metric='bbox', or a model with model.roi_head.mask_head"
        )


def files_like(path: str, datasets: Sequence[Dataset]) -> list[str]:
    """Return the annotation files of data sets that have the suffix of another."""
    files = [str(getattr(dataset, 'ann_file', None) or '') for dataset in datasets]
    suffix = os.path.splitext(path)[1]
    return [file for file in files if os.path.splitext(file)[1] == suffix]


def warn_of_other_file(path: str, datasets: Sequence[Dataset], part: str) -> None:
    """Warn if an evaluator reads another annotation file than its data sets."""
    own = files_like(path, datasets)
    if own and not any(same_file(path, other) for other in own):
        warn(
            f'{part}_evaluator reads {path}, {part}_dataloader reads {few(own)}: the '
            'annotations of the first are measured; else set '
            f'{part}_evaluator.ann_file to the file of the data set'
        )


def check_images(api, path: str, datasets: Sequence[Dataset], part: str) -> None:
    """Raise unless the file of an evaluator has the images of its data sets.

    Args:
        api: Of the metric.
        path: Of its file.
        datasets: Without wrappers; those that give their images no id are left alone.
        part: 'val' or 'test'.

    Raises:
        ValueError: Names both files and an image that is not there.
    """
    own, key = files_like(path, datasets), f'{part}_dataloader'
    evaluated, alien = set(), []
    for dataset in datasets:
        for i in range(len(dataset)):
            info = dataset.get_data_info(i)
            if 'img_id' not in info:
                return
            evaluated.add(info['img_id'])
            image = api.imgs.get(info['img_id'])
            name = os.path.basename(info.get('img_path') or '')
            known = image is not None and own and os.path.basename(image['file_name'])
            if image is None or (own and known != name):
                alien.append(name)
    if alien:
        raise ValueError(
            f'{part}_evaluator reads {path}, {key} reads {few(own)}: {len(alien)} of '
            f'{len(evaluated)} images of {key} are not there, or have another id, as '
            f'{alien[0]}; set {part}_evaluator.ann_file to the file of the data set'
        )
    missed = [i for i in api.imgs if i not in evaluated and api.imgToAnns.get(i)]
    if missed:
        objects = sum(len(api.imgToAnns[i]) for i in missed)
        warn(
            f'{part}_evaluator reads {path}: {objects} objects in {len(missed)} of its '
            f'{len(api.imgs)} images count as missed, because these are not in {key}; '
            'evaluate all images, or take a file of those that are evaluated'
        )


def warn(text: str) -> None:
    """Log a warning."""
    print_log(text, 'current', level=30)


def same_file(first: str, second: str) -> bool:
    """Return whether two paths are of one file, or of two with the same bytes."""
    if first == second:
        return True
    if not (os.path.isfile(first) and os.path.isfile(second)):
        return False
    return os.path.samefile(first, second) or filecmp.cmp(first, second, shallow=False)


def check_categories(api, path: str, classes: Sequence[str], loader: str) -> None:
    """Raise ValueError unless a file numbers the classes as the data set does."""
    names = [api.cats[i]['name'] for i in api.get_cat_ids(cat_names=classes)]
    if names != list(classes):
        raise ValueError(
            f'{path} has other categories than {loader} has classes: '
            f'{tell_apart(classes, names, loader, path)}; mmdet gives the labels of '
            f'{loader} to the categories of {path} in its order'
        )


def repair(api, path: str, masked: Sequence[str]) -> None:
    """Mend what pycocotools reads wrongly, in memory, where the meaning is certain.

    The match with an annotation of id 0 counts as a miss, and one with an id that is
    text fails, so ids are numbered from 1. A missing `iscrowd` is 0. Polygons of fewer
    than three corners have no area and are left out beside others.

    Args:
        api: Of the metric; changed in place.
        path: Of its file.
        masked: Classes whose masks are measured.

    Raises:
        ValueError: If an annotation of these has no mask.
    """
    annotations, done = api.dataset.get('annotations') or [], []
    cat_ids = api.get_cat_ids(cat_names=masked) if masked else ()
    measured = [a for a in annotations if a['category_id'] in cat_ids]
    faulty = [a['id'] for a in measured if not has_mask(a)]
    if faulty:
        raise ValueError(
            f'{path}: {few_ids(faulty)} no segmentation with an area (polygons have at '
            "least 6 numbers), which the metric 'segm' needs: add masks, or take "
            "metric='bbox'"
        )
    short = [a for a in measured if has_short(a)]
    for annotation in short:
        annotation['segmentation'] = whole_polygons(annotation['segmentation'])
    done += [f'polygons without area of {len(short)} left out'] * bool(short)
    bare = [a for a in annotations if 'iscrowd' not in a]
    for annotation in bare:
        annotation['iscrowd'] = 0
    done += [f'iscrowd=0 added to {len(bare)}'] * bool(bare)
    if not all(isinstance(a['id'], Real) and a['id'] for a in annotations):
        for number, annotation in enumerate(annotations, 1):
            annotation['id'] = number
        done.append('numbered from 1: pycocotools needs ids that are numbers, not 0')
    if done:
        api.createIndex()
        api.img_ann_map, api.cat_img_map = api.imgToAnns, api.catToImgs
        warn(
            f'{path}: {len(annotations)} annotations, repaired for the metric (not in '
            f'the file): {"; ".join(done)}',
        )


def has_mask(annotation: Mapping) -> bool:
    """Return whether an annotation has run lengths, or a polygon with an area."""
    mask = annotation.get('segmentation')
    return bool(whole_polygons(mask) if isinstance(mask, list) else mask)


def has_short(annotation: Mapping) -> bool:
    """Return whether some polygons of an annotation have no area."""
    mask = annotation['segmentation']
    return isinstance(mask, list) and len(whole_polygons(mask)) < len(mask)


def few_ids(ids: Sequence[int]) -> str:
    """Return the first of some annotations and how many there are, with a verb."""
    if len(ids) == 1:
        return f'annotation {ids[0]} has'
    return f'{len(ids)} annotations, as {few(ids[:3])}, have'


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
