"""Files that cannot be trained on: one sentence instead of a worker's traceback."""

import os
import random
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec

import numpy as np
import torch
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement
from torch import nn
from torch.utils.data import Dataset

from ...messages import explain, few
from ...wrappers import merges_views, unwrapped
from ..model import input_channels

MARK = '\ufeff'
"""Byte order mark that some editors put before the first line of a text."""
MARKED = (
    '; its name begins with a byte order mark: save the list of images as UTF-8 without'
)
PACKERS = dict(mmpretrain='PackInputs', mmdet='PackDetInputs', mmseg='PackSegInputs')
"""The last step of a pipeline, by framework."""
DECODERS = dict(
    pillow=('PIL', 'pillow'),
    tifffile=('tifffile', 'tifffile'),
    turbojpeg=('turbojpeg', 'PyTurboJPEG'),
)
"""What MMCV's `imdecode_backend` needs: the module and its package."""
SHAPES = ('ori_shape', 'img_shape')
SIZES = dict(
    TwoStageDetector=(*SHAPES, 'scale_factor'),
    SingleStageDetector=(*SHAPES, 'scale_factor'),
    BaseDetector=SHAPES,
    BaseSegmentor=SHAPES,
)
"""What models need of each image to predict."""
BYTE, SMALL = 255.0, 10.0
"""The largest byte; numbers below the second are of images that are normalised."""
MIXING = ('Mosaic', 'CachedMosaic', 'MixUp', 'CachedMixUp', 'CopyPaste')
"""Steps that join several images."""
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


def inner_datasets(dataset: Dataset) -> Iterator[Dataset]:
    """Yield a dataset, or those inside if it wraps others."""
    if hasattr(dataset, 'datasets'):  # ConcatDataset
        for inner in dataset.datasets:
            yield from inner_datasets(inner)
    elif hasattr(dataset, 'dataset'):  # RepeatDataset and the like
        yield from inner_datasets(dataset.dataset)
    else:
        yield dataset


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


@contextmanager
def same_random_numbers() -> Iterator[None]:
    """Leave the random numbers of the process as they are."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        yield
    random.setstate(states[0])
    np.random.set_state(states[1])


def first_sample(dataset: Dataset):
    """Return the first sample; the random numbers of the process stay as they are."""
    with same_random_numbers():
        return dataset[0]


def image_of(sample) -> torch.Tensor | None:
    """Return a sample's image, `(c, h, w)`, None if it has no image."""
    image = sample.get('inputs') if isinstance(sample, dict) else None
    image = image[0] if isinstance(image, (list, tuple)) else image
    is_image = isinstance(image, torch.Tensor) and image.dim() == 3
    return image if is_image else None


def channels_of(sample) -> int | None:
    """Return the channels of a sample's image, None if it has no image."""
    image = image_of(sample)
    return None if image is None else len(image)


