"""Metrics; importing this registers them."""

from .forecast_metric import ForecastMetric

__all__ = ['ForecastMetric']
