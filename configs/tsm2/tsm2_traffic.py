"""TSM2 on Traffic: 862 variates, hourly."""

_base_ = '../_base_/tsm2/tsm2.py'

variates = 862
path = '{{$MMMAMBAMIXER_DATA:data}}/timeseries/traffic.csv'
borders = (0.7, 0.2)
