"""Reading tables: the same values from every kind of file, and each refusal."""

import sys

import numpy as np
import pandas as pd
import pytest

from mmmambamixer.datasets import from_frame, from_long, read_table

HOURS = pd.date_range('2020-01-01', periods=6, freq='h')


@pytest.fixture
def frame():
    """A wide frame with a gap; the columns are not in alphabetical order."""
    values = np.random.default_rng(0).normal(size=(6, 3))
    values[2, 1] = np.nan
    frame = pd.DataFrame(values, columns=['wind', 'OT', 'air'])
    frame.insert(0, 'date', HOURS)
    return frame


def same(one, other) -> bool:
    return (
        one.variates == other.variates
        and np.array_equal(one.dates, other.dates)
        and np.array_equal(one.values, other.values, equal_nan=True)
    )


def test_all_kinds_of_files_give_one_table(frame, tmp_path):
    long = frame.melt('date', var_name='unique_id', value_name='y')
    long = long.rename(columns=dict(date='ds')).dropna()
    writers = {
        'a.csv': lambda path: frame.to_csv(path, index=False),
        'b.csv.gz': lambda path: frame.to_csv(path, index=False),
        'c.parquet': lambda path: frame.to_parquet(path),
        'd.parquet': lambda path: frame.set_index('date').to_parquet(path),
    }
    wanted = from_frame(frame)
    assert wanted.variates == ('wind', 'OT', 'air'), 'the order of the file'
    assert wanted.values.dtype == np.float64
    assert np.isnan(wanted.values).sum() == 1
    for name, write in writers.items():
        write(tmp_path / name)
        assert same(read_table(tmp_path / name), wanted), name
    for suffix in ('csv', 'parquet'):
        path = tmp_path / f'long.{suffix}'
        long.to_csv(path, index=False) if suffix == 'csv' else long.to_parquet(path)
        assert same(read_table(path, layout='long'), wanted)


def test_a_csv_may_lie_there_packed(frame, tmp_path):
    frame.to_csv(tmp_path / 'a.csv.gz', index=False)
    assert same(read_table(tmp_path / 'a.csv'), from_frame(frame))


def test_the_time_is_the_column_date_or_the_first(frame):
    moved = frame[['wind', 'date', 'OT', 'air']]
    assert same(from_frame(moved), from_frame(frame))
    renamed = frame.rename(columns=dict(date='when'))
    assert same(from_frame(renamed), from_frame(frame))
    indexed = frame.set_index('date')
    assert same(from_frame(indexed), from_frame(frame))


def test_long_tables_keep_the_order_of_series_and_sort_times():
    rows = [('b', 1, 10.0), ('b', 0, 11.0), ('a', 0, 20.0)]
    frame = pd.DataFrame(rows, columns=['name', 'hour', 'load'])
    frame['hour'] = HOURS[frame['hour']]
    table = from_long(frame, id='name', time='hour', value='load')
    assert table.variates == ('b', 'a')
    np.testing.assert_array_equal(table.values, [[11, 20], [10, np.nan]])


def test_series_may_be_numbered():
    frame = pd.DataFrame(dict(unique_id=[7, 3], ds=HOURS[[0, 0]], y=[1.0, 2.0]))
    assert from_long(frame).variates == ('7', '3')


def test_irregular_rows_are_taken_as_they_stand(frame):
    frame.loc[3, 'date'] = frame.loc[2, 'date']
    with pytest.raises(ValueError, match=r'the date .* is in two rows, 3 and 4'):
        from_frame(frame)
    table = from_frame(frame, irregular=True)
    assert len(table) == 6
    assert table.step == np.timedelta64(1, 'h')


def test_columns_are_chosen_by_name(frame):
    table = from_frame(frame).select(['air', 'wind'])
    np.testing.assert_array_equal(table.values, frame[['air', 'wind']])
    with pytest.raises(ValueError, match=r"no variate 'wnd', .*did you mean 'wind'"):
        table.select(['wnd'])


def test_one_row_has_no_step(frame):
    with pytest.raises(ValueError, match='the table must have at least 2 rows, got 1'):
        from_frame(frame[:1]).step  # noqa: B018


