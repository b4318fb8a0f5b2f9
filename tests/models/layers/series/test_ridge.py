"""The closed form against sums over copied windows and a general solver."""

import numpy as np
import pytest

from mmmambamixer.models.layers.series.ridge import (
    CENTRES,
    Trial,
    centre_weights,
    fit_ridge,
    used_windows,
    window_statistics,
)

ROWS, T, H, VARIATES = 90, 7, 4, 3
WINDOWS = ROWS - T - H + 1


@pytest.fixture
def series():
    random = np.random.default_rng(2)
    shifts = np.array([0, 50, -3])
    return random.normal(size=(ROWS, VARIATES)).cumsum(axis=0) + shifts


def copied(values, centre, used=None):
    """Return look-backs `(w, t)` and targets `(w, h)`, less the centre."""
    windows = np.lib.stride_tricks.sliding_window_view(values, T + H)
    if used is not None:
        windows = windows[used]
    past = windows[:, :T]
    middle = past.mean(1) if centre == 'mean' else past[:, -1]
    windows = windows - middle[:, None]
    return windows[:, :T], windows[:, T:]


def statistics(series, centre='mean', used=None):
    return [
        window_statistics(
            series[:, c], T, H, centre=centre, used=None if used is None else used[:, c]
        )
        for c in range(series.shape[1])
    ]


def masks(share=0.03):
    random = np.random.default_rng(3)
    return [random.random((ROWS, VARIATES)) >= share for _ in range(2)]


@pytest.mark.parametrize('centre', CENTRES)
@pytest.mark.parametrize('masked', [False, True])
def test_sums_are_those_of_copied_windows(series, centre, masked):
    used = None
    if masked:
        scored, sound = masks()
        used = used_windows((ROWS, VARIATES), T, H, scored=scored, sound=sound)
        assert 0.2 < used.mean() < 0.95
    for c, found in enumerate(statistics(series, centre, used)):
        x, y = copied(series[:, c], centre, None if used is None else used[:, c])
        assert found.windows == len(x)
        np.testing.assert_allclose(found.gram, x.T @ x, atol=1e-9)
        np.testing.assert_allclose(found.cross, x.T @ y, atol=1e-9)
        np.testing.assert_allclose(found.square, (y**2).sum(), rtol=1e-12)


def test_a_window_is_used_if_all_its_cells_may_be():
    scored, sound = masks()
    used = used_windows((ROWS, VARIATES), T, H, scored=scored, sound=sound)
    for first in range(WINDOWS):
        past, target = sound[first : first + T], scored[first + T : first + T + H]
        np.testing.assert_array_equal(used[first], past.all(0) & target.all(0))
    assert used_windows((ROWS, VARIATES), T, H).all()


def test_errors_come_from_the_sums(series):
    weight = np.random.default_rng(4).normal(size=(T, H))
    x, y = copied(series[:, 1], 'mean')
    found = statistics(series)[1].squared_error(weight)
    np.testing.assert_allclose(found, ((x @ weight - y) ** 2).sum())


def stacked(series, centre):
    pairs = [copied(column, centre) for column in series.T]
    return tuple(np.concatenate(part) for part in zip(*pairs, strict=True))


def solved(x, y, penalty, pull=0.0):
    """Least squares with rows for the penalty: no normal equations."""
    root = np.sqrt(penalty)
    rows = np.concatenate([x, root * np.eye(T)])
    right = np.concatenate([y, np.broadcast_to(root * pull, (T, H))])
    return np.linalg.lstsq(rows, right)[0]


@pytest.mark.parametrize('centre', CENTRES)
def test_a_shared_map_is_the_penalised_least_squares(series, centre):
    parts = statistics(series, centre)
    fit = fit_ridge(parts, parts, centre=centre, penalties=(3.0,))
    x, y = stacked(series, centre)
    np.testing.assert_allclose(fit.weight, solved(x, y, 3.0), atol=1e-8)
    np.testing.assert_allclose(fit.val_mse, ((x @ fit.weight - y) ** 2).mean())
    assert (fit.penalty, fit.shrinkage, fit.centre) == (3.0, None, centre)


