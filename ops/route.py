"""The orders in which a scan can visit the positions of a map."""

from enum import IntEnum


class Route(IntEnum):
    """Order of visit of a `height x width` map; the kernels know it by its number.

    A sequence is a map of height 1: `ROWS` runs forward, `ROWS_BACKWARD` backward.
    """

    ROWS = 0
    COLUMNS = 1
    ROWS_BACKWARD = 2
    COLUMNS_BACKWARD = 3

    @classmethod
    def _missing_(cls, value: object) -> None:
        names = ', '.join(f'{route.name} ({route})' for route in cls)
        raise ValueError(f'a route must be one of {names}, got {value!r}')


CROSS = (Route.ROWS, Route.COLUMNS, Route.ROWS_BACKWARD, Route.COLUMNS_BACKWARD)
"""The cross-scan of VMamba (arXiv:2401.10166): four routes, in this order."""
