"""TSM2 on ETTm1: 7 variates of a transformer, every 15 minutes."""

_base_ = '../_base_/tsm2/tsm2.py'

variates = 7
path = '{{$MMMAMBAMIXER_DATA:data}}/timeseries/ETTm1.csv'
borders = (34560, 46080, 57600)
