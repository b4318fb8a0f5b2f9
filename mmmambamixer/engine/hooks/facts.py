"""What the position of a run refers to: its data, their order, how they are dealt."""

import hashlib
import os
from collections.abc import Mapping
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
    content='the data, or the order of the samples,',
    order='the sampler',
    seed='the seed of the sampler',
)
"""What the order of the samples comes from."""
MOST_FILES = 20_000
"""Samples of a data set whose files are asked for their size, evenly spread."""
FILES = ('img_path', 'seg_map_path')


def facts_of(loader: DataLoader) -> dict:
    """Return the facts about a dataloader, as plain data."""
    batches, sampler = loader.batch_sampler, loader.batch_sampler.sampler
    return dict(
        batch_size=batches.batch_size,
        processes=get_world_size(),
        drop_last=bool(getattr(batches, 'drop_last', False)),
        samples=len(loader.dataset),
        content=digest_of(loader.dataset),
        order=f'{type(sampler).__name__}, shuffle {getattr(sampler, "shuffle", None)}, '
        f'{type(batches).__name__}',
        seed=getattr(sampler, 'seed', None),
    )


def digest_of(dataset: Dataset) -> str:
    """Return a digest of a data set, in the order of its samples.

    It is of classes; of the names, labels and boxes of all samples; of the sizes of
    the files of at most `MOST_FILES`; and of the rows of a table. What is in an image
    does not count, nor do folders above the data: a run may go on on another machine.
    """
    meta = getattr(dataset, 'metainfo', None) or {}
    digest = hashlib.sha256()
    for key in ('classes', 'variates'):
        digest.update(f'{key} {[*map(str, meta.get(key) or ())]}'.encode())
    if hasattr(dataset, 'get_data_info'):
        count = len(dataset)
        places = np.linspace(0, count - 1, min(count, MOST_FILES)).round()
        sized = {*places.astype(int).tolist()}
        for place in range(count):
            digest.update(told(dataset.get_data_info(place), place in sized).encode())
    elif hasattr(dataset, 'fit_rows'):
        for rows in dataset.fit_rows().values():
            digest.update(np.ascontiguousarray(rows).data)
    return digest.hexdigest()


def told(info: Mapping, sized: bool) -> str:
    """Return the files, labels and boxes of a sample as text.

    Args:
        info: Of the sample.
        sized: Whether to tell the sizes of its files.
    """
    found = [info.get('gt_label')]
    for key in FILES:
        path = info.get(key)
        found.append('/'.join(Path(str(path or '')).parts[-2:]))
        if sized and path and os.path.isfile(path):
            found.append(os.path.getsize(path))
    for one in info.get('instances') or ():
        found += [one.get('bbox_label'), one.get('bbox')]
    return str(found)


def changes(before: Mapping, now: Mapping) -> dict[str, str]:
    """Return what has changed, by fact, in words."""
    told = {}
    for key, name in {**DEALT, **DATA}.items():
        old, new = before.get(key), now.get(key)
        if key in before and old != new:
            both = '' if key == 'content' else f' ({old} -> {new})'
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
