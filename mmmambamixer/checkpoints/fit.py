"""Whether a checkpoint fits a model."""

from collections.abc import Mapping

import torch
from torch import nn

from ..wrappers import unwrapped
from .compare import Fault, check_numbers, compare, tell, weights_of

ELSE = '; was it trained with another config?'
"""End of the line where a checkpoint does not fit and nothing better can be said."""


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
