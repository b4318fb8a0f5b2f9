"""The pipelines of data sets: their steps, what they must not have, what they give."""

from collections.abc import Iterable, Iterator
from importlib.util import find_spec

import numpy as np
from mmengine.logging import print_log
from torch.utils.data import Dataset

DECODERS = dict(
    pillow=('PIL', 'pillow'),
    tifffile=('tifffile', 'tifffile'),
    turbojpeg=('turbojpeg', 'PyTurboJPEG'),
)
"""What MMCV's `imdecode_backend` needs: the module and its package."""
MIXING = ('Mosaic', 'CachedMosaic', 'MixUp', 'CachedMixUp', 'CopyPaste')
"""Steps that join several images."""


def inner_datasets(dataset: Dataset) -> Iterator[Dataset]:
    """Yield a dataset, or those inside if it wraps others."""
    if hasattr(dataset, 'datasets'):  # ConcatDataset
        for inner in dataset.datasets:
            yield from inner_datasets(inner)
    elif hasattr(dataset, 'dataset'):  # RepeatDataset and the like
        yield from inner_datasets(dataset.dataset)
    else:
        yield dataset


def step_lists(dataset: Dataset) -> Iterator[list]:
    """Yield the steps of a pipeline, then those of each view of test-time augmentation.

    The lists are those of the pipeline itself.
    """
    steps = getattr(getattr(dataset, 'pipeline', None), 'transforms', [])
    yield steps
    for step in steps:
        for view in getattr(step, 'subroutines', ()):
            yield view.transforms


def warn_of_random_steps(dataset: Dataset, key: str) -> None:
    """Warn if the pipeline of a validation or a test changes images at random."""
    for step in next(step_lists(dataset)):
        name, chance = type(step).__name__, getattr(step, 'prob', 1)
        if (name.startswith('Random') and np.any(chance)) or name in MIXING:
            print_log(
                f'the pipeline of {key} has {name}: images that are changed at random '
                'are measured, as if they were those of the data set; leave it to the '
                'training',
                'current',
                level=30,
            )


def check_decoders(steps: Iterable, name: str) -> None:
    """Raise ValueError if steps read images by a package that is not installed.

    Args:
        steps: Of a pipeline.
        name: Of the pipeline.
    """
    for step in steps:
        backend = getattr(step, 'imdecode_backend', None)
        module, package = DECODERS.get(backend, (None, None))
        if module and find_spec(module) is None:
            raise ValueError(
                f"{type(step).__name__} of {name} has imdecode_backend='{backend}', "
                f"which needs the package {package}: install it, or take 'cv2'"
            )


def packed_of(sample):
    """Return what a pipeline packs of a sample beside its image, None if nothing.

    Of several views of an image it is that of the first.
    """
    packed = sample.get('data_samples') if isinstance(sample, dict) else None
    if isinstance(packed, (list, tuple)):
        return packed[0] if packed else None
    return packed
