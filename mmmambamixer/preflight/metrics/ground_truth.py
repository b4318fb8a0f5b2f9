"""The annotation file of a metric: is it that of the data, and read rightly?"""

import filecmp
import os
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from numbers import Real

from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch.utils.data import Dataset

from ...messages import explain, few
from ..data.agreement import tell_apart
from ..data.coco import check_annotations, whole_polygons


def check_ground_truth(
    metric: BaseMetric,
    path: str | None,
    datasets: Sequence[Dataset],
    evaluated: Sequence[Dataset],
    part: str,
) -> None:
    """Raise unless the annotations that a metric compares with are those of the data.

    Args:
        metric: Left alone if it has no annotation file, or a panoptic one.
        path: Of its file.
        datasets: Data sets without wrappers of its part.
        evaluated: Those that give its samples, with wrappers.
        part: 'val' or 'test'.

    Raises:
        ValueError: Names the file and what is wrong with it.
    """
    if path:
        warn_of_other_file(path, datasets, part)
    if (api := getattr(metric, '_lvis_api', None)) is not None:
        path = path or f'{part}_evaluator'
        check_images(api, path, datasets, evaluated, part, named=False)
        told = number_from_1(api.dataset['annotations'])
        if told:
            api._create_index()
            warn_of_repair(path, len(api.anns), told)
        return
    api = getattr(metric, '_coco_api', None)
    if api is None or any(isinstance(entry, list) for entry in api.anns.values()):
        return
    path = path or f'{part}_evaluator'
    if not any(same_file(path, own) for own in files_like(path, datasets)):
        check_annotations(api.dataset, path)
    classes = (metric.dataset_meta or {}).get('classes')
    check_images(api, path, datasets, evaluated, part)
    check_categories(api, path, classes, f'{part}_dataloader')
    repair(api, path, classes if 'segm' in metric.metrics else ())


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


def check_images(
    api,
    path: str,
    datasets: Sequence[Dataset],
    evaluated: Sequence[Dataset],
    part: str,
    *,
    named: bool = True,
) -> None:
    """Raise unless the file of an evaluator has the images of its data sets, each once.

    Args:
        api: Of the metric.
        path: Of its file.
        datasets: Without wrappers; those that give their images no id are left alone.
        evaluated: With wrappers, which may repeat images.
        part: 'val' or 'test'.
        named: Whether images of one id must have one name; LVIS has other names.

    Raises:
        ValueError: Names both files and an image that is not there.
    """
    own, key = files_like(path, datasets), f'{part}_dataloader'
    found, alien = Counter(), []
    for dataset in evaluated:
        for i in range(len(dataset)):
            info = dataset.get_data_info(i)
            if 'img_id' not in info:
                return
            found[info['img_id']] += 1
            image = api.imgs.get(info['img_id'])
            name = os.path.basename(info.get('img_path') or '')
            other = named and own and image and os.path.basename(image['file_name'])
            if image is None or (other and other != name):
                alien.append(name)
    if alien:
        raise ValueError(
            f'{part}_evaluator reads {path}, {key} reads {few(own)}: {len(alien)} of '
            f'{found.total()} images of {key} are not there, or have another id, as '
            f'{alien[0]}; set {part}_evaluator.ann_file to the file of the data set'
        )
    if twice := [i for i, count in found.items() if count > 1]:
        raise ValueError(
            f'{key} gives {len(twice)} of {len(found)} images more than once, by their '
            f'id, as {twice[0]!r}: all detections of one id are compared with the '
            f'objects of one image of {path}; evaluate each image once, and give the '
            'images of several files different ids'
        )
    warn_of_missed(api, path, found, part)


def warn_of_missed(api, path: str, found: Container, part: str) -> None:
    """Warn of images in the file of an evaluator that are not evaluated.

    Args:
        api: Of the metric.
        path: Of its file.
        found: Ids of the images that are evaluated.
        part: 'val' or 'test'.
    """
    left = [i for i in api.imgs if i not in found]
    missed = [i for i in left if api.img_ann_map.get(i)]
    told = []
    if missed:
        objects = sum(len(api.img_ann_map[i]) for i in missed)
        told.append(
            f'{objects} objects in {len(missed)} of its {len(api.imgs)} images count '
            'as missed'
        )
    if empty := len(left) - len(missed):
        told.append(f'false detections in {empty} images without objects do not count')
    if told:
        warn(
            f'{part}_evaluator reads {path}: {" and ".join(told)}, because these are '
            f'not in {part}_dataloader; evaluate all images (test_mode=True ignores '
            'filter_cfg), or take a file of those that are evaluated'
        )


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
    check_measured(api, path, measured)
    short = [a for a in measured if has_short(a)]
    for annotation in short:
        annotation['segmentation'] = whole_polygons(annotation['segmentation'])
    done += [f'polygons without area of {len(short)} left out'] * bool(short)
    bare = [a for a in annotations if a.get('iscrowd') is None]
    for annotation in bare:
        annotation['iscrowd'] = 0
    done += [f'iscrowd=0 added to {len(bare)}'] * bool(bare)
    done += [told] if (told := number_from_1(annotations)) else []
    if done:
        api.createIndex()
        api.img_ann_map, api.cat_img_map = api.imgToAnns, api.catToImgs
        warn_of_repair(path, len(annotations), '; '.join(done))


def check_measured(api, path: str, annotations: Sequence[dict]) -> None:
    """Raise ValueError if most masks cover nothing of their boxes; warn of some.

    Such objects are never found.

    Args:
        api: Of the metric.
        path: Of its file.
        annotations: Those whose masks are measured.
    """
    apart = [a['id'] for a in annotations if not overlap(covered(api, path, a), a)]
    if not apart:
        return
    told = (
        f'{path}: {few_ids(apart)} a segmentation of no pixel in the box, of '
        f'{len(annotations)} that are measured: such objects count as missed; expected '
        'polygons [x1, y1, x2, y2, ...] in pixels'
    )
    if 2 * len(apart) > len(annotations):
        raise ValueError(told)
    warn(told)


def covered(api, path: str, annotation: dict) -> Sequence[float]:
    """Return the box around the mask of an annotation, as x, y, width and height."""
    from pycocotools import mask

    shape = annotation['segmentation']
    if isinstance(shape, list):
        annotation = annotation | dict(segmentation=whole_polygons(shape))
    try:
        return mask.toBbox(api.annToRLE(annotation)).tolist()
    except Exception as error:
        raise ValueError(
            f'{path}: annotation {annotation["id"]} has a segmentation that cannot be '
            f'read: {explain(error)}'
        ) from error


def overlap(box: Sequence[float], annotation: dict) -> bool:
    """Return whether a box and that of an annotation have a part in common."""
    return all(
        min(first + size, other + other_size) > max(first, other)
        for first, size, other, other_size in zip(
            *(box[:2], box[2:], annotation['bbox'][:2], annotation['bbox'][2:]),
            strict=True,
        )
    )


def number_from_1(annotations: Sequence[dict]) -> str:
    """Number annotations if an id is 0 or text; return what was done, or ''."""
    if all(isinstance(a['id'], Real) and a['id'] for a in annotations):
        return ''
    for number, annotation in enumerate(annotations, 1):
        annotation['id'] = number
    return 'numbered from 1: the metric needs ids that are numbers, not 0'


def warn_of_repair(path: str, number: int, done: str) -> None:
    """Warn that annotations were repaired in memory."""
    warn(
        f'{path}: {number} annotations, repaired for the metric (not in the file): '
        f'{done}'
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


def warn(text: str) -> None:
    """Log a warning."""
    print_log(text, 'current', level=30)
