"""`tools/setup.sh torch` on a disk of some size: `df`, Python and uv are scripts."""

from pathlib import Path

import pytest
from sources import ROOT, run

INSTALLED = '-r requirements/torch.txt -c constraints.txt'


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\n{text}\n')
    path.chmod(0o755)


@pytest.fixture
def set_up(tmp_path):
    """Install torch where so many MB are free; Python and uv tell their arguments."""

    def call(free: int, **env: str):
        script(tmp_path / 'tools/df', f'printf "Size Used Available\n1 2 3 {free}\n"')
        for name in ('venv/bin/python', 'tools/uv'):
            script(tmp_path / name, 'echo "$@"')
        env = dict(TORCH_INDEX_URL='', MMMAMBAMIXER_TORCH='') | env
        return run(
            *('bash', 'tools/setup.sh', 'torch'),
            cwd=ROOT,
            VENV=str(tmp_path / 'venv'),
            PATH=f'{tmp_path / "tools"}:/usr/bin:/bin',
            **env,
        )

    return call


def test_too_small_a_disk_is_told_before_the_download(set_up):
    result = set_up(free=2900)
    assert result.returncode == 1
    assert INSTALLED not in result.stdout
    assert 'will take 6500 MB' in result.stderr
    assert '2900 are free' in result.stderr
    assert 'VENV=' in result.stderr and 'TORCH_INDEX_URL=' in result.stderr


def test_what_is_there_already_counts(set_up, tmp_path):
    parts = tmp_path / 'venv/parts'
    parts.parent.mkdir()
    parts.write_bytes(bytes(5 << 20))
    assert set_up(free=6490).returncode == 1
    result = set_up(free=6496)
    assert result.returncode == 0, result.stderr
    assert INSTALLED in result.stdout


def test_another_build_of_torch_may_be_smaller(set_up):
    result = set_up(free=2900, TORCH_INDEX_URL='file:///wheels')
    assert result.returncode == 0, result.stderr
    assert f'{INSTALLED} --index-url file:///wheels' in result.stdout
