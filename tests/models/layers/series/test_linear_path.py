"""The linear path: what it computes, what it is fitted to, what a checkpoint holds."""

import numpy as np
import pytest
import torch

from mmmambamixer.models.layers.series import LinearPath, linear_path
from mmmambamixer.models.layers.series.ridge import PENALTIES, penalty_grid

T, H, M = 8, 3, 2
SIZES = dict(look_back=T, horizon=H)


@pytest.fixture
def rows():
    """A sum of two waves: a linear map forecasts it exactly, one for each variate."""
    time = np.arange(120.0)[:, None]
    return np.sin(time * [0.5, 0.9]) + 0.5 * np.cos(time * [1.3, 0.2])


@pytest.mark.parametrize('variates', [None, M])
@pytest.mark.parametrize('centre', ['mean', 'last'])
def test_forward_is_the_equation(variates, centre):
    path = LinearPath(**SIZES, variates=variates, centre=centre)
    torch.nn.init.normal_(path.weight)
    x = torch.randn(5, T, M)
    c = x.mean(1, keepdim=True) if centre == 'mean' else x[:, -1:]
    for place in range(M):
        weight = path.weight if variates is None else path.weight[place]
        wanted = torch.einsum('bt,th->bh', x[..., place] - c[..., place], weight)
        torch.testing.assert_close(path(x)[..., place], wanted + c[..., place])


def test_it_starts_by_repeating_the_centre():
    x = torch.randn(5, T, M)
    last = LinearPath(**SIZES, centre='last')(x)
    assert torch.equal(last, x[:, -1:].expand(-1, H, -1))
    mean = LinearPath(**SIZES, centre='auto')(x)
    torch.testing.assert_close(mean, x.mean(1, keepdim=True).expand(-1, H, -1))


def test_it_commutes_with_shift_and_scale():
    path = LinearPath(**SIZES, variates=M)
    torch.nn.init.normal_(path.weight)
    x = torch.randn(5, T, M)
    torch.testing.assert_close(path(3 * x + 2), 3 * path(x) + 2)


@pytest.mark.parametrize('centre', ['mean', 'last', 'auto'])
def test_a_fit_forecasts_what_is_linear(rows, centre):
    path = LinearPath(**SIZES, variates=M, centre=centre)
    report = path.fit(rows[:80], rows[60:], penalties=(1.0,), shrinkages=(1e-9,))
    assert report['val_mse'] < 1e-6
    assert (report['train_windows'], report['val_windows']) == (2 * 70, 2 * 50)
    windows = torch.from_numpy(rows).float().unfold(0, T + H, 1).transpose(1, 2)
    found = path(windows[:, :T])
    torch.testing.assert_close(found, windows[:, T:], atol=2e-3, rtol=0)


def test_blocks_of_the_train_split_do_not_overlap_with_what_they_judge(monkeypatch):
    random = np.random.default_rng(0)
    rows = random.normal(size=(120, M)).cumsum(0)
    path, trials = LinearPath(**SIZES, variates=M, blocks=3), []
    fit = linear_path.fit_ridge

    def note(*args, blocks, **options):
        trials.extend(blocks)
        return fit(*args, blocks=blocks, **options)

    monkeypatch.setattr(linear_path, 'fit_ridge', note)
    assert path.fit(rows[:80], rows[60:])['blocks'] == 3
    windows = 80 - T - H + 1  # 70
    assert [trial.val[0].windows for trial in trials] == [23, 23, 24]
    left = [windows - 23 - 10, windows - 23 - 20, windows - 24 - 10]
    assert [trial.train[1].windows for trial in trials] == left
    trials.clear()
    LinearPath(**SIZES).fit(rows[:80], rows[60:])
    assert not trials
    with pytest.raises(ValueError, match='blocks must be 0 or at least 2, got 1'):
        LinearPath(**SIZES, blocks=1)
    scored = np.ones((80, M), bool)
    scored[:40] = False
    report = path.fit(rows[:80], rows[60:], train_scored=scored)
    assert report['blocks'] == len(trials) == 2  # the first part has no window
    longest = 4 * (T + H) + T + H - 2  # rows of a window less than four blocks need
    short = LinearPath(**SIZES, blocks=4)
    assert short.fit(rows[:longest], rows[60:])['blocks'] == 0
    assert short.fit(rows[: longest + 1], rows[60:])['blocks'] == 4


