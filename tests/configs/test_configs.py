"""Every classification config builds its run and takes one step; their pages are right.

Detection and segmentation: test_det_seg_configs.py.
"""

import ast
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

pytest.importorskip('mmpretrain')
from mmengine.analysis import FlopAnalyzer
from mmengine.dataset import Compose, default_collate
from mmengine.registry import MODELS, init_default_scope
from mmpretrain.structures import DataSample
from PIL import Image
from shipped_configs import ROOT, StopAfterOneStep, load, shipped
from torch.utils.data import DataLoader

import mmmambamixer.patches  # noqa: F401  (`mmpretrain::` bases)
from mmmambamixer import ViM2
from mmmambamixer.engine.config import load_config
from mmmambamixer.engine.launch import build_runner
from mmmambamixer.models.layers import DropPath

CONFIGS = shipped('mmpretrain')
PAGES = {
    f'configs/{name}/metafile.yml': yaml.safe_load(
        (ROOT / f'configs/{name}/metafile.yml').read_text()
    )
    for name in ('vim2', 'vmamba')
}
LISTED = {model['Config']: model for page in PAGES.values() for model in page['Models']}
BACKBONES = {
    'vim2-tiny': dict(arch='tiny', drop_path_rate=0.2),
    'vim2-small': dict(arch='small', drop_path_rate=0.3),
    'vim2-base': dict(arch='base', drop_path_rate=0.5),
    'vim2-small-mlp': dict(
        arch='small', drop_path_rate=0.3, channel_mixer='mlp', averaging=False
    ),
    'vim2-tiny-mlp': dict(
        arch='tiny', drop_path_rate=0.2, channel_mixer='mlp', averaging=False
    ),
    'vim2-tiny-token': dict(arch='tiny', drop_path_rate=0.2, channel_mixer='none'),
    'vim2-tiny-uni': dict(arch='tiny', drop_path_rate=0.2, channel_scans=1),
    'vim2-tiny-bi': dict(arch='tiny', drop_path_rate=0.2, channel_scans=2),
    'vim2-tiny-noavg': dict(arch='tiny', drop_path_rate=0.2, averaging=False),
    'vim2-tiny-window4': dict(arch='tiny', drop_path_rate=0.2, max_connections=4),
    'vmamba-tiny': dict(arch='vmamba_tiny', drop_path_rate=0.2),
    'vmamba-small': dict(arch='vmamba_small', drop_path_rate=0.3),
    'vmamba-base': dict(arch='vmamba_base', drop_path_rate=0.5),
}
LENGTH = re.compile(r'^epochs = ', re.MULTILINE)
IMAGENET = [name for name in CONFIGS if name.endswith('_8xb128_in1k.py')]
MILLIONS = {  # vim2.md's figures, of the paper's Table 8 and of VMamba
    'vim2-tiny': 24.1,
    'vim2-small': 43.8,
    'vim2-base': 75.7,
    'vmamba-tiny': 22.9,
    'vmamba-small': 44.4,
    'vmamba-base': 76.3,
}


def model_name(config: str) -> str:
    return Path(config).stem.split('_')[0]


def build_on_meta(name: str):
    config = load(name)
    assert config.default_scope == 'mmpretrain'
    init_default_scope(config.default_scope)
    with torch.device('meta'):
        return config, MODELS.build(config.model)


def channels_of(config) -> int:
    return config.model.backbone.get('in_channels', 3)


def toy_loader(channels: int) -> DataLoader:
    images = torch.randint(256, (2, channels, 32, 32), dtype=torch.uint8)
    samples = [
        dict(inputs=image, data_samples=DataSample().set_gt_label(label))
        for label, image in enumerate(images)
    ]
    return DataLoader(samples, batch_size=2, collate_fn=default_collate)


@pytest.mark.parametrize(
    'path',
    [
        path
        for path in sorted((ROOT / 'configs').rglob('*.py'))
        if LENGTH.search(path.read_text()) and path.stem != 'tsm2'  # test_forecast.py
    ],
    ids=lambda path: path.stem,
)
def test_epochs_at_the_top_is_an_option(path):
    config = load_config(path, {'epochs': 2})
    assert config.train_cfg.get('max_epochs', 2) == 2
    for schedule in config.get('param_scheduler', ()):
        if schedule.type == 'CosineAnnealingLR':
            assert schedule.get('end', schedule.get('T_max')) == 2


