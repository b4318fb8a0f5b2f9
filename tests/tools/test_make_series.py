"""The table of `make demo-forecast`: a year of hours, or what is missing."""

from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest


@pytest.mark.skipif(find_spec('pvlib') is None, reason='no pvlib')
def test_a_year_of_weather(call, tmp_path):
    call('make_series.py', '--out', 'weather')
    frame = pd.read_csv(tmp_path / 'weather/weather_year.csv', parse_dates=['date'])
    assert (frame['date'].diff()[1:] == pd.Timedelta(hours=1)).all()
    assert frame['date'].iloc[[0, -1]].dt.year.eq(2001).all() and len(frame) == 8760
    daily = frame.set_index('date')['radiation'].groupby(lambda date: date.hour).mean()
    assert daily[0] == 0 and 10 <= daily.argmax() <= 14  # local time, day by the sun


@pytest.mark.parametrize(
    'rows, told', [(None, 'pip install --no-deps pvlib'), (100, 'must hold 8760 rows')]
)
def test_what_is_missing_is_told(call, tmp_path, monkeypatch, rows, told):
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / 'pvlib'
    (folder / 'data').mkdir(parents=True)
    (folder / '__init__.py').touch()
    if rows:
        names = ('GHI (W/m^2)', 'Dry-bulb (C)', 'Dew-point (C)', 'RHum (%)')
        names += ('Pressure (mbar)', 'Wspd (m/s)', 'OpqCld (tenths)')
        table = pd.DataFrame(np.ones((rows, 7)), columns=names).to_csv(index=False)
        (folder / 'data/723170TYA.CSV').write_text(f'station\n{table}')
    with pytest.raises(SystemExit, match=told):
        call('make_series.py', '--out', 'weather')
    assert not (tmp_path / 'weather').exists()
