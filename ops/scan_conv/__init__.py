"""Causal convolution along the scanned axis, a filter for each scan or feature."""

from .interface import scan_conv
from .reference import scan_conv_reference

__all__ = ['scan_conv', 'scan_conv_reference']
