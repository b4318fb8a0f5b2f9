"""What an installation does where something is missing or does not fit.

No test of this needs an environment of its own: a process that imported torch forks,
and its child does not find the modules that are to be missing.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from sources import ROOT, run

SCRIPT = ROOT / 'tests/support/environments.py'
FRAMEWORKS = ('mmdet', 'mmseg', 'mmpretrain')
WITHOUT = {
    'nothing': [],
    'triton': ['triton'],
    **{framework: [framework] for framework in FRAMEWORKS},
    'all frameworks and mmcv': [*FRAMEWORKS, 'mmcv', 'torchvision'],
    'mmengine': ['mmengine'],
}
BINARY, COMPILER = ROOT / 'ops/_C.so', shutil.which('cc')
PACKAGES = ['plain', 'truncated']
PACKAGES += ['undefined symbol'] if COMPILER else []
PACKAGES += ['complete'] if BINARY.is_file() else []
BROKEN_C = 'void a_symbol_of_another_torch(void); void *call(void) {' + (
    'a_symbol_of_another_torch(); return 0; }'
)


def make_package(folder: Path, kind: str) -> None:
    """Write the package as it is installed, with a binary or without."""
    ignored = shutil.ignore_patterns('__pycache__', '.mim', '*.so', '_C.*')
    shutil.copytree(ROOT / 'mmmambamixer', folder / 'mmmambamixer', ignore=ignored)
    ops = folder / 'mmmambamixer/ops'
    shutil.copytree(ROOT / 'ops', ops, ignore=ignored)
    if kind == 'undefined symbol':
        (folder / 'c.c').write_text(BROKEN_C)
        result = run(
            *(COMPILER, '-shared', '-fPIC', '-o', str(ops / '_C.so'), 'c.c'),
            cwd=folder,
        )
        assert result.returncode == 0, result.stderr
    elif kind == 'truncated':
        (ops / '_C.so').write_bytes(b'\x7fELF')
    elif kind == 'complete':
        shutil.copy(BINARY, ops / '_C.so')


@pytest.fixture(scope='module')
def seen(tmp_path_factory) -> dict[str, dict]:
    """What happened in each environment."""
    folder = tmp_path_factory.mktemp('environments')
    for kind in PACKAGES:
        make_package(folder / kind, kind)
    tasks = [dict(name=k, without=v, package='plain') for k, v in WITHOUT.items()]
    tasks += [dict(name=k, without=[], package=k) for k in PACKAGES]
    result = subprocess.run(
        [sys.executable, SCRIPT, folder],
        input='\n'.join(map(json.dumps, tasks)),
        env=dict(
            PATH='', CUDA_VISIBLE_DEVICES='', OMP_NUM_THREADS='1', HOME=str(folder)
        ),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line['name'] for line in lines] == [task['name'] for task in tasks]
    seen = {line['name']: line for line in lines}
    assert seen['nothing']['file'].startswith(str(folder)), 'it is the copy that runs'
    return seen


@pytest.mark.parametrize('name', [name for name in WITHOUT if name != 'mmengine'])
def test_imports_and_computes_without(name, seen):
    facts = seen[name]
    assert 'error' not in facts, facts
    assert facts['at import'] == []
    assert not {*WITHOUT[name]} & {*facts['loaded']}
    torch.testing.assert_close(facts['features'], seen['nothing']['features'])


def test_no_framework_is_imported_by_the_package(seen):
    assert not {*FRAMEWORKS, 'mmcv'} & {*seen['nothing']['loaded']}


def test_without_triton_gpu_tensors_have_no_backend(seen):
    text = 'none: Triton is missing; install it with `pip install triton`'
    assert seen['triton']['backends']['cuda'] == text


def test_without_mmengine_the_error_names_both_families(seen):
    assert seen['mmengine']['error'] == (
        'mmmambamixer needs MMEngine, which comes with one of two families: install '
        '`mmmambamixer[openmmlab]` (mmengine) or `mmmambamixer[onedl]` (onedl-mmengine)'
    )


def test_without_a_binary_the_first_call_of_each_op_warns(seen):
    facts = seen['plain']
    ops = {text.split()[0] for text in facts['at the first call']}
    assert 'mmmambamixer::cross_selective_scan' in ops
    for text in facts['at the first call']:
        assert 'runs its slow PyTorch reference on CPU' in text
        assert 'build it with `pip install -e . --no-build-isolation`' in text


needs_compiler = pytest.mark.skipif(not COMPILER, reason='there is no compiler')
needs_binary = pytest.mark.skipif(
    not BINARY.is_file(), reason='no kernels are compiled here'
)
REASONS = {
    'undefined symbol': 'undefined symbol: a_symbol_of_another',
    'truncated': 'file too short',
}


@pytest.mark.parametrize(
    'name',
    [
        'truncated',
        pytest.param('undefined symbol', marks=needs_compiler),
    ],
)
def test_a_binary_that_does_not_fit_is_told_at_import(name, seen):
    facts = seen[name]
    assert 'error' not in facts, facts
    (text,) = facts['at import']
    assert text.startswith('CPU tensors will run the slow PyTorch reference')
    assert REASONS[name] in text
    assert 'build it with `pip install -e . --no-build-isolation`' in text
    assert REASONS[name] in facts['backends']['cpu']
    torch.testing.assert_close(facts['features'], seen['nothing']['features'])


@needs_binary
def test_the_kernels_and_the_reference_agree(seen):
    facts = seen['complete']
    assert facts['backends']['cpu'].startswith('C++'), facts
    assert facts['at import'] == facts['at the first call'] == []
    torch.testing.assert_close(facts['features'], seen['plain']['features'])
