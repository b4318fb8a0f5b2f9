"""The tools on forecasters: train, test, go on, predict, and what they refuse."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

ROOT = Path(__file__).parents[2]
BASE = ROOT / 'configs/_base_/tsm2/tsm2.py'
ROWS, LOOK_BACK, HORIZON = 300, 24, 6
CONFIG = """
_base_ = {base!r}
look_back, horizon, variates = 24, 6, 3
path, borders = {path!r}, (0.6, 0.2)
epochs = 2
model = dict(d_model=4, d_state=2, patch_len=6, stride=6)
train_dataloader = dict(batch_size=8, sampler=dict(max_windows=48))
env_cfg = dict(dist_cfg=dict(backend='gloo'))
default_hooks = dict(checkpoint=dict(max_keep_ckpts=3))
"""


def make_frame() -> pd.DataFrame:
    """Return three noisy waves of a day, in their own units."""
    random = np.random.default_rng(0)
    t = np.arange(ROWS)[:, None]
    waves = np.sin(2 * np.pi * t / 24 + [0, 1, 2]) + random.normal(0, 0.1, (ROWS, 3))
    frame = pd.DataFrame(waves * [1, 20, 3] + [5, 100, -2], columns=['a', 'b', 'c'])
    frame.insert(0, 'date', pd.date_range('2021-03-01', periods=ROWS, freq='h'))
    return frame


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """Folder with `series.csv` and `config.py`; tests leave both as they are."""
    folder = tmp_path_factory.mktemp('series')
    path = folder / 'series.csv'
    make_frame().to_csv(path, index=False)
    text = CONFIG.format(base=str(BASE), path=str(path))
    (folder / 'config.py').write_text(text)
    return folder


@pytest.fixture(scope='module')
def checkpoint(folder, run) -> Path:
    """The best checkpoint of two epochs."""
    args = [ROOT / 'tools/train.py', folder / 'config.py', '--work-dir', folder / 'run']
    output = run(*args, cwd=folder)
    assert 'linear path in closed form' in output
    [path] = (folder / 'run').glob('best_blend_mse_*.pth')
    return path


@pytest.fixture
def refused(call, capsys):
    """Call a tool and return the one sentence that it ends with."""

    def refused(*args: object) -> str:
        with pytest.raises(SystemExit) as stop:
            call(*args)
        told = str(stop.value)
        assert told.startswith('error: ') and '\n' not in told
        return told

    return refused


def test_test_writes_metrics(folder, checkpoint, call, tmp_path):
    args = ['--work-dir', 'w', '--out', 'metrics.json', '--out-item', 'metrics']
    call('test.py', folder / 'config.py', checkpoint, *args)
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert metrics['forecast/mse'] < 0.2
    assert {'line/mse', 'mixers/mse', 'forecast/mae'} <= metrics.keys()


def test_checkpoints_name_their_series(checkpoint):
    meta = torch.load(checkpoint, weights_only=True)['meta']['dataset_meta']
    assert meta['variates'] == ['a', 'b', 'c'] and meta['step'] == 3600
    assert abs(meta['mean'][1] - 100) < 2


def test_a_run_goes_on_and_stops_early(folder, checkpoint, run):
    """Resumed from the first epoch, it ends where the run ended that never stopped."""
    tool, config, work = ROOT / 'tools/train.py', folder / 'config.py', folder / 'again'
    work.mkdir()
    first = checkpoint.parent / 'epoch_1.pth'
    args = [tool, config, '--work-dir', work, '--resume', first]
    assert 'in closed form' not in run(*args, cwd=folder)
    states = [
        torch.load(path / 'epoch_2.pth', weights_only=True)['state_dict']
        for path in (checkpoint.parent, work)
    ]
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name
    stops = ['custom_hooks.3.min_delta=9', 'custom_hooks.3.patience=1']
    args = [tool, config, '--work-dir', folder / 'early', '--cfg-options']
    output = run(*args, *stops, 'train_cfg.max_epochs=5', cwd=folder)
    assert 'did not improve in the last 1 records' in output
    assert not (folder / 'early/epoch_3.pth').exists()


@pytest.mark.parametrize(
    'option, told',
    [
        ('model.variates=4', 'model.variates must be 3'),
        ('model.look_back=30', 'model.look_back must be 24'),
        ('model.horizon=7', 'model.horizon must be 6'),
        ('model.targets=[1]', 'model.targets must be None'),
        ('model.static_features=2', 'model.static_features must be 0'),
        ('train_dataloader.dataset.static=one_hot', 'static_features must be 3'),
        ("train_dataloader.dataset.future=['hour']", 'future_covariates must be 1'),
        ('val_dataloader.dataset.borders=(0.7,0.29)', 'val part has'),
        ('train_dataloader.dataset.path=no.csv', 'there is no table at'),
        ('train_dataloader.batch_size=48', 'too few iterations for param_scheduler'),
    ],
)
def test_model_and_windows_fit_each_other(folder, option, told, refused):
    args = [folder / 'config.py', '--work-dir', 'w', '--cfg-options', option]
    assert told in refused('train.py', *args)


def test_the_horizon_of_a_training_is_that_of_its_forecasts(
    folder, checkpoint, call, refused, tmp_path
):
    """An option at the top changes model and data alike; the written config has it."""
    args = [folder / 'config.py', checkpoint, '--work-dir', 'w']
    with pytest.raises(SystemExit, match=r'head\.weight +\(9, 20\) +\(6, 20\)'):
        call('test.py', *args, '--cfg-options', 'horizon=9')
    told = refused('train.py', args[0], '--cfg-options', 'horizn=9')
    assert "did you mean 'horizon'?" in told
    call('train.py', args[0], '--cfg-options', 'horizon=9', 'epochs=1')
    work = tmp_path / 'work_dirs/config-9'
    [trained] = work.glob('best_blend_mse_*.pth')
    source = folder / 'series.csv'
    for name, config, options in (
        ('option', args[0], ['--cfg-options', 'horizon=9']),
        ('written', work / 'config.py', []),
    ):
        call('predict.py', config, trained, source, '--out', name, *options)
        assert len(pd.read_csv(tmp_path / name / 'forecast.csv')) == 9


def test_a_horizon_longer_than_the_test_part(folder, checkpoint, refused):
    args = [folder / 'config.py', checkpoint, '--work-dir', 'w', '--cfg-options']
    told = refused('test.py', *args, 'test_dataloader.dataset.borders=(0.7,0.01)')
    assert 'test part has 3 rows, but a horizon needs 6' in told


def test_test_refuses_another_order(folder, checkpoint, refused, tmp_path):
    frame = make_frame()[['date', 'b', 'a', 'c']]
    frame.to_csv(tmp_path / 'other.csv', index=False)
    args = [folder / 'config.py', checkpoint, '--work-dir', 'w', '--cfg-options']
    path = tmp_path / 'other.csv'
    told = refused('test.py', *args, f'test_dataloader.dataset.path={path}')
    assert "the variate 'a' at place 0, the table has 'b' there" in told


def test_a_forecast_has_dates_and_units(folder, checkpoint, call, tmp_path):
    source = folder / 'series.csv'
    call('predict.py', folder / 'config.py', checkpoint, source, '--out', 'out')
    frame = pd.read_csv(tmp_path / 'out/forecast.csv', parse_dates=['date'])
    assert list(frame.columns) == ['date', 'a', 'b', 'c']
    last = make_frame()['date'].iloc[-1]
    assert list(frame['date']) == list(pd.date_range(last, periods=7, freq='h')[1:])
    assert (frame['b'] - 100).abs().max() < 40 and (frame['b'] > 50).all()
    assert (tmp_path / 'out/predictions.png').stat().st_size > 20_000


def test_held_out_rows_are_not_seen(folder, checkpoint, call, tmp_path, capsys):
    """The forecast is that of the shortened file, and its errors are told."""
    frame = make_frame()
    frame.iloc[:-HORIZON].to_csv(tmp_path / 'short.csv', index=False)
    args = [folder / 'config.py', checkpoint]
    call('predict.py', *args, tmp_path / 'short.csv', '--out', 'short')
    call('predict.py', *args, folder / 'series.csv', '--out', 'held', '--hold-out')
    told = capsys.readouterr().out
    mse = [float(part.split()[0]) for part in told.split('MSE ')[1:]]
    assert mse[0] < mse[1] < 2
    held, short = (
        pd.read_csv(tmp_path / name / 'forecast.csv') for name in ('held', 'short')
    )
    pd.testing.assert_frame_equal(held, short)


def test_missing_rows_are_told(folder, checkpoint, call, tmp_path):
    make_frame().drop(index=ROWS - 5).to_csv(tmp_path / 'gap.csv', index=False)
    args = [folder / 'config.py', checkpoint, 'gap.csv', '--out', 'gap']
    with pytest.warns(UserWarning, match='gap.csv: 1 of 24 rows are missing'):
        call('predict.py', *args)
    assert len(pd.read_csv(tmp_path / 'gap/forecast.csv')) == HORIZON


def test_variates_may_stand_in_another_order(folder, checkpoint, call, tmp_path):
    frame = make_frame().rename(columns=dict(date='when'))
    frame[['when', 'c', 'a', 'b']].to_csv(tmp_path / 'other.csv', index=False)
    args = [folder / 'config.py', checkpoint]
    call('predict.py', *args, 'other.csv', '--out', 'other')
    call('predict.py', *args, folder / 'series.csv', '--out', 'same')
    found, wanted = (
        pd.read_csv(tmp_path / name / 'forecast.csv') for name in ('other', 'same')
    )
    assert list(found.columns) == ['when', 'c', 'a', 'b']
    pd.testing.assert_frame_equal(found[['a', 'b', 'c']], wanted[['a', 'b', 'c']])


def test_a_long_table_gives_a_long_forecast(folder, checkpoint, call, tmp_path):
    frame = make_frame().melt('date', var_name='unique_id', value_name='y')
    frame.rename(columns={'date': 'ds'}).to_csv(tmp_path / 'long.csv', index=False)
    args = [folder / 'config.py', checkpoint]
    call('predict.py', *args, 'long.csv', '--out', 'long', '--layout', 'long')
    call('predict.py', *args, folder / 'series.csv', '--out', 'wide')
    long = pd.read_csv(tmp_path / 'long/forecast.csv')
    wide = pd.read_csv(tmp_path / 'wide/forecast.csv')
    assert list(long.columns) == ['unique_id', 'ds', 'y']
    np.testing.assert_allclose(long['y'][:HORIZON], wide['a'], rtol=1e-6)


KNOWN = """
_base_ = {base!r}
model = dict(
    future_covariates=1, sign_flip=False, mirror=False, linear_path=None
)
val_evaluator = {{{{_base_.paper_evaluator}}}}
test_evaluator = {{{{_base_.paper_evaluator}}}}
default_hooks = dict(checkpoint=dict(save_best='forecast/mse'))
custom_hooks = {{{{_base_.paper_hooks}}}}
data = dict(future=[dict(path={known!r}, columns=['load'])])
train_dataloader = dict(dataset=data)
val_dataloader = dict(dataset=data)
test_dataloader = dict(dataset=data)
"""


def test_covariates_of_the_horizon_come_from_a_file(folder, run, call, refused):
    dates = pd.date_range('2021-03-01', periods=ROWS + HORIZON, freq='h')
    known = pd.DataFrame(dict(date=dates, load=np.arange(len(dates)) % 7.0))
    known.to_csv(folder / 'known.csv', index=False)
    known.assign(load=known['load'] ** 2).to_csv(folder / 'other.csv', index=False)
    known[:-1].to_csv(folder / 'short.csv', index=False)
    base, path = (str(folder / name) for name in ('config.py', 'known.csv'))
    (folder / 'known.py').write_text(KNOWN.format(base=base, known=path))
    work_dir = folder / 'known_run'
    args = [ROOT / 'tools/train.py', folder / 'known.py', '--work-dir', work_dir]
    run(*args, cwd=folder)
    [checkpoint] = work_dir.glob('best_forecast_mse_*.pth')
    args = [folder / 'known.py', checkpoint, folder / 'series.csv', '--out']
    for name in ('known', 'other'):
        call('predict.py', *args, name, '--future', folder / f'{name}.csv')
    found, moved = (pd.read_csv(f'{name}/forecast.csv') for name in ('known', 'other'))
    assert list(found['date']) == list(dates[-HORIZON:].astype(str))
    assert not np.allclose(found['a'], moved['a'])
    told = refused('predict.py', *args, 'short', '--future', folder / 'short.csv')
    assert '1 of 6 dates are missing' in told
    assert 'by --future FILE' in refused('predict.py', *args, 'none')


def without_value(frame: pd.DataFrame) -> pd.DataFrame:
    frame['b'] = np.nan
    return frame


def without_recent_value(frame: pd.DataFrame) -> pd.DataFrame:
    frame.loc[frame.index[-LOOK_BACK:], 'b'] = np.nan
    return frame


@pytest.mark.parametrize(
    'change, told',
    [
        (lambda f: f.iloc[:20], 'has 20 rows, but the model needs 24'),
        (lambda f: f.drop(columns='b'), 'the table lacks b'),
        (lambda f: f.assign(d=1.0), 'the table also has d'),
        (without_value, "column 'b' has no value in any row"),
        (without_recent_value, "'b' has no value in the look-back"),
        (lambda f: f.iloc[::2], 'bad.csv has a row every 2 hours'),
        (lambda f: f.iloc[::-1], 'the dates are not in order'),
        (lambda f: pd.concat([f, f.iloc[-1:]]), 'is in two rows'),
        (lambda f: f.assign(c='x'), "column 'c' must hold numbers"),
        (lambda f: f.assign(date='x'), 'must hold a date'),
    ],
)
def test_predict_refuses_a_table(folder, checkpoint, change, told, refused, tmp_path):
    change(make_frame()).to_csv(tmp_path / 'bad.csv', index=False)
    args = [folder / 'config.py', checkpoint, 'bad.csv', '--out', 'out']
    assert told in refused('predict.py', *args)
    assert not (tmp_path / 'out').exists()


def test_predict_refuses_covariates_it_does_not_take(folder, checkpoint, refused):
    args = [folder / 'config.py', checkpoint, folder / 'series.csv', '--out', 'out']
    told = refused('predict.py', *args, '--future', 'weather.csv')
    assert '--future FILE is for covariates from a table' in told


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_a_forecaster_trains_in_bfloat16(folder, call, tmp_path):
    options = ('--cfg-options', 'train_cfg.max_epochs=1', 'randomness.seed=1')
    states = []
    for amp in ([], ['--amp'], ['--amp']):
        run = tmp_path / str(len(states))
        call('train.py', folder / 'config.py', *amp, '--work-dir', run, *options)
        state = torch.load(run / 'epoch_1.pth', weights_only=True)['state_dict']
        states.append(torch.cat([x.flatten() for x in state.values()]))
    exact, mixed, again = states
    assert torch.equal(mixed, again) and mixed.isfinite().all()
    assert 0 < (mixed - exact).norm() / exact.norm() < 0.01
