"""`make matrix`: rows, what a row without a result does, resumption and the table."""

import matrix
import pytest

REPORT = (
    '<testsuites><testsuite tests="9" errors="1" failures="2" skipped="3"/>'
    '<testsuite tests="1" errors="0" failures="0" skipped="0"/></testsuites>'
)


@pytest.fixture
def out(tmp_path, monkeypatch):
    """A wheel and two rows, without variables of the caller."""
    for name in ('MATRIX_TESTS', 'MATRIX_KEEP', 'TORCH_INDEX_URL'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('MATRIX', '3.10:2.8 3.11:newest')
    monkeypatch.setenv('MATRIX_OUT', str(tmp_path / 'out'))
    (tmp_path / 'x.whl').write_text('wheel')
    monkeypatch.setattr('sys.argv', ['matrix.py', str(tmp_path / 'x.whl')])
    return tmp_path / 'out'


def test_a_row_that_fails_is_told_and_the_rest_go_on(out, monkeypatch, capsys):
    """Then only that one runs again, and others too once the wheel is another."""
    ran, broken = [], ['3.10']

    def run_row(self, folder, python, torch):
        ran.append(python)
        folder.mkdir()
        if python in broken:
            raise matrix.Failed('uv failed: no wheels | for it')
        return dict(python=python, torch=torch, passed=3, failed=0, skipped=1)

    monkeypatch.setattr(matrix.Matrix, 'run_row', run_row)
    assert matrix.main() == 1
    assert 'uv failed: no wheels / for it' in capsys.readouterr().out
    first, second = (out / 'table.md').read_text().splitlines()[2:]
    assert first.startswith('| 3.10 | 2.8 |') and 'no wheels / for it' in first
    assert second.startswith('| 3.11 | newest |')
    assert not [path for path in out.iterdir() if path.is_dir()]

    broken.clear()
    assert matrix.main() == 0
    assert ran == ['3.10', '3.11', '3.10']
    (out.parent / 'x.whl').write_text('another wheel')
    assert matrix.main() == 0
    assert ran[3:] == ['3.10', '3.11']


def test_a_command_that_fails_gives_its_last_line(out):
    out.mkdir()
    row = matrix.Matrix(out.parent / 'x.whl', out, [])
    with open(out / 'log', 'w') as row.log, pytest.raises(matrix.Failed) as error:
        row.execute(['sh', '-c', 'echo why; echo; exit 3'])
    assert str(error.value) == 'sh failed: why'
    assert (out / 'log').read_text().splitlines()[1] == 'why'


def test_what_is_counted(tmp_path):
    (tmp_path / 'report.xml').write_text(REPORT)
    counts = matrix.count(tmp_path / 'report.xml')
    assert counts == dict(passed=4, failed=3, skipped=3)
    assert not matrix.is_good(counts) and not matrix.is_good(
        counts | dict(failed=0, passed=0)
    )


@pytest.mark.parametrize('text', ['3.10', ':2.8', '3.10:latest', '3.10:2.8;rm'])
def test_rows_that_are_none_are_refused(text):
    with pytest.raises(SystemExit, match='MATRIX has rows PYTHON:TORCH such as'):
        matrix.parse_rows(f'3.10:2.8 {text}')


def test_the_usual_rows_go_from_the_oldest_to_the_newest():
    rows = matrix.usual_rows()
    assert ('3.10', '2.8') in rows and rows[-1][1] == 'newest'
    assert rows == matrix.parse_rows(' '.join(map(':'.join, rows)))


def test_the_tests_of_the_rows_are_there():
    for name in matrix.TESTS:
        assert name.startswith('--') or (matrix.ROOT / name).exists(), name
