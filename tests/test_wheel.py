"""`make wheel`: no network, the same bytes each time, and loud where it fails."""

import os
import shutil
import sys
import sysconfig
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from sources import build, copy_sources, run

NO_NETWORK = """
import socket

def refuse(*args, **kwargs):
    raise PermissionError('the build asked for the network')

for name in ('connect', 'connect_ex', 'sendto'):
    setattr(socket.socket, name, refuse)
socket.getaddrinfo = socket.create_connection = refuse
"""


@pytest.fixture(scope='module')
def offline(tmp_path_factory) -> str:
    """Folder that makes each Python below it refuse the network."""
    folder = tmp_path_factory.mktemp('offline')
    (folder / 'sitecustomize.py').write_text(NO_NETWORK)
    return str(folder)


def make_wheel(source: Path, offline: str, mask: int = 0o022, **env: str) -> Path:
    before = os.umask(mask)
    try:
        variables = dict(VENV=sys.prefix, PYTHONPATH=offline, CUDA_VISIBLE_DEVICES='')
        result = run('tools/wheel.sh', cwd=source, **variables | env)
    finally:
        os.umask(before)
    assert result.returncode == 0, (result.stdout + result.stderr)[-3000:]
    (wheel,) = (source / 'dist').glob('*.whl')
    digest = sha256(wheel.read_bytes()).hexdigest()
    assert result.stdout.splitlines()[-1] == f'{digest}  {wheel.name}'
    return wheel


def two_wheels(folder: Path, offline: str, **env: str) -> list[bytes]:
    """Build from two copies at other places, at other times, with other rights."""
    first = copy_sources(folder / 'a')
    second = copy_sources(folder / 'elsewhere' / 'b')
    for path in second.rglob('*.py'):
        path.chmod(0o600)
        os.utime(path, (1e9, 1e9))
    return [
        make_wheel(first, offline, PYTHONHASHSEED='1', **env).read_bytes(),
        make_wheel(second, offline, 0o077, PYTHONHASHSEED='2', **env).read_bytes(),
    ]


def test_two_builds_are_the_same_bytes_and_clean_leaves_nothing(tmp_path, offline):
    first, second = two_wheels(tmp_path, offline, MMMAMBAMIXER_NO_EXT='1')
    assert first == second

    source, fresh = tmp_path / 'a', copy_sources(tmp_path / 'fresh')
    result = run('make', 'clean', f'VENV={tmp_path / "venv"}', cwd=source)
    assert result.returncode == 0, result.stderr
    left = {path.relative_to(source) for path in source.rglob('*')}
    assert left == {path.relative_to(fresh) for path in fresh.rglob('*')}


def test_the_network_is_refused(tmp_path, offline):
    """Else the test above would prove nothing of it."""
    code = 'import urllib.request as r; r.urlopen("http://localhost:9")'
    result = run(sys.executable, '-c', code, cwd=tmp_path, PYTHONPATH=offline)
    assert 'PermissionError: the build asked for the network' in result.stderr


@pytest.fixture
def one_file(tmp_path) -> Path:
    """Sources with a single file to compile, which does not."""
    source = copy_sources(tmp_path / 'source')
    for path in source.glob('ops/**/*.cpp'):
        path.unlink()
    (source / 'ops/weighted_sum/cpu.cpp').write_text('#error injected by a test\n')
    return source


needs_compiler = pytest.mark.skipif(
    not shutil.which('c++'), reason='there is no compiler'
)


@needs_compiler
def test_a_failing_compile_stops_with_the_message_of_the_compiler(one_file, tmp_path):
    result = build('wheel', one_file, tmp_path / 'out')
    assert result.returncode != 0
    assert 'error: #error injected by a test' in result.stdout + result.stderr
    assert not [*tmp_path.glob('out/*.whl'), *one_file.glob('ops/_C.so')]


def test_without_a_compiler_one_sentence_says_what_to_do(one_file, tmp_path):
    result = build('wheel', one_file, tmp_path / 'out', PATH=str(tmp_path), CXX='')
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "mmmambamixer compiles its CPU kernels and there is no 'c++' on PATH: install "
        'g++ (Debian: apt install g++) or set CXX (MMMAMBAMIXER_NO_EXT=1 installs '
        'without the compiled kernels)'
    )
    assert not [*tmp_path.glob('out/*.whl')]


@needs_compiler
def test_the_wheel_is_for_every_python_and_says_which_machine(one_file, tmp_path):
    (one_file / 'ops/weighted_sum/cpu.cpp').write_text('')
    result = build('wheel', one_file, tmp_path / 'out')
    assert result.returncode == 0, (result.stdout + result.stderr)[-3000:]
    (wheel,) = tmp_path.glob('out/*.whl')
    machine = sysconfig.get_platform().replace('-', '_').replace('.', '_')
    assert wheel.name.endswith(f'-py3-none-{machine}.whl')
    with zipfile.ZipFile(wheel) as archive:
        binaries = [name for name in archive.namelist() if '_C' in name]
    assert binaries == ['mmmambamixer/ops/_C.so']


@needs_compiler
@pytest.mark.slow
def test_two_builds_with_the_kernels_are_the_same_bytes(tmp_path, offline):
    first, second = two_wheels(tmp_path, offline)
    assert first == second
    (wheel,) = tmp_path.glob('a/dist/*.whl')
    with zipfile.ZipFile(wheel) as archive:
        (binary,) = (n for n in archive.namelist() if n.endswith('.so'))
        content = archive.read(binary)
    for folder in (tmp_path, Path(torch.__file__).parent):
        assert str(folder).encode() not in content
