"""LayerNorm times the SiLU of a gate, in one pass."""

from .interface import gated_norm
from .reference import gated_norm_reference

__all__ = ['gated_norm', 'gated_norm_reference']
