"""What sets two state dicts apart, and how to say it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

MISSING, UNEXPECTED, RESHAPED = 'missing', 'unexpected', 'of another shape'
KINDS = (MISSING, UNEXPECTED, RESHAPED)
SHOWN = 5
"""Names that a message shows of a longer list."""


class Fault(NamedTuple):
    """A tensor that two state dicts do not agree on.

    Args:
        kind: One of `KINDS`.
        name: Its name.
        wanted: Its shape in the model, as text; '-' if it has none there.
        given: Its shape in the file, as text; '-' if it has none there.
    """

    kind: str
    name: str
    wanted: str
    given: str


def weights_of(checkpoint, name: str) -> dict:
    """Return the state dict in a checkpoint.

    Args:
        checkpoint: State dict, or a dict that holds one as `state_dict`.
        name: Name of the checkpoint in the message.

    Raises:
        ValueError: If there is no tensor where the weights should be.
    """
    state = checkpoint
    if isinstance(checkpoint, Mapping):
        state = checkpoint.get('state_dict', checkpoint)
    if not isinstance(state, Mapping):
        raise ValueError(
            f'{name} holds no weights: expected a dict of tensors, or one with the '
            f'key state_dict, got {type(state).__name__}'
        )
    if not any(isinstance(item, Tensor) for item in state.values()):
        raise ValueError(
            f'{name} holds no weights: expected a dict of tensors, or one with the '
            f'key state_dict, got the keys {first([*map(str, state)]) or "none"}'
        )
    return dict(state)


def check_numbers(state: Mapping, name: str) -> None:
    """Raise ValueError if weights are not a number, as a diverged run leaves them."""
    wrong = [
        str(key)
        for key, item in state.items()
        if isinstance(item, Tensor) and item.is_floating_point() and item.isnan().any()
    ]
    if wrong:
        raise ValueError(
            f'{name} cannot be used: {len(wrong)} of its {len(state)} tensors have '
            f'values that are not a number ({first(wrong)})'
        )


def compare(wanted: Mapping[str, Tensor], given: Mapping) -> list[Fault]:
    """Return the tensors that do not agree, first those that are missing.

    Args:
        wanted: Tensors of the model.
        given: Tensors of a checkpoint.
    """
    missing = [
        Fault(MISSING, key, shape(item), '-')
        for key, item in wanted.items()
        if key not in given
    ]
    unexpected = [
        Fault(UNEXPECTED, key, '-', shape(item))
        for key, item in given.items()
        if key not in wanted
    ]
    reshaped = [
        Fault(RESHAPED, key, shape(item), shape(given[key]))
        for key, item in wanted.items()
        if key in given and getattr(given[key], 'shape', None) != item.shape
    ]
    return missing + unexpected + reshaped


def shape(item) -> str:
    """Return the shape of a tensor, or the type of what is none."""
    return str(tuple(item.shape)) if isinstance(item, Tensor) else type(item).__name__


def tell(faults: Sequence[Fault], hint: str = '') -> str:
    """Return a line that counts the faults, then a table that names the first ones.

    Args:
        faults: At least one.
        hint: End of the line.
    """
    found = {kind: [f for f in faults if f.kind == kind] for kind in KINDS}
    counts = [f'{len(part)} {kind}' for kind, part in found.items() if part]
    rows: list[tuple[str, ...]] = [('', 'tensor', 'in the model', 'in the file')]
    for kind, part in found.items():
        rows += [tuple(fault) for fault in part[:SHOWN]]
        if len(part) > SHOWN:
            rows.append((kind, f'... and {len(part) - SHOWN} more', '', ''))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        '  '.join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return ', '.join(counts) + hint + ''.join(f'\n  {line}' for line in lines)


def first(names: Sequence[str]) -> str:
    """Return the first names of a list, with dots where there are more."""
    return ', '.join(names[:SHOWN]) + (', ...' if len(names) > SHOWN else '')
