"""S6: selection, initialisation, and the symmetries of its cross-scan."""

import math

import pytest
import torch
import torch.nn.functional as F

from mmmambamixer.models.layers import S6, GridS6
from mmmambamixer.models.layers.s6 import pool_tokens, resize_tokens
from mmmambamixer.ops import CROSS, Route, selective_scan_reference

NAMES = ('x_proj', 'dt_weight', 'dt_bias', 'A_log', 'D')


def make_s6(**settings):
    """Return an S6 in fp64 whose scans all differ."""
    s6 = S6(d_inner=6, d_state=3, routes=CROSS, **settings).double()
    with torch.no_grad():
        for name in NAMES:
            parameter = getattr(s6, name)
            parameter.add_(0.3 * torch.randn_like(parameter))
    return s6


def reordered(s6, order):
    other = make_s6()
    with torch.no_grad():
        for name in NAMES:
            getattr(other, name).copy_(getattr(s6, name)[list(order)])
    return other


def run(s6, image):
    """`(b, h, w, d)` -> `(b, h, w, d)`."""
    h, w = image.shape[1:3]
    return s6(image.flatten(1, 2), height=h, width=w).unflatten(1, (h, w))


def test_transposing_the_image_swaps_rows_and_columns():
    s6, image = make_s6(), torch.randn(2, 3, 5, 6, dtype=torch.float64)
    expected = run(s6, image).transpose(1, 2)
    swapped = run(reordered(s6, (1, 0, 3, 2)), image.transpose(1, 2))
    torch.testing.assert_close(swapped, expected, rtol=0, atol=1e-12)
    assert not torch.allclose(run(s6, image.transpose(1, 2)), expected)


def test_rotating_the_image_swaps_forward_and_backward():
    s6, image = make_s6(), torch.randn(2, 3, 5, 6, dtype=torch.float64)
    expected = run(s6, image).flip(1, 2)
    swapped = run(reordered(s6, (2, 3, 0, 1)), image.flip(1, 2))
    torch.testing.assert_close(swapped, expected, rtol=0, atol=1e-12)
    assert not torch.allclose(run(s6, image.flip(1, 2)), expected)


def test_one_scan_is_the_selective_scan_of_mamba():
    s6 = S6(d_inner=6, d_state=3, routes=[Route.ROWS]).double()
    u = torch.randn(2, 7, 6, dtype=torch.float64)
    r, n = math.ceil(6 / 16), 3
    dt, B, C = (u @ s6.x_proj[0].T).split([r, n, n], dim=-1)
    expected = selective_scan_reference(
        u.mT,
        (dt @ s6.dt_weight[0].T).mT,
        -s6.A_log[0].exp(),
        B.mT,
        C.mT,
        s6.D[0],
        delta_bias=s6.dt_bias[0],
        delta_softplus=True,
    ).mT
    torch.testing.assert_close(s6(u, height=1, width=7), expected)


def test_shared_and_separate_inputs_agree():
    s6, u = make_s6(), torch.randn(2, 15, 6, dtype=torch.float64)
    separate = u[:, None].expand(-1, 4, -1, -1)
    torch.testing.assert_close(
        s6(separate, height=3, width=5), s6(u, height=3, width=5)
    )


def test_initial_parameters():
    s6 = S6(d_inner=512, d_state=16, dt_rank=4, routes=CROSS)
    delta = F.softplus(s6.dt_bias)
    assert delta.min() >= 0.99e-3 and delta.max() <= 1.01e-1
    # log-uniform: the median is the geometric mean of the ends
    assert delta.median().item() == pytest.approx(1e-2, rel=0.3)
    assert torch.allclose(s6.A_log.exp(), torch.arange(1.0, 17).expand(4, 512, 16))
    assert (s6.D == 1).all()
    assert s6.dt_weight.abs().max() <= 4**-0.5
    assert s6.x_proj.abs().max() <= 512**-0.5


@pytest.mark.parametrize('size', [(1, 1), (3, 5), (7, 7), (14, 14), (8, 23)])
def test_pooling_to_the_grid_is_adaptive_average_pooling(size):
    x = torch.randn(2, 3, size[0] * size[1], dtype=torch.float64)
    expected = F.adaptive_avg_pool2d(x.unflatten(-1, size), 7).flatten(-2)
    torch.testing.assert_close(pool_tokens(x, *size, 7), expected)


@pytest.mark.parametrize('size', [(1, 1), (3, 5), (7, 7), (14, 14), (8, 23)])
def test_resizing_from_the_grid_is_bilinear(size):
    x = torch.randn(2, 49, 3, dtype=torch.float64)
    grid = x.mT.unflatten(-1, (7, 7))
    expected = F.interpolate(grid, size, mode='bilinear').flatten(-2).mT
    torch.testing.assert_close(resize_tokens(x, 7, *size), expected)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_a_map_as_large_as_the_grid_passes_unchanged(dtype):
    x = torch.randn(2, 49, 3, dtype=dtype)
    assert torch.equal(resize_tokens(x, 7, 7, 7), x)
    assert torch.equal(pool_tokens(x.mT, 7, 7, 7), x.mT)


def test_the_tokens_parameters_are_resized_in_fp32_under_autocast():
    x = torch.rand(2, 49, 3) + 1
    expected = resize_tokens(x, 7, 9, 5)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.equal(resize_tokens(x, 7, 9, 5), expected)


def test_grid_s6_has_parameters_for_the_grid_only():
    s6 = GridS6(grid_size=7, d_state=16, routes=CROSS)
    assert s6.A_log.shape == (4, 49, 16)
    assert s6.x_proj.shape == (4, 4 + 32, 49)
    u = torch.randn(1, 4, 6, 15)
    assert s6(u, height=3, width=5).shape == (1, 6, 15)