@pytest.mark.parametrize('name', CONFIGS)
def test_one_step_of_the_real_run(name, tmp_path):
    """Runner, model, optimiser, schedule and hooks are the config's, data is a toy."""
    config = load(name)
    config.work_dir, config.experiment_name = str(tmp_path), Path(name).stem
    for part in ('val', 'test'):
        for key in ('cfg', 'dataloader', 'evaluator'):
            config[f'{part}_{key}'] = None
    config.default_hooks.checkpoint = None
    config.optim_wrapper.type = 'OptimWrapper'  # AmpOptimWrapper needs a GPU
    runner = build_runner(config)
    runner._train_dataloader = toy_loader(channels_of(config))
    step = StopAfterOneStep()
    runner.register_hook(step)
    before = runner.model.head.fc.weight.detach().clone()
    runner.train()

    assert runner.iter == 1
    assert math.isfinite(step.loss)
    assert not torch.equal(runner.model.head.fc.weight.cpu(), before)
    state = runner.optim_wrapper.optimizer.state
    for key, parameter in runner.model.named_parameters():
        assert parameter in state, f'{key} got no gradient, which DDP refuses'
        assert parameter.isfinite().all(), key


@pytest.mark.parametrize('name', CONFIGS)
@pytest.mark.parametrize('part', ['train', 'test'])
def test_pipelines_pack_a_picture(name, part, tmp_path):
    config = load(name)
    init_default_scope(config.default_scope)
    picture = np.random.randint(256, size=(80, 96, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / 'picture.png')
    dataset = config[f'{part}_dataloader'].dataset
    packed = Compose(dataset.pipeline)(
        dict(img_path=str(tmp_path / 'picture.png'), gt_label=1)
    )
    assert packed['inputs'].dtype == torch.uint8
    assert packed['inputs'].shape[0] == channels_of(config)
    assert packed['data_samples'].gt_label == 1


@pytest.mark.parametrize('name', CONFIGS)
def test_docstring_and_weight_decay(name):
    """The docstring names the command; what must not decay is ViM2's own list."""
    docstring = ast.get_docstring(ast.parse(CONFIGS[name].read_text()))
    assert f' {name}' in docstring
    config = load(name)
    if config.model.backbone.type != 'mmmambamixer.ViM2':
        return
    ours = dict(config.optim_wrapper.paramwise_cfg)
    wanted = dict(ViM2.paramwise_cfg)
    custom_keys = dict(ours.pop('custom_keys'))
    assert wanted.pop('custom_keys').items() <= custom_keys.items()
    assert ours == wanted


def test_imagenet_configs_are_the_known_ones():
    assert sorted(map(model_name, IMAGENET)) == sorted(BACKBONES)


@pytest.mark.parametrize('name', IMAGENET)
def test_imagenet_models(name):
    config, model = build_on_meta(name)
    backbone = dict(config.model.backbone)
    assert backbone.pop('type') == 'mmmambamixer.ViM2'
    assert backbone == BACKBONES[model_name(name)]

    rates = [m.drop_prob for m in model.modules() if isinstance(m, DropPath)]
    assert len(rates) == sum(model.backbone.num_mixers)
    assert rates == sorted(rates)
    assert rates[0] == 0
    assert rates[-1] == pytest.approx(backbone['drop_path_rate'])

    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == LISTED[name]['Metadata']['Parameters']
    if model_name(name) in MILLIONS:
        assert round(count / 1e6, 1) == MILLIONS[model_name(name)]


@pytest.mark.parametrize('name', ['vim2/vim2-tiny', 'vmamba/vmamba-tiny'])
def test_flops_of_the_model_pages(name):
    name = f'configs/{name}_8xb128_in1k.py'
    init_default_scope('mmpretrain')
    model = MODELS.build(load(name).model).eval()
    analyzer = FlopAnalyzer(model, (torch.zeros(1, 3, 224, 224),))
    analyzer.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    stated = LISTED[name]['Metadata']['FLOPs']
    assert analyzer.total() == pytest.approx(stated, rel=5e-3)


@pytest.mark.parametrize('name', IMAGENET)
def test_imagenet_recipe(name):
    config = load(name)
    wrapper, (warm_up, cosine) = config.optim_wrapper, config.param_scheduler
    optimizer = wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == (
        'AdamW',
        1e-3,
        0.05,
    )
    assert wrapper.clip_grad == dict(max_norm=5.0)
    assert (config.train_dataloader.batch_size, config.train_cfg.max_epochs) == (
        128,
        300,
    )
    assert config.auto_scale_lr.base_batch_size == 8 * 128
    assert (warm_up.type, warm_up.end) == ('LinearLR', 20)
    assert (cosine.type, cosine.begin) == ('CosineAnnealingLR', 20)
    assert [hook.type for hook in config.custom_hooks] == ['EMAHook']
