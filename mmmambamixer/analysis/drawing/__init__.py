"""Pictures of what a ViM2 selects, averages and sees; each explains itself."""

from .averaging import draw_averaging
from .delta import draw_channels, draw_tokens
from .page import Source
from .receptive_field import draw_receptive_fields

__all__ = [
    'Source',
    'draw_averaging',
    'draw_channels',
    'draw_receptive_fields',
    'draw_tokens',
]
