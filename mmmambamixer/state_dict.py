"""What sets two state dicts apart, and how to say it in one sentence."""

from collections.abc import Mapping

from torch import Tensor

SHOWN = 5
"""Names that a message shows of a longer list."""


def compare(wanted: Mapping[str, Tensor], given: Mapping) -> dict[str, list[str]]:
    """Return the tensors that do not agree, by what is wrong with them.

    Args:
        wanted: Tensors of the model.
        given: Tensors of a checkpoint.

    Returns:
        Names as `missing` and `unexpected`, names with both shapes as `of another
        shape`.
    """
    reshaped = [
        f'{key} {tuple(given[key].shape)} instead of {tuple(item.shape)}'
        for key, item in wanted.items()
        if key in given and getattr(given[key], 'shape', None) != item.shape
    ]
    return {
        'missing': [key for key in wanted if key not in given],
        'unexpected': [key for key in given if key not in wanted],
        'of another shape': reshaped,
    }


def tell(faults: Mapping[str, list[str]]) -> str:
    """Return one line that counts the faults and names the first ones."""
    return '; '.join(
        f'{len(keys)} {fault} ({first(keys)})' for fault, keys in faults.items() if keys
    )


def first(names: list[str]) -> str:
    """Return the first names of a list, with dots where there are more."""
    return ', '.join(names[:SHOWN]) + (', ...' if len(names) > SHOWN else '')
