"""The tool that runs forecasting cells: it goes on where it stopped, and tabulates."""

import json
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mmmambamixer.engine.config import load_config
from mmmambamixer.evaluation.result_rows import RowsError, held

ROOT = Path(__file__).parents[2]


PARTS = ('cells', 'results', 'trainings', 'baselines', 'tables')


@pytest.fixture
def tool(monkeypatch):
    """Return the parts of the tool, by name, and `run`."""
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    parts = {part: import_module(f'forecasting.{part}') for part in PARTS}
    yield SimpleNamespace(**parts, main=import_module('benchmark_forecasting'))
    for name in [*sys.modules]:
        if name == 'benchmark_forecasting' or name.partition('.')[0] == 'forecasting':
            del sys.modules[name]


def metrics(mse):
    return {
        f'{prefix}/{key}': value
        for prefix in ('forecast', 'line', 'mixers')
        for key, value in dict(mse=mse, mae=mse / 2).items()
    }


@pytest.fixture
def calls(tool, monkeypatch):
    """Replace the processes: tests 'find' errors that tell config and checkpoint."""
    made = []

    def call(name, config, folder, arguments):
        made.append((name, config.stem))
        assert f'horizon={folder.name.split("-")[1]}' in arguments
        folder.mkdir(parents=True, exist_ok=True)
        if name == 'train.py':
            epochs = dict(blend_mse=2, blend_mixers_mse=3, forecast_mse=2)
            for best, epoch in epochs.items():
                (folder / f'best_{best}_epoch_{epoch}.pth').touch()
        else:
            mixers = 'mixers' in arguments[0].name
            out = arguments[arguments.index('--out') + 1]
            out.write_text(json.dumps(metrics(0.5 if mixers else 0.25)))

    monkeypatch.setattr(tool.trainings, 'call', call)
    return made


def run_all(tool, path, cell, seed, kind='models'):
    """Run what there is to train in a cell; return the results."""
    results = tool.results.Results(path)
    for training in tool.trainings.trainings(cell, kind):
        tool.trainings.train_and_test(results, cell, seed, training, path.parent)
    return results


def test_a_training_gives_three_lines_once(tool, calls, tmp_path):
    path = tmp_path / 'results.csv'
    for _ in range(2):  # the second finds them in the file
        run_all(tool, path, 'etth1-96', 3)
    assert path.read_text().splitlines() == [
        'dataset,horizon,model,seed,mse,mae',
        'ETTh1,96,TSM2,3,0.250000,0.125000',
        'ETTh1,96,line,3,0.250000,0.125000',
        'ETTh1,96,TSM2-paper,3,0.500000,0.250000',
    ]
    assert [name for name, _ in calls] == ['train.py', 'test.py', 'test.py']


def test_what_was_trained_is_not_trained_again(tool, calls, tmp_path):
    path = tmp_path / 'results.csv'
    run_all(tool, path, 'etth1-96', 0)
    path.write_text(''.join(path.read_text().splitlines(keepends=True)[:2]))
    run_all(tool, path, 'etth1-96', 0)
    assert [name for name, _ in calls].count('train.py') == 1
    assert len(path.read_text().splitlines()) == 4


def test_a_half_line_is_refused_and_an_empty_file_gets_its_names(tool, calls, tmp_path):
    path = tmp_path / 'results.csv'
    path.touch()
    results = run_all(tool, path, 'etth1-96', 3)
    whole = path.read_text()
    assert whole.startswith('dataset,horizon,model,seed,mse,mae\nETTh1,96,')
    cut = whole[:-4]
    path.write_text(cut)
    with pytest.raises(RowsError, match=r'results\.csv, line 4: .*delete this line'):
        tool.results.Results(path)
    with pytest.raises(RowsError, match='line 4'):  # cut since it was read
        results.add('etth1-96', 'TSM2', 4, metrics(0.5), 'forecast')
    assert path.read_text() == cut


