"""Layers of series: what the forecasters have beside the layers of images."""

from .auxiliary import FutureTokens, StaticToken
from .instance_norm import InstanceNorm
from .linear_path import LinearPath
from .mixers import SeriesMixers
from .patches import SeriesPatches
from .sequence_mixer import SelectiveSequenceMixer
from .window_norm import WindowNorm

__all__ = [
    'FutureTokens',
    'InstanceNorm',
    'LinearPath',
    'SelectiveSequenceMixer',
    'SeriesMixers',
    'SeriesPatches',
    'StaticToken',
    'WindowNorm',
]
