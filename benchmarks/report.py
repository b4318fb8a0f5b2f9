"""What every results file says about where it was made, and how it is written."""

import json
import os
import platform
import subprocess
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from mmmambamixer.ops import available_backends

WIDTH = 300
"""Characters of a line of a results file: a row of a table fits."""
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


def write(path: Path, report: dict) -> None:
    """Write a report as JSON with a row of its tables on each line."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(table(report) + '\n')


def table(value, depth: int = 0) -> str:
    """Return JSON, in which what is longer than a line has its parts below it."""
    line, inner = json.dumps(value), ' ' * (depth + 1)
    if (len(line) <= WIDTH and depth) or not isinstance(value, (dict, list)):
        return line
    if isinstance(value, dict):
        parts = [f'{json.dumps(k)}: {table(v, depth + 1)}' for k, v in value.items()]
    else:
        parts = [table(part, depth + 1) for part in value]
    first, last = '{}' if isinstance(value, dict) else '[]'
    joined = f',\n{inner}'.join(parts)
    return f'{first}\n{inner}{joined}\n{" " * depth}{last}'


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
