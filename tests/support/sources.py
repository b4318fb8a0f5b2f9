"""Copies of the sources to build in, and what runs there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
IGNORED = (
    *('.*', '__pycache__', 'build', '_build', 'dist', 'data', 'work_dirs'),
    *('*.egg-info', '*.so', '_C.*'),
)


def copy_sources(folder: Path) -> Path:
    """Copy the checkout without what is built, downloaded or git's into `folder`."""
    return shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*IGNORED))


def run(*command: str, cwd: Path, **env: str) -> subprocess.CompletedProcess:
    """Run a command and return its output; `env` is added to the environment."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=dict(os.environ, **env),
        capture_output=True,
        text=True,
        timeout=1200,
    )


def run_python(code: str, cwd: Path, **env: str) -> subprocess.CompletedProcess:
    """Run Python code in a process of its own."""
    return run(sys.executable, '-c', code, cwd=cwd, **env)


def build(kind: str, source: Path, out: Path, **env: str):
    """Let setuptools build a `wheel`, `sdist` or `editable` into `out`."""
    code = f'from setuptools import build_meta; build_meta.build_{kind}({str(out)!r})'
    return run_python(code, source, **env)
