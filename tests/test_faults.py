"""Environments in which something does not fit, and the command that mends each."""

import pytest
import torch
from warm import python

from mmmambamixer import env
from mmmambamixer.faults import find_faults, installed

FITS = {
    'torch': '2.11.0',
    'torchvision': '0.26.0',
    'triton': '3.6.0',
    'numpy': '2.3.5',
    'setuptools': '81.0.0',
    'mmengine': '0.10.7',
    'mmcv': '2.1.0',
    'mmdet': '3.3.0',
    'mmsegmentation': '1.2.2',
    'mmpretrain': '1.2.0',
    'opencv-python-headless': '5.0.0.93',
}
ONEDL = {
    'torch': '2.12.1',
    'triton': '3.7.1',
    'setuptools': '83.0.0',
    'onedl-mmengine': '0.10.12',
    'onedl-mmcv': '2.3.6',
    'onedl-mmdetection': '3.5.1',
    'onedl-mmsegmentation': '1.4.2',
    'transformers': '4.57.1',
}
NO_EXT = "No module named 'mmcv._ext'"
UNDEFINED = 'ImportError: mmcv/_ext.so: undefined symbol: _ZN3c105ErrorC2ENS_14Source'
OTHER_NUMPY = 'ValueError: numpy.dtype size changed, may indicate'

BROKEN = {
    'both families': (
        {'onedl-mmengine': '0.10.12'},
        {},
        (
            'two families',
            'mmpretrain onedl-mmengine` and install one, `mmmambamixer[openmmlab]`',
        ),
    ),
    'both builds of mmcv': (
        {'mmcv-lite': '2.1.0'},
        {},
        ('mmcv and mmcv-lite', 'pip uninstall -y mmcv mmcv-lite'),
    ),
    'mmcv-lite': (
        {'mmcv': None, 'mmcv-lite': '2.1.0'},
        {'mmcv.ops': NO_EXT},
        ('mmcv-lite lacks the ops that mmdet and mmsegmentation need', 'MMCV_WITH_OPS'),
    ),
    'mmcv without ops': (
        {},
        {'mmcv.ops': NO_EXT},
        ('mmcv 2.1.0 is without its ops', '--force-reinstall --no-deps'),
    ),
    'mmcv of another torch': (
        {},
        {'mmcv.ops': UNDEFINED},
        ('mmcv 2.1.0 is for another torch', 'mmcv==2.1.0`'),
    ),
    'mmcv that is refused': (
        {'mmcv': '2.2.0'},
        {'mmdet': 'AssertionError: MMCV==2.2.0 is used but incompatible.'},
        ('mmdet 3.3.0 and mmsegmentation 1.2.2 refuse mmcv 2.2.0', 'mmcv==2.1.0`'),
    ),
    'no mmcv': (
        {'mmcv': None},
        {'mmdet': "No module named 'mmcv'", 'mmseg': "No module named 'mmcv'"},
        ('mmdet and mmseg cannot be imported without mmcv', 'mmcv==2.1.0`'),
    ),
    'transformers': (
        {'transformers': '4.57.1'},
        {},
        ('transformers 4.57.1 breaks', 'pip uninstall -y transformers'),
    ),
    'setuptools 82': (
        {'setuptools': '82.0.1'},
        {'mmdet': "No module named 'pkg_resources'"},
        ('setuptools 82.0.1 lacks pkg_resources', 'pip install "setuptools<82"'),
    ),
    'no setuptools': (
        {'setuptools': None},
        {},
        ('this environment lacks pkg_resources', 'pip install "setuptools<82"'),
    ),
    'binary of another numpy': (
        {},
        {'pycocotools.mask': OTHER_NUMPY, 'mmdet.models': OTHER_NUMPY},
        ('pycocotools is built for another numpy than 2.3.5', '--force-reinstall'),
    ),
    'another binary of another numpy': (
        {},
        {'mmdet.models': OTHER_NUMPY, 'mmdet.datasets': OTHER_NUMPY},
        ('what mmdet.models imports is built for another', '`import mmdet.models`'),
    ),
    'old Triton': (
        {'triton': '3.3.1'},
        {},
        ('Triton 3.3.1 is too old', 'pip install "torch>=2.8"'),
    ),
    'old torch': (
        {'torch': '2.7.1+cu128', 'triton': '3.4.0'},
        {},
        ('torch 2.7.1+cu128 is too old', 'pip install "torch>=2.8"'),
    ),
    'torchvision of another torch': (
        {'torchvision': '0.24.1'},
        {'torchvision': 'RuntimeError: operator torchvision::nms does not exist'},
        ('torchvision 0.24.1 is built for another', 'torchvision==0.26.*`'),
    ),
    'OpenCV without a desktop': (
        {'opencv-python': '4.11.0'},
        {'cv2': 'ImportError: libGL.so.1: cannot open shared object file'},
        ('libGL.so.1', 'pip uninstall -y opencv-python`', 'opencv-python-headless'),
    ),
    'old MMEngine': (
        {'mmengine': '0.10.1'},
        {},
        ('mmengine 0.10.1 is too old', 'install --no-deps "mmengine>=0.10.3,<1"'),
    ),
    'another mmseg': (
        {'mmseg': '1.3.0'},
        {},
        ('mmseg 1.3.0 is a word segmenter', 'pip uninstall -y mmseg'),
    ),
    'a module that nothing asked for': (
        {},
        {'mmseg.models': "No module named 'ftfy'"},
        ('mmseg.models cannot be imported without ftfy', 'pip install ftfy'),
    ),
}


