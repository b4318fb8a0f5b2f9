"""A few trials of the tortures; `python tests/torture/torture.py` does them all."""

import subprocess
import sys
from pathlib import Path

import pytest

TORTURE = Path(__file__).parent / 'torture' / 'torture.py'


@pytest.mark.parametrize(
    'suite, trials',
    [('kill', 5), ('kill_two_ranks', 2), ('corrupt', 4), ('sigterm', 2), ('nan', 2)],
)
def test_runs_survive(suite, trials):
    command = [sys.executable, str(TORTURE), suite, '--trials', str(trials)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr[-2000:]
    assert f'{suite}: {trials} of {trials}' in result.stdout


def test_an_unknown_suite_is_refused():
    command = [sys.executable, str(TORTURE), 'nothing']
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert result.returncode == 2
    assert "got ['nothing']" in result.stderr
