"""Forecasters without a network, alone and through MMEngine's runner."""

import numpy as np
import pandas as pd
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS as ROOT_MODELS

from mmmambamixer.engine import SafeRunner
from mmmambamixer.forecast.fit_linear import FitLinearPathHook, fit_linear_path
from mmmambamixer.models.forecasters import LinearForecaster, RepeatLast
from mmmambamixer.registry import DATASETS

SPLITS = ('train', 'val')
SIZES = dict(look_back=12, horizon=4, variates=3)


def batch(**changes) -> dict:
    tensors = dict(past=torch.randn(5, 12, 3), future=torch.randn(5, 4, 3))
    return tensors | changes


def test_repeat_last():
    tensors = batch()
    forecast = RepeatLast(**SIZES)(**tensors)
    assert torch.equal(forecast, tensors['past'][:, -1:].expand(-1, 4, -1))
    target = RepeatLast(**SIZES, targets=[2])(tensors['past'])
    assert torch.equal(target, forecast[..., 2:])
    quantiles = RepeatLast(**SIZES, quantiles=[0.1, 0.5])(tensors['past'])
    assert torch.equal(quantiles, torch.stack([forecast, forecast]))


@pytest.mark.parametrize('maps', ['shared', 'variate'])
def test_a_linear_forecaster_is_its_path(maps):
    model = LinearForecaster(**SIZES, maps=maps, centre='last')
    torch.nn.init.normal_(model.linear_path.weight)
    past = batch()['past']
    assert torch.equal(model(past), model.linear_path(past))
    assert model.linear_path.weight.dim() == dict(shared=2, variate=3)[maps]


def test_losses_leave_out_what_is_not_observed():
    observed = torch.rand(5, 4, 3) < 0.5
    tensors = batch(observed=observed)
    tensors['future'][~observed] = 1e9
    model = RepeatLast(**SIZES)
    error = (model(tensors['past']) - tensors['future'])[observed]
    loss = model(**tensors, mode='loss')['loss']
    torch.testing.assert_close(loss, error.square().mean())
    sample = model(**tensors, mode='predict')[3]
    assert set(sample) == {'forecast', 'target', 'observed'}
    assert torch.equal(sample['observed'], observed[3])


def test_refused_arguments():
    with pytest.raises(
        ValueError, match="maps must be 'shared' or 'variate', got 'all'"
    ):
        LinearForecaster(**SIZES, maps='all')
    with pytest.raises(ValueError, match='past must be'):
        RepeatLast(**SIZES)(torch.randn(5, 11, 3))


@pytest.fixture
def config(tmp_path):
    """A run on three waves; the linear map is fitted and then not trained."""
    time = np.arange(300.0)
    waves = {f'w{k}': np.sin(0.3 * k * time) + 0.1 * np.cos(time) for k in (1, 2, 3)}
    frame = pd.DataFrame(waves)
    frame.insert(0, 'date', pd.date_range('2020-01-01', periods=300, freq='h'))
    frame.to_csv(tmp_path / 'waves.csv', index=False)
    table = dict(
        type='SeriesDataset',
        path=str(tmp_path / 'waves.csv'),
        borders=(200, 250, 300),
        look_back=12,
        horizon=4,
    )

    def loader(split, **sampler):
        return dict(
            batch_size=16,
            num_workers=0,
            dataset=dict(split=split, **table),
            sampler=sampler,
            collate_fn=dict(type='default_collate'),
        )

    evaluator = dict(type='ForecastMetric')
    return dict(
        default_scope='mmmambamixer',
        work_dir=str(tmp_path / 'run'),
        model=dict(type='LinearForecaster', **SIZES, maps='variate', trainable=True),
        train_dataloader=loader('train', type='RandomWindowSampler', max_windows=32),
        val_dataloader=loader('val', type='DefaultSampler', shuffle=False),
        test_dataloader=loader('test', type='DefaultSampler', shuffle=False),
        val_evaluator=evaluator,
        test_evaluator=evaluator,
        train_cfg=dict(by_epoch=True, max_epochs=1),
        val_cfg=dict(),
        test_cfg=dict(),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.0)),
        custom_hooks=[dict(type='FitLinearPathHook')],
        randomness=dict(seed=0),
        log_level='WARNING',
    )


def test_a_run_starts_from_the_closed_form(config, tmp_path):
    runner = SafeRunner.from_cfg(Config(config))
    before = runner.test()['forecast/mse']  # the path repeats the mean
    runner.train()
    assert runner.iter == 2
    assert runner.test()['forecast/mse'] < 0.1 * before, 'waves are linear'
    saved = torch.load(tmp_path / 'run' / 'epoch_1.pth', weights_only=True)
    assert saved['meta']['dataset_meta']['variates'] == ['w1', 'w2', 'w3']
    weight = saved['state_dict']['linear_path.weight']
    alone = LinearForecaster(**SIZES, maps='variate')
    parts = [DATASETS.build(config[f'{s}_dataloader']['dataset']) for s in SPLITS]
    fit_linear_path(alone.linear_path, *parts)
    assert torch.equal(weight, alone.linear_path.weight)

    path = runner.model.linear_path
    torch.nn.init.zeros_(path.weight)
    FitLinearPathHook().before_train(runner)
    assert not path.weight.any(), 'a run that goes on keeps what it has'


def test_repeat_last_needs_no_training(config):
    model = dict(type='RepeatLast', **SIZES)
    assert ROOT_MODELS.build(dict(model, type='mmmambamixer.RepeatLast'))
    runner = SafeRunner.from_cfg(Config(dict(config, model=model, custom_hooks=[])))
    assert set(runner.test()) == {'forecast/mse', 'forecast/mae', 'forecast/rmse'}


def test_a_model_without_a_path_is_refused(config):
    config |= dict(model=dict(type='RepeatLast', **SIZES), custom_hooks=[])
    config |= dict(train_dataloader=None, train_cfg=None, optim_wrapper=None)
    runner = SafeRunner.from_cfg(Config(config))
    with pytest.raises(
        ValueError, match='needs a model with linear_path, got a RepeatLast'
    ):
        FitLinearPathHook().before_train(runner)
