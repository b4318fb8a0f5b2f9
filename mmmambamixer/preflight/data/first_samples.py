"""What the first sample of each part tells, before the first iteration."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement
from torch import nn
from torch.utils.data import Dataset

from ...messages import few
from ...wrappers import merges_views, unwrapped
from ..model import input_channels
from .pipelines import packed_of

PACKERS = dict(mmpretrain='PackInputs', mmdet='PackDetInputs', mmseg='PackSegInputs')
"""The last step of a pipeline, by framework."""
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
    packed = packed_of(sample)
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
