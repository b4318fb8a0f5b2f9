"""TSM2, the forecaster of MambaMixer.

Axis letters: b batch, m variates, t look-back, h horizon, p tokens, c channels,
q quantiles, f future covariates, s static features.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from mmmambamixer.arguments import check_choice
from mmmambamixer.registry import MODELS

from ..layers.series.auxiliary import FutureTokens, StaticToken
from ..layers.series.instance_norm import InstanceNorm
from ..layers.series.linear_path import LinearPath
from ..layers.series.mixers import NORMS, SeriesMixers
from ..layers.series.patches import SeriesPatches
from ..weight_decay import PARAMWISE_CFG
from .arguments import check_network
from .forecaster import Forecaster

LINEAR_MAPS = ('shared', 'variate')


@MODELS.register_module()
class TSM2(Forecaster):
    """Forecast multivariate series with selective mixers over time and variates.

    Look-back `(b, t, m)` -> forecast `(b, h, m')`. Each variate is normalised and cut
    into patches; blocks mix the patches along time, forward, and along the variates, in
    both directions, each reading a learned average of all earlier outputs; a linear
    head, shared by the variates, reads the horizon off their tokens. The head starts at
    0, so the first forecast repeats the centre of the look-back.

    With a linear path there are two forecasts, the line's and the mixers', and
    `forecast = line + blend (mixers - line)` with one number, `blend`. The mixers are
    trained on their own error; the path is fitted in closed form (`FitLinearPathHook`)
    and the number by validation (`FitBlendHook`), 0.5 before.

    The ablations are arguments: `time_mixer`, `variate_mixer`, `averaging`, `norm`.

    Args:
        look_back: Steps before the forecast, t.
        horizon: Steps of the forecast, h.
        variates: Series side by side, m.
        targets: Indices of the m' variates to forecast; None is all.
        quantiles: Levels to forecast, ascending, with 0.5; None is a point forecast.
        loss: 'mse', 'mae' or 'huber'; with quantiles it is the pinball loss.
        d_model: Channels of a token, c.
        depth: Blocks.
        expand: Width inside the mixers over c.
        d_state: States of the scans.
        patch_len: Steps of a patch.
        stride: Steps from a patch to the next.
        dropout: Before the head.
        time_mixer: 'selective', 'linear' or 'none'.
        variate_mixer: 'selective', 'mlp' or 'none'.
        time_scans: 1 (forward) or 2 (forward and backward).
        variate_scans: 2 or 1.
        averaging: Learn the averages; otherwise the blocks are a residual chain.
        norm: '2d' or 'token'; with 'token' and one time scan a token depends on its
            past only.
        instance_norm: Normalise each window and variate, with a gain and a shift that
            are learned (`affine`) or without.
        affine: See `instance_norm`.
        centre: What that subtracts, 'mean' or 'last'.
        variate_embed: Add a learned vector to the tokens of each variate.
        linear_path: None, or a dict with `maps`, 'shared' (one matrix) or 'variate'
            (one for each), and, if wanted, options of `LinearPath`: `centre`,
            `penalties_per_decade`.
        sign_flip: In training turn half of the windows upside down, look-back and
            horizon around the centre of the look-back. What rises in the train years
            then falls as often, so their drift is not learned.
        mirror: In evaluation average the mixers' forecast with that of the window
            upside down, turned back. For models with `sign_flip`: both should be the
            same, and what differs is noise.
        future_covariates: Numbers known of each future step and variate, f.
        static_features: Numbers known of each variate, s.
        init_cfg: Initialisation by MMEngine.

    Raises:
        ValueError: If an argument or a batch does not fit; the message names both.

    Reference: MambaMixer, arXiv:2403.19888, sections 3.2 and 5.1, Fig. 3, eq. (6)-(24).
    Differs from the paper: which gives no sizes, patches or head; the instance
    normalisation, the linear path, `sign_flip` and `mirror` are not in it. Its figure 3
    draws the time scan in both directions, its text says one. See also the layers.
    """

    paramwise_cfg: ClassVar = PARAMWISE_CFG
    """For `optim_wrapper` in configs: only matrices decay."""

    def __init__(
        self,
        *,
        look_back: int,
        horizon: int,
        variates: int,
        targets: Sequence[int] | None = None,
        quantiles: Sequence[float] | None = None,
        loss: str = 'mse',
        d_model: int = 16,
        depth: int = 1,
        expand: int = 2,
        d_state: int = 16,
        patch_len: int = 16,
        stride: int = 8,
        dropout: float = 0.2,
        time_mixer: str = 'selective',
        variate_mixer: str = 'selective',
        time_scans: int = 1,
        variate_scans: int = 2,
        averaging: bool = True,
        norm: str = '2d',
        instance_norm: bool = True,
        affine: bool = True,
        centre: str = 'mean',
        variate_embed: bool = False,
        linear_path: dict | None = None,
        sign_flip: bool = False,
        mirror: bool = False,
        future_covariates: int = 0,
        static_features: int = 0,
        init_cfg: dict | list | None = None,
    ) -> None:
        shape = dict(look_back=look_back, horizon=horizon, variates=variates)
        super().__init__(
            **shape, targets=targets, quantiles=quantiles, loss=loss, init_cfg=init_cfg
        )
        check_network(locals())
        self.sign_flip, self.mirror, self.centre = sign_flip, mirror, centre
        self.instance_norm = None
        if instance_norm:
            self.instance_norm = InstanceNorm(
                variates=variates, centre=centre, affine=affine
            )
        sizes = dict(expand=expand, d_state=d_state)
        patch = dict(patch_len=patch_len, stride=stride, d_model=d_model)
        self.patch = SeriesPatches(length=look_back, features=1, **patch)
        self.future_tokens = self.static_token = None
        if future_covariates:
            self.future_tokens = FutureTokens(
                horizon=horizon, covariates=future_covariates, **patch, **sizes
            )
        if static_features:
            self.static_token = StaticToken(features=static_features, d_model=d_model)
        parts = (self.patch, self.future_tokens, self.static_token)
        tokens = sum(part.patches for part in parts if part is not None)
        self.variate_embed = None
        if variate_embed:
            self.variate_embed = nn.Parameter(torch.zeros(variates, 1, d_model))
        self.mixers = SeriesMixers(
            d_model=d_model,
            depth=depth,
            patches=tokens,
            variates=variates,
            time_mixer=time_mixer,
            variate_mixer=variate_mixer,
            time_scans=time_scans,
            variate_scans=variate_scans,
            averaging=averaging,
            norm=norm,
            **sizes,
        )
        self.norm = NORMS[norm](d_model)
        self.dropout = nn.Dropout(dropout)
        outputs = len(self.quantiles or [0.5])
        self.head = nn.Linear(tokens * d_model, outputs * horizon, bias=False)
        nn.init.zeros_(self.head.weight)
        self.linear_path = None
        if linear_path is not None:
            self.linear_path = make_linear_path(linear_path, **shape)
            self.register_buffer('blend', torch.tensor(0.5))

    def forward(
        self,
        past: Tensor,
        future: Tensor | None = None,
        observed: Tensor | None = None,
        known: Tensor | None = None,
        static: Tensor | None = None,
        mode: str = 'tensor',
    ) -> Tensor | dict[str, Tensor] | list[dict[str, Tensor]]:
        if mode == 'loss' and self.training and self.sign_flip:
            past, future = self.flipped(past, future)
        return super().forward(past, future, observed, known, static, mode)

    def flipped(self, past: Tensor, future: Tensor) -> tuple[Tensor, Tensor]:
        """Return windows of which each is upside down with probability 1/2."""
        sign = torch.randint(2, (len(past), 1, 1), device=past.device) * 2 - 1
        centre = self.centre_of(past)
        past = centre + sign * (past - centre)
        if self.targets is not None:
            centre = centre[..., self.targets]
        return past, centre + sign * (future - centre)

    def centre_of(self, past: Tensor) -> Tensor:
        """Return what windows are turned around, `(b, 1, m)`."""
        return past[:, -1:] if self.centre == 'last' else past.mean(1, keepdim=True)

    def branches(
        self, past: Tensor, known: Tensor | None, static: Tensor | None
    ) -> dict[str, Tensor]:
        mixers = self.mix_series(past, known, static)  # (q, b, h, m)
        if self.mirror and not self.training:
            twice = 2 * self.centre_of(past)
            mixers = (mixers + twice - self.mix_series(twice - past, known, static)) / 2
        if self.linear_path is None:
            return dict(forecast=mixers)
        line = self.linear_path(past)  # (b, h, m)
        middle = self.quantiles.index(0.5) if self.quantiles else 0
        # The quantiles keep their distances and move with the point forecast.
        moved = mixers + (1 - self.blend) * (line - mixers[middle])
        return dict(
            forecast=moved, trained=mixers, mixers=mixers, line=line.expand_as(mixers)
        )

    def mix_series(
        self, past: Tensor, known: Tensor | None, static: Tensor | None
    ) -> Tensor:
        """Return the forecast of the mixers, `(q, b, h, m)`."""
        x, statistics = past, None
        if self.instance_norm is not None:
            x, statistics = self.instance_norm(past)
        x = self.tokens(x, known, static)
        x = self.norm(self.mixers(x))  # (b, m, p, c)
        y = self.head(self.dropout(x.flatten(2)))  # (b, m, q h)
        y = y.unflatten(2, (-1, self.horizon)).permute(2, 0, 3, 1)  # (q, b, h, m)
        if statistics is not None:
            y = self.instance_norm.inverse(y, statistics)
        return y

    def tokens(self, x: Tensor, known: Tensor | None, static: Tensor | None) -> Tensor:
        """Return the tokens of series, future and static features, `(b, m, p, c)`."""
        parts = [self.patch(x.transpose(1, 2).unsqueeze(3))]
        if self.variate_embed is not None:
            parts[0] = parts[0] + self.variate_embed
        b, m = parts[0].shape[:2]
        for name, given, layer, shape in (
            ('known', known, self.future_tokens, '(b, m, h, f)'),
            ('static', static, self.static_token, '(b, m, s)'),
        ):
            if (given is None) != (layer is None):
                option = dict(known='future_covariates', static='static_features')[name]
                raise ValueError(
                    f'the batch has {"no" if given is None else "a"} tensor {name!r}, '
                    f'but {option} is {"0" if layer is None else "set"}'
                )
            if layer is None:
                continue
            wanted = (b, m, *layer.shape)
            if tuple(given.shape) != wanted:
                raise ValueError(
                    f'{name} must be {shape} = {wanted}, got {tuple(given.shape)}'
                )
            parts.append(layer(given))
        return torch.cat(parts, dim=2) if len(parts) > 1 else parts[0]


def make_linear_path(
    settings: Mapping, look_back: int, horizon: int, variates: int
) -> LinearPath:
    """Return the linear path that TSM2's argument describes.

    Raises:
        ValueError: If `maps` is not there, or none of its choices.
    """
    options = dict(settings)
    maps = options.pop('maps', None)
    check_choice('linear_path.maps', maps, LINEAR_MAPS)
    return LinearPath(
        look_back=look_back,
        horizon=horizon,
        variates=variates if maps == 'variate' else None,
        **options,
    )
