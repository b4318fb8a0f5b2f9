"""Runs the checks of the GPU kernels: on the GPU, or else in Triton's interpreter.

The files of `gpu/` run in processes of their own: Triton reads TRITON_INTERPRET once,
when it is first imported, and other tests (torchvision already) import it too. To run
one by hand: `TRITON_INTERPRET=1 pytest tests/kernels/gpu/check_selective_scan.py`.
"""

from pathlib import Path

import pytest
import torch
from interpreter import interpreter
from warm import python

CHECKS = sorted((Path(__file__).parent / 'gpu').glob('check_*.py'))
PYTEST = 'import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))'


@pytest.mark.parametrize('checks', CHECKS, ids=lambda path: path.stem)
def test_gpu_kernels(checks):
    environment = {} if torch.cuda.is_available() else interpreter()
    options = ['-q', '-p', 'no:cacheprovider', '-p', 'no:xdist']
    run = python('-c', PYTEST, checks, *options, **environment)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
