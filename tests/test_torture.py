"""A few trials of each torture; `make torture` does them all."""

import subprocess
import sys
from pathlib import Path

import pytest
import torture
from torture import TRIALS

TORTURE = Path(__file__).parent / 'torture' / 'torture.py'
LEAST = dict(storage=6, sigterm_each=2, children=13)
"""Fewest trials of the suites that take some of the steps of a run, or add one."""


@pytest.fixture(scope='module')
def told() -> str:
    """Return what the suites print, run by one process that is warm."""
    command = [sys.executable, str(TORTURE), '--quick']
    result = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    return result.stdout + result.stderr[-2000:]


@pytest.mark.parametrize('suite', TRIALS)
def test_runs_survive(told, suite):
    (line,) = [line for line in told.splitlines() if line.startswith(f'{suite}: ')]
    good, of, total = line.split(':')[-1].split()[:3]
    assert of == 'of' and good == total, told
    if suite in LEAST:
        assert int(total) >= LEAST[suite]
    else:
        assert int(total) == TRIALS[suite][1]


@pytest.mark.parametrize(
    'options, told', [(['nothing'], "got ['nothing']"), (['--trials', '0'], 'got 0')]
)
def test_wrong_options_are_refused(options, told, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['torture.py', *options])
    with pytest.raises(SystemExit):
        torture.main()
    assert told in capsys.readouterr().err
