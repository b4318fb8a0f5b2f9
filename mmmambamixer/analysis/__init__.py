"""What a ViM2 selects, averages and sees; the pictures of it are in `drawing`."""

from .receptive_field import receptive_fields, shares_by_side, side_holding
from .selection import (
    Selection,
    averaging_matrix,
    mixer_names,
    record_selections,
    step_sizes,
    watch_selections,
)

__all__ = [
    'Selection',
    'averaging_matrix',
    'mixer_names',
    'receptive_fields',
    'record_selections',
    'shares_by_side',
    'side_holding',
    'step_sizes',
    'watch_selections',
]
