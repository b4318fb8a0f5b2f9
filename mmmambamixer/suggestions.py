"""The end of a sentence about a name that nothing has."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` with the known name that is like this one, or ''."""
    close = get_close_matches(str(name), sorted(set(known)), n=1)
    return f"; did you mean '{close[0]}'?" if close else ''