def test_a_second_run_meanwhile_is_refused(tool, tmp_path, monkeypatch):
    monkeypatch.setattr(tool.main, 'run', lambda *_: pytest.fail('it ran'))
    path = tmp_path / 'r.csv'
    monkeypatch.setattr(sys, 'argv', ['tool', 'run', '--results', str(path)])
    with held(path), pytest.raises(SystemExit, match='another run holds'):
        tool.main.main()


def test_other_mixers_are_trained_by_themselves(tool, calls, tmp_path):
    run_all(tool, tmp_path / 'r.csv', 'exchange-96', 0)
    trained = [config for name, config in calls if name == 'train.py']
    assert trained == ['tsm2_exchange', 'tsm2_exchange_paper']


@pytest.mark.parametrize('cell', ['etth2-720', 'ettm1-336', 'weather-96'])
def test_mixers_are_the_paper_s_but_on_exchange(tool, cell):
    assert tool.trainings.same_mixers(cell)


def test_ablations_and_covariates_are_options_and_configs(tool, calls, tmp_path):
    run_all(tool, tmp_path / 'r.csv', 'ettm1-192', 0, 'variants')
    results = run_all(tool, tmp_path / 'r.csv', 'beijing-24', 0, 'covariates')
    trained = [config for name, config in calls if name == 'train.py']
    assert trained == ['tsm2_ettm1'] * 4 + ['tsm2_beijing', 'tsm2_beijing_alone']
    assert len(results.rows) == 10
    config, options = tool.cells.config_of('ettm1-192')
    models = [
        load_config(config, options | v).model for v in tool.trainings.VARIANTS.values()
    ]
    assert len({str(model) for model in models}) == 4


def test_a_failed_process_is_told_with_its_log(tool, tmp_path):
    config = tmp_path / 'no_config.py'
    with pytest.raises(
        RuntimeError, match=r'train.py failed on .*see .*train.txt: err'
    ):
        tool.trainings.call('train.py', config, tmp_path / 'work', [])


def test_seeds_come_one_after_another_and_a_table_is_all_its_horizons(
    tool, tmp_path, monkeypatch
):
    ran = []
    monkeypatch.setattr(
        tool.main, 'train_and_test', lambda _, cell, seed, *__: ran.append((seed, cell))
    )
    argv = ['tool', 'run', '--seeds', '0', '2', '--cells', 'etth2-96', 'ettm1']
    monkeypatch.setattr(sys, 'argv', [*argv, '--results', str(tmp_path / 'r.csv')])
    tool.main.main()
    cells = ['etth2-96', 'ettm1-96', 'ettm1-192', 'ettm1-336', 'ettm1-720']
    assert ran == [(seed, cell) for seed in (0, 2) for cell in cells]


def tables_of(tool, results, capsys) -> list[dict[str, list[str]]]:
    """Return the printed tables: the columns of each line by its name."""
    capsys.readouterr()
    tool.tables.print_tables(results.rows)
    tables = capsys.readouterr().out.split('\n\n')
    split = [[line.split(' | ') for line in table.splitlines()] for table in tables]
    return [{line[0].strip('| '): line[1:] for line in lines} for lines in split]


def test_the_tables_have_seeds_a_mean_and_half_the_range(tool, tmp_path, capsys):
    results = tool.results.Results(tmp_path / 'r.csv')
    for seed, mse in enumerate((0.36, 0.38)):
        for name, more in (
            ('TSM2', 0),
            ('TSM2, by cell', 0.03),
            ('no averaging', 0.01),
        ):
            results.add('etth1-96', name, seed, metrics(mse + more), 'forecast')
        results.add(
            'etth1-96', 'no averaging, mixers', seed, metrics(mse + 0.02), 'mixers'
        )
    results.add('etth1-96', 'ridge', '-', metrics(0.3672), 'forecast')
    ours, published, variants = tables_of(tool, results, capsys)
    assert ours['ETTh1-96'] == [
        '2', '0.4000 ± 0.0100', 'not run', '0.3672', 'not run', 'not run',
        '0.3700 ± 0.0100 |',
    ]  # fmt: skip
    assert ours['Traffic-96'][0] == '0' and ours['Traffic-96'].count('not run') == 5
    assert ours['mean of ETT and Weather'][1:] == ['not complete'] * 5 + [
        'not complete |'
    ]
    assert published['ETTh1-96'] == [
        '0.375', '0.352', '0.366', '0.360', '0.375', '0.363', '0.377',
        '0.3700 ± 0.0100 |',
    ]  # fmt: skip
    assert published['Exchange-96'][2] == '-'  # SRSNet has no Exchange
    assert published['mean of ETT and Weather'] == [
        '0.3211', '0.3072', '0.3134', '0.3145', '0.3138', '0.3148', '0.3197',
        'not complete |',
    ]  # fmt: skip
    assert variants['no averaging; mixers alone'] == [
        '0.3800 ± 0.0100; 0.3900 ± 0.0100 |'
    ]
    assert variants['TSM2; mixers alone'] == ['0.4000 ± 0.0100; not run |']


