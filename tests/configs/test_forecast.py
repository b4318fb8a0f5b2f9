"""The forecasting configs: sizes said once, the one recipe, and a step."""

import csv
import math
import os
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch
import yaml
from mmengine.analysis import FlopAnalyzer
from mmengine.config import Config
from mmengine.registry import RUNNERS
from shipped_configs import ROOT, StopAfterOneStep

import mmmambamixer.patches  # noqa: F401
from mmmambamixer import TSM2
from mmmambamixer.engine.build import build_model
from mmmambamixer.engine.config import load_config
from mmmambamixer.engine.launch import build_runner
from mmmambamixer.evaluation import BlendMetric

FOLDER = ROOT / 'configs' / 'tsm2'
VARIATES = dict(
    etth1=7,
    etth2=7,
    ettm1=7,
    ettm2=7,
    weather=21,
    exchange=8,
    electricity=321,
    traffic=862,
)
HORIZONS = (96, 192, 336, 720)
SPLITS = ('train', 'val', 'test')
RECIPE = dict(
    type='TSM2',
    look_back=512,
    patch_len=16,
    stride=16,
    dropout=0.3,
    sign_flip=True,
    mirror=True,
    centre='mean',
    linear_path=dict(maps='variate', penalties_per_decade=3, blocks=4),
)
FACTS = dict(
    weather=dict(sign_flip=False, mirror=False),
    exchange=dict(centre='last', linear_path=dict(maps='shared', centre='last')),
)
"""What differs from the recipe in a table, at all horizons."""
CELLS = [(table, horizon) for table in VARIATES for horizon in HORIZONS]


def load(table: str, horizon: int | None = None, end: str = '', **options) -> Config:
    options = options if horizon is None else options | {'horizon': horizon}
    return load_config(FOLDER / f'tsm2_{table}{end}.py', options)


def metrics_of(evaluators: list) -> set[str]:
    """Return the names of the metrics that evaluators give."""
    names = set()
    for evaluator in evaluators:
        prefix = evaluator.get('prefix') or evaluator.type.removesuffix('Metric')
        more = ['mixers_mse'] if evaluator.type == 'BlendMetric' else []
        names |= {f'{prefix.lower()}/{name}' for name in ('mse', *more)}
    return names


def agree(config: Config, table: str, look_back: int, horizon: int) -> None:
    """Check what says a size, names a table or a metric."""
    sizes = (look_back, horizon)
    model = config.model
    assert (model.look_back, model.horizon) == sizes
    assert model.variates == VARIATES.get(table, 12)
    datasets = [config[f'{split}_dataloader'].dataset for split in SPLITS]
    assert tuple(dataset.pop('split') for dataset in datasets) == SPLITS
    assert datasets[0] == datasets[1] == datasets[2]
    assert (datasets[0].look_back, datasets[0].horizon) == sizes
    columns = [c for source in datasets[0].get('future') or () for c in source.columns]
    assert len(columns) == model.get('future_covariates', 0)
    assert bool(datasets[0].get('static')) == bool(model.get('static_features', 0))
    branches = {'forecast', 'line', 'mixers'} if model.linear_path else {'forecast'}
    scored = [one.get('key', 'forecast') for one in config.test_evaluator]
    assert set(scored) == branches
    given = metrics_of(config.val_evaluator)
    best = config.default_hooks.checkpoint.save_best
    stop = [h.monitor for h in config.custom_hooks if h.type == 'EarlyStoppingHook']
    assert set(stop + (best if isinstance(best, list) else [best])) <= given
    blends = any(hook.type == 'FitBlendHook' for hook in config.custom_hooks)
    assert blends == bool(model.linear_path) == ('blend/mse' in given)


def test_every_table_has_a_config_and_one_of_the_paper():
    names = {f'tsm2_{t}{end}' for t in VARIATES for end in ('', '_paper')}
    names |= {'tsm2_beijing', 'tsm2_beijing_alone'}
    assert {path.stem for path in FOLDER.glob('*.py')} == names


