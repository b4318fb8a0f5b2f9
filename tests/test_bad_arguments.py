"""Arguments of ViM2 and images that make no sense: the type and text of each error."""

import pytest
import torch
from mmengine.registry import MODELS

from mmmambamixer import ViM2
from mmmambamixer.messages import arguments_of

DIMS = (4, 8, 12, 16)
ARCH = dict(embed_dims=DIMS, depths=(1, 1, 2, 1))


def arch(**changes) -> dict:
    return dict(arch=ARCH | changes)


ARGUMENTS = [
    (dict(arch='tinny'), "got 'tinny'; did you mean 'tiny'?"),
    (dict(arch=3), 'arch must be a name or a dict, got 3'),
    (arch(embed_dims=()), r'embed_dims must be a list of integers, got \(\)'),
    (arch(embed_dims=16), 'embed_dims must be a list of integers, got 16'),
    (arch(embed_dims=(4, 8, 12, 0)), 'embed_dims must be an integer from 1, got 0'),
    (arch(embed_dims=(4, 8, 12, -4)), 'embed_dims must be an integer from 1, got -4'),
    (arch(embed_dims=(4, 8, 12, 1.5)), 'embed_dims .* from 1, got 1.5'),
    (arch(embed_dims=(4, 8)), 'as many depths as embed_dims, 2, got 4'),
    (arch(depths=(1, 1, 1, -1)), 'depths must be an integer from 1, got -1'),
    (arch(depths=(0, 0, 0, 0)), 'depths must be an integer from 1, got 0'),
    (arch(depths='2262'), "depths must be a list of integers, got '2262'"),
    (arch(depths=(True,) * 4), 'depths must be an integer from 1, got True'),
    (arch(channel_expand=(2, 2)), 'as many channel_expand as embed_dims, 4, got 2'),
    (arch(channel_expand=(2, 2, 2, 0)), 'channel_expand .* from 1, got 0'),
    (arch(embed_dim=DIMS), "may have .*, got .*'embed_dim'"),
    (dict(in_channels=0), 'in_channels must be an integer from 1, got 0'),
    (dict(in_channels='RGB'), "in_channels must be an integer from 1, got 'RGB'"),
    (dict(d_state=0), 'd_state must be an integer from 1, got 0'),
    (dict(d_state=-16), 'd_state must be an integer from 1, got -16'),
    (dict(d_state=1.5), 'd_state must be an integer from 1, got 1.5'),
    (dict(max_connections='x'), "max_connections must be an integer .*='x' with"),
    (dict(grid_size=0), 'grid_size must be an integer from 1, got 0'),
    (dict(drop_path_rate=1), r'drop_path_rate must be in \[0, 1\), got 1'),
    (dict(drop_path_rate=-0.1), r'drop_path_rate must be in \[0, 1\), got -0.1'),
    (dict(drop_path_rate='0.1'), r'drop_path_rate must be in \[0, 1\), got 0.1'),
    (dict(drop_path_rate=float('nan')), r'must be in \[0, 1\), got nan'),
    (dict(out_indices=3), 'stages from 0 to 3 in ascending order, got 3'),
    (dict(out_indices=(-1,)), r'stages from 0 to 3 .*, got \(-1,\)'),
    (dict(out_indices=(1, 1)), r'stages from 0 to 3 .*, got \(1, 1\)'),
    (dict(out_indices='last'), 'stages from 0 to 3 .*, got last'),
    (dict(frozen_stages='all'), 'frozen_stages must be from -1 to 3, got all'),
    (dict(frozen_stages=-2), 'frozen_stages must be from -1 to 3, got -2'),
    (dict(channel_scans=3), 'channel_scans must be 4, 2 or 1, got 3'),
    (dict(with_cp='maybe'), "with_cp must be True or False, got 'maybe'"),
    (dict(norm_eval=2), 'norm_eval must be True or False, got 2'),
]


@pytest.mark.parametrize(('settings', 'text'), ARGUMENTS)
def test_arguments(settings, text):
    with pytest.raises(ValueError, match=text):
        ViM2(**dict(arch=ARCH) | settings)


IMAGES = [
    (torch.zeros(3, 8, 8), ValueError, r'shape \(b, 3, height, width\), got \(3, 8, 8'),
    (torch.zeros(1, 1, 8, 8), ValueError, r'shape \(b, 3, .*, got \(1, 1, 8, 8\)'),
    (torch.zeros(1, 8, 8, 3), ValueError, r'shape \(b, 3, .*, got \(1, 8, 8, 3\)'),
    (torch.zeros(1, 3, 0, 8), ValueError, r'at least one pixel, got \(1, 3, 0, 8\)'),
    (torch.zeros(1, 3, 8, 0), ValueError, r'at least one pixel, got \(1, 3, 8, 0\)'),
    (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), TypeError, 'got torch.uint8'),
    (torch.zeros(1, 3, 8, 8, dtype=torch.bool), TypeError, 'got torch.bool'),
    (torch.zeros(1, 3, 8, 8, dtype=torch.cfloat), TypeError, 'got torch.complex64'),
    ([torch.zeros(3, 8, 8)], TypeError, 'the image must be a tensor, got list'),
    (None, TypeError, 'the image must be a tensor, got NoneType'),
    # torch's own sentences, which say enough
    (torch.zeros(1, 3, 8, 8).double(), RuntimeError, r'\(double\) and bias type'),
    (torch.zeros(1, 3, 8, 8, device='meta'), RuntimeError, 'device'),
]


@pytest.mark.parametrize(('image', 'error', 'text'), IMAGES)
def test_images(image, error, text):
    model = ViM2(arch=dict(embed_dims=(4,), depths=(1,)), out_indices=(0,))
    with pytest.raises(error, match=text):
        model(image)


def test_a_misspelt_argument_of_a_config():
    with pytest.raises(TypeError, match="unexpected keyword argument 'depht'"):
        MODELS.build(dict(type='mmmambamixer.ViM2', arch=ARCH, depht=3))


def test_names_to_suggest_are_those_of_the_class_and_its_bases():
    class Base:
        def __init__(self, width):
            self.width = width

    class Derived(Base):
        def __init__(self, depth):
            super().__init__(depth)

    assert [*arguments_of(Derived)] == ['depth', 'width']
