"""Every forecasting config: model and data fit, and its run takes a step."""

import ast
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from shipped_configs import ROOT, StopAfterOneStep

import mmmambamixer.patches  # noqa: F401
from mmmambamixer import TSM2
from mmmambamixer.engine.launch import build_runner

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
CELLS = [f'{table}-{h}' for table in VARIATES for h in (96, 192, 336, 720)]


def load(cell: str, paper: bool = False) -> Config:
    return Config.fromfile(FOLDER / f'tsm2_{cell}{"_paper" if paper else ""}.py')


def test_there_is_a_config_for_each_cell_and_no_other():
    names = {path.stem for path in FOLDER.glob('*.py')}
    expected = {f'tsm2_{cell}' for cell in CELLS}
    expected |= {f'{name}_paper' for name in expected}
    beijing = {f'tsm2_beijing-{h}' for h in (24, 96)}
    assert names == expected | beijing | {f'{name}_alone' for name in beijing}


@pytest.mark.parametrize('cell', CELLS)
def test_model_and_data_agree(cell):
    table, horizon = cell.rsplit('-', 1)
    config = load(cell)
    assert config.default_scope == 'mmmambamixer'
    assert config.model.variates == VARIATES[table]
    loaders = [config[f'{part}_dataloader'] for part in ('train', 'val', 'test')]
    for part in (config.model, *(loader.dataset for loader in loaders)):
        assert (part.look_back, part.horizon) == (512, int(horizon))
    splits = [loader.dataset.split for loader in loaders]
    assert splits == ['train', 'val', 'test']
    assert not any(loader.get('drop_last') for loader in loaders)
    docstring = ast.get_docstring(ast.parse((FOLDER / f'tsm2_{cell}.py').read_text()))
    assert horizon in docstring


@pytest.mark.parametrize('cell', CELLS)
def test_the_paper_s_model_has_no_line_and_the_same_mixers(cell):
    config, paper = load(cell), load(cell, paper=True)
    assert paper.model.linear_path is None and paper.model.centre == 'mean'
    assert 'Blend' not in str(paper.custom_hooks) + str(paper.val_evaluator)
    ours, theirs = dict(config.model), dict(paper.model)
    for model in (ours, theirs):
        model.pop('linear_path'), model.pop('centre')
    assert ours == theirs
    for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'train_dataloader'):
        assert config[key] == paper[key]


@pytest.mark.parametrize('horizon', [24, 96])
def test_beijing_has_its_weather_and_its_ablation_has_not(horizon):
    config = load(f'beijing-{horizon}')
    alone = Config.fromfile(FOLDER / f'tsm2_beijing-{horizon}_alone.py')
    for one, covariates, features in ((config, 7, 12), (alone, 0, 0)):
        assert one.model.horizon == horizon
        assert one.model.future_covariates == covariates
        assert one.model.static_features == features
        for part in ('train', 'val', 'test'):
            dataset = one[f'{part}_dataloader'].dataset
            assert dataset.horizon == horizon
            columns = [c for table in dataset.future or () for c in table['columns']]
            assert len(columns) == covariates
            assert (dataset.static is None) == (features == 0)
    assert config.optim_wrapper == alone.optim_wrapper


def test_what_decays_is_the_model_s_own_list():
    options = load('etth1-96').optim_wrapper.paramwise_cfg.to_dict()
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
    for part in ('train', 'val', 'test'):
        dataset = config[f'{part}_dataloader'].dataset
        dataset.path, dataset.borders = str(tmp_path / 'noise.csv'), (0.6, 0.2)
    config.train_dataloader.sampler.max_windows = 8  # one batch, too few to warm up
    config.param_scheduler = config.param_scheduler[1]
    config.param_scheduler.begin = 0
    config.work_dir = str(tmp_path / 'work')
    config.custom_hooks = [h for h in config.custom_hooks if 'Early' not in h.type]
    return config


@pytest.mark.parametrize('paper', [False, True])
@pytest.mark.parametrize('cell', ['etth1-96', 'exchange-192', 'weather-96'])
def test_one_step_of_the_run_on_a_table_of_noise(cell, paper, tmp_path):
    config = on_noise(load(cell, paper), tmp_path)
    config.default_hooks.checkpoint = None
    runner = build_runner(config)
    step = StopAfterOneStep()
    runner.register_hook(step)
    runner.train()
    assert runner.iter == 1 and math.isfinite(step.loss)
    if not paper:
        line = runner.model.linear_path.weight
        assert bool(line.any()) == (not cell.startswith('exchange'))


@pytest.mark.parametrize('averaged', [False, True])
def test_a_checkpoint_has_the_weight_of_its_validation(averaged, tmp_path):
    config = load('etth1-96')
    config.model.variates = 1
    config = on_noise(config, tmp_path, rows=3200)
    if averaged:
        hooks = load('etth1-720').custom_hooks
        assert 'EMAHook' in str(hooks)
        config.custom_hooks = [h for h in hooks if 'Early' not in h.type]
    config.train_cfg.max_epochs = 2
    runner = build_runner(config)
    runner.train()
    weight = runner.model.blend.item()
    assert 0 < weight < 1
    (path,) = (tmp_path / 'work').glob('epoch_2.pth')
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint['state_dict']['blend'].item() == weight
    if averaged:
        assert checkpoint['ema_state_dict']['module.blend'].item() == weight
        line = checkpoint['state_dict']['linear_path.weight']
        torch.testing.assert_close(line, runner.model.linear_path.weight.data)


def test_the_data_folder_is_a_variable(monkeypatch):
    monkeypatch.setenv('MMMAMBAMIXER_DATA', '/somewhere')
    path = load('weather-96').test_dataloader.dataset.path
    assert path == '/somewhere/timeseries/weather.csv'
    monkeypatch.delenv('MMMAMBAMIXER_DATA')
    assert 'MMMAMBAMIXER_DATA' not in os.environ
    path = Path(load('weather-96').test_dataloader.dataset.path)
    assert path == Path('data/timeseries/weather.csv')
