"""Metrics; importing this registers them."""

from .blend_metric import BlendMetric
from .forecast_metric import ForecastMetric

__all__ = ['BlendMetric', 'ForecastMetric']
