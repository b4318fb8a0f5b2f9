"""Every detection and segmentation config: builds, is ours and the stock one's, steps.

Configs of configs/detection and configs/segmentation are large: they are built without
memory (on the meta device) and step with a tiny arch. Classification: test_configs.py.
"""

import ast
import functools
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
import yaml

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from shipped_configs import ROOT, StopAfterOneStep, framework, load, shipped
from torch.utils.data import DataLoader

import mmmambamixer.patches  # noqa: F401  (`mmdet::` bases)
from mmmambamixer import ViM2
from mmmambamixer.engine.launch import build_runner
from mmmambamixer.models.layers import DropPath

CONFIGS = shipped('mmdet', 'mmseg')
TASKS = ['detection', 'segmentation']
LARGE = [name for name in CONFIGS if name.split('/')[1] in TASKS]
PAGES = [
    yaml.safe_load((ROOT / f'configs/{task}/metafile.yml').read_text())
    for task in TASKS
]
LISTED = {model['Config']: model for page in PAGES for model in page['Models']}
SIZES = {'t': 'tiny', 's': 'small', 'b': 'base'}
EPOCHS = {'1x': (12, [8, 11]), '1x-layer-decay': (12, [8, 11])}  # and milestones
EPOCHS |= {'ms-crop-3x': (36, [27, 33]), 'amp-ms-crop-3x': (36, [27, 33])}
TINY = dict(embed_dims=(8, 16, 24, 32), depths=(1, 2, 1, 1))


@functools.cache
def build_on_meta(name: str):
    config = load(name)
    init_default_scope(config.default_scope)
    with torch.device('meta'):
        return MODELS.build(config.model)


def values(node) -> Iterator[tuple]:
    """Yield every (key, value) of nested dicts and lists."""
    for key, value in node.items() if isinstance(node, Mapping) else enumerate(node):
        yield key, value
        if isinstance(value, (Mapping, list, tuple)):
            yield from values(value)


@pytest.mark.parametrize('name', CONFIGS)
def test_nothing_of_the_stock_backbone_is_left(name):
    config = load(name)
    docstring = ast.get_docstring(ast.parse(CONFIGS[name].read_text()))
    assert f' {name}' in docstring
    assert config.default_scope == framework(CONFIGS[name])
    assert config.runner_type == 'SafeRunner'
    for key, value in values(config.to_dict()):
        assert key != '_delete_', 'a deletion that had nothing to delete'
        if key in ('pretrained', 'checkpoint_file', 'load_from'):
            assert value is None, f'{key}={value!r}'
        assert not (isinstance(value, str) and value.startswith(('http', 'torchvi')))
    backbone = config.model.backbone
    assert not backbone.get('init_cfg'), 'there are no weights to start from'


@pytest.mark.parametrize('name', CONFIGS)
def test_necks_and_heads_read_what_the_backbone_gives(name):
    config, model = load(name).model, build_on_meta(name)
    if not isinstance(model.backbone, ViM2):
        return
    widths = model.backbone.out_channels
    if 'neck' in config:
        assert tuple(config.neck.in_channels) == widths
    else:
        for head in (config.decode_head, config.auxiliary_head):
            index = head.in_index
            single = isinstance(index, int)
            wanted = widths[index] if single else [widths[i] for i in index]
            assert head.in_channels == wanted
    rates = [m.drop_prob for m in model.backbone.modules() if isinstance(m, DropPath)]
    assert len(rates) == sum(model.backbone.num_mixers)
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(config.backbone.drop_path_rate)


@pytest.mark.parametrize('name', LARGE)
def test_the_backbone_is_that_of_classification(name):
    ours = dict(load(name).model.backbone)
    out_indices = ours.pop('out_indices')
    assert out_indices == ((1, 2, 3) if 'retinanet' in name else (0, 1, 2, 3))
    size = SIZES[re.search(r'vim2-([tsb])', name)[1]]
    path = ROOT / f'configs/vim2/vim2-{size}_8xb128_in1k.py'
    assert ours == dict(Config.fromfile(path).model.backbone)


@pytest.mark.parametrize('name', LARGE)
def test_classes_and_parameters(name):
    classes = 80 if load(name).default_scope == 'mmdet' else 150
    for key, value in values(load(name).model.to_dict()):
        assert key != 'num_classes' or value == classes
    parameters = sum(p.numel() for p in build_on_meta(name).parameters())
    assert parameters == LISTED[name]['Metadata']['Parameters']


