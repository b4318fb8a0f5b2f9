"""ViM2 as a model of timm: what timm asks of all its models, and its weights."""

import math
import sys

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from safetensors.torch import save_file

from mmmambamixer import ViM2

timm = pytest.importorskip('timm')
from timm.models import group_parameters  # noqa: E402
from timm.optim import param_groups_weight_decay  # noqa: E402

import mmmambamixer.timm  # noqa: E402, F401

NAMES = ('vim2_tiny', 'vim2_small', 'vim2_base')
DIMS = (8, 8, 16, 24)
SMALL = dict(arch=dict(embed_dims=DIMS, depths=(2, 1, 2, 1)), d_state=2, grid_size=2)


def create(name: str = 'vim2_tiny', **settings):
    torch.manual_seed(0)
    return timm.create_model(name, **SMALL | dict(drop_path_rate=0.0) | settings)


@pytest.fixture
def image():
    torch.manual_seed(1)
    return torch.randn(2, 3, 64, 96)


@pytest.mark.parametrize('name', NAMES)
def test_the_registered_models_are_the_archs_of_vim2(name):
    assert name in timm.list_models('vim2*') == sorted(NAMES)
    with torch.device('meta'):
        model = timm.create_model(name)
        backbone = ViM2(arch=name.removeprefix('vim2_'))
    state = model.state_dict()
    shapes = {f'backbone.{k}': v.shape for k, v in backbone.state_dict().items()}
    assert {k: v.shape for k, v in state.items() if k[:5] != 'head.'} == shapes
    assert state['head.fc.weight'].shape == (1000, backbone.embed_dims[-1])
    cfg = model.default_cfg
    assert cfg['architecture'] == name and cfg['input_size'] == (3, 224, 224)
    for module in (cfg['first_conv'], cfg['classifier']):
        assert f'{module}.weight' in state
    assert cfg['pool_size'] == tuple(size // 32 for size in cfg['input_size'][1:])


def test_forward_is_features_then_head(image):
    model = create(num_classes=5).eval()
    logits, features = model(image), model.forward_features(image)
    assert logits.shape == (2, 5) and features.shape == (2, model.num_features, 2, 3)
    torch.testing.assert_close(model.forward_head(features), logits)
    pooled = model.forward_head(features, pre_logits=True)
    assert pooled.shape == (2, model.head_hidden_size)
    torch.testing.assert_close(model.get_classifier()(pooled), logits)


def test_every_parameter_gets_a_gradient(image):
    model = create(num_classes=5, drop_path_rate=0.1).train()
    (model(image) * torch.randn(2, 5)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    assert sum(p.grad.abs().sum() > 0 for p in model.parameters()) > 100


def test_checkpointing_changes_memory_only(image):
    model = create(num_classes=5)
    grads = []
    for enable in (False, True, False):
        model.set_grad_checkpointing(enable)
        assert {stage.with_cp for stage in model.backbone.stages} == {enable}
        model.zero_grad()
        model(image).square().sum().backward()
        grads.append([p.grad.clone() for p in model.parameters()])
    for other in grads[1:]:
        torch.testing.assert_close(other, grads[0])


@pytest.mark.parametrize('indices', [None, (0, 1, 2, 3), (1, 3), (2,), (-1,), 2])
def test_features_have_the_strides_and_channels_that_they_say(indices, image):
    settings = {} if indices is None else dict(out_indices=indices)
    model = create(features_only=True, **settings).eval()
    maps = model(image)
    channels, strides = model.feature_info.channels(), model.feature_info.reduction()
    for count, stride, x in zip(channels, strides, maps, strict=True):
        size = (math.ceil(side / stride) for side in image.shape[2:])
        assert x.shape == (2, count, *size)
    taken = range(4) if indices is None else indices
    taken = [2, 3] if indices == 2 else [i % 4 for i in taken]
    assert channels == [DIMS[i] for i in taken]
    _, all_maps = create().eval().forward_intermediates(image)
    torch.testing.assert_close(maps, [all_maps[i] for i in taken])
    kept = {
        name.split('.')[3] for name, _ in model.named_parameters() if 'stages' in name
    }
    assert len(kept) == max(taken) + 1  # what is behind the last map is gone
    assert not any('head' in name for name, _ in model.named_parameters())


def test_intermediates_with_and_without_the_output_norm(image):
    model = create().eval()
    last, maps = model.forward_intermediates(image)
    torch.testing.assert_close(last, model.forward_features(image))
    normed = model.forward_intermediates(image, norm=True, intermediates_only=True)
    torch.testing.assert_close(normed[:3], maps[:3])
    torch.testing.assert_close(normed[3], last)
    assert not torch.allclose(maps[3], last)
    early, (first,) = model.forward_intermediates(image, [0], stop_early=True)
    torch.testing.assert_close(early, first)
    torch.testing.assert_close(first, maps[0])
    with pytest.raises(
        ValueError, match="output_fmt of ViM2 must be 'NCHW', got 'NLC'"
    ):
        model.forward_intermediates(image, output_fmt='NLC')


def test_a_pruned_model_still_runs(image):
    model = create().eval()
    _, maps = model.forward_intermediates(image)
    assert model.prune_intermediate_layers((0, 1)) == [0, 1]
    torch.testing.assert_close(model(image), maps[1])


@pytest.mark.parametrize('channels', [1, 3, 4])
def test_other_channels(channels):
    model = create(in_chans=channels, num_classes=2).eval()
    assert model(torch.randn(1, channels, 32, 32)).shape == (1, 2)
    with pytest.raises(ValueError, match=rf'shape \(b, {channels}, height, width\)'):
        model(torch.randn(1, 2, 32, 32))


@pytest.mark.parametrize('pool, width', [('avg', 24), ('max', 24), ('catavgmax', 48)])
def test_pooling_and_another_classifier(pool, width, image):
    model = create(num_classes=5, global_pool=pool).eval()
    features = model.forward_features(image)
    pooled = model.forward_head(features, pre_logits=True)
    assert pooled.shape == (2, width) == (2, model.head_hidden_size)
    model.reset_classifier(7)
    assert model.num_classes == 7 and model(image).shape == (2, 7)
    assert model.get_classifier().weight.std() < 0.03  # drawn as ViM2 draws
    model.reset_classifier(0)
    torch.testing.assert_close(model(image), pooled)
    model.reset_classifier(0, '')
    torch.testing.assert_close(model(image), features)
    bare = create(num_classes=0, global_pool='').eval()
    torch.testing.assert_close(bare(image), features)
    model.reset_classifier(3, 'avg')
    assert model(image).shape == (2, 3) and model.head_hidden_size == 24


def classifier(num_classes: int):
    models = pytest.importorskip('mmpretrain.models')
    settings = dict(type='mmmambamixer.ViM2', **SMALL)
    head = dict(type='LinearClsHead', num_classes=num_classes, in_channels=DIMS[-1])
    neck = dict(type='GlobalAveragePooling')
    config = dict(type='ImageClassifier', backbone=settings, neck=neck, head=head)
    return models.build_classifier(config).eval()


@pytest.mark.parametrize('suffix', ['pth', 'safetensors'])
def test_weights_of_mmpretrain_and_back(suffix, image, tmp_path):
    ours, path = classifier(5), tmp_path / f'x.{suffix}'
    if suffix == 'pth':
        torch.save(dict(meta=dict(epoch=1), state_dict=ours.state_dict()), path)
    else:
        save_file(ours.state_dict(), path)
    model = create(num_classes=5, checkpoint_path=str(path)).eval()
    torch.testing.assert_close(model(image), ours(image), rtol=0, atol=0)
    other = classifier(5)
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other(image), ours(image), rtol=0, atol=0)


def test_starting_from_a_file_with_other_classes_and_channels(tmp_path):
    source = create(num_classes=5)
    torch.save(source.state_dict(), tmp_path / 'x.pth')
    start = dict(pretrained=True, pretrained_cfg_overlay=dict(num_classes=5))
    start['pretrained_cfg_overlay']['file'] = str(tmp_path / 'x.pth')
    model = create(num_classes=2, in_chans=1, **start)
    weight = source.backbone.stem.proj.weight.sum(1, keepdim=True)
    torch.testing.assert_close(model.backbone.stem.proj.weight, weight)
    assert model(torch.randn(1, 1, 32, 32)).shape == (1, 2)
    features = create(features_only=True, **start)
    kept = features.model.backbone.stages.state_dict()
    torch.testing.assert_close(kept, source.backbone.stages.state_dict())


def test_no_weights_are_published():
    with pytest.raises(RuntimeError, match='No pretrained weights exist for vim2_tiny'):
        create(pretrained=True)


def test_the_layers_are_those_of_vim2():
    model = create()
    ours = {
        name: model.backbone.get_layer_depth(name, 'backbone.')[0]
        for name, _ in model.named_parameters()
    }
    assert group_parameters(model, model.group_matcher(), reverse=True) == ours
    coarse = group_parameters(model, model.group_matcher(coarse=True))
    assert len(coarse) == 6  # stem, four stages, norm and head


def test_the_same_parameters_decay_as_in_mmengine():
    model = create()
    groups = param_groups_weight_decay(
        model, 0.05, no_weight_decay_list=model.no_weight_decay()
    )
    decays = {id(p): group['weight_decay'] for group in groups for p in group['params']}
    wrapper = dict(optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05))
    wrapper['paramwise_cfg'] = ViM2.paramwise_cfg
    groups = build_optim_wrapper(model, wrapper).optimizer.param_groups
    for group in groups:
        for parameter in group['params']:
            assert decays[id(parameter)] == group['weight_decay']
    assert len(decays) == len([*model.parameters()])


