"""Learned sum of several tensors in one pass."""

from .interface import weighted_sum
from .reference import weighted_sum_reference

__all__ = ['weighted_sum', 'weighted_sum_reference']
