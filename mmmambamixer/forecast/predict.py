"""Write what a forecaster makes of a file: a table and a picture."""

from pathlib import Path

from mmengine.config import Config

from ..datasets.table import read_frame
from ..datasets.time_features import whole
from .layout import LONG, read_layout
from .plot import draw_forecast
from .trained import TrainedForecaster, errors, sources_of

LONG_HINT = '; a table with a row for each series and date is read by --layout long'


def write(
    config: Config,
    checkpoint: str,
    source: Path,
    out: Path,
    *,
    device: str,
    layout: str,
    future: str | None,
    hold_out: bool,
) -> list[str]:
    """Write `forecast.csv` and `predictions.png`; return lines that say so.

    Args:
        config: Of the forecaster.
        checkpoint: Its file.
        source: Table of at least a look-back of rows.
        out: Folder of the results.
        device: To compute on.
        layout: 'wide' or 'long', of the table and of the forecast.
        future: File with covariates that are known in advance, or None.
        hold_out: Forecast the last horizon of the table, from what is before.

    Raises:
        ValueError: If table, covariates or checkpoint do not fit.
    """
    trained = TrainedForecaster.load(config, checkpoint, device)
    shown, table = read_layout(
        read_frame(source),
        {**LONG, **trained.long},
        irregular=trained.irregular,
        clock=trained.clock,
        source=str(source),
        kind=layout,
        long_hint=LONG_HINT,
    )
    held = trained.horizon if hold_out else 0
    table = trained.accept(table, trained.look_back + held, str(source))
    end = len(table) - held
    known = list(sources_of(trained.future, future))
    [forecast] = trained.forecast(table, [end], known)
    first, last = forecast.dates[[0, -1]]
    lines = [
        f'forecast of {trained.horizon} rows from {whole(first, "s")} to '
        f'{whole(last, "s")}'
    ]
    title = f'{source.name}: {trained.horizon} rows from {whole(first, "m")}'
    if hold_out:
        found = errors(trained, table, end, forecast.values)
        name = type(trained.model).__name__
        lines += [
            'errors of scaled values (in standard deviations of the train rows):',
            f'  {name:12} MSE {found["mse"]:.4f}  MAE {found["mae"]:.4f}',
            f'  {"repeat-last":12} MSE {found["repeat_last_mse"]:.4f}  '
            f'MAE {found["repeat_last_mae"]:.4f}',
        ]
    out.mkdir(parents=True, exist_ok=True)
    csv, picture = out / 'forecast.csv', out / 'predictions.png'
    shown.frame(forecast).to_csv(csv, index=shown.index)
    look_back = trained.look_back
    draw_forecast(forecast, table, end, picture, look_back=look_back, title=title)
    return [*lines, f'forecast: {csv}', f'picture: {picture}']
