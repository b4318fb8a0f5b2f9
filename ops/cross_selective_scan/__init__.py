"""Selective scans of a map along several routes, merged, as one op."""

from ..route import CROSS, Route
from .interface import cross_selective_scan
from .reference import cross_merge, cross_scan, cross_selective_scan_reference

__all__ = [
    'CROSS',
    'Route',
    'cross_merge',
    'cross_scan',
    'cross_selective_scan',
    'cross_selective_scan_reference',
]
