"""TSM2 on Electricity: 321 variates, hourly."""

_base_ = '../_base_/tsm2/tsm2.py'

variates = 321
path = '{{$MMMAMBAMIXER_DATA:data}}/timeseries/electricity.csv'
borders = (0.7, 0.2)
