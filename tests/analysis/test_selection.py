"""What a ViM2 selects, averages and sees: the numbers behind the pictures."""

import math

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmmambamixer.analysis import (
    averaging_matrix,
    mixer_names,
    receptive_fields,
    record_selections,
    shares_by_side,
    side_holding,
    step_sizes,
)
from mmmambamixer.models.backbones import ViM2
from mmmambamixer.models.layers import S6
from mmmambamixer.ops import CROSS, Route
from mmmambamixer.ops.cross_selective_scan.reference import visit_order

SMALL = dict(embed_dims=(4, 8), depths=(1, 2))


def make_vim2(arch: dict = SMALL, **options) -> ViM2:
    """A ViM2 whose parameters are far from their initial values."""
    model = ViM2(arch=arch, out_indices=(0,), d_state=2, grid_size=2, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


class ScanRecorder(TorchDispatchMode):
    """Keep the arguments that reach the kernels of `cross_selective_scan`."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.mmmambamixer.cross_selective_scan.default:
            self.calls.append(args)
        return func(*args, **(kwargs or {}))


def delta_of_the_op(call) -> torch.Tensor:
    """Step each route in its order, as the reference does, and put delta in place."""
    _, dt, weight, _, _, _, _, bias, routes, height, width, _ = call
    delta = torch.empty(dt.shape[0], dt.shape[1], dt.shape[2], weight.shape[1])
    for k, route in enumerate(routes):
        for position in visit_order(Route(route), height, width):
            step = dt[:, k, position] @ weight[k].T + bias[k]
            delta[:, k, position] = torch.log1p(step.exp())
    return delta  # (b, g, l, d)


@pytest.mark.parametrize('scans', [4, 2, 1])
def test_recorded_delta_is_what_the_kernels_step_with(scans):
    model, image = make_vim2(channel_scans=scans), torch.randn(2, 3, 20, 12)
    found = record_selections(model, image)
    with ScanRecorder() as recorder, torch.no_grad():
        model(image)
    assert [(s.stage, s.kind, s.number) for s in found] == [
        (0, 'token', 1),
        (1, 'token', 1),
        (1, 'token', 2),
        (1, 'channel', 1),
    ]
    assert [s.delta.shape[1:] for s in found] == [
        (4, 5, 3),
        (4, 3, 2),
        (4, 3, 2),
        (scans, 8),  # the last stage does not expand
    ]
    for selection, call in zip(found, recorder.calls, strict=True):
        expected = delta_of_the_op(call).mean(-1)
        torch.testing.assert_close(selection.delta.flatten(2), expected.flatten(2))


def test_a_bright_patch_is_selected_where_it_lies_by_every_route():
    """One feature, delta = softplus(k u): no route moves the patch."""
    s6 = S6(d_inner=1, d_state=1, dt_rank=1, routes=CROSS)
    with torch.no_grad():
        s6.x_proj.zero_()
        s6.x_proj[:, 0, 0] = torch.tensor([1.0, 2.0, 3.0, 4.0])
        s6.dt_weight.fill_(1)
        s6.dt_bias.zero_()
    image = torch.zeros(1, 4, 7)
    image[0, 1, 5] = 0.5
    with torch.no_grad():
        delta = step_sizes(s6, image.flatten(1)[..., None], height=4, width=7)
    expected = torch.full((4, 4, 7), math.log(2))
    for k in range(4):
        expected[k, 1, 5] = math.log1p(math.exp(0.5 * (k + 1)))
    torch.testing.assert_close(delta[0, ..., 0].unflatten(-1, (4, 7)), expected)


@pytest.mark.parametrize('channel_mixer', ['selective', 'mlp', 'none'])
def test_looking_changes_nothing(channel_mixer):
    model = make_vim2(channel_mixer=channel_mixer, drop_path_rate=0.5)
    image = torch.randn(1, 3, 16, 16)
    before = model(image)[0]
    model.train()
    found = record_selections(model, image)
    receptive_fields(model, image)
    assert model.training and all(unit.training for unit in model.stages[1].mixers)
    assert all(parameter.grad is None for parameter in model.parameters())
    for module in model.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks
    torch.testing.assert_close(model.eval()(image)[0], before, rtol=0, atol=0)
    channels = sum(selection.kind == 'channel' for selection in found)
    assert channels == (channel_mixer == 'selective') and len(found) == 3 + channels


def test_hooks_are_removed_when_the_image_is_wrong():
    model = make_vim2()
    with pytest.raises(ValueError, match='image must have shape'):
        record_selections(model, torch.zeros(1, 5, 8, 8))
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_averaging_matrix_has_a_row_for_each_mixer_and_a_column_for_each_map():
    model = make_vim2(max_connections=2)
    stage = model.stages[1]
    with torch.no_grad():
        for j, average in enumerate(stage.averages):
            size = len(average.weights)
            average.weights.copy_(torch.arange(size) - 10.0 * (j + 1))
    nan = math.nan
    expected = [[-10, nan, nan], [-20, -19, nan], [nan, -30, -29]]
    np.testing.assert_array_equal(averaging_matrix(stage), expected)
    assert mixer_names(stage) == [('token', 1), ('token', 2), ('channel', 1)]
    assert averaging_matrix(model.stages[0]).shape == (1, 1)
    assert averaging_matrix(make_vim2(averaging=False).stages[1]) is None


def test_the_receptive_field_is_the_change_of_the_centre_with_each_pixel():
    """Central differences through stem and stage, one token mixer, no autograd."""
    model = make_vim2(dict(embed_dims=(4,), depths=(1,))).double()
    image = torch.randn(3, 16, 12, dtype=torch.float64)  # 4 x 3 tokens: centre (2, 1)

    def centre(x):
        return model.stages[0](model.stem(x))[:, 2, 1].sum(-1)

    steps = 1e-5 * torch.eye(image.numel(), dtype=torch.float64)
    steps = steps.unflatten(1, image.shape)
    with torch.no_grad():
        slopes = (centre(image + steps) - centre(image - steps)) / 2e-5
    expected = slopes.reshape(image.shape).abs().sum(0)
    (field,) = receptive_fields(model, [image])
    torch.testing.assert_close(field, expected, rtol=1e-5, atol=1e-8)
    assert field.min() > 0  # four scans reach every token


@pytest.mark.parametrize('with_cp', [False, True])
def test_receptive_fields_are_means_over_images_for_each_stage(with_cp):
    model = make_vim2()
    images = torch.randn(2, 3, 20, 12)
    first, second = (receptive_fields(model, [image]) for image in images)
    for stage in model.stages:
        stage.with_cp = with_cp
    both = receptive_fields(model, images)
    assert [field.shape for field in both] == [(20, 12), (20, 12)]
    for a, b, mean in zip(first, second, both, strict=True):
        torch.testing.assert_close((a + b) / 2, mean)


@pytest.mark.parametrize(
    'images', [[], [torch.zeros(3, 8, 8), torch.zeros(3, 8, 12)]], ids=len
)
def test_a_receptive_field_needs_images_of_one_size(images):
    with pytest.raises(ValueError, match='needs images of one size, got'):
        receptive_fields(make_vim2(), images)


def test_squares_lie_around_the_patch_of_the_centre():
    # 10 x 16 pixels, stride 4: 3 x 4 positions, centre (1, 2), whose patch has its
    # middle between the pixels 5 and 6 of a column, 9 and 10 of a row.
    even = shares_by_side(torch.ones(10, 16), 4)
    inside = [4, 4, 16, 16, 36, 36, 64, 64, 100]  # pixels in squares of side 2, 3...
    assert even[:2].tolist() == [0, 0]
    torch.testing.assert_close(
        even[2:10] * 160, torch.tensor(inside[:8], dtype=torch.float64)
    )
    assert even[10] * 160 == pytest.approx(9 * 10)  # one row is cut off: 9 of 10
    assert even[-1] == 1 and len(even) == 1 + 20  # the left border is 10 away
    field = torch.zeros(10, 16)
    field[5, 9], field[0, 9] = 3, 1  # 0.5 and 5.5 away
    assert [side_holding(field, 4, s) for s in (0.5, 0.75, 0.76, 1)] == [2, 2, 12, 12]
    with pytest.raises(ValueError, match='must be positive and finite'):
        shares_by_side(torch.zeros(8, 8), 4)
