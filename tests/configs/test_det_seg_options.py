"""The options of docs/detection_segmentation.md, on the shipped configs made tiny."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn

import mmmambamixer.patches  # noqa: F401  (`mmdet::` bases)
from mmmambamixer import ViM2

ROOT = Path(__file__).parents[2]
CONFIGS = {
    'mmdet': ROOT / 'configs/detection/mask-rcnn_vim2-t_fpn_1x_coco.py',
    'mmseg': ROOT
    / 'configs/segmentation/vim2-tiny_upernet_8xb2-160k_ade20k-512x512.py',
}
DIMS = [8, 16, 24, 32]
BOTH = pytest.mark.parametrize('scope', ['mmdet', 'mmseg'])


def load(scope: str, path: Path | None = None, **backbone) -> Config:
    """Return a shipped config with a tiny arch, narrow heads and these options."""
    config = Config.fromfile(path or CONFIGS[scope])
    model = config.model
    model.backbone.update(arch=dict(embed_dims=DIMS, depths=(1, 2, 1, 1)), **backbone)
    if scope == 'mmdet':
        model.neck.update(in_channels=DIMS, out_channels=16)
        model.rpn_head.update(in_channels=16, feat_channels=16)
        roi = model.roi_head
        roi.bbox_roi_extractor.out_channels = roi.mask_roi_extractor.out_channels = 16
        roi.bbox_head.update(in_channels=16, fc_out_channels=16)
        roi.mask_head.update(in_channels=16, conv_out_channels=16)
    else:
        model.data_preprocessor.size = (64, 64)
        model.decode_head.update(in_channels=DIMS, channels=16)
        model.auxiliary_head.update(in_channels=DIMS[2], channels=16)
    return config


def build(config: Config) -> nn.Module:
    init_default_scope(config.default_scope)
    torch.manual_seed(0)
    return revert_sync_batchnorm(MODELS.build(config.model)).train()


def backward(model: nn.Module, scope: str) -> float:
    """Return the loss of one toy batch, after the backward."""
    if scope == 'mmdet':
        shapes = [(3, 64, 96), (3, 96, 64)]
        batch = demo_mm_inputs(2, shapes, num_items=[2, 1], with_mask=True)
    else:
        torch.manual_seed(1)
        labels = torch.randint(2, (2, 1, 64, 64))
        samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]
        images = list(torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8))
        batch = dict(inputs=images, data_samples=samples)
    data = model.data_preprocessor(batch, training=True)
    torch.manual_seed(2)  # drop path, dropout, and the sampling of boxes
    np.random.seed(2)
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    return loss.item()


def load_tool(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / f'tools/{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@BOTH
def test_with_cp_changes_no_gradient(scope):
    kept, recomputed = (build(load(scope, with_cp=cp)) for cp in (False, True))
    assert all(stage.with_cp for stage in recomputed.backbone.stages)
    assert backward(kept, scope) == backward(recomputed, scope)
    others = dict(recomputed.named_parameters())
    for name, parameter in kept.named_parameters():
        assert torch.equal(parameter.grad, others[name].grad), name


@BOTH
def test_frozen_stages_do_not_learn(scope):
    config = load(scope, frozen_stages=1)
    model = build(config)
    backward(model, scope)
    optimizer = build_optim_wrapper(model, config.optim_wrapper).optimizer
    learning = {id(p) for group in optimizer.param_groups for p in group['params']}
    frozen = ('stem.', 'stages.0.', 'stages.1.', 'norm0.', 'norm1.')
    for name, parameter in model.backbone.named_parameters():
        still = name.startswith(frozen)
        assert (parameter.grad is None) == still, name
        assert (id(parameter) in learning) != still, name


def test_layer_decay_of_the_shipped_config():
    name = 'configs/detection/mask-rcnn_vim2-t_fpn_1x-layer-decay_coco.py'
    config = Config.fromfile(ROOT / name)
    init_default_scope('mmdet')
    with torch.device('meta'):
        model = MODELS.build(config.model)
    optimizer = build_optim_wrapper(model, config.optim_wrapper).optimizer
    names = {id(value): key for key, value in model.named_parameters()}
    rates = {names[id(p)]: g['lr'] for g in optimizer.param_groups for p in g['params']}
    depths = sum(model.backbone.num_mixers) + 1
    assert rates['backbone.stem.proj.weight'] == pytest.approx(1e-4 * 0.9**depths)
    assert rates['backbone.stages.3.mixers.2.mixer.in_proj.weight'] == pytest.approx(
        1e-4 * 0.9
    )
    assert rates['backbone.norm0.weight'] == rates['neck.fpn_convs.0.conv.bias'] == 1e-4


@BOTH
def test_a_classifier_starts_a_detector(scope, tmp_path):
    arch = load(scope).model.backbone.arch
    classifier = ViM2(arch=arch, out_indices=(3,))
    state = {f'backbone.{key}': v for key, v in classifier.state_dict().items()}
    state['head.fc.weight'] = torch.zeros(2, 2)
    path = tmp_path / 'classifier.pth'
    torch.save(dict(meta={}, state_dict=state), path)
    init_cfg = dict(type='Pretrained', checkpoint=str(path), prefix='backbone.')
    model = build(load(scope, init_cfg=init_cfg))
    model.init_weights()
    for key, value in classifier.state_dict().items():
        assert torch.equal(model.backbone.state_dict()[key], value), key

    state.pop('backbone.stem.proj.weight')
    torch.save(dict(meta={}, state_dict=state), path)
    with pytest.raises(ValueError, match=r'1 missing\n.*\n .* stem\.proj\.weight '):
        build(load(scope, init_cfg=init_cfg)).init_weights()


@BOTH
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_mixed_precision(scope, dtype):
    """Autocast of the CPU for that of the GPU: maps of the neck, gradients of ViM2."""
    model = build(load(scope))
    images = torch.randn(2, 3, 64, 96)
    found = []
    for enabled in (False, True):
        torch.manual_seed(2)  # drop path
        model.zero_grad()
        with torch.autocast('cpu', dtype=dtype, enabled=enabled):
            maps = model.extract_feat(images)
        sum((y * torch.randn(y.shape)).mean() for y in maps).backward()
        gradients = [p.grad for p in model.backbone.parameters()]
        assert {gradient.dtype for gradient in gradients} == {torch.float32}
        found.append(torch.cat([gradient.flatten() for gradient in gradients]))
    exact, mixed = found
    assert 0 < (mixed - exact).norm() / exact.norm() < 0.05


def test_mmcv_has_no_roi_align_in_bfloat16():
    """Why the mixed precision config of Mask R-CNN says float16."""
    extractor = build(load('mmdet')).roi_head.bbox_roi_extractor
    maps = [torch.ones(1, 16, 32 >> i, 32 >> i) for i in range(4)]
    rois = torch.tensor([[0.0, 1.0, 1.0, 50.0, 60.0]])
    for dtype in (torch.float32, torch.float16):
        assert extractor([x.to(dtype) for x in maps], rois).dtype == dtype
    with pytest.raises(RuntimeError, match="not implemented for 'BFloat16'"):
        extractor([x.bfloat16() for x in maps], rois)


@BOTH
def test_amp_on_the_command_line(scope, monkeypatch):
    tool = load_tool('train')
    monkeypatch.setattr(sys, 'argv', ['train.py', str(CONFIGS[scope]), '--amp'])
    wrapper = tool.make_config(tool.parse_args()).optim_wrapper
    assert (wrapper.type, wrapper.loss_scale) == ('AmpOptimWrapper', 'dynamic')


def test_multi_scale_test_of_a_segmentor(tmp_path, monkeypatch):
    """The stock `--tta` at sides that no patch or grid divides."""
    for part in ('images', 'labels'):
        (tmp_path / part).mkdir()
    picture = np.random.randint(256, size=(37, 53, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / 'images/a.jpg')
    Image.fromarray(picture[..., 0] % 151).save(tmp_path / 'labels/a.png')
    config = load('mmseg')
    torch.save(dict(state_dict=build(config).state_dict()), tmp_path / 'x.pth')
    prefix = dict(img_path='images', seg_map_path='labels')
    config.test_dataloader.dataset.update(data_root=str(tmp_path), data_prefix=prefix)
    config.test_dataloader.update(num_workers=0, persistent_workers=False)
    config.dump(tmp_path / 'config.py')

    sizes = []
    forward = ViM2.forward

    def noted(self, x):
        sizes.append(tuple(x.shape[2:]))
        return forward(self, x)

    monkeypatch.setattr(ViM2, 'forward', noted)
    monkeypatch.chdir(tmp_path)
    argv = ['test.py', 'config.py', 'x.pth', '--tta', '--out', 'metrics.json']
    monkeypatch.setattr(sys, 'argv', [*argv, '--out-item', 'metrics'])
    load_tool('test').main()
    assert len(sizes) == 2 * len(set(sizes)) == 12  # six scales, each flipped too
    assert (19, 27) in sizes
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert 0 <= metrics['mIoU'] <= 100
