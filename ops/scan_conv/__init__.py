"""Causal convolution along the scanned axis, one filter for each scan."""

from .interface import scan_conv
from .reference import scan_conv_reference

__all__ = ['scan_conv', 'scan_conv_reference']
