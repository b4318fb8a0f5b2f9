"""Forecasters of multivariate series."""

from .baselines import LinearForecaster, RepeatLast
from .tsm2 import TSM2

__all__ = ['TSM2', 'LinearForecaster', 'RepeatLast']
