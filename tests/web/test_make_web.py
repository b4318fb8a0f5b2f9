"""The tool that builds the page: what it needs, and what it makes of the package."""

import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
from base64 import b64encode
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip('mmengine')
TOOLS = Path(__file__).parents[2] / 'tools'


@pytest.fixture(scope='module')
def make_web():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TOOLS)
        import make_web

        yield make_web


@pytest.fixture
def package(make_web, tmp_path):
    """An archive with the two files of the runtime, and one more."""
    path = tmp_path / 'package.tgz'
    with tarfile.open(path, 'w:gz') as archive:
        for name in (make_web.SCRIPT, make_web.BINARY, 'package/README.md'):
            entry = tarfile.TarInfo(name)
            entry.size = len(name)
            archive.addfile(entry, io.BytesIO(name.encode()))
    return path


def test_script_and_binary_of_the_pinned_package(
    make_web, package, tmp_path, monkeypatch
):
    out = tmp_path / 'out'
    out.mkdir()
    with pytest.raises(ValueError, match=r'not onnxruntime-web 1\S+: its SHA-512 is '):
        make_web.unpack_runtime(package, out)
    digest = b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    monkeypatch.setattr(make_web, 'INTEGRITY', digest)
    make_web.unpack_runtime(package, out)
    names = sorted(path.name for path in out.iterdir())
    assert names == ['ort.wasm.bundle.min.mjs', 'ort.wasm.gz']
    binary = gzip.decompress((out / 'ort.wasm.gz').read_bytes())
    assert binary.decode() == make_web.BINARY


def test_npm_is_asked_for_one_version(make_web, tmp_path, monkeypatch):
    def npm(command, **_):
        assert f'onnxruntime-web@{make_web.RUNTIME}' in command
        Path(command[-1], 'x.tgz').touch()
        return SimpleNamespace(returncode=0, stderr='')

    monkeypatch.setattr(subprocess, 'run', npm)
    assert make_web.fetch_package(tmp_path).name == 'x.tgz'


def test_without_npm_or_network_the_archive_may_be_given(
    make_web, tmp_path, monkeypatch
):
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(RuntimeError, match=r'npm, .* is not installed.*--package'):
        make_web.fetch_package(tmp_path)
    failed = SimpleNamespace(returncode=1, stderr='ENOTFOUND\n' * 99)
    monkeypatch.setattr(subprocess, 'run', lambda *_, **__: failed)
    with pytest.raises(RuntimeError, match=r'cannot fetch \S+ \(ENOTFOUND.*--package'):
        make_web.fetch_package(tmp_path)


def test_the_last_checkpoint_of_a_training_or_one_that_is_named(make_web, tmp_path):
    for name in ('epoch_1.pth', 'epoch_2.pth'):
        (tmp_path / name).touch()
    (tmp_path / 'last_checkpoint').write_text('elsewhere/epoch_2.pth\n')
    assert make_web.find_checkpoint(tmp_path, 'digits').name == 'epoch_2.pth'
    path = tmp_path / 'epoch_1.pth'
    assert make_web.find_checkpoint(path, 'digits') == path
    with pytest.raises(FileNotFoundError, match=r'--scenes at .*none.*`make demo-seg`'):
        make_web.find_checkpoint(tmp_path / 'none', 'scenes')


def test_samples_are_of_each_class_in_turn(make_web, tmp_path, capsys):
    for name in ('1/b', '1/a', '0/c', '0/d'):
        path = tmp_path / 'digits' / 'test' / f'{name}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / 'samples').mkdir()
    found = make_web.copy_samples('digits', tmp_path, tmp_path)
    assert [name.partition('_')[2] for name in found] == [
        *('0_c.png', '1_a.png', '0_d.png', '1_b.png'),
    ]
    assert make_web.copy_samples('scenes', tmp_path, tmp_path) == []
    assert 'note: no pictures at' in capsys.readouterr().out


def test_a_folder_of_others_is_left_alone(make_web, tmp_path, monkeypatch):
    (tmp_path / 'mine.txt').touch()
    (tmp_path / 'x.pth').touch()
    options = ['--digits', 'x.pth', '--scenes', 'x.pth', '--out', str(tmp_path)]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', ['make_web.py', *options])
    with pytest.raises(SystemExit, match='is no page of this tool: name another --out'):
        make_web.main()
    assert (tmp_path / 'mine.txt').is_file()
