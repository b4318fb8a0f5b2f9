"""TSM2 on a year of hourly weather, a day ahead, trained by `make demo-forecast`.

Data:    python tools/make_series.py --out data/weather_year
Command: python tools/train.py configs/demo/tsm2_weather_year.py
Machine: one CPU core, 25 seconds of processor time (measured).
Expects: test MSE 0.483 of scaled values (measured), where its linear path alone has
0.490 and repeat-last 0.827; in MAE the linear path is better, 0.475 to 0.479.

The recipe is that of all our forecasting configs; sizes fit a week of look-back.
"""

_base_ = '../_base_/tsm2/tsm2.py'

look_back = 168
horizon = 24
variates = 7
path = 'data/weather_year/weather_year.csv'
borders = (0.7, 0.2)
model = dict(patch_len=12, stride=12)
