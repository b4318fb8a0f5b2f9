"""Scaling, and the filling of gaps."""

import numpy as np
import pytest

from mmmambamixer.datasets import Standardiser, fill_forward

NAN = np.nan


def test_population_deviation_of_what_is_there():
    rows = np.array([[1.0, NAN], [2.0, 5.0], [6.0, 7.0]])
    scaling = Standardiser.fit(rows)
    np.testing.assert_allclose(scaling.mean, [3, 6])
    np.testing.assert_allclose(scaling.std, [np.sqrt(14 / 3), 1])
    np.testing.assert_allclose(scaling.inverse(scaling.transform(rows)), rows)


def test_a_constant_variate_has_scale_1():
    rows = np.full((1000, 1), 0.1)  # whose deviation is not exactly 0
    assert np.std(rows) > 0
    scaling = Standardiser.fit(rows)
    assert scaling.std == 1
    assert abs(scaling.transform(rows)).max() < 1e-12


def test_the_state_is_plain_and_complete():
    scaling = Standardiser.fit(np.random.default_rng(0).normal(size=(9, 3)))
    state = scaling.state()
    assert all(type(number) is float for number in [*state['mean'], *state['std']])
    again = Standardiser.from_state(state)
    np.testing.assert_array_equal(again.mean, scaling.mean)
    np.testing.assert_array_equal(again.std, scaling.std)


def test_a_variate_without_train_values_is_refused():
    rows = np.array([[1.0, NAN], [2.0, NAN]])
    with pytest.raises(ValueError, match="variate 'b' has no value in the train rows"):
        Standardiser.fit(rows, ['a', 'b'])


def test_gaps_take_the_value_before():
    rows = np.array([[NAN, 1.0], [2.0, NAN], [NAN, NAN], [3.0, 4.0]])
    filled = fill_forward(rows, start=-1.0)
    np.testing.assert_array_equal(filled, [[-1, 1], [2, 1], [2, 1], [3, 4]])
    assert fill_forward(filled, start=0.0) is filled


def test_gaps_in_covariates():
    rows = np.full((3, 2, 2), NAN)
    rows[1, 0] = 5, 6
    filled = fill_forward(rows, start=0.0)
    np.testing.assert_array_equal(filled[:, 0], [[0, 0], [5, 6], [5, 6]])
    np.testing.assert_array_equal(filled[:, 1], np.zeros((3, 2)))
