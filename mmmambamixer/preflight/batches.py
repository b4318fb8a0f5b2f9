"""Batches of one image, in which some batch norms have nothing to average."""

from collections.abc import Mapping

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from ..layer_errors import one_value
from ..wrappers import unwrapped
from .config import ENDLESS

POOLS = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


def lone_image(loader: DataLoader, config: Mapping) -> str:
    """Return how the batches of a training come to have one image, or ''.

    Args:
        loader: Of the training.
        config: Of the run.
    """
    batches = getattr(loader, 'batch_sampler', None)
    batches = getattr(batches, 'batch_sampler', batches)  # inside `CountedBatches`
    size = getattr(batches, 'batch_size', None)
    if size is None:
        return ''
    if size == 1:
        return 'train_dataloader.batch_size is 1'
    endless = any(name in type(batches.sampler).__name__ for name in ENDLESS)
    if endless or not hasattr(batches.sampler, '__len__'):
        return ''
    images = len(batches.sampler)
    if images % size != 1 or images < size or getattr(batches, 'drop_last', False):
        return ''
    own = (config.get('train_dataloader') or {}).get('batch_sampler')
    key = 'batch_sampler.drop_last' if own else 'drop_last'
    return (
        f'{images} images in batches of {size} leave one over in the last batch: '
        f'train_dataloader.{key}=True leaves it out'
    )


def pooled_norm(model: nn.Module) -> str:
    """Return the name of a batch norm whose maps are pooled to one pixel, or ''.

    As in the pyramids of PSPNet and UperNet, where a pool to 1 x 1, a convolution and a
    norm are in a row. Norms that are frozen, or average over processes, are fine.
    """
    for name, row in unwrapped(model).named_modules():
        if not isinstance(row, nn.Sequential) or not len(row):
            continue
        if not isinstance(row[0], POOLS) or row[0].output_size not in (1, (1, 1)):
            continue
        for inner, norm in row.named_modules(prefix=name):
            averages = isinstance(norm, _BatchNorm) and norm.training
            if averages and not isinstance(norm, nn.SyncBatchNorm):
                return inner
    return ''


def check_batches(model: nn.Module, loader: DataLoader, config: Mapping) -> None:
    """Raise ValueError if a batch norm would get one value per channel.

    Args:
        model: In training mode.
        loader: Of its training.
        config: Of the run.
    """
    cause = lone_image(loader, config)
    name = pooled_norm(model) if cause else ''
    if name:
        raise ValueError(f'{one_value(name)}; {cause}')
