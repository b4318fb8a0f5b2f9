"""Layers: parameters and forward; they know nothing of registries and frameworks."""

from .channel_mixer import MLP, SelectiveChannelMixer
from .drop_path import DropPath
from .map_norm import MapNorm, channels_first
from .patch import ImageStem, PatchMerging
from .s6 import S6, GridS6
from .stage import MixerUnit, Stage
from .token_mixer import SelectiveTokenMixer
from .weighted_average import WeightedAverage

__all__ = [
    'MLP',
    'S6',
    'DropPath',
    'GridS6',
    'ImageStem',
    'MapNorm',
    'MixerUnit',
    'PatchMerging',
    'SelectiveChannelMixer',
    'SelectiveTokenMixer',
    'Stage',
    'WeightedAverage',
    'channels_first',
]
