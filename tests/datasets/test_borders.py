"""Borders of the parts of a table."""

import pytest

from mmmambamixer.datasets import ETT_HOUR, ETT_MINUTE, FRACTIONS, split_borders


def test_row_numbers_are_the_ends():
    assert split_borders(ETT_HOUR, 17420) == dict(
        train=(0, 8640), val=(8640, 11520), test=(11520, 14400)
    )
    assert split_borders(ETT_MINUTE, 69680)['test'] == (46080, 57600)


@pytest.mark.parametrize(
    ('rows', 'ends'),
    [  # int(0.8 * rows) would be 42156 and 6070 and 21043
        (52696, (36887, 42157, 52696)),
        (7588, (5311, 6071, 7588)),
        (26304, (18412, 21044, 26304)),
    ],
)
def test_fractions_count_from_both_ends(rows, ends):
    parts = split_borders(FRACTIONS, rows)
    assert parts == dict(
        train=(0, ends[0]), val=(ends[0], ends[1]), test=(ends[1], ends[2])
    )


BAD = [
    ((10, 20, 101), 'at row 101, but the table has only 100 rows'),
    ((20, 10, 30), r'in ascending order, got \(20, 10, 30\)'),
    ((0, 10, 30), 'in ascending order'),
    ((0.8, 0.2), 'positive and their sum below 1'),
    ((0.7, -0.2), 'positive and their sum below 1'),
    ((0.001, 0.2), r'in ascending order, got \(0, '),
    ((0.7, 0.1, 0.2), 'three row numbers .* or two fractions'),
    ((70, 80), 'positive and their sum below 1'),
    ((), 'three row numbers .* or two fractions'),
    (('a', 'b'), 'three row numbers .* or two fractions'),
]


@pytest.mark.parametrize(('rule', 'message'), BAD)
def test_refused_rules(rule, message):
    with pytest.raises(ValueError, match=message):
        split_borders(rule, 100)
