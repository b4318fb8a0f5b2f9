"""Files that can not be trained on: one sentence instead of a worker's traceback."""

import os
from collections.abc import Iterator
from functools import partial

import cv2
import mmcv
from torch.utils.data import Dataset


class UnusableSample(ValueError):
    """A file of the data is missing, damaged, or holds what it must not."""

    def __init__(self, message: str) -> None:
        # From a DataLoader's worker torch brings it with its traceback; the last line
        # is the sentence.
        last = message.strip().splitlines()[-1]
        name = f'{type(self).__module__}.{type(self).__qualname__}: '
        super().__init__(last.removeprefix(name))


def inner_datasets(dataset: Dataset) -> Iterator[Dataset]:
    """Yield a dataset, or those inside if it wraps others."""
    if hasattr(dataset, 'datasets'):  # ConcatDataset
        for inner in dataset.datasets:
            yield from inner_datasets(inner)
    elif hasattr(dataset, 'dataset'):  # RepeatDataset and the like
        yield from inner_datasets(dataset.dataset)
    else:
        yield dataset


def watch_samples(dataset: Dataset) -> None:
    """Have the dataset name the file where an image or a label map is unusable."""
    for inner in inner_datasets(dataset):
        if hasattr(inner, 'prepare_data'):
            inner.prepare_data = partial(prepare, inner)


def prepare(dataset: Dataset, index: int):
    """Return what the dataset's pipeline makes of an image.

    Raises:
        UnusableSample: If a file is at fault.
    """
    try:
        sample = type(dataset).prepare_data(dataset, index)
    except Exception as error:
        fault = file_fault(dataset.get_data_info(index))
        if fault is None:
            raise
        raise UnusableSample(fault) from error
    check_labels(dataset, index, sample)
    return sample


def file_fault(info: dict) -> str | None:
    """Return what is wrong with the files of a sample, or None."""
    for key, kind in (('img_path', 'image'), ('seg_map_path', 'label map')):
        path = info.get(key)
        if not path or '://' in path:
            continue
        if not os.path.isfile(path):
            return f'the {kind} {path} is missing'
        try:
            pixels = mmcv.imread(path, flag='unchanged')
        except (OSError, cv2.error):
            pixels = None
        if pixels is None:
            return f'the {kind} {path} can not be read: damaged, or empty?'
    return None


def check_labels(dataset: Dataset, index: int, sample) -> None:
    """Raise if a label map has labels beyond the classes.

    The loss would end in an index error, on a GPU without saying where; the metric
    would leave such pixels out.
    """
    classes = getattr(dataset, 'metainfo', {}).get('classes')
    packed = sample.get('data_samples') if isinstance(sample, dict) else None
    label_map = getattr(packed, 'gt_sem_seg', None)
    if not classes or getattr(label_map, 'data', None) is None:
        return
    labels, ignored = label_map.data, getattr(dataset, 'ignore_index', 255)
    wrong = labels[(labels >= len(classes)) & (labels != ignored)]
    if len(wrong):
        path = dataset.get_data_info(index).get('seg_map_path')
        shift = ' after reduce_zero_label' * bool(dataset.reduce_zero_label)
        raise UnusableSample(
            f'the label map {path} has the labels {wrong.unique().tolist()}{shift}, '
            f'but there are {len(classes)} classes, 0 to {len(classes) - 1}; '
            f'{ignored} is ignored'
        )