@pytest.mark.parametrize(('table', 'horizon'), CELLS)
def test_a_cell_has_its_sizes_and_the_one_recipe(table, horizon):
    config, first = load(table, horizon), load('etth1')
    sizes = dict(horizon=horizon, variates=VARIATES[table])
    facts = FACTS.get(table, {})
    if table == 'exchange':
        facts = facts | dict(linear_path=RECIPE['linear_path'] | facts['linear_path'])
    assert config.model.to_dict() == RECIPE | sizes | facts
    for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'default_hooks'):
        assert config[key] == first[key]
    for split in SPLITS:
        loaders = [one[f'{split}_dataloader'] for one in (config, first)]
        for loader in loaders:
            loader.pop('dataset')
        assert loaders[0] == loaders[1] and not loaders[0].get('drop_last')
    if table != 'exchange':
        assert config.val_evaluator == first.val_evaluator
        assert config.custom_hooks == first.custom_hooks
    agree(load(table, horizon), table, 512, horizon)


@pytest.mark.parametrize(('table', 'horizon'), CELLS)
def test_the_paper_s_model_has_the_same_mixers_and_no_line(table, horizon):
    config, paper = load(table, horizon), load(table, horizon, '_paper')
    assert paper.model.linear_path is None and paper.model.centre == 'mean'
    ours, theirs = dict(config.model), dict(paper.model)
    for model in (ours, theirs):
        model.pop('linear_path'), model.pop('centre')
    assert ours == theirs
    for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'train_dataloader'):
        assert config[key] == paper[key]
    assert config.custom_hooks[0] == paper.custom_hooks[0]
    assert config.custom_hooks[0].type == 'EMAHook'
    agree(paper, table, 512, horizon)


@pytest.mark.parametrize('horizon', [24, 96])
def test_beijing_has_its_weather_and_its_ablation_has_not(horizon):
    config, alone = load('beijing', horizon), load('beijing', horizon, '_alone')
    for one, covariates, features in ((config, 7, 12), (alone, 0, 0)):
        assert one.model.future_covariates == covariates
        assert one.model.static_features == features
        agree(one, 'beijing', 512, horizon)
    assert config.optim_wrapper == alone.optim_wrapper


def test_the_sizes_of_the_demo_agree():
    config = load_config(ROOT / 'configs/demo/tsm2_weather_year.py', {'horizon': 48})
    agree(config, 'etth1', 168, 48)


def test_the_names_at_the_top_are_options():
    options = dict(look_back=96, horizon=48, variates=3, epochs=2)
    options |= dict(path='mine.csv', borders=(0.6, 0.2))
    config = load('etth1', **options)
    assert (config.model.look_back, config.model.horizon) == (96, 48)
    assert config.model.variates == 3
    for split in SPLITS:
        dataset = config[f'{split}_dataloader'].dataset
        assert (dataset.look_back, dataset.horizon) == (96, 48)
        assert (dataset.path, dataset.borders) == ('mine.csv', (0.6, 0.2))
    assert config.train_cfg.max_epochs == config.param_scheduler[1].end == 2