def test_maps_of_variates_are_shrunk_to_the_shared_one(series):
    parts = statistics(series)
    fit = fit_ridge(parts, parts, centre='mean', penalties=(3.0,), shrinkages=(20.0,))
    shared = fit_ridge(parts, parts, centre='mean', penalties=(3.0,)).weight
    assert fit.weight.shape == (VARIATES, T, H)
    for c in range(VARIATES):
        wanted = solved(*copied(series[:, c], 'mean'), 20.0, shared)
        np.testing.assert_allclose(fit.weight[c], wanted, atol=1e-8)


def test_validation_chooses(series):
    """On its own windows the least penalty wins; on others perhaps another."""
    train, val = statistics(series[:60]), statistics(series[40:])
    options = dict(centre='mean', penalties=(1.0, 1e9))
    assert fit_ridge(train, train, **options).penalty == 1.0
    mses = [
        fit_ridge(train, val, centre='mean', penalties=(p,)).val_mse for p in (1, 1e9)
    ]
    best = fit_ridge(train, val, **options)
    assert best.val_mse == min(mses)
    assert best.penalty == (1, 1e9)[int(np.argmin(mses))]

    own = fit_ridge(train, train, **options, shrinkages=(1.0, np.inf))
    assert own.shrinkage == 1.0
    noise = np.random.default_rng(5).normal(size=(60, VARIATES)) * [1, 1e-3, 1e-3]
    other = np.random.default_rng(6).normal(size=(60, VARIATES))
    options = dict(centre='mean', penalties=(1e9,), shrinkages=(1.0, np.inf))
    kept = fit_ridge(statistics(noise), statistics(other), **options)
    assert kept.shrinkage == np.inf
    np.testing.assert_array_equal(kept.weight[0], kept.weight[1])


def test_blocks_choose_beside_validation(series):
    """Errors of all trials count, each from a map that the others did not see."""
    val = statistics(series[40:])
    trials = [(statistics(series[:50]), val), (statistics(series[20:]), val)]
    trials.append((statistics(series[20:]), statistics(series[:50])))
    blocks = [Trial(*trial) for trial in trials[1:]]
    grids = dict(penalties=(0.1, 10.0, 1e3, 1e5), shrinkages=(1.0, 1e2, 1e4, np.inf))
    fit = fit_ridge(*trials[0], centre='mean', **grids, blocks=blocks)

    def errors(name):
        """Return the squared error of all trials for each value of a grid."""
        first = sum(one.windows for one in trials[0][0])
        found = []
        for value in grids[name]:
            total = 0
            for train, held_out in trials:
                scale = sum(one.windows for one in train) / first
                chosen = dict(penalties=(fit.penalty * scale,), shrinkages=None)
                if name == 'penalties':
                    chosen['penalties'] = (value * scale,)
                else:
                    chosen['shrinkages'] = (value * scale,)
                one = fit_ridge(train, held_out, centre='mean', **chosen)
                total += one.val_mse * sum(part.windows for part in held_out) * H
            found.append(total)
        return found

    assert fit.penalty == grids['penalties'][np.argmin(errors('penalties'))]
    assert fit.shrinkage == grids['shrinkages'][np.argmin(errors('shrinkages'))]
    alone = fit_ridge(
        *trials[0],
        centre='mean',
        penalties=(fit.penalty,),
        shrinkages=(fit.shrinkage,),
    )
    np.testing.assert_array_equal(fit.weight, alone.weight)
    assert fit.val_mse == alone.val_mse


def test_centres():
    np.testing.assert_array_equal(centre_weights(3, 'last'), [0, 0, 1])
    np.testing.assert_allclose(centre_weights(4, 'mean'), [0.25] * 4)
    with pytest.raises(
        ValueError, match="centre must be 'mean' or 'last', got 'median'"
    ):
        centre_weights(3, 'median')


def test_refusals(series):
    parts = statistics(series)
    none = statistics(series, used=np.zeros((WINDOWS, VARIATES), bool))
    with pytest.raises(ValueError, match='no window of the val split can be used'):
        fit_ridge(parts, none, centre='mean')
    with pytest.raises(ValueError, match='same variates, got 3 and 2 beside 3'):
        fit_ridge(parts, parts[:2], centre='mean')
    with pytest.raises(ValueError, match='same variates, got 2 and 2 beside 3'):
        fit_ridge(parts, parts, centre='mean', blocks=[Trial(parts[:2], parts[:2])])
    series[4, 1] = np.nan
    with pytest.raises(ValueError, match='needs finite rows: fill gaps and mask them'):
        statistics(series)
