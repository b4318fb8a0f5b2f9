"""TSM2 on ETTm2: another transformer."""

_base_ = './tsm2_ettm1.py'

path = '{{$MMMAMBAMIXER_DATA:data}}/timeseries/ETTm2.csv'
