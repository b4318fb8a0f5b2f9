"""Train, forecast, test and save a TSM2 on data frames."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from .. import patches  # noqa: F401  safe checkpoints
from ..datasets import SeriesTable, future_covariates, static_features
from ..datasets.table import DATE, load_pandas
from ..engine.config import load_config
from ..engine.launch import prepare
from .frames import LONG
from .layout import Layout
from .progress import ProgressHook
from .recipe import forecasting_config, training_config
from .trained import TrainedForecaster, errors, sources_of

CONFIG, WEIGHTS = 'config.py', 'model.pth'
"""Names of the files of a saved forecaster; `tools/predict.py` takes them too."""


class SeriesForecaster:
    """TSM2 with the recipe of our configs, on pandas frames, wide or long.

        forecaster = SeriesForecaster(look_back=168, horizon=24)
        forecast = forecaster.fit(frame).predict()

    A wide frame has a column a variate and its dates in `date`, in the index or in the
    first column; a long one has the columns `unique_id`, `ds` and `y`. Forecasts come
    in the layout, and in the units, of the frame.

    Args:
        look_back: Rows before a forecast.
        horizon: Rows of a forecast.
        quantiles: Levels to forecast, ascending, with 0.5; None is a point forecast.
        epochs: At most so many; training stops when validation gets no better.
        max_windows: Windows of an epoch, at most.
        batch_size: Windows of a step.
        val_fraction: Last part of the rows, which choose the weights.
        future: Covariates known in advance, as `SeriesDataset` takes them.
        static: Features of the variates, likewise.
        model: Arguments of `TSM2` that differ from our configs.
        long: Names of the columns of a long frame, `dict(id=..., time=..., value=...)`.
        seed: Of all random numbers.
        progress: Show a bar while training.

    Raises:
        ValueError: If an argument, or a frame, does not fit.
    """

    def __init__(
        self,
        *,
        look_back: int,
        horizon: int,
        quantiles: Sequence[float] | None = None,
        epochs: int = 4,
        max_windows: int = 6400,
        batch_size: int = 32,
        val_fraction: float = 0.2,
        future: Sequence[str | Mapping] | None = None,
        static: str | Mapping | None = None,
        model: Mapping | None = None,
        long: Mapping[str, str] | None = None,
        seed: int = 0,
        progress: bool = True,
    ) -> None:
        numbers = dict(
            look_back=look_back,
            horizon=horizon,
            epochs=epochs,
            max_windows=max_windows,
            batch_size=batch_size,
        )
        for name, value in numbers.items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f'{name} must be an integer from 1, got {value!r}')
        if not 0 < val_fraction < 1:
            raise ValueError(
                f'val_fraction must be between 0 and 1, got {val_fraction}'
            )
        self.settings = dict(
            **numbers,
            quantiles=None if quantiles is None else list(quantiles),
            val_fraction=val_fraction,
            future=None if future is None else list(future),
            static=static,
            model=None if model is None else dict(model),
            long={**LONG, **(long or {})},
            seed=seed,
            progress=progress,
        )
        self._trained = self._layout = self._table = None
        self._config = self._folder = None

    def fit(self, frame) -> 'SeriesForecaster':
        """Train on a frame, and return the forecaster.

        Raises:
            ValueError: If there are too few rows, or the frame is no table of series.
        """
        layout = Layout.of(frame, self.settings['long'])
        self._fit(layout.table(frame), layout)
        return self

    def _fit(self, table: SeriesTable, layout: Layout) -> None:
        settings = self.settings
        rows = len(table)
        # the test part, which no training reads, takes a row at least
        train = rows - max(1, round(rows * settings['val_fraction']))
        needed = settings['look_back'] + settings['horizon']
        if train < needed or rows - 1 - train < settings['horizon']:
            raise ValueError(
                f'{rows} rows are too few: the first {train} train and need a '
                f'look-back with its horizon, {needed}; the others validate and need '
                f'{settings["horizon"] + 1}'
            )
        folder = TemporaryDirectory(prefix='mmmambamixer_')
        path = f'{folder.name}/series.parquet'
        write_table(table, path)
        config = training_config(
            settings=settings,
            path=path,
            borders=(train, rows - 1, rows),
            variates=len(table.variates),
            covariates=self._covariates(table),
            work_dir=folder.name,
        )
        runner = prepare(config, 'train')
        if settings['progress']:
            runner.register_hook(ProgressHook())
        runner.train()
        [best] = Path(folder.name).glob('best_*.pth')
        shutil.move(best, f'{folder.name}/{WEIGHTS}')
        self._folder, self._table, self._layout = folder, table, layout
        self._config = forecasting_config(config, settings)
        weights = f'{folder.name}/{WEIGHTS}'
        self._trained = TrainedForecaster.load(self._config, weights, 'cpu')

    def _covariates(self, table: SeriesTable) -> tuple[int, int]:
        """Return how many future covariates and static features there are."""
        future, static = self.settings['future'], self.settings['static']
        known = features = ()
        if future is not None:
            args = (table.dates, table.variates, table.step)
            known = future_covariates(future, *args).names
        if static is not None:
            _, features = static_features(static, table.variates)
        return len(known), len(features)

    def predict(self, frame=None, *, future: str | None = None):
        """Forecast what comes after the last row.

        Args:
            frame: A frame with at least `look_back` rows and the variates of the
                training; None is the one of the training.
            future: File with the covariates of the horizon, where some are known from
                a table.

        Raises:
            ValueError: If the frame does not fit, or nothing was trained.
        """
        trained = self._require_trained()
        table, layout = self._table, self._layout
        if frame is not None:
            layout = Layout.of(frame, self.settings['long'])
            table = layout.table(frame)
        if table is None:
            raise ValueError('a forecaster that was loaded needs a frame to predict')
        table = trained.accept(table, trained.look_back, 'the frame')
        sources = list(sources_of(trained.future, future))
        return layout.frame(trained.forecast(table, future=sources)[0])

    def backtest(
        self,
        frame,
        *,
        windows: int = 3,
        stride: int | None = None,
        refit: bool = False,
    ):
        """Forecast the last rows of a frame from several origins.

        It is trained on what comes before the first of them, by a copy of this
        forecaster, which stays as it is; with `refit` anew before each.

        Args:
            frame: The series.
            windows: Origins.
            stride: Rows from one to the next; None is the horizon.
            refit: Whether each origin has a training of its own.

        Returns:
            The forecasts, with the last known date in `cutoff`; and a frame with the
            errors of each cutoff: mse and mae of scaled values, and of repeat-last.

        Raises:
            ValueError: If there are too few rows.
        """
        horizon = self.settings['horizon']
        stride = horizon if stride is None else stride
        for name, value in dict(windows=windows, stride=stride).items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f'{name} must be an integer from 1, got {value!r}')
        layout = Layout.of(frame, self.settings['long'])
        table = layout.table(frame)
        ends = [len(table) - horizon - stride * i for i in reversed(range(windows))]
        if ends[0] < 1:
            raise ValueError(
                f'{windows} windows of {horizon} rows, {stride} apart, take '
                f'{horizon + stride * (windows - 1)} rows, the frame has {len(table)}'
            )
        forecasts, scores, copy = [], [], None
        for end in ends:
            if copy is None or refit:
                copy = SeriesForecaster(**self.settings)
                copy._fit(first_rows(table, end), layout)
            trained = copy._trained
            table = trained.accept(table, trained.look_back + len(table) - end, 'frame')
            [forecast] = trained.forecast(table, [end])
            cutoff = table.dates[end - 1]
            part = layout.frame(forecast)
            part.insert(0, 'cutoff', cutoff)
            forecasts.append(part)
            found = errors(trained, table, end, forecast.values)
            scores.append(dict(cutoff=cutoff, **found))
        pandas = load_pandas()
        joined = pandas.concat(forecasts, ignore_index=not layout.index)
        return joined, pandas.DataFrame(scores)

    def save(self, folder: str | Path) -> None:
        """Write weights and config into a folder.

        Raises:
            ValueError: If nothing was trained.
        """
        self._require_trained()
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(self._weights_folder()) / WEIGHTS, folder / WEIGHTS)
        self._config.dump(str(folder / CONFIG))

    @classmethod
    def load(cls, folder: str | Path, *, device: str = 'cpu') -> 'SeriesForecaster':
        """Return a forecaster that was saved; its weights can bring no code.

        Raises:
            FileNotFoundError: If the folder lacks a file.
            ValueError: If one does not fit.
        """
        folder = Path(folder)
        config = load_config(folder / CONFIG)
        found = cls(**config.forecaster.to_dict())
        found._trained = TrainedForecaster.load(config, str(folder / WEIGHTS), device)
        found._config, found._folder = config, str(folder)
        return found

    def _weights_folder(self) -> str:
        return getattr(self._folder, 'name', self._folder)

    def _require_trained(self) -> TrainedForecaster:
        if self._trained is None:
            raise ValueError('nothing was trained: call fit(frame), or load(folder)')
        return self._trained


def first_rows(table: SeriesTable, count: int) -> SeriesTable:
    """Return a table of the first rows."""
    return SeriesTable(table.values[:count], table.dates[:count], table.variates)


def write_table(table: SeriesTable, path: str) -> None:
    """Write a table as Parquet, dates first."""
    pandas = load_pandas()
    frame = pandas.DataFrame(np.asarray(table.values), columns=list(table.variates))
    if DATE in table.variates:
        raise ValueError(f'a variate is not called {DATE!r}, which is the dates')
    frame.insert(0, DATE, table.dates)
    frame.to_parquet(path, index=False)
