"""CSV files of results that grow row by row, in one run at a time."""

import csv
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class RowsError(ValueError):
    """A file of results cannot be used as it is; the message says why."""


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep other runs from a file, which is made if it is not there.

    Raises:
        RowsError: If another run holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'a') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RowsError(
                f'{path}: expected a file that no run adds to, got one that another '
                'run holds: start again when that one has ended'
            ) from None
        yield


def read_rows(path: Path, columns: tuple[str, ...], keys: int) -> list[dict[str, str]]:
    """Return the rows of a file, none if it is empty or not there.

    Args:
        path: Of the file.
        columns: Names in its first line.
        keys: How many columns, the first ones, tell the rows apart.

    Raises:
        RowsError: If a line is not whole, such as the last one after a power cut, or
            two rows are of the same.
    """
    lines = path.read_text().split('\n') if path.exists() else ['']
    if lines.pop():
        raise RowsError(
            f'{path}, line {len(lines) + 1}: expected a line end, got none: delete '
            'this line, and it is measured anew'
        )
    places, rows = {}, []
    for number, line in enumerate(lines, 1):
        place, values = f'{path}, line {number}', next(csv.reader([line]))
        if number == 1 and tuple(values) != columns:
            raise RowsError(
                f'{place}: expected {",".join(columns)}, got {line!r}: put that there'
            )
        if len(values) != len(columns):
            raise RowsError(
                f'{place}: expected {len(columns)} fields, got {len(values)} in '
                f'{line!r}: delete this line, and it is measured anew'
            )
        first = places.setdefault(tuple(values[:keys]), number)
        if first != number:
            raise RowsError(
                f'{place}: expected one line of {", ".join(values[:keys])}, got '
                f'another after line {first}: delete one of the two'
            )
        rows.append(dict(zip(columns, values, strict=True)))
    return rows[1:]
