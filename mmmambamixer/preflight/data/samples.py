"""Files that cannot be trained on: one sentence instead of a worker's traceback."""

import os
from collections.abc import Iterable, Set
from functools import partial

import torch
from torch.utils.data import Dataset

from ...messages import explain, few
from .pictures import other_numbers, read
from .pipelines import inner_datasets, packed_of, step_lists

MARK = '\ufeff'
"""Byte order mark that some editors put before the first line of a text."""
MARKED = (
    '; its name begins with a byte order mark: save the list of images as UTF-8 without'
)
READS = dict(img_path=('unchanged', 'color'), seg_map_path=('unchanged',))
"""How files are read by pipelines, by what they are."""


class UnusableSample(ValueError):
    """A file of the data is missing, damaged, or holds what it must not."""

    def __init__(self, message: str) -> None:
        # From a DataLoader's worker torch brings it with its traceback; the last line
        # is the sentence.
        if os.environ.get('MMMAMBAMIXER_TRACEBACK') != '1':
            message = message.strip().splitlines()[-1]
        name = f'{type(self).__module__}.{type(self).__qualname__}: '
        super().__init__(message.removeprefix(name))


def watch_samples(dataset: Dataset, ignored: Set[int] = frozenset()) -> None:
    """Have the dataset name the file where an image or a label map is unusable.

    Args:
        dataset: Its pipeline is changed in place.
        ignored: Labels of pixels that are left out; the data set's own if empty.
    """
    for inner in inner_datasets(dataset):
        if hasattr(inner, 'prepare_data'):
            inner.prepare_data = partial(prepare, inner, ignored)
        for steps in step_lists(inner):
            for i in reversed(range(len(steps))):
                if type(steps[i]).__name__ == 'LoadAnnotations':
                    steps.insert(i + 1, check_sizes)


def check_sizes(results: dict) -> dict:
    """Return what a pipeline has loaded; raise if sizes do not fit those of the image.

    Resized together they would fit, and teach the wrong pixels.
    """
    size = tuple(results.get('ori_shape', ())[:2])
    path = results.get('img_path')
    noted = results.get('height'), results.get('width')  # of mmdet's annotations
    if size and None not in noted and noted != size:
        raise UnusableSample(
            f'the image {path} has height and width {size}, its annotation says {noted}'
        )
    label_map = results.get('gt_seg_map')
    if not size or label_map is None:
        return results
    path = results.get('seg_map_path')
    if label_map.ndim != 2:
        raise UnusableSample(
            f'the label map {path} has {label_map.shape[2]} channels, expected one, of '
            'class indices'
        )
    if label_map.shape != size:
        raise UnusableSample(
            f'the label map {path} has height and width {label_map.shape}, its image '
            f'{size}'
        )
    return results


def prepare(dataset: Dataset, ignored: Set[int], index: int):
    """Return what the dataset's pipeline makes of an image.

    Raises:
        UnusableSample: Names the file that is at fault, or that was being read.
    """
    try:
        sample = type(dataset).prepare_data(dataset, index)
    except UnusableSample:
        raise
    except Exception as error:
        info = dataset.get_data_info(index)
        path = info.get('img_path') or f'number {index}'
        fault = file_fault(info) or (
            f'the sample {path} cannot be prepared: {type(error).__name__}, '
            f'{" ".join(explain(error).split())}'
        )
        raise UnusableSample(fault) from error
    check_labels(dataset, ignored, index, sample)
    return sample


def file_fault(info: dict) -> str | None:
    """Return what is wrong with the files of a sample, or None."""
    for key, kind in (('img_path', 'image'), ('seg_map_path', 'label map')):
        path = info.get(key)
        if not path or '://' in path:
            continue
        if not os.path.isfile(path):
            return f'the {kind} {path} is missing{MARKED * (MARK in path)}'
        for flag in READS[key]:
            if read(path, flag=flag) is None:
                told = other_numbers(path) or 'cannot be read: damaged, or empty?'
                return f'the {kind} {path} {told}'
    return None


def check_labels(dataset: Dataset, ignored: Set[int], index: int, sample) -> None:
    """Raise if an image or a label map has labels beyond the classes.

    The loss would end in an index error, on a GPU without saying where; the metric
    would leave such pixels out.
    """
    classes = getattr(dataset, 'metainfo', {}).get('classes')
    packed = packed_of(sample)
    if not classes or packed is None:
        return
    label = getattr(packed, 'gt_label', None)  # of a classifier
    if isinstance(label, torch.Tensor):
        wrong = label[(label < 0) | (label >= len(classes))]
        if len(wrong):
            path = dataset.get_data_info(index).get('img_path')
            raise UnusableSample(
                f'the image {path} has {alien_label(wrong.tolist()[0], len(classes))}'
            )
    label_map = getattr(packed, 'gt_sem_seg', None)
    if getattr(label_map, 'data', None) is None:
        return
    labels, ignored = label_map.data, ignored or {getattr(dataset, 'ignore_index', 255)}
    alien = [
        label
        for label in labels.unique().tolist()
        if not 0 <= label < len(classes) and label not in ignored
    ]
    if alien:
        path = dataset.get_data_info(index).get('seg_map_path')
        reduced = getattr(dataset, 'reduce_zero_label', False)
        raise UnusableSample(alien_labels(path, alien, len(classes), ignored, reduced))


def alien_label(label: int, classes: int) -> str:
    """Return what to say of a label that is no class."""
    return f'the label {label}, but there are {classes} classes, 0 to {classes - 1}'


def alien_labels(
    path: str,
    labels: Iterable[int],
    classes: int,
    ignored: Iterable[int],
    reduced: bool,
) -> str:
    """Return what to say of a label map whose labels are no class.

    Args:
        path: Of the label map.
        labels: Those that are no class.
        classes: Number of classes.
        ignored: Labels that are left out.
        reduced: Whether `reduce_zero_label` has moved the labels down.
    """
    shift = ' after reduce_zero_label' * bool(reduced)
    rest = f'; {few(ignored)} is ignored' if ignored else ''
    return (
        f'the label map {path} has the labels [{few(labels)}]{shift}, but there are '
        f'{classes} classes, 0 to {classes - 1}{rest}'
    )