def test_more_penalties_are_tried_where_they_are_asked_for(rows):
    coarse, fine = (
        LinearPath(**SIZES, penalties_per_decade=count).fit(rows[:80], rows[60:])
        for count in (1, 4)
    )
    assert fine['val_mse'] <= coarse['val_mse']
    grid = penalty_grid(4)
    assert len(grid) == 21 and grid[::4] == PENALTIES == (1e1, 1e2, 1e3, 1e4, 1e5, 1e6)
    assert fine['penalty'] in grid and coarse['penalty'] in PENALTIES


def test_validation_chooses_the_centre():
    random = np.random.default_rng(0)
    walk = random.normal(size=(400, M)).cumsum(axis=0)
    noise = random.normal(size=(400, M))
    options = dict(penalties=(1e6,))
    for rows, centre in ((walk, 'last'), (noise, 'mean')):
        path = LinearPath(**SIZES, centre='auto')
        both = [
            LinearPath(**SIZES, centre=c).fit(rows[:300], rows[292:], **options)
            for c in ('mean', 'last')
        ]
        report = path.fit(rows[:300], rows[292:], **options)
        assert report['centre'] == centre
        assert report['val_mse'] == min(one['val_mse'] for one in both)
        copy = LinearPath(**SIZES, centre='auto')
        copy.load_state_dict(path.state_dict())
        x = torch.randn(3, T, M)
        assert torch.equal(copy(x), path(x)), 'a checkpoint holds the centre'


def test_masked_cells_change_nothing(rows):
    clean, spoilt = rows.copy(), rows.copy()
    spoilt[30, 0], spoilt[100, 1] = 1e3, -1e3
    good = spoilt == clean
    masks = dict(
        train_scored=good[:80],
        train_sound=good[:80],
        val_scored=good[60:],
    )
    paths = [LinearPath(**SIZES, variates=M) for _ in range(3)]
    options = dict(penalties=(1e-2,), shrinkages=(1e-2,))
    reports = [
        paths[0].fit(clean[:80], clean[60:], **masks, **options),
        paths[1].fit(spoilt[:80], clean[60:], **masks, **options),
        paths[2].fit(spoilt[:80], clean[60:], **options),
    ]
    torch.testing.assert_close(paths[0].weight, paths[1].weight, atol=1e-4, rtol=0)
    assert reports[1]['val_mse'] < 1e-4 < reports[2]['val_mse']
    assert reports[1]['train_windows'] == 2 * 70 - (T + H)
    assert reports[1]['val_windows'] == 2 * 50 - H


def test_training_changes_it_only_where_asked():
    for trainable in (False, True):
        path = LinearPath(**SIZES, trainable=trainable)
        assert path(torch.randn(2, T, M)).requires_grad == trainable
        assert set(path.state_dict()) == {'weight', 'centre_weights'}


BAD = [
    (dict(look_back=0), 'look_back must be an integer from 1, got 0'),
    (dict(horizon=-1), 'horizon must be an integer from 1, got -1'),
    (dict(variates=0), 'variates must be an integer from 1, got 0'),
    (
        dict(penalties_per_decade=0),
        'penalties_per_decade must be an integer from 1, got 0',
    ),
    (dict(blocks='x'), "blocks must be 0 or at least 2, got 'x'"),
    (dict(trainable='x'), "trainable must be True or False, got 'x'"),
    (dict(centre='median'), "centre must be 'mean', 'last' or 'auto', got 'median'"),
]


@pytest.mark.parametrize(('change', 'message'), BAD)
def test_refused_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        LinearPath(**SIZES | change)


def test_refused_rows(rows):
    path = LinearPath(**SIZES, variates=M)
    with pytest.raises(
        ValueError, match=r'the train rows must be \(rows, 2\), got \(120, 1'
    ):
        path.fit(rows[:, :1], rows)
    with pytest.raises(ValueError, match=r'needs 11 rows .*, but the val split has 10'):
        path.fit(rows, rows[:10])
