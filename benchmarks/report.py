"""What every results file says about where it was made."""

import os
import platform
import subprocess
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from mmmambamixer.ops import available_backends

PACKAGES = (
    *('torch', 'triton', 'numpy', 'mmengine', 'mmcv'),
    *('mmpretrain', 'mmdet', 'mmsegmentation'),
)


def environment() -> dict:
    """Return date, commit, machine, versions and backends."""
    versions = {'python': platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return dict(
        date=date.today().isoformat(),
        commit=_git('rev-parse', '--short', 'HEAD'),
        machine=f'{_processor()}, {os.cpu_count()} cores',
        threads=torch.get_num_threads(),
        versions=versions,
        backends=available_backends(),
    )


def _git(*args: str) -> str:
    command = ['git', *args]
    run = subprocess.run(
        command, cwd=Path(__file__).parent, capture_output=True, text=True
    )
    return run.stdout.strip() or 'unknown'


def _processor() -> str:
    for line in Path('/proc/cpuinfo').read_text().splitlines():
        if line.startswith('model name'):
            return line.split(':', 1)[1].strip()
    return platform.processor()
