"""What an installation brings: one top-level name, the ops below it, `.mim`."""

import re
import shutil
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from sources import build, copy_sources, run_python

import mmmambamixer
import mmmambamixer.ops


@pytest.fixture(scope='module')
def source(tmp_path_factory) -> Path:
    return copy_sources(tmp_path_factory.mktemp('build') / 'source')


def built(kind: str, source: Path, out: Path) -> Path:
    """Build without the kernels, which needs no compiler."""
    result = build(kind, source, out, MMMAMBAMIXER_NO_EXT='1', PATH='', CXX='')
    assert result.returncode == 0, result.stderr[-2000:]
    (path,) = out.iterdir()
    return path


@pytest.fixture(scope='module')
def wheel(source, tmp_path_factory) -> Path:
    return built('wheel', source, tmp_path_factory.mktemp('wheel'))


def test_only_one_top_level_name_is_installed():
    names = (distribution('mmmambamixer').read_text('top_level.txt') or '').split()
    assert names == ['mmmambamixer']


def test_ops_is_found_below_the_package_only(tmp_path):
    assert Path(mmmambamixer.ops.__file__).is_file()
    result = run_python('import ops', tmp_path, PYTHONPATH='')
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
    unwanted = ('.pyc', '.cpp', '.h', '.so')
    assert not [name for name in names if name.endswith(unwanted)]


def test_wheel_alone_imports_and_finds_its_configs(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        'import sys; sys.meta_path[:] = [f for f in sys.meta_path if "Editable" not in '
        'str(f)]; import mmmambamixer.patches, mmmambamixer.ops, mmengine.hub; '
        'from mmengine.config import Config; import os; '
        'mim = os.path.join(os.path.dirname(mmmambamixer.__file__), ".mim"); '
        'Config.fromfile(mim + "/configs/demo/vim2_digits.py"); '
        'print(mmmambamixer.ops.__file__)'
    )
    result = run_python(
        code, tmp_path, PYTHONPATH=str(tmp_path), PYTHONWARNINGS='ignore'
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.strip().startswith(str(tmp_path))


def test_sdist_is_complete_and_enough_to_build_from(tmp_path):
    source = copy_sources(tmp_path / 'source')
    here = {p.relative_to(source) for p in source.rglob('*') if p.is_file()}
    sdist = built('sdist', source, tmp_path / 'sdist')
    shutil.unpack_archive(sdist, tmp_path, filter='data')
    unpacked = tmp_path / sdist.name.removesuffix('.tar.gz')
    there = {p.relative_to(unpacked) for p in unpacked.rglob('*') if p.is_file()}
    assert here - there == set()
    rebuilt = built('wheel', unpacked, tmp_path / 'wheel')
    assert 'mmmambamixer/.mim/tools/test.py' in zipfile.ZipFile(rebuilt).namelist()


def test_editable_install_links_mim_into_the_checkout(source, tmp_path):
    built('editable', source, tmp_path / 'out')
    mim = source / 'mmmambamixer/.mim'
    assert (mim / 'configs').resolve() == source / 'configs'
    assert (mim / 'tools/train.py').resolve() == source / 'tools/train.py'
    assert (mim / 'model-index.yml').is_file()


ISOLATED = """
import runpy, sys, sysconfig
from importlib.machinery import PathFinder

real = PathFinder.find_spec
PathFinder.find_spec = lambda name, path=None, target=None: (
    None if name == 'torch' and path is None else real(name, path, target))
sysconfig.get_path = lambda kind: site_packages
sys.argv = ['setup.py', '--version']
runpy.run_path('setup.py')
"""


def isolated_setup(source: Path, site_packages: Path):
    """Run setup.py where torch lies in `site_packages` only, outside of the build."""
    return run_python(f'site_packages = {str(site_packages)!r}\n{ISOLATED}', source)


def test_setup_without_torch_says_so_in_one_sentence(source, tmp_path):
    result = isolated_setup(source, tmp_path)
    assert result.returncode == 1
    assert 'install torch first' in result.stderr
    assert 'Traceback' not in result.stderr


@pytest.mark.parametrize(
    ('version', 'fits'), [('2.9.1+cu128', False), ('2.14.0', True)]
)
def test_an_isolated_build_takes_the_torch_of_its_python(
    version, fits, source, tmp_path
):
    (tmp_path / 'torch').mkdir()
    (tmp_path / 'torch/__init__.py').write_text('raise ImportError("not to import")')
    (tmp_path / 'torch/version.py').write_text(f'__version__ = {version!r}\n')
    result = isolated_setup(source, tmp_path)
    assert result.returncode == (0 if fits else 1), result.stderr
    if fits:
        assert result.stdout.strip() == mmmambamixer.__version__
    else:
        assert result.stderr.splitlines()[-1] == (
            'mmmambamixer compiles its CPU kernels against torch 2.10 or later, and '
            'this is 2.9.1+cu128 (MMMAMBAMIXER_NO_EXT=1 installs without the compiled '
            'kernels)'
        )
