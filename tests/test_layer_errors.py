"""Errors inside a model, and packages that are missing, in the words of a config."""

import sys

import pytest
import torch
from mmengine.registry import VISBACKENDS
from torch import nn

from mmmambamixer.layer_errors import explain_layer
from mmmambamixer.messages import explain, one_sentence


class Net(nn.Module):
    """The layer to fail, below some others."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.head = nn.ModuleDict(dict(fc=nn.Sequential(nn.Identity(), layer)))

    def forward(self, x):
        return self.head['fc'](x)


CHANNELS = [
    (nn.Conv1d(6, 2, 1), (1, 5, 4), 6, 5),
    (nn.Conv2d(8, 2, 1), (1, 16, 4, 4), 8, 16),
    (nn.Conv2d(16, 2, 3), (2, 8, 9, 9), 16, 8),
    (nn.Conv3d(3, 2, 1), (1, 4, 2, 2, 2), 3, 4),
    (nn.Linear(16, 4), (3, 8), 16, 8),
    (nn.Linear(8, 4), (1, 768), 8, 768),
    (nn.Linear(8, 4), (2, 5, 96), 8, 96),
    (nn.LayerNorm(16), (2, 5, 8), 16, 8),
    (nn.BatchNorm1d(4), (5, 8), 4, 8),
    (nn.BatchNorm2d(8), (2, 4, 3, 3), 8, 4),
]


@pytest.mark.parametrize(('layer', 'shape', 'made', 'given'), CHANNELS)
def test_channels_of_another_backbone(layer, shape, made, given):
    with pytest.raises(RuntimeError) as raised:
        Net(layer)(torch.ones(shape))
    told = explain(raised.value)
    assert told.startswith(f'head.fc.1 is made for {made} channels and gets {given}: ')
    assert '\n' not in told and len(told) < 300


class Loss(nn.Module):
    """A loss with weights, as those of the frameworks."""

    def __init__(self, weights: int) -> None:
        super().__init__()
        self.class_weight = torch.ones(weights)

    def forward(self, scores):
        labels = scores.argmax(1)
        return nn.functional.cross_entropy(scores, labels, self.class_weight)


@pytest.mark.parametrize('shape', [(2, 3), (2, 3, 4, 4), (1, 5, 2, 2)])
@pytest.mark.parametrize('weights', [1, 2, 4, 19])
def test_weights_of_other_classes(weights, shape):
    with pytest.raises(RuntimeError) as raised:
        Net(Loss(weights))(torch.rand(shape))
    told = explain(raised.value)
    assert told.startswith('head.fc.1 must have as many numbers in class_weight as')


ONE_VALUE = [
    (nn.BatchNorm1d(4), (1, 4)),
    (nn.BatchNorm2d(4), (1, 4, 1, 1)),
    (nn.BatchNorm3d(4), (1, 4, 1, 1, 1)),
    (nn.SyncBatchNorm(4), (1, 4, 1, 1)),
]


@pytest.mark.parametrize(('layer', 'shape'), ONE_VALUE)
def test_a_batch_norm_of_one_value(layer, shape):
    with pytest.raises(ValueError, match='Expected more than 1 value') as raised:
        Net(layer)(torch.ones(shape))
    told = explain(raised.value)
    assert told.startswith('head.fc.1 is a batch norm and gets one value per channel')
    assert 'norm_cfg' in told and '--' not in told and '\n' not in told


@pytest.mark.parametrize('text', ['out of memory', 'a bug', '', 'got 3 channels'])
def test_other_errors_are_left_alone(text):
    assert explain_layer(RuntimeError(text)) is None


BACKENDS = dict(
    Wandb='wandb', MLflow='mlflow', ClearML='clearml', Neptune='neptune', Aim='aim'
)
BACKENDS['DVCLive'] = 'dvclive'


@pytest.mark.parametrize('name', BACKENDS)
def test_a_visualiser_that_is_not_installed(name, tmp_path, monkeypatch):
    kind = f'{name}VisBackend'
    if kind not in VISBACKENDS.module_dict:
        pytest.skip(f'this MMEngine has no {kind}')
    monkeypatch.setitem(sys.modules, BACKENDS[name], None)
    backend = VISBACKENDS.build(dict(type=kind, save_dir=str(tmp_path)))
    with pytest.raises(SystemExit) as end, one_sentence():
        _ = backend.experiment
    told = str(end.value.code)
    package = BACKENDS[name]
    assert told.startswith(f'error: {kind} needs the package {package}')
    assert told.endswith(f'leave {kind} out of the config') and '\n' not in told


class Metric:
    def __init__(self, name: str) -> None:
        __import__(name)


@pytest.mark.parametrize('name', ['no_such_package', 'no_such.part'])
def test_any_part_that_needs_a_package(name):
    with pytest.raises(ImportError) as raised:
        Metric(name)
    told = explain(raised.value)
    assert told == (
        f'Metric needs the package {name.split(".")[0]}, which is not installed: '
        'install it, or leave Metric out of the config'
    )


class FromSource:
    """A part that says how its package is installed, as panoptic data sets do."""

    def __init__(self) -> None:
        raise ImportError('pip install git+https://example.org/some/panopticapi.git.')


def test_a_package_from_a_repository_is_named():
    with pytest.raises(ImportError) as raised:
        FromSource()
    told = explain(raised.value)
    assert told.startswith('FromSource needs the package panopticapi, which')


@pytest.mark.parametrize('length', [3, 3000])
def test_a_broken_module_is_told_within_bounds(length):
    told = explain(ImportError('x' * length))
    assert told.startswith('a module that is needed cannot be imported: x')
    assert len(told) < 500


@pytest.mark.parametrize('text', ['', 'x must be positive', 'y' * 9000])
def test_assertions_of_frameworks_are_one_sentence(text):
    with pytest.raises(AssertionError) as raised:
        raise AssertionError(text)
    told = explain(raised.value)
    assert '\n' not in told and 0 < len(told) < 500
    assert told.startswith(text[:9]) if text else 'needs: raise Assert' in told


@pytest.mark.parametrize('kind', [ValueError, OSError, RuntimeError, TypeError])
def test_messages_of_others_have_a_bound(kind):
    assert len(explain(kind('name ' * 9000))) < 4100
