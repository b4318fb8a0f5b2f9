"""TSM2 on ETTh2: another transformer."""

_base_ = './tsm2_etth1.py'

path = '{{$MMMAMBAMIXER_DATA:data}}/timeseries/ETTh2.csv'
