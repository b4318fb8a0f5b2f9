"""What every forecaster is to MMEngine: losses, forecasts, or plain tensors."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModel
from torch import Tensor

from mmmambamixer.arguments import check_choice, check_whole

from .arguments import check_quantiles, check_targets
from .losses import POINT_LOSSES, pinball_loss, point_loss


class Forecaster(BaseModel):
    """Base of models from a look-back `(b, t, m)` to a horizon `(b, h, m')`.

    A subclass implements `branches`. Series are scaled as the dataset has it.

    Forecast quantiles ascend: those of one step are sorted, which brings them no
    farther from the true ones, and the point forecast is the median then. The loss is
    that of each level by itself.

    Args:
        look_back: Steps before the forecast, t.
        horizon: Steps of the forecast, h.
        variates: Series side by side, m.
        targets: Indices of the m' variates to forecast; None is all.
        quantiles: Levels to forecast, ascending, among them 0.5, the point forecast;
            None is a point forecast alone.
        loss: 'mse', 'mae' or 'huber'; with quantiles it is the pinball loss.
        init_cfg: Initialisation by MMEngine.

    Raises:
        ValueError: If an argument or a batch does not fit; the message names both.

    Reference: Chernozhukov, Fernandez-Val and Galichon, "Quantile and probability
    curves without crossing", Econometrica 78, 2010: the sorting.
    """

    def __init__(
        self,
        *,
        look_back: int,
        horizon: int,
        variates: int,
        targets: Sequence[int] | None = None,
        quantiles: Sequence[float] | None = None,
        loss: str = 'mse',
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        check_whole(look_back=look_back, horizon=horizon, variates=variates)
        check_choice('loss', loss, POINT_LOSSES)
        self.look_back, self.horizon, self.variates = look_back, horizon, variates
        self.targets = check_targets(targets, variates)
        self.loss_kind = loss
        self.quantiles = check_quantiles(quantiles)
        levels = torch.tensor(self.quantiles or [], dtype=torch.float32)
        self.register_buffer('levels', levels, persistent=False)

    def branches(
        self, past: Tensor, known: Tensor | None, static: Tensor | None
    ) -> dict[str, Tensor]:
        """Return the forecasts `(q, b, h, m)` of a batch, q = 1 without quantiles.

        `forecast` is the model's; there may be others that it is made of. `trained` is
        the one that the loss is computed on, if it is another.
        """
        raise NotImplementedError

    def forward(
        self,
        past: Tensor,
        future: Tensor | None = None,
        observed: Tensor | None = None,
        known: Tensor | None = None,
        static: Tensor | None = None,
        mode: str = 'tensor',
    ) -> Tensor | dict[str, Tensor] | list[dict[str, Tensor]]:
        """Forecast a batch, or compute its loss.

        Args:
            past: Look-back, `(b, t, m)`.
            future: What came, `(b, h, m')`; for 'loss', and for a score.
            observed: Which of it is there, `(b, h, m')`; None is all.
            known: What is known of the future, `(b, m, h, f)`; NaN where it is not.
            static: What is known of each variate, `(b, m, s)`.
            mode: 'tensor', 'loss' or 'predict'.

        Returns:
            'tensor': `(b, h, m')`, with quantiles `(q, b, h, m')`, ascending. 'loss':
            `loss`.
            'predict': for each window `forecast` `(h, m')` and, as given and had,
            `target`, `observed`, `quantiles` `(q, h, m')` and the branches.
        """
        if past.dim() != 3 or past.shape[1:] != (self.look_back, self.variates):
            raise ValueError(
                f'past must be (b, look_back, variates) = (b, {self.look_back}, '
                f'{self.variates}), got {tuple(past.shape)}'
            )
        branches = self.branches(past, known, static)
        if self.targets is not None:
            branches = {k: v[..., self.targets] for k, v in branches.items()}
        if mode == 'loss':
            forecast = branches.get('trained', branches['forecast'])
            if self.quantiles:
                return dict(loss=pinball_loss(self.levels, forecast, future, observed))
            return dict(loss=point_loss(self.loss_kind, forecast[0], future, observed))
        if self.quantiles:
            branches['forecast'] = branches['forecast'].sort(dim=0).values
        if mode == 'tensor':
            forecast = branches['forecast']
            return forecast if self.quantiles else forecast[0]
        if mode == 'predict':
            return self.samples(branches, future, observed)
        raise ValueError(f"mode must be 'tensor', 'loss' or 'predict', got {mode!r}")

    def samples(
        self, branches: dict[str, Tensor], future: Tensor | None, observed
    ) -> list[dict[str, Tensor]]:
        """Return a dict for each window of a batch."""
        middle = self.quantiles.index(0.5) if self.quantiles else 0
        batch = {k: v[middle] for k, v in branches.items() if k != 'trained'}
        if self.quantiles:
            batch['quantiles'] = branches['forecast'].transpose(0, 1)
        if future is not None:
            batch['target'] = future
        if observed is not None:
            batch['observed'] = observed
        names = list(batch)
        windows = zip(*batch.values(), strict=True)
        return [dict(zip(names, window, strict=True)) for window in windows]