@pytest.mark.parametrize('name', LARGE)
def test_recipe_of_the_pages(name):
    config = load(name)
    wrapper, optimizer = config.optim_wrapper, config.optim_wrapper.optimizer
    detects = config.default_scope == 'mmdet'
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == (
        ('AdamW', 1e-4, 0.05) if detects else ('AdamW', 6e-5, 0.01)
    )
    assert config.train_dataloader.batch_size == 2
    assert config.auto_scale_lr == dict(enable=False, base_batch_size=16)
    assert not wrapper.get('clip_grad')
    assert wrapper.type == ('AmpOptimWrapper' if '_amp-' in name else 'OptimWrapper')
    warm_up, decay = config.param_scheduler
    assert warm_up.type == 'LinearLR'
    if detects:
        epochs, milestones = EPOCHS[Path(name).stem.split('_')[-2]]
        assert config.train_cfg.max_epochs == epochs
        assert (decay.type, decay.milestones) == ('MultiStepLR', milestones)
    else:
        assert config.train_cfg.max_iters == 160_000
        assert (decay.type, decay.power, decay.begin) == ('PolyLR', 1.0, 1500)
        assert config.tta_model.type == 'SegTTAModel'


def without_amp(config: Config) -> None:
    config.optim_wrapper.type = 'OptimWrapper'  # AmpOptimWrapper needs a GPU
    for key in ('dtype', 'loss_scale'):
        config.optim_wrapper.pop(key, None)


@pytest.mark.parametrize('name', CONFIGS)
def test_only_matrices_and_convolutions_decay(name):
    config, model = load(name), build_on_meta(name)
    without_amp(config)
    init_default_scope(config.default_scope)
    optimizer = build_optim_wrapper(model, config.optim_wrapper).optimizer
    names = {id(value): key for key, value in model.named_parameters()}
    found = {names[id(p)]: g for g in optimizer.param_groups for p in g['params']}
    assert found.keys() == set(names.values())
    for key, group in found.items():
        kept = key.endswith(('.A_log', '.D', '.dt_bias', '.bias'))
        kept = kept or group['params'][0].dim() == 1  # norms, averaging weights
        rate = 0 if kept else config.optim_wrapper.optimizer.get('weight_decay', 0)
        assert group['weight_decay'] == rate, key


def toy_loader(config: Config) -> DataLoader:
    """Return two images; all that is on them is of the first class."""
    if config.default_scope == 'mmdet':
        shapes = [(3, 64, 96), (3, 96, 64)]
        batch = demo_mm_inputs(2, shapes, num_items=[2, 1], with_mask=True)
        for sample in batch['data_samples']:
            sample.gt_instances.labels.zero_()
    else:
        height, width = config.model.data_preprocessor.size
        labels = torch.zeros(2, 1, height, width, dtype=torch.long)
        samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]
        images = list(torch.randint(256, (2, 3, height, width), dtype=torch.uint8))
        batch = dict(inputs=images, data_samples=samples)
    return DataLoader([batch], collate_fn=lambda batches: batches[0])


def shrink(config: Config) -> None:
    """Give a large config a tiny backbone and narrow heads."""
    model, dims = config.model, list(TINY['embed_dims'])
    model.backbone.arch = TINY
    if config.default_scope == 'mmseg':
        model.data_preprocessor.size = (64, 64)
        model.decode_head.update(in_channels=dims, channels=16)
        model.auxiliary_head.update(in_channels=dims[2], channels=16)
        return
    model.neck.in_channels = [dims[i] for i in model.backbone.out_indices]
    if 'roi_head' in model:
        for head in as_list(model.roi_head.bbox_head):
            head.fc_out_channels = 16
        for settings in as_list(model.train_cfg.rcnn):
            settings.sampler.num = 16


def as_list(value) -> list:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize('name', CONFIGS)
def test_one_step_of_the_real_run(name, tmp_path):
    """Runner, optimiser, schedule and hooks are the config's, data is a toy."""
    config = load(name)
    config.work_dir, config.experiment_name = str(tmp_path), Path(name).stem
    for part in ('val', 'test'):
        for key in ('cfg', 'dataloader', 'evaluator'):
            config[f'{part}_{key}'] = None
    config.default_hooks.checkpoint = None
    without_amp(config)
    if name in LARGE:
        shrink(config)
    runner = build_runner(config)
    runner._train_dataloader = toy_loader(config)
    step = StopAfterOneStep()
    runner.register_hook(step)
    before = [p.detach().clone() for p in runner.model.backbone.parameters()]
    runner.train()

    assert runner.iter == 1
    assert math.isfinite(step.loss)
    state = runner.optim_wrapper.optimizer.state
    for key, parameter in runner.model.named_parameters():
        assert parameter in state, f'{key} got no gradient, which DDP refuses'
        assert parameter.isfinite().all(), key
    after = runner.model.backbone.parameters()
    assert not all(map(torch.equal, before, after))
