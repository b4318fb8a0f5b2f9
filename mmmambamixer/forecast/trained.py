"""A trained forecaster and the tables that it forecasts.

Letters in shapes: n rows, m variates in, m' variates out, t look-back, h horizon,
q quantiles, f future covariates, s static features.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmengine.config import Config
from numpy.typing import NDArray
from torch import Tensor, nn

from ..datasets import (
    SeriesTable,
    Standardiser,
    fill_forward,
    future_covariates,
    static_features,
)
from ..engine.build import build_model, load_weights
from ..engine.device import check_device
from ..preflight.series import check_trained_on, expect

BATCH_SIZE = 64
CALENDAR_STEP = np.timedelta64(28, 'D')
"""Steps from here on may be months, quarters or years, which are not all as long."""
UNEVEN = 0.12
"""By how much those differ from each other, as a part of the step."""


@dataclass(frozen=True, eq=False)
class Forecast:
    """What comes after a row, in the units of the table.

    Args:
        dates: `(h,)` datetime64[ns].
        variates: The m' names.
        values: `(h, m')` float64.
        quantiles: `(q, h, m')`, or None.
        levels: The q levels.
    """

    dates: NDArray
    variates: tuple[str, ...]
    values: NDArray
    quantiles: NDArray | None
    levels: tuple[float, ...]


class TrainedForecaster:
    """A model with the scaling and the names that it was trained with.

    Args:
        model: A forecaster.
        meta: `dataset_meta` of its checkpoint.
        dataset: Config of a dataset, for `future`, `static` and `irregular`.
        name: What error messages call the checkpoint.

    Raises:
        ValueError: If the checkpoint says nothing of its series, or does not fit.
    """

    def __init__(
        self, *, model: nn.Module, meta: Mapping, dataset: Mapping, name: str
    ) -> None:
        if not meta.get('variates'):
            raise ValueError(
                f'{name} does not say which variates it was trained on: its '
                'dataset_meta has no variates'
            )
        self.model, self.meta, self.name = model.eval(), meta, name
        self.variates = tuple(meta['variates'])
        self.targets = list(meta['targets'])
        self.look_back, self.horizon = meta['look_back'], meta['horizon']
        for key, wanted in (
            ('variates', len(self.variates)),
            ('look_back', self.look_back),
            ('horizon', self.horizon),
        ):
            expect(key, wanted, getattr(model, key), name, '')
        self.scaling = Standardiser.from_state(meta)
        self.irregular = bool(dataset.get('irregular'))
        self.future, self.static = dataset.get('future'), dataset.get('static')
        for key, option in (('known', 'future'), ('static', 'static')):
            if bool(meta.get(key)) != bool(dataset.get(option)):
                raise ValueError(
                    f'{name} was trained {"with" if meta.get(key) else "without"} '
                    f'{option} covariates, the dataset of the config is '
                    f'{"with" if dataset.get(option) else "without"}'
                )

    @classmethod
    def load(cls, config: Config, path: str, device: str) -> 'TrainedForecaster':
        """Return the forecaster of a config with the weights of a checkpoint.

        Raises:
            ValueError: If they do not fit, or there is no such device.
        """
        check_device(device)
        model = build_model(config)
        meta = load_weights(model, path).get('dataset_meta') or {}
        loader = config.get('test_dataloader') or config.get('train_dataloader') or {}
        return cls(
            model=model.to(device),
            meta=meta,
            dataset=loader.get('dataset') or {},
            name=path,
        )

    def accept(self, table: SeriesTable, rows: int, source: str) -> SeriesTable:
        """Return a table with the variates of the model.

        Args:
            table: Any.
            rows: Rows at its end that are used.
            source: What the error messages call it.

        Raises:
            ValueError: If variates, their order, step or count of rows do not fit.
        """
        if self.meta.get('features') == 'S' and self.variates[0] in table.variates:
            table = table.select(self.variates)
        check_trained_on(self.meta, dict(variates=table.variates), self.name)
        if len(table) < rows:
            raise ValueError(
                f'{source} has {len(table)} rows, needed are {rows}: a look-back of '
                f'{self.look_back}'
                + (
                    f' and {rows - self.look_back} more'
                    if rows > self.look_back
                    else ''
                )
            )
        self.refuse_gaps(table, rows, source)
        return table

    def refuse_gaps(self, table: SeriesTable, rows: int, source: str) -> None:
        """Raise ValueError if dates skip, or a variate is missing in a look-back."""
        for place, name in enumerate(table.variates):
            if np.isnan(table.values[-rows:, place][: self.look_back]).all():
                raise ValueError(
                    f'{source}: {name!r} has no value in the look-back, the '
                    f'{self.look_back} rows before the forecast'
                )
        step = np.timedelta64(round(self.meta['step'] * 1e9), 'ns')
        if self.irregular:
            return
        steps = np.diff(table.dates[-rows:])
        uneven = UNEVEN if step >= CALENDAR_STEP else 0
        wrong = np.abs(steps - step) > uneven * step
        if wrong.any():
            row = int(wrong.argmax())
            dates = table.dates[-rows:]
            raise ValueError(
                f'{source}: rows are {tell_time(step)} apart, as in training, got '
                f'{dates[row + 1]} after {dates[row]} ({tell_time(steps[row])})'
            )

    def forecast(
        self,
        table: SeriesTable,
        ends: Sequence[int] | None = None,
        future: Sequence | None = None,
    ) -> list[Forecast]:
        """Forecast what comes after some rows.

        Args:
            table: From `accept`.
            ends: Counts of rows that are known, each at least t; None is all rows.
            future: Sources of covariates known in advance, as `SeriesDataset` takes
                them; None is those of the config.

        Raises:
            ValueError: If covariates are not known.
        """
        ends = [len(table)] if ends is None else list(ends)
        scaled = fill_forward(self.scaling.transform(table.values), start=0.0)
        scaled = torch.from_numpy(scaled.astype(np.float32))
        dates = table.dates
        beyond = max(ends) + self.horizon - len(table)
        if beyond > 0:
            dates = np.concatenate([dates, table.following_dates(beyond)])
        known = self.known(dates, min(ends), future)
        static = self.static_tensor()
        found = []
        for begin in range(0, len(ends), BATCH_SIZE):
            some = ends[begin : begin + BATCH_SIZE]
            batch = dict(
                past=torch.stack([scaled[e - self.look_back : e] for e in some])
            )
            if known is not None:
                first = min(ends)
                parts = [known[:, e - first :][:, : self.horizon] for e in some]
                batch['known'] = torch.stack(parts)
            if static is not None:
                batch['static'] = static.expand(len(some), -1, -1)
            samples = self.run(batch)
            for end, sample in zip(some, samples, strict=True):
                found.append(self.in_units(dates[end : end + self.horizon], sample))
        return found

    def run(self, batch: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        """Return the model's samples of a batch."""
        device = next(self.model.parameters(), self.model.levels).device
        with torch.no_grad():
            return self.model(
                **{key: value.to(device) for key, value in batch.items()},
                mode='predict',
            )

    def in_units(self, dates: NDArray, sample: Mapping[str, Tensor]) -> Forecast:
        """Return a sample of the model in the units of the table."""
        scaling = Standardiser(
            self.scaling.mean[self.targets], self.scaling.std[self.targets]
        )
        quantiles = sample.get('quantiles')
        if quantiles is not None:
            quantiles = scaling.inverse(quantiles.double().cpu().numpy())
        return Forecast(
            dates,
            tuple(self.variates[i] for i in self.targets),
            scaling.inverse(sample['forecast'].double().cpu().numpy()),
            quantiles,
            tuple(self.model.quantiles or ()),
        )

    def known(
        self, dates: NDArray, first: int, future: Sequence | None
    ) -> Tensor | None:
        """Return the covariates known from a row on, `(m, n, f)`, or None."""
        if not self.meta.get('known'):
            return None
        step = np.timedelta64(round(self.meta['step'] * 1e9), 'ns')
        sources = list(self.future) if future is None else list(future)
        covariates = future_covariates(sources, dates[first:], self.variates, step)
        if list(covariates.names) != list(self.meta['known']):
            raise ValueError(
                f'{self.name} was trained with the future covariates '
                f'{", ".join(self.meta["known"])}, got {", ".join(covariates.names)}'
            )
        scaled = covariates.scaled(Standardiser.from_state(self.meta['known_scaling']))
        return torch.from_numpy(scaled.astype(np.float32).transpose(1, 0, 2).copy())

    def static_tensor(self) -> Tensor | None:
        """Return the features of the variates, `(m, s)`, or None."""
        if not self.meta.get('static'):
            return None
        values, _ = static_features(self.static, self.variates)
        return torch.from_numpy(values.astype(np.float32))


