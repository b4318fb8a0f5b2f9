"""What an installation brings: one top-level name, the ops below it, `.mim`."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

import mmmambamixer
import mmmambamixer.ops

ROOT = Path(__file__).parents[1]
IGNORED = ('.*', 'build', 'dist', 'data', 'work_dirs', '*.egg-info', '*.so')


def run(code: str, cwd: Path, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, '-c', code],
        cwd=cwd,
        env=dict(os.environ, **env),
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope='module')
def source(tmp_path_factory) -> Path:
    """A copy of the sources without `ops` compiled, to build in."""
    folder = tmp_path_factory.mktemp('build') / 'source'
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*IGNORED))
    return folder


def build(source: Path, kind: str, out: Path, **env: str) -> Path:
    code = f'from setuptools import build_meta; build_meta.build_{kind}({str(out)!r})'
    result = run(code, source, MMMAMBAMIXER_NO_EXT='1', **env)
    assert result.returncode == 0, result.stderr[-2000:]
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope='module')
def wheel(source, tmp_path_factory) -> Path:
    return build(source, 'wheel', tmp_path_factory.mktemp('wheel'))


def test_only_one_top_level_name_is_installed():
    names = (distribution('mmmambamixer').read_text('top_level.txt') or '').split()
    assert names == ['mmmambamixer']


def test_ops_is_found_below_the_package_only(tmp_path):
    assert Path(mmmambamixer.ops.__file__).is_file()
    result = run('import ops', tmp_path, PYTHONPATH='')
    assert "No module named 'ops'" in result.stderr


def test_version_is_the_one_of_the_metadata():
    assert distribution('mmmambamixer').version == mmmambamixer.__version__
    assert re.fullmatch(r'\d+\.\d+\.\d+', mmmambamixer.__version__)


def test_wheel_has_the_package_the_ops_and_mim(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split('/')[0] for name in names}
    version = mmmambamixer.__version__
    assert top == {'mmmambamixer', f'mmmambamixer-{version}.dist-info'}
    for wanted in (
        'mmmambamixer/ops/selective_scan/reference.py',
        'mmmambamixer/.mim/configs/_base_/mmmambamixer.py',
        'mmmambamixer/.mim/configs/demo/vim2_digits.py',
        'mmmambamixer/.mim/tools/train.py',
        'mmmambamixer/.mim/tools/dist_train.sh',
        'mmmambamixer/.mim/model-index.yml',
    ):
        assert wanted in names
    assert not [name for name in names if '__pycache__' in name]


def test_wheel_alone_imports_and_finds_its_configs(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        'import sys; sys.meta_path[:] = [f for f in sys.meta_path if "Editable" not in '
        'str(f)]; import mmmambamixer.compat, mmmambamixer.ops, mmengine.hub; '
        'from mmengine.config import Config; import os; '
        'mim = os.path.join(os.path.dirname(mmmambamixer.__file__), ".mim"); '
        'Config.fromfile(mim + "/configs/demo/vim2_digits.py"); '
        'print(mmmambamixer.ops.__file__)'
    )
    result = run(code, tmp_path, PYTHONPATH=str(tmp_path), PYTHONWARNINGS='ignore')
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.strip().startswith(str(tmp_path))


def test_wheel_is_the_same_each_time(source, wheel, tmp_path):
    builds = []
    for name in 'ab':
        (tmp_path / name).mkdir()
        built = build(source, 'wheel', tmp_path / name, SOURCE_DATE_EPOCH='1700000000')
        builds.append(built.read_bytes())
    assert builds[0] == builds[1]


def test_sdist_is_enough_to_build_from(source, tmp_path):
    (tmp_path / 'sdist').mkdir()
    (tmp_path / 'wheel').mkdir()
    sdist = build(source, 'sdist', tmp_path / 'sdist')
    shutil.unpack_archive(sdist, tmp_path, filter='data')
    unpacked = tmp_path / sdist.name.removesuffix('.tar.gz')
    sources = {p.relative_to(ROOT) for p in ROOT.glob('ops/**/*.[ch]*')}
    sources = {p for p in sources if p.suffix in ('.h', '.cpp')}
    assert sources, 'there are C++ sources'
    assert all((unpacked / path).is_file() for path in sources)
    rebuilt = build(unpacked, 'wheel', tmp_path / 'wheel')
    assert 'mmmambamixer/.mim/tools/test.py' in zipfile.ZipFile(rebuilt).namelist()


def test_editable_install_links_mim_into_the_checkout(source, tmp_path):
    build(source, 'editable', tmp_path)
    mim = source / 'mmmambamixer/.mim'
    assert (mim / 'configs').resolve() == source / 'configs'
    assert (mim / 'tools/train.py').resolve() == source / 'tools/train.py'
    assert (mim / 'model-index.yml').is_file()


def test_setup_without_torch_says_so_in_one_sentence(source):
    code = (
        'import runpy, sys; sys.modules["torch"] = None; '
        'sys.argv = ["setup.py", "--version"]; runpy.run_path("setup.py")'
    )
    result = run(code, source)
    assert result.returncode == 1
    assert 'install torch first' in result.stderr
    assert 'Traceback' not in result.stderr
