"""A few trials of each torture; `make torture` does them all."""

import subprocess
import sys
from pathlib import Path

import pytest
from torture import TRIALS

TORTURE = Path(__file__).parent / 'torture' / 'torture.py'


@pytest.mark.parametrize('suite', TRIALS)
def test_runs_survive(suite):
    command = [sys.executable, str(TORTURE), suite, '--quick']
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr[-2000:]
    good, of, total = result.stdout.split(':')[-1].split()[:3]
    assert of == 'of' and good == total
    least = dict(storage=6, sigterm_each=2, children=13).get(
        suite
    )  # of their steps a part
    assert int(total) == TRIALS[suite][1] if least is None else int(total) >= least


@pytest.mark.parametrize(
    'options, told', [(['nothing'], "got ['nothing']"), (['--trials', '0'], 'got 0')]
)
def test_wrong_options_are_refused(options, told):
    command = [sys.executable, str(TORTURE), *options]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert result.returncode == 2
    assert told in result.stderr