def errors(
    trained: TrainedForecaster, table: SeriesTable, end: int, forecast: NDArray
) -> dict[str, float]:
    """Return MSE and MAE of a forecast and of repeat-last, in scaled units.

    Args:
        trained: Its scaling makes the variates comparable.
        table: Holds the truth, of which what is missing is not scored.
        end: Rows before the forecast.
        forecast: In the units of the table, `(h, m')`.

    Raises:
        ValueError: If no true value is there.
    """
    truth = table.values[end : end + len(forecast), trained.targets]
    seen = ~np.isnan(truth)
    if not seen.any():
        raise ValueError('no true value is there to score a forecast with')
    last = fill_forward(table.values[:end], trained.scaling.mean)[-1, trained.targets]
    std = trained.scaling.std[trained.targets]
    error = ((forecast - truth) / std)[seen]
    naive = ((last - truth) / std)[seen]
    return dict(
        mse=float(np.square(error).mean()),
        mae=float(np.abs(error).mean()),
        repeat_last_mse=float(np.square(naive).mean()),
        repeat_last_mae=float(np.abs(naive).mean()),
    )


def tell_time(step: np.timedelta64) -> str:
    """Return a step in the largest unit that it is whole in, or in seconds."""
    for unit, name in (('D', 'days'), ('h', 'hours'), ('m', 'minutes')):
        if step % np.timedelta64(1, unit) == np.timedelta64(0):
            return f'{step // np.timedelta64(1, unit)} {name}'
    return f'{step / np.timedelta64(1, "s"):g} seconds'


def sources_of(future: Sequence | None, path: str | None) -> Iterator:
    """Yield the sources of future covariates, tables among them read from a file.

    Args:
        future: As the config has them.
        path: The file that holds them now, or None.

    Raises:
        ValueError: If a table is needed and none is given, or the other way round.
    """
    tables = [source for source in future or () if isinstance(source, Mapping)]
    if tables and path is None:
        columns = [name for table in tables for name in table['columns']]
        raise ValueError(
            f'the model takes {", ".join(columns)}, known in advance: --future FILE '
            'gives them at the dates of the forecast'
        )
    if path is not None and not tables:
        raise ValueError('--future is for covariates from a table, the model has none')
    for source in future or ():
        yield {**source, 'path': path} if isinstance(source, Mapping) else source
