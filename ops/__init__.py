"""Selective-scan ops: C++ on CPU, Triton on GPU, plain PyTorch as the truth."""

from .backend import available_backends
from .cross_selective_scan import (
    CROSS,
    Route,
    cross_merge,
    cross_scan,
    cross_selective_scan,
    cross_selective_scan_reference,
)
from .gated_norm import gated_norm, gated_norm_reference
from .scan_conv import scan_conv, scan_conv_reference
from .selective_scan import selective_scan, selective_scan_reference
from .weighted_sum import weighted_sum, weighted_sum_reference

__all__ = [
    'CROSS',
    'Route',
    'available_backends',
    'cross_merge',
    'cross_scan',
    'cross_selective_scan',
    'cross_selective_scan_reference',
    'gated_norm',
    'gated_norm_reference',
    'scan_conv',
    'scan_conv_reference',
    'selective_scan',
    'selective_scan_reference',
    'weighted_sum',
    'weighted_sum_reference',
]
