"""Checkpoints as plain data."""

from collections.abc import Mapping

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

KIND = '__kind__'
"""Key that marks the dicts which stand for an object."""


def to_plain(value):
    """Return `value` with arrays and log histories as dicts of tensors.

    What comes back consists of tensors, numbers, strings, None, dicts, lists and
    tuples: what `torch.load(weights_only=True)` reads.

    Args:
        value: Any nesting of dicts, lists and tuples.

    Raises:
        ValueError: If it holds an object that has no plain form.
    """
    if isinstance(value, HistoryBuffer):
        values, counts = value.data
        return {
            KIND: 'HistoryBuffer',
            'values': torch.from_numpy(np.array(values, dtype=np.float64)),
            'counts': torch.from_numpy(np.array(counts, dtype=np.float64)),
            'max_length': value.max_length,
        }
    if isinstance(value, np.ndarray):
        return {KIND: 'ndarray', 'values': torch.from_numpy(value.copy())}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, torch.Tensor):
        return value.detach()
    if isinstance(value, Mapping):
        return {to_plain(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(to_plain(item) for item in value)
    if isinstance(value, (list, set)):
        return [to_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return value
    if isinstance(value, (torch.dtype, torch.device, torch.Size)):
        return value
    raise ValueError(
        f'a checkpoint holds tensors and plain data only, got {type(value).__name__}'
    )


def from_plain(value):
    """Return `value` with the objects that `to_plain` took apart."""
    if isinstance(value, dict):
        if value.get(KIND) == 'HistoryBuffer':
            values, counts = (
                value['values'].cpu().numpy(),
                value['counts'].cpu().numpy(),
            )
            return HistoryBuffer(values, counts, value['max_length'])
        if value.get(KIND) == 'ndarray':
            return value['values'].cpu().numpy()
        return type(value)((key, from_plain(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return type(value)(from_plain(item) for item in value)
    return value
