"""Features of the calendar, against pandas."""

import numpy as np
import pandas as pd
import pytest

from mmmambamixer.datasets import time_features, varying_features

RANGES = {
    'minute': (0, 59),
    'hour': (0, 23),
    'day_of_week': (0, 6),
    'day_of_month': (1, 31),
    'day_of_year': (1, 366),
    'month': (1, 12),
}


@pytest.mark.parametrize('name', RANGES)
def test_each_feature_is_that_of_pandas(name):
    dates = pd.date_range(
        '1969-12-30 23:00', '1973-01-02', freq='997min'
    )  # a leap year
    low, high = RANGES[name]
    wanted = getattr(dates, 'day' if name == 'day_of_month' else name)
    wanted = (np.asarray(wanted) - low) / (high - low) - 0.5
    found = time_features(dates.to_numpy(), (name,))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, 0], wanted, atol=1e-7)
    assert found.min() >= -0.5
    assert found.max() <= 0.5


@pytest.mark.parametrize(
    ('step', 'names'),
    [
        (np.timedelta64(15, 'm'), tuple(RANGES)),
        (np.timedelta64(1, 'h'), tuple(RANGES)[1:]),
        (np.timedelta64(1, 'D'), tuple(RANGES)[2:]),
        (np.timedelta64(7, 'D'), tuple(RANGES)[3:]),
        (np.timedelta64(31, 'D'), tuple(RANGES)[4:]),
        (np.timedelta64(365, 'D'), ()),
    ],
)
def test_only_what_varies(step, names):
    assert varying_features(step) == names


def test_unknown_features_are_refused():
    with pytest.raises(ValueError, match=r"one of minute, hour, .*, got 'moon'"):
        time_features(np.array(['2020-01-01'], 'datetime64[ns]'), ('moon',))
