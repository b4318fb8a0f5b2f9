"""The report of `python -m mmmambamixer.env`."""

import pytest
import torch
from warm import python

from mmmambamixer import env
from mmmambamixer.ops import available_backends


def test_report_names_versions_and_the_backend_of_each_device():
    facts = env.describe()
    assert facts['torch'].split()[0] == torch.__version__
    assert facts['threads'] == str(torch.get_num_threads())
    for device, backend in available_backends().items():
        assert facts[f'ops on {device}'] == backend
    assert facts['compiled kernels'].split(':')[0] in ('present', 'missing')


@pytest.mark.parametrize('version', ['2.8.0', '2.9.1+cu128'])
def test_a_torch_that_reads_unsafely_is_told(version, monkeypatch):
    monkeypatch.setattr(torch, '__version__', version)
    text = env.describe()['torch']
    assert text.startswith(f'{version} (a crafted checkpoint can run code')
    assert 'CVE-2026-24747, fixed in 2.10' in text
    monkeypatch.setattr(torch, '__version__', '2.10.0')
    assert env.describe()['torch'] == '2.10.0'


def test_a_missing_or_broken_framework_is_reported_not_raised(tmp_path):
    (tmp_path / 'mmseg').mkdir()
    (tmp_path / 'mmseg/__init__.py').write_text('assert False, "mmcv is too new"\n')
    (tmp_path / 'run.py').write_text(
        'import sys\n'
        'sys.modules["mmdet"] = None\n'
        'from mmmambamixer import env\n'
        'env.main()\n'
    )
    result = python('run.py', cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert result.returncode == 0, result.stderr
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines['mmdet'] == 'not installed'
    assert lines['mmseg'] == 'does not import: AssertionError: mmcv is too new'
