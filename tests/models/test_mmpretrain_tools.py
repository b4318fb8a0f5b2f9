"""mmpretrain's feature extractor and class activation maps on ViM2."""

import importlib.util
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from mmmambamixer.models.layers import channels_first

mmpretrain = pytest.importorskip('mmpretrain')
CONFIGS = Path(__file__).parents[2] / 'configs'
CLASS = 3


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    model = mmpretrain.get_model(str(CONFIGS / 'demo/vim2_digits.py')).eval()
    model.head.fc.weight.data.normal_()  # fresh ones are near 0
    return model


@pytest.fixture
def image():
    torch.manual_seed(1)
    return torch.randn(1, 3, 32, 48)


def test_features_of_a_picture(model):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    extractor = mmpretrain.FeatureExtractor(model)
    (maps,), (pooled,) = extractor(pixels, stage='backbone')[0], extractor(pixels)[0]
    assert maps.ndim == 3 and len(maps) == model.backbone.out_channels[-1]
    torch.testing.assert_close(maps.mean((1, 2)), pooled)


def weighted_map(model, image):
    """Return the class activation map in closed form, for a linear head on a mean."""
    (x,) = model.backbone(image)
    weights = model.head.fc.weight[CLASS]
    return torch.einsum('c, bchw -> bhw', weights, x).relu() / x[0, 0].numel()


def activation_map(model, layer, image, reshape=lambda x: x):
    """Return Grad-CAM of a layer, by the hooks that all such tools set."""
    seen = {}

    def keep(module, args, output):
        seen['map'] = reshape(output)
        output.register_hook(lambda grad: seen.update(grad=reshape(grad)))

    handle = layer.register_forward_hook(keep)
    model(image)[0, CLASS].backward()
    handle.remove()
    weights = seen['grad'].mean((2, 3), keepdim=True)
    return (weights * seen['map']).sum(1).relu()


def test_the_output_norm_needs_no_reshape(model, image):
    norm = model.backbone.norm1
    found, wanted = activation_map(model, norm, image), weighted_map(model, image)
    assert wanted.max() > 0 and found.shape[1] != found.shape[2]
    torch.testing.assert_close(found, wanted)


def test_inner_layers_need_one(model, image):
    backbone = model.backbone
    unit = backbone.stages[1].mixers[-1]
    found = activation_map(model, unit, image, channels_first)
    x = backbone.stages[1](backbone.stages[0](backbone.stem(image))).detach()
    x.requires_grad_()  # (1, h, w, c), what the unit gives
    model.head.fc(backbone.norm1(x).mean((2, 3)))[0, CLASS].backward()
    wanted = (x * x.grad.mean((1, 2))).sum(-1).relu()
    assert wanted.max() > 0
    torch.testing.assert_close(found, wanted)
    flat = activation_map(model, unit, image)  # channels taken for a side of the map
    assert flat.shape != found.shape


def vis_cam():
    pytest.importorskip('pytorch_grad_cam')
    pytest.importorskip('pkg_resources')
    path = Path(mmpretrain.__file__).parent / '.mim/tools/visualization/vis_cam.py'
    spec = importlib.util.spec_from_file_location('vis_cam', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tool_of_mmpretrain_takes_the_output_norm_by_itself(model, image):
    tool, args = vis_cam(), Namespace(vit_like=False)
    (layer,) = tool.get_default_target_layers(model, args)
    assert layer is model.backbone.norm1
    seen = []
    handle = layer.register_forward_hook(lambda module, args, x: seen.append(x))
    model(image)
    handle.remove()
    assert tool.reshape_transform(seen[0], model, args) is seen[0]
    assert seen[0].shape[1] == model.backbone.out_channels[-1]


def test_pytorch_grad_cam_agrees(model, image):
    cam = pytest.importorskip('pytorch_grad_cam')
    targets = pytest.importorskip('pytorch_grad_cam.utils.model_targets')
    targets = [targets.ClassifierOutputTarget(CLASS)]
    found = cam.GradCAM(model, [model.backbone.norm1])(image, targets)
    wanted = weighted_map(model, image).detach()
    wanted = interpolate(wanted[None], image.shape[2:], mode='bilinear')[0]
    wanted = (wanted - wanted.min()) / (wanted.max() - wanted.min())
    torch.testing.assert_close(torch.from_numpy(found), wanted, rtol=0, atol=0.05)
    unit = model.backbone.stages[1].mixers[-1]
    inner = cam.GradCAM(model, [unit], reshape_transform=channels_first)(image, targets)
    assert inner.shape == found.shape
