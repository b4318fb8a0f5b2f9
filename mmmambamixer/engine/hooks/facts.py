"""What the position of a run refers to: its data, their order, how they are dealt."""

import hashlib
from collections.abc import Mapping
from numbers import Number
from pathlib import Path

import numpy as np
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.dist import get_world_size
from torch.utils.data import BatchSampler, DataLoader, Dataset

META = 'training'
"""Key of the facts in a checkpoint's `meta`."""

DEALT = dict(
    batch_size='the batch size',
    processes='the number of processes',
    drop_last='drop_last',
)
"""How samples are dealt out: whatever changes here, their order is the same."""
DATA = dict(
    samples='the number of samples',
    data='the list of samples, or its order,',
    order='the sampler',
    seed='the seed of the sampler',
)
"""What the order of the samples comes from."""
LOOKED_AT = 1000
"""Samples of a data set whose names are compared, evenly from the first to the last."""


def facts_of(loader: DataLoader) -> dict:
    """Return the facts about a dataloader, as plain data."""
    batches, sampler = loader.batch_sampler, loader.batch_sampler.sampler
    return dict(
        batch_size=batches.batch_size,
        processes=get_world_size(),
        drop_last=bool(getattr(batches, 'drop_last', False)),
        samples=len(loader.dataset),
        data=digest_of(loader.dataset),
        order=f'{type(sampler).__name__}, shuffle {getattr(sampler, "shuffle", None)}, '
        f'{type(batches).__name__}',
        seed=getattr(sampler, 'seed', None),
    )


def digest_of(dataset: Dataset) -> str:
    """Return a digest of classes, and of names and labels of the samples, in order.

    Folders above the data do not count: a run may go on on another machine.
    """
    meta = getattr(dataset, 'metainfo', None) or {}
    digest = hashlib.sha256()
    for key in ('classes', 'variates'):
        digest.update(f'{key} {[*map(str, meta.get(key) or ())]}'.encode())
    if hasattr(dataset, 'get_data_info'):
        places = np.linspace(0, len(dataset) - 1, min(len(dataset), LOOKED_AT))
        for place in places.round().astype(int):
            info = dataset.get_data_info(int(place))
            name = '/'.join(Path(str(info.get('img_path', ''))).parts[-2:])
            label = info.get('gt_label')
            digest.update(
                f'{name} {label if isinstance(label, Number) else ""}'.encode()
            )
    return digest.hexdigest()


def changes(before: Mapping, now: Mapping) -> dict[str, str]:
    """Return what has changed, by fact, in words."""
    told = {}
    for key, name in {**DEALT, **DATA}.items():
        old, new = before.get(key), now.get(key)
        if key in before and old != new:
            both = '' if key == 'data' else f' ({old} -> {new})'
            told[key] = f'{name} has changed{both}'
    return told


def left_in_pass(before: Mapping, now: Mapping, loader: DataLoader) -> int | None:
    """Return the samples that this process leaves out of a pass that has begun.

    Args:
        before: Facts of the checkpoint, with its position.
        now: Facts of today.
        loader: Of today.

    Returns:
        None if it is not defined which samples are left.
    """
    changed = changes(before, now).keys()
    done, rest = divmod(before['done'] * before['processes'], now['processes'])
    common = isinstance(loader.batch_sampler.sampler, (DefaultSampler, InfiniteSampler))
    if changed - DEALT.keys() or (changed and not is_plain(loader)):
        return None
    if 'processes' in changed and (rest or not common):
        return None
    return done


def is_plain(loader: DataLoader) -> bool:
    """Return whether batches are what the sampler gives, one after the other."""
    return type(loader.batch_sampler) is BatchSampler
