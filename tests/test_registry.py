"""ViM2 is found by its name in every scope; each case runs in a process of its own."""

import pytest
from warm import python

BUILD = """
import sys
{imports}
from mmengine.registry import MODELS
size = dict(arch=dict(embed_dims=(4,), depths=(1,)), out_indices=(0,))
model = MODELS.build(dict(type='{name}', _scope_='{scope}', **size))
print(type(model).__name__, 'mmpretrain' in sys.modules)
"""


def build(name, scope='mmengine', imports=''):
    return python('-c', BUILD.format(name=name, scope=scope, imports=imports))


def test_the_prefix_alone_is_enough_and_loads_no_framework():
    result = build('mmmambamixer.ViM2')
    assert result.stdout.split() == ['ViM2', 'False'], result.stderr


@pytest.mark.parametrize('scope', ['mmpretrain', 'mmdet', 'mmseg'])
def test_the_prefix_works_under_each_framework(scope):
    pytest.importorskip(scope)
    result = build('mmmambamixer.ViM2', scope)
    assert result.stdout.startswith('ViM2'), result.stderr


@pytest.mark.parametrize('name', ['ViM2', 'mmmambamixer.ViM2'])
@pytest.mark.parametrize('scope', ['mmengine', 'mmmambamixer'])
def test_both_names_work_after_the_import(name, scope):
    result = build(name, scope, imports='import mmmambamixer')
    assert result.stdout.startswith('ViM2'), result.stderr


def test_a_missing_mmengine_names_both_families():
    code = (
        'import importlib.abc, sys\n'
        'class Hide(importlib.abc.MetaPathFinder):\n'
        '    def find_spec(self, name, path, target=None):\n'
        "        if name == 'mmengine':\n"
        "            raise ModuleNotFoundError('No module named mmengine', name=name)\n"
        'sys.meta_path.insert(0, Hide())\n'
        'import mmmambamixer\n'
    )
    result = python('-c', code)
    last = result.stderr.strip().splitlines()[-1]
    assert 'mmmambamixer[openmmlab]' in last and 'mmmambamixer[onedl]' in last
