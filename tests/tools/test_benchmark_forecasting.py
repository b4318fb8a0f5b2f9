"""The tool that runs forecasting cells: it goes on where it stopped, and tabulates."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    import benchmark_forecasting

    yield benchmark_forecasting
    for name in ('benchmark_forecasting', 'forecasting_table'):
        sys.modules.pop(name, None)


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
        folder.mkdir(parents=True, exist_ok=True)
        if name == 'train.py':
            for best in ('blend_mse', 'blend_mixers_mse', 'forecast_mse'):
                (folder / f'best_{best}_epoch_2.pth').touch()
        else:
            mixers = 'mixers' in arguments[0].name
            out = arguments[arguments.index('--out') + 1]
            out.write_text(json.dumps(metrics(0.5 if mixers else 0.25)))

    monkeypatch.setattr(tool, 'call', call)
    return made


def test_a_training_gives_three_lines_once(tool, calls, tmp_path):
    path = tmp_path / 'results.csv'
    for _ in range(2):  # the second finds them in the file
        tool.run_cell(tool.Results(path), 'etth1-96', 3, tmp_path)
    assert path.read_text().splitlines() == [
        'dataset,horizon,model,seed,mse,mae',
        'ETTh1,96,TSM2,3,0.250000,0.125000',
        'ETTh1,96,line,3,0.250000,0.125000',
        'ETTh1,96,TSM2-paper,3,0.500000,0.250000',
    ]
    assert [name for name, _ in calls] == ['train.py', 'test.py', 'test.py']


def test_what_was_trained_is_not_trained_again(tool, calls, tmp_path):
    path = tmp_path / 'results.csv'
    tool.run_cell(tool.Results(path), 'etth1-96', 0, tmp_path)
    path.write_text(''.join(path.read_text().splitlines(keepends=True)[:2]))
    tool.run_cell(tool.Results(path), 'etth1-96', 0, tmp_path)
    assert [name for name, _ in calls].count('train.py') == 1
    assert len(path.read_text().splitlines()) == 4


def test_other_mixers_are_trained_by_themselves(tool, calls, tmp_path):
    tool.run_cell(tool.Results(tmp_path / 'r.csv'), 'exchange-96', 0, tmp_path)
    trained = [config for name, config in calls if name == 'train.py']
    assert trained == ['tsm2_exchange-96', 'tsm2_exchange-96_paper']


@pytest.mark.parametrize('cell', ['etth2-720', 'ettm1-336', 'weather-96'])
def test_mixers_are_the_paper_s_but_on_exchange(tool, cell):
    pair = [tool.CONFIGS / f'tsm2_{cell}{end}.py' for end in ('', '_paper')]
    assert tool.same_mixers(*pair)


def test_a_failed_process_is_told_with_its_log(tool, tmp_path):
    config = tmp_path / 'no_config.py'
    with pytest.raises(
        RuntimeError, match=r'train.py failed on .*see .*train.txt: err'
    ):
        tool.call('train.py', config, tmp_path / 'work', [])


def test_the_table_has_a_mean_and_half_the_range(tool, tmp_path, capsys):
    from forecasting_table import print_table

    results = tool.Results(tmp_path / 'r.csv')
    for seed, mse in enumerate((0.36, 0.38)):
        results.add('etth1-96', 'TSM2', seed, mse, 0.4)
        results.add('etth1-96', 'no averaging', seed, mse + 0.01, 0.4)
        results.add('etth1-96', 'no averaging, mixers', seed, mse + 0.02, 0.4)
    results.add('etth1-96', 'ridge', '-', 0.3672, 0.39)
    capsys.readouterr()
    print_table(results.rows, ROOT / 'benchmarks' / 'published_forecasting.csv')
    lines = capsys.readouterr().out.splitlines()
    (cell,) = [line for line in lines if line.startswith('| ETTh1-96 ')]
    assert cell == (
        '| ETTh1-96 | 0.375 | 0.352 | not run | 0.3672 | not run | not run | '
        '0.3700 ± 0.0100 |'
    )
    (traffic,) = [line for line in lines if line.startswith('| Traffic-96 ')]
    assert traffic.count('not run') == 5
    (mean,) = [line for line in lines if line.startswith('| mean of')]
    assert '| 0.3211 | 0.3072 |' in mean and mean.count('not complete') == 5
    (variant,) = [line for line in lines if line.startswith('| no averaging')]
    assert '0.3800 ± 0.0100; 0.3900 ± 0.0100' in variant
