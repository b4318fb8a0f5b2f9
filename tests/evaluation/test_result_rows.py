"""Files of results: one run at a time, whole lines, no row twice."""

import re
import subprocess
import sys

import pytest

from mmmambamixer.evaluation.result_rows import RowsError, held, read_rows

COLUMNS = ('name', 'seed', 'error')
HEAD = 'name,seed,error\n'


@pytest.mark.parametrize('text', ['', HEAD])
def test_a_file_without_rows_has_none(tmp_path, text):
    path = tmp_path / 'r.csv'
    assert read_rows(path, COLUMNS, 2) == []
    path.write_text(text)
    assert read_rows(path, COLUMNS, 2) == []


def test_rows_are_read_with_quotes_and_either_line_end(tmp_path):
    path = tmp_path / 'r.csv'
    path.write_bytes(f'{HEAD}"a, b",0,1.5\r\n"a, b",1,2.5\n'.encode())
    first, second = read_rows(path, COLUMNS, 2)
    assert first == dict(name='a, b', seed='0', error='1.5')
    assert second == dict(name='a, b', seed='1', error='2.5')


@pytest.mark.parametrize(
    ('text', 'told'),
    [
        ('name,se', 'line 1: expected a line end'),
        ('name,seed,error', 'line 1: expected a line end'),
        ('name,se\n', "line 1: expected name,seed,error, got 'name,se'"),
        ('a,0,1.5\n', 'line 1: expected name,seed,error'),
        (f'{HEAD}a,0,1.5\na,1', 'line 3: expected a line end'),
        (f'{HEAD}a,0,1.5\na,1,2.', 'line 3: expected a line end'),
        (f'{HEAD}"a, ', 'line 2: expected a line end'),
        (f'{HEAD}a,0\n', 'line 2: expected 3 fields, got 2'),
        (f'{HEAD}a,0,1.a,1,2.5\n', 'line 2: expected 3 fields, got 5'),
        (f'{HEAD}a,0,1\nb,0,1\na,0,2\n', 'line 4: expected one line of a, 0, .*line 2'),
    ],
)
def test_a_line_that_is_not_whole_or_there_twice_is_refused(tmp_path, text, told):
    path = tmp_path / 'r.csv'
    path.write_text(text)
    with pytest.raises(RowsError, match=f'{re.escape(str(path))}, {told}') as error:
        read_rows(path, COLUMNS, 2)
    assert re.search('delete|put', str(error.value))
    assert path.read_text() == text


def test_a_file_is_held_by_one_process_at_a_time(tmp_path):
    path = tmp_path / 'made' / 'r.csv'
    code = (
        'from pathlib import Path\n'
        'from mmmambamixer.evaluation.result_rows import held\n'
        f'with held(Path({str(path)!r})): print("has it")'
    )
    other = [sys.executable, '-c', code]
    with held(path):
        refused = subprocess.run(other, capture_output=True, text=True)
    assert f'RowsError: {path}: expected a file that no run adds to' in refused.stderr
    assert 'has it' not in refused.stdout
    assert subprocess.run(other, capture_output=True, text=True).stdout == 'has it\n'