def warn_of_ranges(samples: Mapping[str, object]) -> None:
    """Warn if images are normalised in the pipeline of one part, and not of another.

    Args:
        samples: The first one of each part.
    """
    images = {
        f'{part}_dataloader': image_of(sample) for part, sample in samples.items()
    }
    highest = {
        key: float(image.abs().max()) if image.is_floating_point() else BYTE
        for key, image in images.items()
        if image is not None and image.numel()
    }
    if highest and max(highest.values()) > 2 * SMALL and min(highest.values()) < SMALL:
        least, most = (choose(highest, key=highest.get) for choose in (min, max))
        print_log(
            f'the first image of {least} has numbers up to {highest[least]:.3g}, that '
            f'of {most} up to {highest[most]:.3g}: does one of the pipelines normalise '
            'images, as data_preprocessor does, and the other not?',
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


def check_packed(sample, scope: str | None, part: str) -> None:
    """Raise ValueError if a pipeline does not give what models of a framework need.

    Args:
        sample: The first one.
        scope: `default_scope`; samples of others than `PACKERS` are left alone.
        part: 'train', 'val' or 'test'; labels are looked for in training only.
    """
    if scope not in PACKERS or not isinstance(sample, dict):
        return
    if 'inputs' not in sample:
        raise ValueError(
            f"the pipeline of {part}_dataloader gives {few(sample)}, but no 'inputs': "
            f'end it with {PACKERS[scope]}'
        )
    packed = sample.get('data_samples')
    if part != 'train' or not isinstance(packed, BaseDataElement):
        return
    if scope == 'mmdet':
        bare = 'gt_instances' in packed and 'labels' not in packed.gt_instances
    else:
        truths = [key for key, _ in packed.items() if key.startswith('gt_')]
        bare = scope == 'mmseg' and not truths
    if bare:
        raise ValueError(
            'the pipeline of train_dataloader loads no annotations: put '
            'LoadAnnotations before its last step'
        )


def check_sizes_known(model: nn.Module, sample, part: str) -> None:
    """Raise ValueError if predictions cannot be brought back to the size of the image.

    Args:
        model: Left alone unless it is a detector or a segmenter of the frameworks.
        sample: The first one.
        part: 'val' or 'test'.
    """
    kinds = {kind.__name__ for kind in type(unwrapped(model)).__mro__}
    needed = next((SIZES[kind] for kind in SIZES if kind in kinds), ())
    packed = sample.get('data_samples') if isinstance(sample, dict) else None
    packed = packed[0] if isinstance(packed, list) and packed else packed
    if not isinstance(packed, BaseDataElement):
        return
    missing = [name for name in needed if name not in packed]
    if missing:
        raise ValueError(
            f'the pipeline of {part}_dataloader does not give {few(missing)}, which '
            'the model needs to bring predictions back to the size of the image: name '
            'it in meta_keys of the last step; scale_factor comes from a Resize'
        )


def check_views(model: nn.Module, sample, part: str) -> None:
    """Raise ValueError if a model gets several views of an image and merges none."""
    views = sample.get('inputs') if isinstance(sample, dict) else None
    if isinstance(views, list) and not merges_views(model):
        raise ValueError(
            f'the pipeline of {part}_dataloader gives {len(views)} views of each image '
            '(TestTimeAug), which the model does not merge: '
            + ('test with --tta' if part == 'test' else 'augment in a test only')
        )


def check_image(model: nn.Module, channels: int | None, key: str) -> None:
    """Raise unless the first image has the channels that the model reads.

    Args:
        model: Left alone if its backbone does not say its `in_channels`.
        channels: Of the image.
        key: Name of the data set in the message.

    Raises:
        ValueError: Names both numbers.
    """
    wanted = input_channels(model)
    if wanted is not None and channels not in (None, wanted):
        raise ValueError(
            f'the images of {key} have {channels} channels, but '
            f'model.backbone.in_channels is {wanted}'
        )


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


def read(path: str | os.PathLike, **options) -> np.ndarray | None:
    """Return what `mmcv.imread` reads, None if it reads nothing."""
    import cv2
    import mmcv

    try:
        return mmcv.imread(str(path), **options)
    except (OSError, cv2.error):
        return None


def other_numbers(path: str | os.PathLike) -> str:
    """Return a clause about an image that can be read, but not as bytes, or ''."""
    whole = read(path, flag='unchanged')
    if whole is None:
        return ''
    bands = whole.shape[2] if whole.ndim > 2 else 1
    return (
        f'has {bands} bands of {whole.dtype}, which cannot be read as three of 8 bits: '
        "LoadImageFromFile needs color_type='unchanged', or take a loader of your own"
    )


def check_labels(dataset: Dataset, ignored: Set[int], index: int, sample) -> None:
    """Raise if an image or a label map has labels beyond the classes.

    The loss would end in an index error, on a GPU without saying where; the metric
    would leave such pixels out.
    """
    classes = getattr(dataset, 'metainfo', {}).get('classes')
    packed = sample.get('data_samples') if isinstance(sample, dict) else None
    packed = packed[0] if isinstance(packed, list) else packed  # augmented for a test
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
