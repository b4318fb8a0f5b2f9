"""Tables of time series, and their windows; importing this registers the datasets."""

from .borders import ETT_HOUR, ETT_MINUTE, FRACTIONS, split_borders
from .calendar import Calendar, calendar_of
from .covariates import FutureCovariates, future_covariates, static_features
from .gaps import fill_forward
from .scaling import Standardiser
from .series_dataset import SeriesDataset
from .table import SeriesTable, from_frame, from_long, read_table
from .time_features import time_features, varying_features
from .window_sampler import RandomWindowSampler

__all__ = [
    'ETT_HOUR',
    'ETT_MINUTE',
    'FRACTIONS',
    'Calendar',
    'FutureCovariates',
    'RandomWindowSampler',
    'SeriesDataset',
    'SeriesTable',
    'Standardiser',
    'calendar_of',
    'fill_forward',
    'from_frame',
    'from_long',
    'future_covariates',
    'read_table',
    'split_borders',
    'static_features',
    'time_features',
    'varying_features',
]
