"""Forecasters without a network, which every other one is compared with.

Axis letters: b batch, m variates, t look-back, h horizon.
"""

from collections.abc import Sequence

from torch import Tensor

from mmmambamixer.registry import MODELS

from ..layers.series.linear_path import LinearPath
from .forecaster import Forecaster


@MODELS.register_module()
class RepeatLast(Forecaster):
    """Forecast the last value of the look-back at every step, and as every quantile.

    The arguments are those of `Forecaster`.
    """

    def branches(
        self, past: Tensor, known: Tensor | None, static: Tensor | None
    ) -> dict[str, Tensor]:
        levels = len(self.quantiles or [0.5])
        last = past[:, -1:].expand(levels, -1, self.horizon, -1)  # (q, b, h, m)
        return dict(forecast=last)


@MODELS.register_module()
class LinearForecaster(Forecaster):
    """Forecast with a linear map alone, fitted in closed form by `FitLinearPathHook`.

    Args:
        look_back: Steps before the forecast, t.
        horizon: Steps of the forecast, h.
        variates: Series side by side, m.
        targets: Indices of the variates to forecast; None is all.
        maps: 'shared', one matrix, or 'variate', one for each, shrunk to the shared.
        centre: 'mean', 'last' or 'auto'; see `LinearPath`.
        trainable: Whether training goes on from the closed form.

    Raises:
        ValueError: If an argument does not fit.

    Reference: ridge regression; a linear map as forecaster is DLinear's and RLinear's
    lesson, arXiv:2205.13504, arXiv:2305.10721.
    """

    def __init__(
        self,
        *,
        look_back: int,
        horizon: int,
        variates: int,
        targets: Sequence[int] | None = None,
        maps: str = 'shared',
        centre: str = 'mean',
        trainable: bool = False,
    ) -> None:
        super().__init__(
            look_back=look_back, horizon=horizon, variates=variates, targets=targets
        )
        if maps not in ('shared', 'variate'):
            raise ValueError(f"maps must be 'shared' or 'variate', got {maps!r}")
        self.linear_path = LinearPath(
            look_back=look_back,
            horizon=horizon,
            variates=variates if maps == 'variate' else None,
            centre=centre,
            trainable=trainable,
        )

    def branches(
        self, past: Tensor, known: Tensor | None, static: Tensor | None
    ) -> dict[str, Tensor]:
        return dict(forecast=self.linear_path(past)[None])
