"""The picture of the architecture that README shows."""

from pathlib import Path

import numpy as np
from PIL import Image

SHOWN = Path(__file__).parents[2] / 'resources/architecture.png'


def test_the_picture_is_what_the_tool_draws(call, tmp_path):
    call('draw_architecture.py', 'architecture.png')
    shown, drawn = (
        np.asarray(Image.open(path).convert('L').resize((280, 168)), dtype=float)
        for path in (SHOWN, tmp_path / 'architecture.png')
    )
    assert np.abs(shown - drawn).mean() < 2  # of 255: fonts may differ
