"""Checkpoints as plain data, and the check that one fits a model."""

from collections.abc import Mapping

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch import nn

from ..state_dict import Fault, check_numbers, compare, tell, weights_of
from .check_model import unwrapped

KIND = '__kind__'
"""Key that marks the dicts which stand for an object."""

ELSE = '; was it trained with another config?'
"""End of the line where a checkpoint does not fit and nothing better can be said."""


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


def state_dict_of(checkpoint: Mapping, name: str) -> dict[str, torch.Tensor]:
    """Return the weights of a checkpoint, without the prefix `module.` of DDP.

    Args:
        checkpoint: State dict, or a dict that holds one as `state_dict`.
        name: Name of the checkpoint in the message.

    Raises:
        ValueError: If it holds no weights.
    """
    state = weights_of(checkpoint, name)
    return {str(key).removeprefix('module.'): item for key, item in state.items()}


def misfits(model: nn.Module, checkpoint: Mapping, name: str) -> list[Fault]:
    """Return the tensors in which a checkpoint and a model do not agree.

    Args:
        model: The model; wrappers for DDP and test-time augmentation are looked into.
        checkpoint: As in `state_dict_of`.
        name: As in `state_dict_of`.

    Raises:
        ValueError: If it holds no weights, or some that are not a number.
    """
    given = state_dict_of(checkpoint, name)
    check_numbers(given, name)
    return compare(unwrapped(model).state_dict(), given)


def check_state_dict(model: nn.Module, checkpoint: Mapping, name: str) -> None:
    """Raise unless a checkpoint has exactly the tensors of a model.

    MMEngine loads what fits and only logs the rest.

    Args:
        model: As in `misfits`.
        checkpoint: As in `misfits`.
        name: Name of the checkpoint in the message.

    Raises:
        ValueError: If tensors are missing, unexpected or of another shape; the message
            counts them, and a table has the first ones.
    """
    refuse(model, misfits(model, checkpoint, name), name)


def refuse(model: nn.Module, faults: list[Fault], name: str, hint: str = ELSE) -> None:
    """Raise ValueError with a table if there are faults."""
    if faults:
        model = unwrapped(model)
        raise ValueError(
            f'{name} does not fit this {type(model).__name__} of '
            f'{len(model.state_dict())} tensors: {tell(faults, hint)}'
        )
