"""A trained forecaster and the tables that it forecasts.

Letters in shapes: n rows, m variates in, m' variates out, t look-back, h horizon,
q quantiles, f future covariates, s static features.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmengine.config import Config
from numpy.typing import NDArray
from torch import Tensor, nn

from ..datasets import (
    Calendar,
    SeriesTable,
    Standardiser,
    calendar_of,
    fill_forward,
    future_covariates,
    static_features,
)
from ..datasets.calendar import calendar_from, tell_time
from ..datasets.dates import OWN
from ..datasets.gaps import insert_missing, judged, tell_missing
from ..engine.build import build_model, load_weights
from ..engine.device import check_device
from ..messages import few
from ..preflight.series import check_trained_on, expect

BATCH_SIZE = 64
UNEVEN = 0.12
"""By how much steps of months and years differ from each other."""


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
        dataset: Config of a dataset, for `future`, `static`, `irregular`, `gaps`,
            `long`.
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
        self.gaps = dataset.get('gaps', 'warn')
        self.long = dict(dataset.get('long') or {})
        self.calendar = None
        if meta.get('calendar'):  # checkpoints of 0.1 have neither
            self.calendar = calendar_from(meta['calendar'])
        self.clock = meta.get('clock', OWN) or None or None
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

    def accept(
        self, table: SeriesTable, rows: int, source: str, gaps: str | None = None
    ) -> SeriesTable:
        """Return a table with the variates of the model, and rows at all dates.

        Args:
            table: Any; its variates may stand in another order.
            rows: Rows at its end that are used.
            source: What the error messages call it.
            gaps: What to do where some are missing; None is as the dataset has it.

        Raises:
            ValueError: If variates, calendar or count of rows do not fit.
        """
        names = self.variates
        if self.meta.get('features') == 'S' or {*names} == {*table.variates}:
            table = table.select(names)
        check_trained_on(self.meta, dict(variates=table.variates), self.name)
        if not self.irregular and len(table) > 1:
            before, calendar = table, self.calendar_of(table, rows, source)
            table = insert_missing(table, calendar, rows)
            told = tell_missing(before, table, rows)
            if warning := judged(told, gaps or self.gaps, source):
                warnings.warn(warning, stacklevel=4)
        if len(table) < rows:
            more = rows - self.look_back
            raise ValueError(
                f'{source} has {len(table)} rows, but the model needs {rows}: a '
                f'look-back of {self.look_back}' + (f' and {more} more' if more else '')
            )
        for place, name in enumerate(table.variates):
            if np.isnan(table.values[-rows:, place][: self.look_back]).all():
                raise ValueError(
                    f'{source}: {name!r} has no value in the look-back, the '
                    f'{self.look_back} rows before the forecast'
                )
        return table

    def calendar_of(self, table: SeriesTable, rows: int, source: str) -> Calendar:
        """Return the calendar of a table: that of the training, or one that is like it.

        Args:
            table: Any.
            rows: Rows at its end that matter.
            source: What the error message calls it.

        Raises:
            ValueError: If it is another one, or most of its dates are missing.
        """
        dates = table.dates[-rows:]
        if self.calendar is not None:
            known = self.calendar.between(*dates[[0, -1]])
            if len(known) <= 1.5 * len(dates) and np.isin(dates, known).all():
                return self.calendar
        found = calendar_of(table.dates)
        trained = np.timedelta64(round(self.meta['step'] * 1e9), 'ns')
        if self.calendar is None:  # a checkpoint of 0.1
            step = table.step
            uneven = UNEVEN if trained >= np.timedelta64(28, 'D') else 0
            if found is not None and abs(step - trained) <= uneven * trained:
                return found
            usual = f'rows one {tell_time(int(trained.astype(int)))} after the other'
        else:
            if found is not None and self.calendar.like(found):
                return found
            usual = str(self.calendar)
        got = 'dates without a calendar' if found is None else str(found)
        raise ValueError(f'{source} has {got}, {self.name} was trained on {usual}')

    def following(self, table: SeriesTable, count: int) -> NDArray:
        """Return the dates after a table from `accept`, `(count,)`."""
        if self.irregular or len(table) < 2:
            step = np.timedelta64(round(self.meta['step'] * 1e9), 'ns')
            return table.dates[-1] + step * np.arange(1, count + 1)
        calendar = self.calendar_of(table, self.look_back, 'the table')
        return calendar.after(table.dates[-1], count)

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
            dates = np.concatenate([dates, self.following(table, beyond)])
        empty = np.concatenate([table.empty_rows(), np.zeros(max(beyond, 0), bool)])
        known = self.known(dates[min(ends) :], table.clock, future, empty[min(ends) :])
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
        """Return a sample of the model in the units of the table.

        Raises:
            ValueError: If it is not finite.
        """
        scaling = Standardiser(
            self.scaling.mean[self.targets], self.scaling.std[self.targets]
        )
        quantiles = sample.get('quantiles')
        if quantiles is not None:
            quantiles = scaling.inverse(quantiles.double().cpu().numpy())
        names = tuple(self.variates[i] for i in self.targets)
        values = scaling.inverse(sample['forecast'].double().cpu().numpy())
        sound = np.isfinite(values).all(axis=0)
        if not sound.all():
            raise ValueError(
                f'the forecast of {few(np.array(names)[~sound])} is not finite: its '
                f'values are too far from those that {self.name} was trained on'
            )
        return Forecast(
            dates, names, values, quantiles, tuple(self.model.quantiles or ())
        )

    def known(
        self,
        dates: NDArray,
        clock: str | None,
        future: Sequence | None,
        empty: NDArray,
    ) -> Tensor | None:
        """Return the covariates known at dates by a clock, `(m, n, f)`, or None."""
        if not self.meta.get('known'):
            return None
        step = np.timedelta64(round(self.meta['step'] * 1e9), 'ns')
        sources = list(self.future) if future is None else list(future)
        covariates = future_covariates(
            sources, dates, self.variates, step, optional=empty, clock=clock
        )
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
        values = self.meta.get('static_values')
        if values is None:  # a checkpoint of 0.1
            values, _ = static_features(self.static, self.variates)
        values = np.asarray(values)
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
        raise ValueError('there is no true value to score the forecast against')
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


def sources_of(
    future: Sequence | None, path: str | None, option: str = '--future FILE'
) -> Iterator:
    """Yield the sources of future covariates, tables among them read from a file.

    Args:
        future: As the config has them.
        path: The file that holds them now, or None.
        option: How a file is given, for the message.

    Raises:
        ValueError: If a table is needed and none is given, or the other way round.
    """
    tables = [source for source in future or () if isinstance(source, Mapping)]
    if tables and path is None:
        columns = [name for table in tables for name in table['columns']]
        raise ValueError(
            f'the model needs the future covariates {few(columns)}: give their values '
            f'at the dates of the forecast by {option}'
        )
    if path is not None and not tables:
        raise ValueError(
            f'{option} is for covariates from a table, but the model has none: leave '
            'it out'
        )
    for source in future or ():
        yield {**source, 'path': path} if isinstance(source, Mapping) else source
