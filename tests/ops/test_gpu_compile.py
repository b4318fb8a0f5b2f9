"""Holds the GPU kernels, compiled for real GPUs without one, to their budget."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

triton = pytest.importorskip('triton')
TOOLS = Path(triton.__file__).parent / 'backends' / 'nvidia' / 'bin'
pytestmark = pytest.mark.skipif(
    not all((TOOLS / tool).exists() for tool in ('cuobjdump', 'nvdisasm')),
    reason='this Triton brings no disassembler',
)

SCRIPT = Path(__file__).parents[2] / 'benchmarks' / 'kernel_budget.py'


def budget(*args):
    environment = {k: v for k, v in os.environ.items() if k != 'TRITON_INTERPRET'}
    return subprocess.run(
        [sys.executable, str(SCRIPT), *args],
        env=environment | dict(OMP_NUM_THREADS='1'),
        capture_output=True,
        text=True,
        timeout=900,
    )


def test_kernels_keep_to_their_budget():
    run = budget('--capability', '90', '--only', 'plain bf16')
    assert run.returncode == 0, run.stdout + run.stderr
    assert 'backward' in run.stdout


@pytest.mark.slow
@pytest.mark.parametrize('capability', ['80', '90', '100'])
def test_all_kernels_keep_to_their_budget_on_every_gpu(capability):
    run = budget('--capability', capability)
    assert run.returncode == 0, run.stdout + run.stderr


def test_an_unknown_case_is_refused():
    run = budget('--only', 'no such case')
    assert run.returncode == 2
    assert "no case contains ['no such case']" in run.stderr
