"""Train, forecast, test and save a TSM2 on data frames."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from mmengine.config import Config

from ..arguments import check_whole
from ..datasets import SeriesTable, future_covariates, static_features
from ..datasets.covariates import static_table
from ..datasets.extras import load_pandas
from ..datasets.gaps import without_gaps
from ..engine.config import load_config
from ..engine.launch import prepare
from ..undisturbed import undisturbed
from .layout import LONG, Layout, read_layout
from .progress import ProgressHook
from .recipe import forecasting_config, training_config
from .settings import check_settings, plain
from .trained import TrainedForecaster, errors, sources_of

CONFIG, WEIGHTS = 'config.py', 'model.pth'
"""Names of the files of a saved forecaster; `tools/predict.py` takes them too."""


class SeriesForecaster:
    """TSM2 with the recipe of our configs, on data frames, wide or long.

        forecaster = SeriesForecaster(look_back=168, horizon=24)
        forecast = forecaster.fit(frame).predict()

    A wide frame has a column a variate and its dates in `date`, in the index or in the
    first column; a long one has the columns `unique_id`, `ds` and `y`, its rows in any
    order. It may be of pandas, polars or pyarrow. Forecasts come in the layout, the
    types and the units of the frame, and go on by its calendar: hours, business days,
    opening hours, days of the month, month ends and so on.

    Dates with a time zone are taken in UTC, those that keep to the local clock, such
    as days and opening hours, as local.

    Args:
        look_back: Rows before a forecast. The patches of the model are no longer.
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
        gaps: Where rows or values are missing, or a series ends before the others:
            'warn', 'fill' (say nothing) or 'raise'. They count as missing: never
            scored, and in a look-back the value before them is repeated.
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
        gaps: str = 'warn',
        seed: int = 0,
        progress: bool = True,
    ) -> None:
        settings = dict(
            look_back=look_back,
            horizon=horizon,
            quantiles=quantiles,
            epochs=epochs,
            max_windows=max_windows,
            batch_size=batch_size,
            val_fraction=val_fraction,
            future=future,
            static=static,
            model=model,
            long=long,
            gaps=gaps,
            seed=seed,
            progress=progress,
        )
        check_settings(settings)
        self.settings = plain({**settings, 'long': {**LONG, **(long or {})}})
        self._trained: TrainedForecaster | None = None
        self._layout: Layout | None = None
        self._table: SeriesTable | None = None
        self._config: Config | None = None
        self._weights: bytes | None = None

    @undisturbed()
    def fit(self, frame) -> 'SeriesForecaster':
        """Train on a frame, and return the forecaster.

        Raises:
            ValueError: If there are too few rows, or the frame is no table of series.
        """
        layout, table = self._read(frame)
        layout.labels(layout.names, self.settings['quantiles'] or ())
        self._fit(table, layout)
        return self

    def _read(self, frame) -> tuple[Layout, SeriesTable]:
        """Return the layout of a frame, and its table with a row at every date."""
        layout, table = read_layout(frame, self.settings['long'])
        table, warning = without_gaps(table, self.settings['gaps'], 'the frame')
        if warning:
            warnings.warn(warning, stacklevel=4)
        return layout, table

    def _fit(self, table: SeriesTable, layout: Layout) -> None:
        settings = {**self.settings, 'static': self._static(table)}
        rows = len(table)
        # the test part, which no training reads, takes a row at least
        train = rows - max(1, round(rows * settings['val_fraction']))
        needed = settings['look_back'] + settings['horizon']
        if train < needed or rows - 1 - train < settings['horizon']:
            raise ValueError(
                f'{rows} rows are too few: the first {train} are for training, which '
                f'needs {needed}, a look-back with its horizon; the rest is for '
                f'validation, which needs {settings["horizon"] + 1}'
            )
        with TemporaryDirectory(prefix='mmmambamixer_') as folder:
            config = training_config(
                settings=settings,
                table=table,
                borders=(train, rows - 1, rows),
                covariates=covariates(settings, table),
                work_dir=folder,
            )
            runner = prepare(config, 'train')
            if settings['progress']:
                runner.register_hook(ProgressHook())
            runner.train()
            [best] = Path(folder).glob('best_*.pth')
            self._config = forecasting_config(config, settings)
            self._trained = TrainedForecaster.load(self._config, str(best), 'cpu')
            self._weights = best.read_bytes()
        self._trained.name = 'the forecaster'
        self._table, self._layout = table, layout

    def _static(self, table: SeriesTable):
        """Return the static features, those of a file as values, which are saved."""
        static = self.settings['static']
        if not isinstance(static, Mapping) or 'path' not in static:
            return static
        values, names = static_table(variates=table.variates, **static)
        rows = dict(zip(table.variates, values.tolist(), strict=True))
        return dict(values=rows, columns=list(names))

    @undisturbed()
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
        table, layout, gaps = self._table, self._layout, 'fill'
        if frame is not None:
            layout, table = read_layout(
                frame, self.settings['long'], clock=trained.clock
            )
            gaps = None
        if table is None:
            raise ValueError(
                'predict needs a frame: a forecaster that was loaded has no data'
            )
        table = trained.accept(table, trained.look_back, 'the frame', gaps)
        sources = list(sources_of(trained.future, future, '`future`'))
        return layout.frame(trained.forecast(table, future=sources)[0])

    @undisturbed()
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
        check_whole(windows=windows, stride=stride)
        layout, table = self._read(frame)
        layout.labels(layout.names, self.settings['quantiles'] or (), cutoff=True)
        forecasts, scores, copy = [], [], None
        for end in origins(len(table), horizon, windows, stride):
            if copy is None or refit:
                copy = SeriesForecaster(**self.settings)
                copy._fit(first_rows(table, end), layout)
            trained = copy._trained
            rows = trained.look_back + len(table) - end
            table = trained.accept(table, rows, 'the frame', 'fill')
            [forecast] = trained.forecast(table, [end])
            cutoff = table.dates[end - 1]
            forecasts.append(layout.pandas_frame(forecast, cutoff))
            found = errors(trained, table, end, forecast.values)
            scores.append(dict(cutoff=cutoff, **found))
        pandas = load_pandas()
        joined = pandas.concat(forecasts, ignore_index=not layout.index)
        scores = pandas.DataFrame(scores)
        scores['cutoff'] = layout.dates(scores['cutoff'].to_numpy('datetime64[ns]'))
        return layout.frames.native(joined), layout.frames.native(scores)

    @undisturbed()
    def save(self, folder: str | Path) -> None:
        """Write weights and config into a folder.

        Raises:
            ValueError: If nothing was trained, or the folder is a file.
        """
        self._require_trained()
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise ValueError(
                f'{folder} must be a folder to save in, but it, or a folder above it, '
                'is a file'
            ) from error
        (folder / WEIGHTS).write_bytes(self._weights)
        self._config.dump(str(folder / CONFIG))

    @classmethod
    @undisturbed()
    def load(cls, folder: str | Path, *, device: str = 'cpu') -> 'SeriesForecaster':
        """Return a forecaster that was saved; its weights can bring no code.

        Raises:
            FileNotFoundError: If the folder lacks a file.
            ValueError: If one does not fit.
        """
        folder = Path(folder)
        config = load_config(folder / CONFIG)
        if not config.get('forecaster'):
            raise ValueError(
                f'{folder / CONFIG} is not of a forecaster that was saved: it has no '
                '`forecaster`'
            )
        found = cls(**config.forecaster.to_dict())
        found._trained = TrainedForecaster.load(config, str(folder / WEIGHTS), device)
        found._config, found._weights = config, (folder / WEIGHTS).read_bytes()
        return found

    def _require_trained(self) -> TrainedForecaster:
        if self._trained is None:
            raise ValueError('nothing was trained: call fit(frame), or load(folder)')
        return self._trained


def covariates(settings: Mapping, table: SeriesTable) -> tuple[int, int]:
    """Return how many future covariates and static features there are."""
    future, static = settings['future'], settings['static']
    known: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    if future is not None:
        args = (table.dates[:1], table.variates, table.step)
        known = future_covariates(future, *args, clock=table.clock).names
    if static is not None:
        _, features = static_features(static, table.variates)
    return len(known), len(features)


def origins(rows: int, horizon: int, windows: int, stride: int) -> list[int]:
    """Return the counts of rows before each forecast of a backtest.

    Raises:
        ValueError: If there are too few rows.
    """
    ends = [rows - horizon - stride * i for i in reversed(range(windows))]
    if ends[0] < 1:
        raise ValueError(
            f'windows={windows} with horizon={horizon} and stride={stride} need more '
            f'than {horizon + stride * (windows - 1)} rows, but the frame has {rows}'
        )
    return ends


def first_rows(table: SeriesTable, count: int) -> SeriesTable:
    """Return a table of the first rows."""
    return replace(table, values=table.values[:count], dates=table.dates[:count])