def test_the_mean_has_the_spread_of_whole_seeds(tool):
    cells = [('ETTh1', 96), ('ETTh2', 96)]
    ours = {('ETTh1', 96, 'TSM2'): {'0': 0.3, '1': 0.34, '2': 0.5}}
    assert tool.tables.mean_of(ours, cells, 'TSM2') == 'not complete'
    ours[('ETTh2', 96, 'TSM2')] = {'0': 0.2, '1': 0.18}
    assert tool.tables.mean_of(ours, cells, 'TSM2') == '0.2850 ± 0.0050'


@pytest.fixture
def waves(tmp_path):
    """Return a config of three noisy waves, and the rows of its test part."""
    random, rows = np.random.default_rng(0), 400
    t = np.arange(rows)[:, None]
    values = np.sin(t / 4 + [0, 1, 2]) + random.normal(0, 0.1, (rows, 3))
    dates = np.datetime64('2021-03-01') + t[:, 0].astype('timedelta64[h]')
    lines = [
        f'{date},{a:.6f},{b:.6f},{c:.6f}'
        for date, (a, b, c) in zip(dates, values, strict=True)
    ]
    (tmp_path / 'waves.csv').write_text('\n'.join(['date,a,b,c', *lines]) + '\n')
    base = ROOT / 'configs/_base_/tsm2/tsm2.py'
    (tmp_path / 'waves.py').write_text(
        f'_base_ = {str(base)!r}\n'
        'look_back, horizon, variates = 24, 6, 3\n'
        f'path, borders = {str(tmp_path / "waves.csv")!r}, (200, 300, 400)\n'
    )
    scaled = (values - values[:200].mean(0)) / values[:200].std(0)
    return tmp_path / 'waves.py', scaled[300:], scaled[299:-1]


def test_baselines_are_scored_on_all_test_windows(tool, waves):
    config, rows, before = waves
    naive, count = tool.baselines.score_baseline(
        load_config(config), tool.baselines.RepeatLast
    )
    starts = range(len(rows) - 5)
    errors = np.array([rows[i : i + 6] - before[i] for i in starts])
    assert count == len(starts)
    assert naive['forecast/mse'] == pytest.approx((errors**2).mean(), rel=1e-4)
    assert naive['forecast/mae'] == pytest.approx(abs(errors).mean(), rel=1e-4)
    ridge, _ = tool.baselines.score_baseline(
        load_config(config), tool.baselines.LinearForecaster
    )
    assert ridge['forecast/mse'] < 0.1 < naive['forecast/mse']


def test_a_summary_has_the_tested_model_beside_repeat_last(
    tool, waves, tmp_path, capsys
):
    tested = metrics(0.25) | {'line/mse': 0.5}
    (tmp_path / 'metrics.json').write_text(json.dumps(tested))
    tool.baselines.print_summary(waves[0], tmp_path / 'metrics.json')
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[-4:]]
    assert lines[0][:3] == ['95', 'test', 'windows,']
    assert lines[1][0] == 'repeat-last' and float(lines[1][1]) > 0.1
    assert [line[-2:] for line in lines[2:]] == [
        ['0.5000', '0.1250'],
        ['0.2500', '0.1250'],
    ]
