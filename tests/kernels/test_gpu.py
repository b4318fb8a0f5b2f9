"""Runs the checks of the GPU kernels: on the GPU, or else in Triton's interpreter.

The files of `gpu/` run in a process of their own: Triton reads TRITON_INTERPRET once,
when it is first imported, and other tests (torchvision already) import it too. To run
one by hand: `TRITON_INTERPRET=1 pytest tests/kernels/gpu/check_selective_scan.py`.
"""

import os
import subprocess
import sys
from pathlib import Path

import torch

CHECKS = sorted((Path(__file__).parent / 'gpu').glob('check_*.py'))


def test_gpu_kernels():
    environment = dict(os.environ)
    if not torch.cuda.is_available():
        environment |= dict(TRITON_INTERPRET='1', OMP_NUM_THREADS='1')
    run = subprocess.run(
        [
            sys.executable,
            '-m',
            'pytest',
            '-q',
            '-p',
            'no:cacheprovider',
            *map(str, CHECKS),
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
