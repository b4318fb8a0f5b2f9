"""Forecasting from Python: data frames in, data frames out."""

from .forecaster import SeriesForecaster

__all__ = ['SeriesForecaster']
