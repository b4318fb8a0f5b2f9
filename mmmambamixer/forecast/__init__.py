"""Forecasting: from data frames, from files, and the hooks that fit its parts."""

from .fit_blend import FitBlendHook
from .fit_linear import FitLinearPathHook, fit_linear_path
from .forecaster import SeriesForecaster

__all__ = ['FitBlendHook', 'FitLinearPathHook', 'SeriesForecaster', 'fit_linear_path']
