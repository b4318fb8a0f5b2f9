"""TSM2 on ETTh2: another transformer, the recipe of ETTh1."""

_base_ = './tsm2_etth1.py'

path = '{{$MMMAMBAMIXER_DATA:data}}/timeseries/ETTh2.csv'
