"""Instance normalisation: what it removes from a look-back, it gives back."""

import pytest
import torch

from mmmambamixer.models.layers.series.instance_norm import InstanceNorm


@pytest.mark.parametrize('centre', ['mean', 'last'])
def test_look_backs_have_deviation_one_around_their_centre(centre):
    norm = InstanceNorm(variates=3, centre=centre, affine=False)
    x = 5 * torch.randn(2, 4, 3) + 7
    scaled, _ = norm(x)
    middle = x.mean(1, keepdim=True) if centre == 'mean' else x[:, -1:]
    expected = (x - middle) / x.std(1, unbiased=False, keepdim=True)
    torch.testing.assert_close(scaled, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('affine', [True, False])
def test_the_inverse_brings_values_and_quantiles_back(affine):
    norm = InstanceNorm(variates=3, affine=affine)
    if affine:
        with torch.no_grad():
            norm.gain.copy_(torch.tensor([2.0, -0.5, 1.0]))
            norm.shift.copy_(torch.tensor([1.0, 0.0, -3.0]))
    x = 5 * torch.randn(2, 6, 3) + 7
    scaled, statistics = norm(x)
    torch.testing.assert_close(norm.inverse(scaled, statistics), x)
    levels = norm.inverse(torch.stack([scaled, scaled + 1]), statistics)
    torch.testing.assert_close(levels[0], x)
    assert levels.shape == (2, *x.shape)


def test_an_unknown_centre_is_refused():
    with pytest.raises(ValueError, match=r"centre must be one of .*'median'"):
        InstanceNorm(variates=1, centre='median')
