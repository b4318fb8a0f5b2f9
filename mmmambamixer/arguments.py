"""Whether arguments are what a constructor takes: one sentence if they are not."""

from collections.abc import Hashable, Iterable, Mapping
from numbers import Integral, Real

from .messages import did_you_mean


def is_whole(value, least: int = 1) -> bool:
    """Return whether it is an integer from `least`, of Python or NumPy; no bool is."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    return whole and value >= least


def check_whole(least: int = 1, /, **numbers) -> None:
    """Raise ValueError unless all are integers from `least`, of Python or NumPy."""
    for name, value in numbers.items():
        if not is_whole(value, least):
            raise ValueError(f'{name} must be an integer from {least}, got {value!r}')


def check_flags(**flags) -> None:
    """Raise ValueError unless all are True or False."""
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise ValueError(f'{name} must be True or False, got {value!r}')


def check_rates(**rates) -> None:
    """Raise ValueError unless all are probabilities below 1."""
    for name, value in rates.items():
        if not isinstance(value, Real) or not 0 <= float(value) < 1:
            raise ValueError(f'{name} must be in [0, 1), got {value}')


def check_choice(name: str, value, choices: Iterable) -> None:
    """Raise ValueError unless a value is one of the choices."""
    if not isinstance(value, Hashable) or value not in [*choices]:
        told = ', '.join(map(repr, choices))
        raise ValueError(f'{name} must be one of {told}, got {value!r}')


def check_keys(
    name: str, value, known: Iterable[str], needed: Iterable[str] = ()
) -> None:
    """Raise ValueError unless it is a dict of known keys with all that are needed."""
    known = [*known]
    if not isinstance(value, Mapping):
        raise ValueError(
            f'{name} must be a dict with keys among {", ".join(known)}, got {value!r}'
        )
    for key in value:
        if key not in known:
            raise ValueError(
                f'{name} may have the keys {", ".join(known)}, got {key!r}'
                + did_you_mean(key, known)
            )
    for key in needed:
        if key not in value:
            raise ValueError(f'{name} needs the key {key!r}, got {value!r}')
