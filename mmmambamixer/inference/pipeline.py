"""Images as a config reads them: by its own pipeline, whatever their bands."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose

from ..messages import explain
from ..preflight.data.pipelines import check_decoders
from .images import read_picture
from .steps import first_view, test_dataset, without_annotations

STOCK = 'LoadImageFromFile'
"""Loader of MMCV, which reads blue, green, red."""


class ImagePipeline:
    """The test pipeline of a config, for files without annotations.

    Args:
        config: Its first test dataset has the pipeline.
        size: Height and width of a plain resize that takes the place of everything
            between loading and packing, or None.
        one_view: Whether to take one view, without flips, of test-time augmentation.

    Raises:
        ValueError: If there is no such pipeline, or the size is not positive.
    """

    def __init__(
        self,
        config: Config,
        size: Sequence[int] | None = None,
        *,
        one_view: bool = False,
    ) -> None:
        steps = without_annotations(test_dataset(config).pipeline)
        if one_view or size is not None:
            steps = first_view(steps)
        if size is not None:
            height, width = size
            if min(size) < 1:
                raise ValueError(f'--size must be positive, got {height} {width}')
            resize = dict(type='Resize', scale=(width, height), keep_ratio=False)
            steps = [steps[0], resize, steps[-1]]
        self.steps = Compose(steps).transforms
        check_decoders(self.steps, 'the test pipeline')
        self.drawn = ''

    def __call__(self, path: Path, number: int = 0) -> dict:
        """Return the packed sample of an image.

        Raises:
            ValueError: If the file is no image, or a step of the pipeline fails on it;
                the message names both.
        """
        sample = dict(img_path=str(path), img_id=number)
        for step in self.steps:
            sample = run(step, sample, path)
        return sample

    def picture(self, path: Path) -> np.ndarray:
        """Return an image as `(h, w, 3)`, RGB, uint8, as it is loaded, for drawing.

        Raises:
            ValueError: As above.
        """
        sample = dict(img_path=str(path), img_id=0)
        for step in self.steps:
            sample = run(step, sample, path)
            if isinstance(sample.get('img'), np.ndarray):
                return self.three_bands(sample['img'])
        raise ValueError(
            f'{path} cannot be drawn: no step of the test pipeline gives an array `img`'
        )

    def three_bands(self, image: np.ndarray) -> np.ndarray:
        """Return an image `(h, w)` or `(h, w, c)` as RGB, uint8.

        Of more than three bands the first three are drawn, of two the first; numbers
        other than bytes are scaled from their least to their largest. `drawn` says so.
        """
        image = image[..., None] if image.ndim == 2 else image
        bands = image.shape[-1]
        if bands < 3:
            shown, told = [0, 0, 0], '1'
        else:
            blue_first = type(self.steps[0]).__name__ == STOCK
            shown, told = ([2, 1, 0] if blue_first else [0, 1, 2]), '1, 2 and 3'
        picture, notes = image[..., shown], []
        if bands not in (1, 3):
            notes.append(f'of {bands} bands {told}')
        if picture.dtype != np.uint8:
            notes.append(f'{picture.dtype} scaled to bytes')
            picture = to_bytes(picture)
        self.drawn = ', '.join(notes)
        return np.ascontiguousarray(picture)


def to_bytes(picture: np.ndarray) -> np.ndarray:
    """Return numbers as bytes, 0 for the least and 255 for the largest finite one."""
    numbers = picture.astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    low, high = (finite.min(), finite.max()) if finite.size else (0, 0)
    scaled = (np.nan_to_num(numbers, nan=low, posinf=high, neginf=low) - low) * 255
    return (
        (scaled / max(high - low, np.finfo(np.float64).tiny)).round().astype(np.uint8)
    )


def run(step, sample: dict, path: Path) -> dict:
    """Return what a step makes of a sample.

    Raises:
        ValueError: Names the step and the file.
    """
    name = type(step).__name__
    try:
        found = step(sample)
    except Exception as error:  # steps may be anybody's
        if name == STOCK and 'img' not in sample:
            read_picture(path)  # the clearer error, if it is the image's fault
        told = ' '.join(explain(error).split())
        raise ValueError(
            f'{path}: {name}, a step of the test pipeline, fails: '
            f'{type(error).__name__}, {told}'
        ) from error
    if found is None:
        raise ValueError(
            f'{path}: {name}, a step of the test pipeline, dropped this image'
        )
    return found
