"""How many pixels of each class the label maps of a data set hold."""

import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Set

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from ...messages import explain
from .first_samples import same_random_numbers
from .pipelines import step_lists
from .samples import UnusableSample, alien_labels, file_fault

LOOKED_AT = 256
"""Label maps that are read before a training, drawn with a fixed seed."""
DEEPER = 4096
"""Label maps that are read where the first show no more than one class."""
BYTES = ('1', 'L', 'P', 'LA', 'RGB', 'RGBA')
"""Modes of images whose values have 8 bits."""


def loading_steps(dataset: Dataset) -> list[Callable]:
    """Return the steps of a pipeline that load label maps, and those before them.

    They end with the frameworks' `LoadAnnotations`, one that inherits from it, or one
    that is named alike; there are none where nothing is loaded so. Of test-time
    augmentation the first view is looked into.
    """
    main, *views = step_lists(dataset)
    steps = [step for step in main if not hasattr(step, 'subroutines')]
    steps += views[0] if views else []
    for i, step in enumerate(steps):
        kinds = [kind.__name__ for kind in type(step).__mro__]
        if 'LoadAnnotations' in kinds or re.match('Load.*(Ann|Seg|Label)', kinds[0]):
            return steps[: i + 1]
    return []


def load_labels(dataset: Dataset, index: int) -> np.ndarray | None:
    """Return a label map as the pipeline loads it, None if it loads none.

    The step that loads it is called alone, so that no image is read; with the steps
    before it if it needs them.
    """
    steps = loading_steps(dataset)
    try:
        return steps[-1](dataset.get_data_info(index)).get('gt_seg_map')
    except Exception:  # of a step that we do not know
        results = dataset.get_data_info(index)
        for step in steps:
            results = step(results)
        return results.get('gt_seg_map')


def count_pixels(
    dataset: Dataset, classes: int, ignored: Set[int]
) -> tuple[Counter, int]:
    """Return the pixels of each label, and in how many label maps.

    The maps are loaded by the data set's own pipeline, so that labels are what the loss
    gets. At most `LOOKED_AT` are read, and `DEEPER` while no second class is found.

    Args:
        dataset: Its pipeline has steps that load label maps.
        classes: Number of classes.
        ignored: Labels that are no class and are left out.

    Raises:
        UnusableSample: Names a map that cannot be read, or whose labels are no class.
    """
    order = random.Random(0).sample(range(len(dataset)), min(len(dataset), DEEPER))
    pixels, looked = Counter(), 0
    with same_random_numbers():
        for index in order:
            if looked >= LOOKED_AT and sum(label < classes for label in pixels) > 1:
                break
            for label, number in labels_of(dataset, index, classes, ignored):
                pixels[label] += number
            looked += 1
    return pixels, looked


def labels_of(
    dataset: Dataset, index: int, classes: int, ignored: Set[int]
) -> Iterator[tuple[int, int]]:
    """Yield each label of a label map and the number of its pixels."""
    info = dataset.get_data_info(index)
    path = info['seg_map_path']
    check_depth(path)
    try:
        labels = load_labels(dataset, index)
    except Exception as error:
        raise UnusableSample(
            file_fault(dict(seg_map_path=path))
            or f'the label map {path} cannot be loaded: {explain(error)}'
        ) from error
    if labels is None:
        return
    stock = type(loading_steps(dataset)[-1]).__name__ == 'LoadAnnotations'
    if stock and labels.ndim != 2:
        raise UnusableSample(
            f'the label map {path} has {labels.shape[2]} channels, expected one, of '
            'class indices'
        )
    if labels.dtype == np.uint8:
        numbers = np.bincount(labels.ravel(), minlength=256)
        values = numbers.nonzero()[0]
        numbers = numbers[values]
    else:
        values, numbers = np.unique(labels, return_counts=True)
    alien = [v for v in values.tolist() if not 0 <= v < classes and v not in ignored]
    if alien:
        raise UnusableSample(
            alien_labels(path, alien, classes, ignored, info.get('reduce_zero_label'))
        )
    yield from zip(values.tolist(), numbers.tolist(), strict=True)


def check_depth(path: str) -> None:
    """Raise UnusableSample if a label map has labels of more than 8 bits.

    mmseg keeps 8 bits, and labels beyond 255 would become others, without a word.
    """
    if not os.path.isfile(path):
        return
    try:
        with Image.open(path) as image:
            if image.mode in BYTES:
                return
            highest = np.asarray(image).max()
    except OSError:  # damaged, or a form of its own
        return
    if highest > 255:
        raise UnusableSample(
            f'the label map {path} has labels up to {highest}, of which mmseg '
            'keeps 8 bits: expected values up to 255'
        )