BAD_FILES = {
    'header only': ('date,a\n', 'the table is empty, it has no rows'),
    'empty': ('', 'the file is empty; a table needs a header'),
    'no variate': ('date\n2020-01-01\n', 'no column beside that of its dates'),
    'text': (
        'date,a\n2020-01-01,1\n2020-01-02,high\n',
        "column 'a' must hold numbers, got 'high' in row 2",
    ),
    'unsorted': (
        'date,a\n2020-01-02,1\n2020-01-01,2\n',
        'not in order: 2020-01-01.* in row 2 comes after 2020-01-02',
    ),
    'twice': (
        'date,a\n2020-01-01,1\n2020-01-01,2\n',
        'the date 2020-01-01.* is in two rows, 1 and 2: .*`irregular=True`',
    ),
    'no date': (
        'date,a\n2020-01-01,1\nyesterday,2\n',
        "row 2 must hold a date such as .*, got 'yesterday'",
    ),
    'date missing': ('date,a\n2020-01-01,1\n,2\n', 'row 2 has no date'),
    'number as date': (
        'day,a\n20200101,1\n',
        "column 'day' must hold dates such as .*, got the number 20200101",
    ),
    'no value': ('date,a\n2020-01-01,\n', "column 'a' has no value in any row"),
    'infinite': (
        'date,a\n2020-01-01,1\n2020-01-02,-inf\n',
        "column 'a' must hold finite numbers, got -inf in row 2",
    ),
    'names': ('date,a,a\n2020-01-01,1,2\n', "two columns are named 'a'"),
    'nameless': ('date,a,\n2020-01-01,1,2\n', 'column 3 has no name'),
    'ragged': ('date,a\n2020-01-01,1\n2020-01-02,1,2,3\n', 'cannot be read: .* line 3'),
    'time zones': (
        'date,a\n2020-01-01T00:00+02:00,1\n2020-01-02T00:00,1\n',
        'row 2 has the date .* without an offset from UTC',
    ),
}


@pytest.mark.parametrize('case', BAD_FILES)
def test_refused_files(case, tmp_path):
    text, message = BAD_FILES[case]
    path = tmp_path / 'bad.csv'
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_table(path)
    assert str(error.value).startswith(f'{path}: ')
    assert '\n' not in str(error.value)


def test_refused_bytes(tmp_path):
    path = tmp_path / 'latin.csv'
    path.write_bytes('date,µg\n2020-01-01,1\n'.encode('latin-1'))
    with pytest.raises(ValueError, match='the file is not text in UTF-8'):
        read_table(path)
    for name in ('not.csv.gz', 'not.parquet'):
        (tmp_path / name).write_bytes(b'date,a\n2020-01-01,1\n')
        with pytest.raises(ValueError, match='the table cannot be read: '):
            read_table(tmp_path / name)


def test_refused_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match='there is no table at'):
        read_table(tmp_path / 'none.csv')
    with pytest.raises(
        ValueError, match=r'a table must be a file in \.csv, \.csv\.gz, \.parquet'
    ):
        read_table(tmp_path / 'none.xlsx')
    with pytest.raises(ValueError, match="layout must be 'wide' or 'long', got 'tall'"):
        read_table(tmp_path / 'none.csv', layout='tall')


LONG = dict(unique_id=['a', 'a'], ds=HOURS[:2], y=[1.0, 2.0])
BAD_LONG = {
    'column': (dict(y=None), "no column 'y', only unique_id, ds"),
    'twice': (
        dict(ds=HOURS[[1, 1]]),
        "the series 'a' has two rows at 2020-01-01",
    ),
    'no id': (
        dict(unique_id=['a', None]),
        "row 2 names no series in column 'unique_id'",
    ),
    'text': (dict(y=['1', 'x']), "column 'y' must hold numbers, got 'x' in row 2"),
    'no value': (dict(y=[np.nan, np.nan]), "column 'a' has no value in any row"),
}


@pytest.mark.parametrize('case', BAD_LONG)
def test_refused_long_tables(case):
    change, message = BAD_LONG[case]
    frame = pd.DataFrame({k: v for k, v in (LONG | change).items() if v is not None})
    with pytest.raises(ValueError, match=message):
        from_long(frame)
    with pytest.raises(ValueError, match='the table is empty'):
        from_long(pd.DataFrame(LONG)[:0])


@pytest.mark.parametrize(
    'values',
    [
        HOURS[:3],
        HOURS[:3].tz_localize('UTC'),
        HOURS[:3].to_period('h'),
        pd.to_timedelta([1, 2, 3], 'h'),
        pd.Series(HOURS[:3]).astype(object),
        pd.Series(HOURS[:3]).astype('timestamp[us][pyarrow]'),
        [1j, 2.0, 3.0],
    ],
)
def test_what_only_looks_like_numbers(values):
    """Times would be billions, and complex numbers lose a part."""
    frame = pd.DataFrame(dict(date=HOURS[:3], a=values))
    with pytest.raises(ValueError, match="column 'a' must hold numbers, got"):
        from_frame(frame)


def test_series_are_told_apart_by_their_text():
    frame = pd.DataFrame(dict(unique_id=[1, '1'], ds=HOURS[[0, 0]], y=[1.0, 2.0]))
    with pytest.raises(ValueError, match="has the number 1 and the text '1'"):
        from_long(frame)


def test_without_pandas_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / 'a.csv').write_text('date,a\n2020-01-01,1\n')
    monkeypatch.setitem(sys.modules, 'pandas', None)
    with pytest.raises(ModuleNotFoundError, match=r'mmmambamixer\[forecast\]'):
        read_table(tmp_path / 'a.csv')
