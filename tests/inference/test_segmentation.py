"""How a label map is drawn over its picture."""

import numpy as np
import pytest

pytest.importorskip('mmseg')

from mmmambamixer.inference.segmentation import coloured, mean_shares

PALETTE = [(0, 0, 0), (220, 20, 60), (20, 120, 220)]


@pytest.mark.parametrize('size', [(1, 1), (1, 7), (5, 1), (6, 9)])
def test_each_pixel_has_the_colour_of_its_class(size):
    """Of one pixel too, for which mmseg's own drawing raises."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (*size, 3), np.uint8)
    labels = rng.integers(0, 3, size)
    drawn = coloured(picture, labels, PALETTE)
    assert drawn.dtype == np.uint8 and drawn.shape == picture.shape
    for place in np.ndindex(size):
        expected = 0.4 * picture[place] + 0.6 * np.array(PALETTE[labels[place]])
        assert np.abs(drawn[place] - expected).max() <= 1


def test_shares_are_means_over_all_images_the_largest_first():
    images = [dict(shares=dict(sky=0.75, road=0.25)), dict(shares=dict(road=1.0))]
    assert mean_shares(images) == dict(road=0.625, sky=0.375)
    assert [*mean_shares(images)] == ['road', 'sky']
