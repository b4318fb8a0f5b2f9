"""The best blend of two forecasts."""

from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric

from mmmambamixer.registry import METRICS


@METRICS.register_module()
class BlendMetric(BaseMetric):
    """Weight w in [0, 1] of `line + w (mixers - line)` with the least squared error.

    One number, in closed form from sums over all windows in float64, so it depends on
    no batch size. Results: `blend/weight`, `blend/mse` with it, and the errors of the
    two, `blend/line_mse` and `blend/mixers_mse`. Meant for validation: `FitBlendHook`
    gives the weight to the model.

    Args:
        collect_device: As in MMEngine.
    """

    default_prefix = 'blend'

    def __init__(self, *, collect_device: str = 'cpu') -> None:
        super().__init__(collect_device=collect_device)

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
        error, step = target - line, mixers - line
        sums = [error * error, error * step, step * step, torch.ones_like(error)]
        if 'observed' in data_samples[0]:
            observed = torch.stack([sample['observed'] for sample in data_samples])
            sums = [torch.where(observed, part, 0) for part in sums]
        self.results += torch.stack([part.sum((1, 2)) for part in sums], 1).tolist()

    def compute_metrics(self, results: list[list[float]]) -> dict[str, float]:
        ee, es, ss, count = torch.tensor(results, dtype=torch.float64).sum(0).tolist()
        weight = min(max(es / ss, 0.0), 1.0) if ss else 0.0
        at = lambda w: (ee - 2 * w * es + w * w * ss) / count  # noqa: E731
        return dict(weight=weight, mse=at(weight), line_mse=at(0), mixers_mse=at(1))
