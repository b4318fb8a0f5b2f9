"""A trained model, its classes, and its predictions for files."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from matplotlib import colormaps
from mmengine.config import Config
from mmengine.dataset import default_collate, pseudo_collate
from mmengine.registry import DATASETS
from mmengine.utils import ProgressBar
from torch import nn

from ..engine.build import build_model, load_weights
from ..engine.config import CLASSIFICATION
from ..engine.device import check_device
from ..preflight.data.agreement import warn_of_names
from ..preflight.model import head_classes
from .pipeline import ImagePipeline
from .steps import has_views, test_dataset
from .views import check_merged, wrap

DISTINCT = 20
"""Colours of matplotlib's `tab20`; more classes share out a rainbow."""


def load_model(config: Config, path: str, device: str) -> nn.Module:
    """Return the model with a checkpoint's weights; `dataset_meta` names its classes.

    `dataset_meta` holds `classes`, a list of names, and `palette`, a list of as many
    RGB tuples: from the checkpoint, else from the dataset of the config, else numbers
    and colours of our own.

    Raises:
        ValueError: If the checkpoint does not fit, or there is no such device.
    """
    check_device(device)
    if has_views(config):
        wrap(config)
    model = build_model(config)
    check_merged(model, 'TestTimeAug of the test pipeline')
    meta = load_weights(model, path).get('dataset_meta') or {}
    warn_of_names(meta.get('classes'), dataset_meta(config).get('classes'), path)
    model.dataset_meta = name_classes(model, meta, dataset_meta(config), path)
    return model.to(device).eval()


def name_classes(model: nn.Module, trained: dict, tested: dict, path: str) -> dict:
    """Return `classes` and `palette` for the outputs of a model.

    Args:
        model: Its heads say how many classes there are.
        trained: `dataset_meta` of the checkpoint at `path`.
        tested: That of the config's test dataset; used if its number of classes fits.

    Raises:
        ValueError: If the checkpoint names another number of classes.
    """
    counts = head_classes(model)
    if not counts:
        raise ValueError(f'{type(model).__name__} has no head with num_classes')
    count = next(iter(counts.values()))
    classes = trained.get('classes')
    if classes is None and len(tested.get('classes') or ()) == count:
        classes = tested['classes']
    if classes is None:
        classes = [str(i) for i in range(count)]
    if len(classes) != count:
        raise ValueError(
            f'{path} names {len(classes)} classes, but the model has {count} outputs'
        )
    for palette in (trained.get('palette'), tested.get('palette')):
        if isinstance(palette, (list, tuple)) and len(palette) >= count:
            break
    else:
        palette = make_palette(count)
    palette = [tuple(map(int, color)) for color in palette[:count]]
    return dict(classes=list(classes), palette=palette)


def make_palette(count: int) -> list[tuple[int, int, int]]:
    """Return `count` colours, RGB from 0 to 255."""
    if count <= DISTINCT:
        colors = [colormaps['tab20'](i) for i in range(count)]
    else:
        colors = [colormaps['gist_rainbow'](i / (count - 1)) for i in range(count)]
    return [tuple(round(255 * part) for part in color[:3]) for color in colors]


def dataset_meta(config: Config) -> dict:
    """Return the `metainfo` of the config's test dataset over that of its class."""
    dataset = test_dataset(config)
    kind = dataset.type
    if isinstance(kind, str):
        with DATASETS.switch_scope_and_registry(config.default_scope) as registry:
            kind = registry.get(kind)
    return {**getattr(kind, 'METAINFO', {}), **(dataset.get('metainfo') or {})}


def predictions(
    config: Config,
    model: nn.Module,
    pipeline: ImagePipeline,
    images: list[Path],
    size: int,
) -> Iterator[tuple[Path, object]]:
    """Yield each image with its data sample, through the config's test pipeline.

    Args:
        config: Says how batches are made.
        model: From `load_model`.
        pipeline: Of the config; loads the images.
        images: Files.
        size: Images of a batch; padding in it can change results a little.

    Raises:
        ValueError: If a file is no image.
    """
    classifies = config.default_scope == CLASSIFICATION
    collate = default_collate if classifies else pseudo_collate
    bar = ProgressBar(len(images))
    for start in range(0, len(images), size):
        indices = range(start, min(start + size, len(images)))
        with torch.no_grad():
            loaded = [pipeline(images[i], i) for i in indices]
            if config.default_scope != 'mmdet':  # which pads
                check_sizes([images[i] for i in indices], loaded)
            samples = model.test_step(collate(loaded))
        for index, sample in zip(indices, samples, strict=True):
            yield images[index], sample.cpu()
            bar.update()
    print()


def check_sizes(images: Sequence[Path], samples: Sequence[dict]) -> None:
    """Raise ValueError if images of one batch have different sizes."""
    shapes = []
    for sample in samples:
        views = sample['inputs']
        views = views if isinstance(views, (list, tuple)) else [views]
        shapes.append([tuple(view.shape[-2:]) for view in views])
    for path, shape in zip(images, shapes, strict=True):
        if shape != shapes[0]:
            raise ValueError(
                f'after the test pipeline {images[0]} has height and width '
                f'{shapes[0][0]}, {path} {shape[0]}, and images of one batch must be '
                'alike: take --batch-size 1, or a pipeline that resizes to one size'
            )
