"""ViM2 as an OpenMMLab backbone: sizes, outputs, freezing, ablations, bad input."""

import pytest
import torch
from mmengine.registry import MODELS

import mmmambamixer
from mmmambamixer import ViM2
from mmmambamixer.models.layers import (
    MLP,
    SelectiveChannelMixer,
    SelectiveTokenMixer,
)

ARCH = dict(embed_dims=(4, 8, 12, 16), depths=(2, 2, 3, 2))


def make(**settings):
    settings = dict(arch=ARCH, d_state=2, drop_path_rate=0.0) | settings
    return ViM2(**settings)


def kinds(model, stage):
    return [type(unit.mixer) for unit in model.stages[stage].mixers]


@pytest.mark.parametrize('size', [(64, 64), (37, 53), (1, 1), (4, 90)])
def test_maps_of_all_stages_for_any_image(size):
    model = make(out_indices=(0, 1, 2, 3))
    outs = model(torch.randn(2, 3, *size))
    assert isinstance(outs, tuple)
    for out, dim, stride in zip(outs, ARCH['embed_dims'], (4, 8, 16, 32), strict=True):
        assert out.shape == (2, dim, -(-size[0] // stride), -(-size[1] // stride))
        assert out.is_contiguous() and out.isfinite().all()


def test_outputs_and_their_norms():
    model = make(out_indices=(1, 3))
    outs = model(torch.randn(1, 3, 32, 32))
    assert [out.shape[1] for out in outs] == [8, 16] == list(model.out_channels)
    norms = [name for name, _ in model.named_children() if name.startswith('norm')]
    assert norms == ['norm1', 'norm3']
    mean = outs[0].mean(1)  # a fresh LayerNorm leaves no mean over the channels
    torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-5)


def test_every_parameter_gets_a_gradient():
    model = make(out_indices=(0, 1, 2, 3))
    outs = model(torch.randn(2, 3, 40, 24))
    sum((out * torch.randn_like(out)).sum() for out in outs).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def test_a_channel_mixer_follows_every_two_token_mixers():
    T, C = SelectiveTokenMixer, SelectiveChannelMixer
    assert kinds(make(), 0) == [T, T, C]
    assert kinds(make(), 2) == [T, T, C, T]
    assert kinds(make(channel_mixer='none'), 2) == [T, T, T]
    assert kinds(make(channel_mixer='mlp'), 0) == [T, T, MLP]


@pytest.mark.parametrize(
    'settings',
    [
        dict(channel_mixer='none'),
        dict(channel_mixer='mlp', averaging=False),
        dict(channel_scans=1),
        dict(channel_scans=2),
        dict(averaging=False),
        dict(max_connections=2),
        dict(grid_size=2),
    ],
)
def test_ablations_run_and_differ(settings):
    image = torch.randn(1, 3, 24, 40)
    torch.manual_seed(0)
    plain = make()
    ablated = make(**settings)
    ablated.load_state_dict(
        {
            key: value
            for key, value in plain.state_dict().items()
            if key in ablated.state_dict()
            and ablated.state_dict()[key].shape == value.shape
        },
        strict=False,
    )
    for model in (plain, ablated):  # away from the start, where averages do nothing
        for stage in model.stages:
            for average in stage.averages or ():
                torch.nn.init.constant_(average.weights, 0.5)
    difference = ablated(image)[0] - plain(image)[0]
    assert difference.isfinite().all() and difference.abs().max() > 1e-6


def test_all_averages_at_their_start_are_the_residual_network_bit_for_bit():
    averaging, plain = make().double(), make(averaging=False).double()
    plain.load_state_dict(averaging.state_dict(), strict=False)
    image = torch.randn(1, 3, 37, 53, dtype=torch.float64)
    assert torch.equal(averaging(image)[0], plain(image)[0])


def test_drop_path_grows_to_the_last_mixer():
    model = make(drop_path_rate=0.3)
    rates = [
        unit.drop_path.drop_prob for stage in model.stages for unit in stage.mixers
    ]
    assert rates == pytest.approx(torch.linspace(0, 0.3, 13).tolist())


def test_checkpointing_changes_no_gradient():
    grads = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        model = make(with_cp=with_cp, drop_path_rate=0.2)
        model(torch.randn(2, 3, 16, 24))[0].square().sum().backward()
        grads.append([p.grad for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_two_runs_are_equal_to_the_last_bit():
    model = make(out_indices=(0, 1, 2, 3))
    image, grads = torch.randn(2, 3, 48, 40), []
    for _ in range(2):
        model.zero_grad()
        sum(out.square().sum() for out in model(image)).backward()
        grads.append([p.grad.clone() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_an_empty_batch_passes():
    assert make()(torch.zeros(0, 3, 32, 32))[0].shape == (0, 16, 1, 1)


@pytest.mark.parametrize('frozen', [-1, 0, 2, 3])
def test_frozen_stages_stay_frozen_in_training(frozen):
    model = make(frozen_stages=frozen, out_indices=(0, 3)).train()
    names = ['stem', *(f'stages.{i}' for i in range(frozen + 1))] if frozen > -1 else []
    names += [f'norm{i}' for i in (0, 3) if i <= frozen]
    for name, module in model.named_modules():
        if name:
            expected = not any(name == n or name.startswith(f'{n}.') for n in names)
            if not isinstance(module, torch.nn.ModuleList) or '.' in name:
                assert module.training == expected, name
    for name, parameter in model.named_parameters():
        expected = not any(name.startswith(f'{n}.') for n in names)
        assert parameter.requires_grad == expected, name


def test_norm_eval_keeps_norms_in_eval_mode():
    model = make(norm_eval=True).train()
    for module in model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            assert not module.training
    assert model.stages[0].mixers[0].mixer.conv.training


def test_a_parameter_knows_its_depth():
    model = make(out_indices=(0, 3))
    depths = {}
    for name, _ in model.named_parameters():
        depth, total = model.get_layer_depth(f'backbone.{name}', 'backbone.')
        assert total == 13 + 2
        depths.setdefault(name.split('.')[0], set()).add(depth)
    assert depths['stem'] == {0}
    assert depths['stages'] == set(range(1, 14))
    assert depths['norm0'] == depths['norm3'] == {14}
    assert model.get_layer_depth('stages.1.downsample.norm.weight') == (4, 15)
    assert model.get_layer_depth('stages.1.mixers.2.norm.bias') == (6, 15)
    assert model.get_layer_depth('stages.1.averages.2.weights') == (6, 15)
    assert model.get_layer_depth('head.fc.weight', 'backbone.') == (14, 15)


@pytest.mark.parametrize(
    'settings, message',
    [
        (dict(arch='huge'), "arch must be one of tiny, .*, got 'huge'"),
        (dict(arch=dict(depths=[2])), r"needs the keys \['depths', 'embed_dims'\]"),
        (dict(arch=dict(**ARCH, width=3)), r"got \['depths', 'embed_dims', 'width'\]"),
        (
            dict(arch=dict(embed_dims=[4, 8], depths=[2])),
            'as many depths as embed_dims, 2, got 1',
        ),
        (dict(out_indices=(4,)), r'stages from 0 to 3 .*, got \(4,\)'),
        (dict(out_indices=()), r'stages from 0 to 3 .*, got \(\)'),
        (dict(out_indices=(3, 1)), r'in ascending order, got \(3, 1\)'),
        (dict(frozen_stages=4), 'from -1 to 3, got 4'),
        (dict(drop_path_rate=1.5), r'drop_path_rate must be in \[0, 1\), got 1.5'),
        (dict(channel_mixer='conv'), "one of selective, mlp, none, got 'conv'"),
        (dict(channel_scans=3), 'channel_scans must be 4, 2 or 1, got 3'),
        (dict(averaging='none'), "averaging must be True or False, got 'none'"),
        (dict(max_connections=0), 'max_connections=0'),
        (dict(max_connections=2, averaging=False), 'needs averaging=True'),
    ],
)
def test_bad_arguments_give_one_clear_sentence(settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings)


def test_an_unknown_argument_is_named():
    with pytest.raises(TypeError, match='chanel_mixer'):
        MODELS.build(dict(type='mmmambamixer.ViM2', arch=ARCH, chanel_mixer='mlp'))


@pytest.mark.parametrize('shape', [(1, 1, 32, 32), (3, 32, 32), (1, 4, 32, 32)])
def test_an_image_that_does_not_fit_is_refused(shape):
    with pytest.raises(ValueError, match=r'\(b, 3, height, width\), got \(') as error:
        make()(torch.zeros(shape))
    assert str(tuple(shape)) in str(error.value)


def test_other_image_channels():
    assert make(in_channels=13)(torch.randn(1, 13, 32, 32))[0].shape == (1, 16, 1, 1)


def test_one_stage_is_enough():
    model = make(arch=dict(embed_dims=[6], depths=[2]), out_indices=(0,))
    assert model(torch.randn(1, 3, 16, 16))[0].shape == (1, 6, 4, 4)


def test_version_is_public():
    assert mmmambamixer.__version__
