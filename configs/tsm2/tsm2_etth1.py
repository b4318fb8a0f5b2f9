"""TSM2 on ETTh1: 7 variates of a transformer, hourly."""

_base_ = '../_base_/tsm2/tsm2.py'

variates = 7
path = '{{$MMMAMBAMIXER_DATA:data}}/timeseries/ETTh1.csv'
borders = (8640, 11520, 14400)
