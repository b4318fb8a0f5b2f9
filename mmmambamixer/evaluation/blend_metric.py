"""The best blend of two forecasts."""

from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from mmmambamixer.registry import METRICS


@METRICS.register_module()
class BlendMetric(BaseMetric):
    """Weight of `line + weight (mixers - line)`, from 0 to 1, for a small error.

    One number, in closed form from sums over all windows in float64, so it depends on
    no batch size. Validation is a small sample of the future: of all its windows, only
    n = windows / h have horizons that do not overlap. So the weight is drawn to the
    line, `weight = best n / (n + prior_windows)` with the `best` of validation: a ridge
    regression whose prior weighs as much as so many windows that agree with the line.

    It may ask for evidence: over blocks of h consecutive windows, the squared error
    must fall by so many standard errors, else the weight is 0. A random walk would be
    forecast with noise otherwise.

    Results: `blend/weight`; `blend/evidence`, the fall in standard errors; `blend/mse`,
    with the weight; and the errors of the two, `blend/line_mse` and
    `blend/mixers_mse`. Meant for validation, where windows come in order:
    `FitBlendHook` gives the weight to the model.

    Reference: Diebold and Pauly, "The use of prior information in forecast
    combination", International Journal of Forecasting 6, 1990, on shrinking weights.

    Args:
        prior_windows: Weight of the prior, in windows that do not overlap.
        min_evidence: Standard errors by which a blend must be better than the line.
        collect_device: As in MMEngine.
    """

    default_prefix = 'blend'

    def __init__(
        self,
        *,
        prior_windows: float = 8.0,
        min_evidence: float = 0.0,
        collect_device: str = 'cpu',
    ) -> None:
        super().__init__(collect_device=collect_device)
        if prior_windows < 0:
            raise ValueError(f'prior_windows must be at least 0, got {prior_windows}')
        self.prior_windows, self.min_evidence = prior_windows, min_evidence
        self.horizon = None

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Add up windows; each sample has `line`, `mixers` and `target`, `(h, m)`."""
        for sample in data_samples:
            if 'line' not in sample:
                raise ValueError(
                    'BlendMetric blends the line and the mixers of a TSM2 with a '
                    f'linear_path; this model gives {", ".join(sample)}'
                )
        line, mixers, target = (
            torch.stack([sample[key] for sample in data_samples]).double()
            for key in ('line', 'mixers', 'target')
        )
        self.horizon = target.shape[1]
        error, step = target - line, mixers - line
        sums = [error * error, error * step, step * step, torch.ones_like(error)]
        if 'observed' in data_samples[0]:
            observed = torch.stack([sample['observed'] for sample in data_samples])
            sums = [torch.where(observed, part, 0) for part in sums]
        self.results += torch.stack([part.sum((1, 2)) for part in sums], 1).tolist()

    def compute_metrics(self, results: list[list[float]]) -> dict[str, float]:
        windows = torch.tensor(results, dtype=torch.float64)  # (windows, 4)
        ee, es, ss, count = windows.sum(0).tolist()
        best = min(max(es / ss, 0.0), 1.0) if ss else 0.0
        blocks = torch.stack([part.sum(0) for part in windows.split(self.horizon)])
        evidence = standard_errors(2 * best * blocks[:, 1] - best**2 * blocks[:, 2])
        independent = len(windows) / self.horizon
        weight = best * independent / (independent + self.prior_windows)
        if evidence < self.min_evidence:
            weight = 0.0
        return dict(
            weight=weight,
            evidence=evidence,
            mse=(ee - 2 * weight * es + weight**2 * ss) / count,
            line_mse=ee / count,
            mixers_mse=(ee - 2 * es + ss) / count,
        )


def standard_errors(falls: Tensor) -> float:
    """Return the mean of independent numbers in its standard errors; 0 for one."""
    if len(falls) < 2 or not falls.std():
        return 0.0
    return float(falls.mean() / falls.std() * len(falls) ** 0.5)