def test_torch_fx_takes_the_backbone_as_one_node(image):
    from torchvision.models.feature_extraction import create_feature_extractor

    model = create(num_classes=5).eval()
    tracer = dict(leaf_modules=timm.models.get_notrace_modules())
    graph = create_feature_extractor(
        model, ['head.global_pool', 'head.fc'], tracer_kwargs=tracer
    )
    outs = graph(image)
    torch.testing.assert_close(outs['head.fc'], model(image), rtol=0, atol=0)
    assert outs['head.global_pool'].shape == (2, 24)


@pytest.mark.parametrize(
    'settings, text',
    [
        (dict(scriptable=True), 'vim2_tiny cannot be scripted: .* torch.export'),
        (dict(features_only=True, feature_cls='fx'), "feature_cls='getter' only"),
    ],
)
def test_what_vim2_cannot_do_is_told(settings, text):
    with pytest.raises(ValueError, match=text):
        create(**settings)


def test_a_small_one_learns():
    torch.manual_seed(0)
    images, labels = torch.randn(16, 3, 32, 32), torch.arange(16) % 2
    images[labels == 1] += 0.5
    model = create(num_classes=2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_a_unet_of_segmentation_models_takes_it_as_encoder(image):
    smp = pytest.importorskip('segmentation_models_pytorch')
    model = smp.Unet('tu-vim2_tiny', encoder_weights=None, classes=4, **SMALL).eval()
    assert model(image).shape == (2, 4, 64, 96)


@pytest.fixture
def not_imported(monkeypatch):
    for name in [n for n in sys.modules if f'{n}.'.startswith('mmmambamixer.timm.')]:
        monkeypatch.delitem(sys.modules, name)


def test_without_timm_a_sentence_says_what_to_install(not_imported, monkeypatch):
    monkeypatch.setitem(sys.modules, 'timm', None)
    with pytest.raises(ModuleNotFoundError, match='timm, which is not installed: `pip'):
        import mmmambamixer.timm  # noqa: F401


def test_an_old_timm_is_refused(not_imported, monkeypatch):
    monkeypatch.setattr(timm, '__version__', '1.0.9.dev1')
    with pytest.raises(
        ImportError, match=r'needs timm 1\.0\.20 or later, this is 1\.0\.9'
    ):
        import mmmambamixer.timm  # noqa: F401
