"""`tools/setup.sh`: which folders it takes, and disks of some size (scripts)."""

import sys
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

    def call(free: int | str, **env: str):
        script(tmp_path / 'tools/df', f'printf "Avail\n  {free}\n"')
        for name in ('venv/bin/python', 'tools/uv'):
            script(tmp_path / name, 'echo "$@"')
        plain = dict(TORCH_INDEX_URL='', PIP_INDEX_URL='', MMMAMBAMIXER_TORCH='')
        env = plain | dict(VENV=str(tmp_path / 'venv')) | env
        return run(
            *('bash', 'tools/setup.sh', 'torch'),
            cwd=ROOT,
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
    (tmp_path / 'link').symlink_to('venv')
    for place in ('venv', 'link'):
        result = set_up(free=6496, VENV=str(tmp_path / place))
        assert result.returncode == 0, result.stderr
        assert INSTALLED in result.stdout


def test_a_disk_that_does_not_tell_is_taken(set_up):
    result = set_up(free='-')
    assert result.returncode == 0, result.stderr
    assert INSTALLED in result.stdout


def test_another_build_of_torch_may_be_smaller(set_up):
    result = set_up(free=2900, TORCH_INDEX_URL='file:///wheels')
    assert result.returncode == 0, result.stderr
    assert f'{INSTALLED} --index-url file:///wheels' in result.stdout
    assert INSTALLED in set_up(free=2900, PIP_INDEX_URL='file:///wheels').stdout


def make_venv(folder: Path):
    env = dict(VENV=str(folder), PYTHON=sys.executable)
    return run('bash', 'tools/setup.sh', 'venv', cwd=ROOT, **env)


def test_files_of_others_are_not_cleared(tmp_path):
    (tmp_path / 'picture').touch()
    for place in (tmp_path, tmp_path / 'picture'):
        result = make_venv(place)
        assert result.returncode == 1
        assert 'VENV must be new, empty or a virtual environment' in result.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / 'picture']
    plan = run('make', '-n', 'clean', f'VENV={tmp_path}', cwd=ROOT).stdout
    lines = [line for line in plan.splitlines() if str(tmp_path) in line]
    assert lines == [f'[ ! -e {tmp_path}/pyvenv.cfg ] || rm -rf {tmp_path}']


def test_an_environment_without_its_python_is_made_again(tmp_path):
    (tmp_path / 'bin').mkdir()
    (tmp_path / 'bin/python').symlink_to('python-that-was-upgraded')
    (tmp_path / 'pyvenv.cfg').touch()
    (tmp_path / 'stamps').mkdir()
    for name in ('venv', 'torch', 'tested', 'mmcv', 'package'):
        (tmp_path / 'stamps' / name).touch()
    plan = run('make', '-n', 'setup', f'VENV={tmp_path}', cwd=ROOT).stdout
    assert plan.count('tools/setup.sh') == 5
    result = make_venv(tmp_path)
    assert result.returncode == 0, result.stderr
    assert not any((tmp_path / 'stamps').iterdir())


@pytest.mark.parametrize('venv', ['', '/somewhere/my environment'])
def test_a_folder_that_make_cannot_handle_is_refused(venv):
    result = run('make', '-n', 'setup', f'VENV={venv}', cwd=ROOT)
    assert result.returncode == 2
    assert f"VENV must name a folder, without blanks, got '{venv}'" in result.stderr
