"""Token mixer and channel mixer against the formulas of the paper, written out."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmmambamixer.models.layers import (
    MLP,
    SelectiveChannelMixer,
    SelectiveTokenMixer,
)

FORWARD, BACKWARD = 1, -1
DIRECTIONS = {1: [FORWARD], 2: [FORWARD, BACKWARD], 4: [FORWARD] * 2 + [BACKWARD] * 2}


def scan(u, delta, A, B, C, D):
    """Run S6 over the first axis: u, delta `(l, d)`, A `(d, n)`, B, C `(l, n)`."""
    h, ys = torch.zeros_like(A), []
    for t in range(len(u)):
        h = (delta[t, :, None] * A).exp() * h + (delta[t] * u[t])[:, None] * B[t]
        ys.append(h @ C[t] + D * u[t])
    return torch.stack(ys)


def literal_channel_mixer(mixer, x, directions):
    """Section 3.2 of the paper for one image, tokens `(l, c)`: without a grid."""
    v, z = mixer.in_proj(x), mixer.gate_proj(x)  # (l, e)
    s6, total = mixer.s6, 0
    r, n = s6.dt_weight.shape[-1], s6.A_log.shape[-1]
    for k, direction in enumerate(directions):
        u = v.T if direction == FORWARD else v.T.flip(0)  # (e, l) in the scan's order
        taps = mixer.conv.weight[k]
        padded = F.pad(u, (0, 0, len(taps) - 1, 0))
        u = mixer.conv.bias[k] + sum(
            tap * padded[j : j + len(u)] for j, tap in enumerate(taps)
        )
        u = F.silu(u)
        W_delta, W_B, W_C = s6.x_proj[k].split([r, n, n])
        delta = F.softplus((u @ W_delta.T) @ s6.dt_weight[k].T + s6.dt_bias[k])
        A = -s6.A_log[k].exp()
        y = scan(u, delta, A, u @ W_B.T, u @ W_C.T, s6.D[k])
        total = total + (y if direction == FORWARD else y.flip(0))
    return mixer.out_proj(nn.LayerNorm.forward(mixer.norm, total.T) * F.silu(z))


@pytest.mark.parametrize('scans', [4, 2, 1])
def test_on_the_grid_the_channel_mixer_is_the_papers_formula(scans):
    mixer = SelectiveChannelMixer(d_model=5, expand=2, scans=scans, d_state=3).double()
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    x = torch.randn(2, 7, 7, 5, dtype=torch.float64)
    expected = torch.stack(
        [
            literal_channel_mixer(mixer, image.flatten(0, 1), DIRECTIONS[scans])
            for image in x
        ]
    )
    torch.testing.assert_close(mixer(x).flatten(1, 2), expected)


def test_the_forward_scan_is_causal_over_channels():
    """Before the norm and the projection, a channel depends on earlier ones only."""
    mixer = SelectiveChannelMixer(d_model=4, scans=1, d_state=2, grid_size=2)
    v = torch.randn(1, 8, 6)
    other = v.clone()
    other[:, 5:] += 1

    def run(v):
        return mixer.s6(F.silu(mixer.conv(v)), height=2, width=3)

    assert torch.equal(run(v)[:, :5], run(other)[:, :5])
    assert not torch.equal(run(v)[:, 5], run(other)[:, 5])


def test_the_token_mixer_is_the_papers_formula():
    mixer = SelectiveTokenMixer(d_model=4, d_state=3).double()
    h, w, x = 2, 3, torch.randn(2, 2, 3, 4, dtype=torch.float64)
    v = mixer.in_proj(x).permute(0, 3, 1, 2)
    v = F.silu(F.conv2d(v.contiguous(), mixer.conv.weight, mixer.conv.bias, 1, 1, 1, 8))
    s6 = mixer.s6
    r, n = s6.dt_weight.shape[-1], s6.A_log.shape[-1]
    y = torch.zeros(2, 8, h, w, dtype=torch.float64)
    cells = [(i, j) for i in range(h) for j in range(w)]
    by_columns = sorted(cells, key=lambda cell: cell[::-1])
    for k, order in enumerate([cells, by_columns, cells[::-1], by_columns[::-1]]):
        for image in range(2):
            u = torch.stack([v[image, :, i, j] for i, j in order])  # (l, e)
            W_delta, W_B, W_C = s6.x_proj[k].split([r, n, n])
            delta = F.softplus((u @ W_delta.T) @ s6.dt_weight[k].T + s6.dt_bias[k])
            A = -s6.A_log[k].exp()
            out = scan(u, delta, A, u @ W_B.T, u @ W_C.T, s6.D[k])
            for t, (i, j) in enumerate(order):
                y[image, :, i, j] += out[t]
    normed = nn.LayerNorm.forward(mixer.norm, y.permute(0, 2, 3, 1))
    gated = normed * F.silu(mixer.gate_proj(x))
    torch.testing.assert_close(mixer(x), mixer.out_proj(gated))


@pytest.mark.parametrize('size', [(1, 1), (1, 9), (3, 5), (8, 8)])
@pytest.mark.parametrize('make', [SelectiveTokenMixer, SelectiveChannelMixer, MLP])
def test_any_size_and_a_gradient_for_every_parameter(make, size):
    mixer = make(d_model=4)
    x = torch.randn(2, *size, 4, requires_grad=True)
    y = mixer(x)
    assert y.shape == x.shape
    (y * torch.randn_like(y)).sum().backward()
    assert x.grad.isfinite().all() and x.grad.any()
    for name, parameter in mixer.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@pytest.mark.parametrize('make', [SelectiveTokenMixer, SelectiveChannelMixer])
def test_16_bit(make):
    mixer, x = make(d_model=8, d_state=4), torch.randn(1, 3, 4, 8)
    expected = mixer(x)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        y = mixer(x)
    y.float().sum().backward()
    half = mixer.bfloat16()(x.bfloat16())
    assert y.dtype == half.dtype == torch.bfloat16
    for result in (y, half):
        error = (result.float() - expected).norm() / expected.norm()
        assert 0 < error < 0.03


def test_the_channel_mixer_refuses_other_numbers_of_scans():
    with pytest.raises(ValueError, match='channel_scans must be 4, 2 or 1, got 3'):
        SelectiveChannelMixer(d_model=4, scans=3)


@pytest.mark.parametrize('make', [SelectiveTokenMixer, SelectiveChannelMixer])
def test_a_sum_of_scans_beyond_fp16_is_normalised_before_it_is_rounded(make):
    mixer = make(d_model=8, d_state=4).half().eval()
    with torch.no_grad():
        mixer.s6.D.fill_(6e4)  # the skips of four scans alone leave the range
        assert mixer(torch.randn(2, 3, 5, 8).half()).isfinite().all()