@pytest.mark.parametrize('name', BROKEN)
def test_each_broken_environment_has_one_fault_and_a_command(name):
    changes, errors, fragments = BROKEN[name]
    versions = {n: v for n, v in (FITS | changes).items() if v}
    (fault,) = find_faults(versions, errors)
    for fragment in fragments:
        assert fragment in fault
    assert '`' in fault and len(fault) < 500


@pytest.mark.parametrize('versions', [FITS, ONEDL, {}, {'torch': '2.9.1'}])
def test_what_fits_has_no_fault(versions):
    assert find_faults(versions, {}) == []


@pytest.mark.parametrize(
    ('changes', 'cuda', 'text'),
    [
        ({}, None, 'is built without CUDA'),
        ({'triton': None}, '13.0', '`pip install triton`'),
        ({}, '13.0', None),
    ],
)
def test_a_gpu_wants_cuda_and_triton(changes, cuda, text):
    versions = {n: v for n, v in (FITS | changes).items() if v}
    faults = find_faults(versions, {}, gpu=True, cuda=cuda)
    assert len(faults) == (text is not None)
    assert not text or text in faults[0]


def test_the_first_distribution_on_the_path_counts(tmp_path, monkeypatch):
    folder = tmp_path / 'Some_Name-9.8.dist-info'
    folder.mkdir()
    (folder / 'METADATA').write_text('Metadata-Version: 2.1\nName: Some_Name\n')
    (folder / 'METADATA').open('a').write('Version: 9.8\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    assert installed()['some-name'] == '9.8'
    assert installed()['torch'] == torch.__version__.partition('+')[0]


def test_the_report_ends_with_the_faults(monkeypatch, capsys):
    monkeypatch.setattr(env, 'installed', lambda: FITS | {'mmengine': '0.10.1'})
    assert env.main([]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith('Fault: mmengine 0.10.1 is too old: `pip install')


def test_an_import_that_fails_says_what_mends_it(tmp_path):
    (tmp_path / 'cv2.py').write_text(
        "raise ImportError('libGL.so.1: cannot open shared object file')\n"
    )
    code = 'import mmmambamixer'
    result = python('-c', code, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    last = result.stderr.splitlines()[-1]
    assert last.startswith('ImportError: libGL.so.1: cannot open')
    assert 'install --force-reinstall --no-deps opencv-python-headless`' in last
