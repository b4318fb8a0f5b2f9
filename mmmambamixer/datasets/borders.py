"""Where the train, val and test parts of a table begin and end."""

from collections.abc import Sequence

ETT_HOUR = (8640, 11520, 14400)
"""ETTh1, ETTh2: 12, 4 and 4 months of 30 days; later rows are unused."""
ETT_MINUTE = (34560, 46080, 57600)
"""ETTm1, ETTm2: the same months in steps of 15 minutes."""
FRACTIONS = (0.7, 0.2)
"""Other tables: the first 70 % train, the last 20 % test."""


def split_borders(
    rule: Sequence[int] | Sequence[float], rows: int
) -> dict[str, tuple[int, int]]:
    """Return the rows `[first, end)` of each part, without look-backs.

    Args:
        rule: Three row numbers, the ends of train, val and test; or the fractions of
            train (the first rows) and test (the last rows), with val in between.
        rows: Rows of the table.

    Raises:
        ValueError: If the rule is neither, does not ascend, or ends behind the table.

    Reference: the borders of Informer (arXiv:2012.07436) for ETT and of Autoformer
    (arXiv:2106.13008) for other tables.
    """
    rule = tuple(rule)
    kinds = {type(number) for number in rule}
    if len(rule) == 3 and kinds == {int}:
        ends = rule
        if ends[-1] > rows:
            raise ValueError(
                f'borders end the test part at row {ends[-1]}, but the table has only '
                f'{rows} rows'
            )
    elif len(rule) == 2 and kinds <= {int, float}:
        if not (min(rule) > 0 and sum(rule) < 1):
            raise ValueError(
                'borders as fractions (train, test) must be positive and their sum '
                f'below 1, so that rows are left for validation, got {rule}'
            )
        # not int(0.8 * rows), which is off by a row
        ends = int(rule[0] * rows), rows - int(rule[1] * rows), rows
    else:
        raise ValueError(
            'borders must be three row numbers such as (8640, 11520, 14400) or two '
            f'fractions such as (0.7, 0.2), got {rule}'
        )
    if not 0 < ends[0] < ends[1] < ends[2]:
        raise ValueError(
            'borders must be the ends of train, val and test in ascending order, got '
            f'{ends}'
        )
    train, val, test = map(int, ends)
    return {
        'train': (0, train),
        'val': (train, val),
        'test': (val, test),
    }