def test_a_config_on_top_says_another_horizon(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(f'_base_ = {str(FOLDER / "tsm2_etth1.py")!r}\nhorizon = 720\n')
    config = load_config(path)
    assert config.model.to_dict() == load('etth1', 720).model.to_dict()


def test_a_written_config_is_final(tmp_path):
    config, path = load('weather', 720), tmp_path / 'written.py'
    config.dump(path)
    assert load_config(path).to_dict() == config.to_dict()
    with pytest.raises(ValueError, match="the config has no 'horizon'"):
        load_config(path, {'horizon': 96})


def test_what_decays_is_the_model_s_own_list():
    options = load('etth1').optim_wrapper.paramwise_cfg.to_dict()
    assert options == TSM2.paramwise_cfg


def on_noise(config: Config, tmp_path: Path, rows: int = 4000) -> Config:
    """Give a config a table of random walks, one batch an epoch and no patience."""
    variates = config.model.variates
    values = np.random.default_rng(0).standard_normal((rows, variates)).cumsum(0)
    dates = np.datetime64('2020-01-01') + np.arange(rows).astype('timedelta64[h]')
    with open(tmp_path / 'noise.csv', 'w') as file:
        file.write('date,' + ','.join(f'v{i}' for i in range(variates)) + '\n')
        for date, row in zip(dates, values, strict=True):
            file.write(f'{date},' + ','.join(f'{x:.4f}' for x in row) + '\n')
    for split in SPLITS:
        dataset = config[f'{split}_dataloader'].dataset
        dataset.path, dataset.borders = str(tmp_path / 'noise.csv'), (0.6, 0.2)
    config.train_dataloader.sampler.max_windows = 8  # one batch, too few to warm up
    config.param_scheduler = config.param_scheduler[1]
    config.param_scheduler.begin = 0
    config.work_dir = str(tmp_path / 'work')
    config.custom_hooks = [h for h in config.custom_hooks if 'Early' not in h.type]
    return config


@pytest.mark.parametrize('end', ['', '_paper'])
@pytest.mark.parametrize(
    ('table', 'horizon'), [('etth1', 96), ('exchange', 192), ('weather', 96)]
)
def test_one_step_of_the_run_on_a_table_of_noise(table, horizon, end, tmp_path):
    config = on_noise(load(table, horizon, end), tmp_path)
    config.default_hooks.checkpoint = None
    runner = build_runner(config)
    step = StopAfterOneStep()
    runner.register_hook(step)
    runner.train()
    assert runner.iter == 1 and math.isfinite(step.loss)
    if not end:
        line = runner.model.linear_path.weight
        assert bool(line.any()) == (table != 'exchange')


def test_a_checkpoint_has_averaged_weights_and_the_weight_of_their_validation(
    tmp_path, monkeypatch
):
    compute = BlendMetric.compute_metrics
    monkeypatch.setattr(  # mixers of two steps would get 0
        BlendMetric,
        'compute_metrics',
        lambda self, results: compute(self, results) | dict(weight=0.375),
    )
    config = load('etth1', variates=1, epochs=2)
    runner = build_runner(on_noise(config, tmp_path, rows=3200))
    runner.train()
    assert runner.model.blend.item() == 0.375
    (path,) = (tmp_path / 'work').glob('epoch_2.pth')
    checkpoint = torch.load(path, weights_only=True)
    saved, trained = checkpoint['state_dict'], checkpoint['ema_state_dict']
    assert saved['blend'].item() == trained['module.blend'].item() == 0.375
    line = saved['linear_path.weight']
    torch.testing.assert_close(line, runner.model.linear_path.weight.data)
    head = runner.model.head.weight.data  # 0, then of the first and second step
    torch.testing.assert_close(trained['module.head.weight'], head)
    assert saved['head.weight'].norm() < head.norm()


def test_tools_that_do_not_know_expressions_build_the_same_run(tmp_path):
    config = Config.fromfile(FOLDER / 'tsm2_ettm1.py')
    config.merge_from_dict({'horizon': 720, 'work_dir': str(tmp_path)})
    runner = RUNNERS.build(config)
    assert runner.cfg.model.to_dict() == load('ettm1', 720).model.to_dict()
    assert runner.model.horizon == 720


def test_the_data_folder_is_a_variable(monkeypatch):
    monkeypatch.setenv('MMMAMBAMIXER_DATA', '/somewhere')
    path = load('weather').test_dataloader.dataset.path
    assert path == '/somewhere/timeseries/weather.csv'
    monkeypatch.delenv('MMMAMBAMIXER_DATA')
    assert 'MMMAMBAMIXER_DATA' not in os.environ
    path = Path(load('weather').test_dataloader.dataset.path)
    assert path == Path('data/timeseries/weather.csv')


PAGE = yaml.safe_load((FOLDER / 'metafile.yml').read_text())['Models']


@pytest.mark.parametrize('listed', PAGE, ids=lambda listed: listed['Name'])
def test_the_page_has_the_errors_that_were_measured(listed):
    table, _, end = listed['Name'].removeprefix('tsm2_').partition('_')
    model = {'': 'TSM2', 'paper': 'TSM2-paper'}.get(end)
    if table == 'beijing':
        model = f'TSM2 {"without" if end else "with"} covariates'
    stated = {}
    for result in listed['Results'] or ():
        assert result['Dataset'].lower() == table
        stated |= {int(k.removeprefix('MSE ')): v for k, v in result['Metrics'].items()}
    found = {}
    with open(ROOT / 'benchmarks/results/forecasting.csv', newline='') as file:
        for row in csv.DictReader(file):
            if (row['dataset'].lower(), row['model']) == (table, model):
                found.setdefault(int(row['horizon']), []).append(float(row['mse']))
    assert stated == {h: round(fmean(runs), 4) for h, runs in found.items()}


@pytest.mark.parametrize('name', ['tsm2_etth1', 'tsm2_electricity_paper'])
def test_the_page_has_the_size_of_the_model(name):
    model = build_model(load_config(FOLDER / f'{name}.py')).eval().requires_grad_(False)
    flops = FlopAnalyzer(model, torch.rand(1, model.look_back, model.variates))
    flops.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    (listed,) = [one['Metadata'] for one in PAGE if one['Name'] == name]
    assert listed['Parameters'] == sum(p.numel() for p in model.parameters())
    assert listed['FLOPs'] == flops.total()
