"""Errors of forecasts over all windows, steps and variates.

Letters in shapes: b windows, h horizon, m' variates out, q quantiles.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from ..registry import METRICS


@METRICS.register_module()
class ForecastMetric(BaseMetric):
    """Mean errors of forecasts in the units of the dataset: scaled values.

    A sum over all elements divided by their number, in float64: no mean of batch means.
    The size of the batches changes nothing.

    * `mse`, `mae`, `rmse`: squared, absolute, root of the mean squared error.
    * `pinball`: mean quantile loss over all levels.
    * `crps`: twice that, the continuous ranked probability score for evenly spread
      levels.
    * `coverage`: part of the targets between lowest and highest quantile, ends
      included; a calibrated model reaches the difference of the two levels.

    Args:
        key: What of a sample is scored: 'forecast', or another branch of the model,
            such as 'line' or 'mixers' of a TSM2 with a linear path.
        quantiles: Levels of the quantiles that the model forecasts, ascending, between
            0 and 1. Empty: point forecasts only. Quantiles that cross are sorted first,
            as our forecasters sort theirs.
        collect_device: 'cpu' or 'gpu'.
        prefix: Before each name.

    Raises:
        ValueError: If levels or samples do not fit, or no target is observed.

    Reference: Gneiting and Raftery, "Strictly proper scoring rules", 2007.
    """

    default_prefix = 'forecast'

    def __init__(
        self,
        *,
        key: str = 'forecast',
        quantiles: Sequence[float] = (),
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        levels = tuple(quantiles)
        ascending = all(a < b for a, b in pairwise(levels))
        if not ascending or not all(0 < level < 1 for level in levels):
            raise ValueError(f'quantiles must ascend between 0 and 1, got {levels}')
        self.key, self.quantiles = key, levels

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Add the sums of each window.

        Args:
            data_batch: Not used.
            data_samples: One dict a window: `forecast` and `target` `(h, m')`, perhaps
                `observed` `(h, m')` bool, and `quantiles` `(q, h, m')`.
        """
        forecast = stacked(data_samples, self.key).double()  # (b, h, m')
        target = stacked(data_samples, 'target').double()
        if forecast.shape != target.shape:
            raise ValueError(
                'forecast and target must have the same shape, got '
                f'{tuple(forecast.shape[1:])} and {tuple(target.shape[1:])}'
            )
        observed = torch.ones_like(target, dtype=torch.bool)
        if 'observed' in data_samples[0]:
            observed = stacked(data_samples, 'observed')
        error = forecast - target
        parts = [torch.ones_like(target), error.square(), error.abs()]
        if self.quantiles:
            parts += self._quantile_parts(stacked(data_samples, 'quantiles'), target)
        # not a product: what is not observed may be NaN
        sums = [torch.where(observed, part, 0).sum((1, 2)) for part in parts]
        self.results.extend(torch.stack(sums, 1).tolist())

    def _quantile_parts(self, quantiles: Tensor, target: Tensor) -> list[Tensor]:
        if quantiles.shape[1] != len(self.quantiles):
            raise ValueError(
                f'ForecastMetric needs a forecast of {len(self.quantiles)} quantiles, '
                f'{self.quantiles}, got {quantiles.shape[1]}: give the model the same'
            )
        quantiles = quantiles.double().sort(1).values  # (b, q, h, m')
        levels = quantiles.new_tensor(self.quantiles)[:, None, None]
        error = target[:, None] - quantiles
        pinball = torch.maximum(levels * error, (levels - 1) * error).mean(1)
        inside = (quantiles[:, 0] <= target) & (target <= quantiles[:, -1])
        return [pinball, inside.double()]

    def compute_metrics(self, results: list) -> dict[str, float]:
        count, *sums = map(math.fsum, zip(*results, strict=True))
        if not count:
            raise ValueError(
                'all targets of these windows are missing: nothing to score'
            )
        mse, mae, *more = (value / count for value in sums)
        metrics = dict(mse=mse, mae=mae, rmse=math.sqrt(mse))
        if more:
            pinball, coverage = more
            metrics |= dict(pinball=pinball, crps=2 * pinball, coverage=coverage)
        return metrics


def stacked(samples: Sequence[dict], name: str) -> Tensor:
    """Return one entry of all samples, `(b, ...)`.

    Raises:
        ValueError: If a sample lacks it.
    """
    for sample in samples:
        if name not in sample:
            raise ValueError(
                f'ForecastMetric needs {name!r} in each sample, got {", ".join(sample)}'
            )
    return torch.stack([sample[name] for sample in samples])
