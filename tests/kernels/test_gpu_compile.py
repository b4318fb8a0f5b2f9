"""Holds the GPU kernels, compiled for real GPUs without one, to their budget."""

import runpy
import sys
from pathlib import Path

import pytest

triton = pytest.importorskip('triton')
TOOLS = Path(triton.__file__).parent / 'backends' / 'nvidia' / 'bin'
pytestmark = [
    pytest.mark.skipif(
        not all((TOOLS / tool).exists() for tool in ('cuobjdump', 'nvdisasm')),
        reason='this Triton brings no disassembler',
    ),
    pytest.mark.skipif(
        triton.knobs.runtime.interpret, reason='nothing is compiled in the interpreter'
    ),
]

SCRIPT = Path(__file__).parents[2] / 'benchmarks' / 'kernel_budget.py'


@pytest.fixture
def budget(monkeypatch, capsys):
    """A function that runs the script, and returns its exit status and output."""
    monkeypatch.syspath_prepend(SCRIPT.parent)

    def run(*args):
        monkeypatch.setattr(sys, 'argv', [str(SCRIPT), *args])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(SCRIPT), run_name='__main__')
        return end.value.code, ''.join(capsys.readouterr())

    return run


def test_kernels_keep_to_their_budget(budget):
    status, text = budget('--capability', '90', '--only', 'steps contiguous')
    assert status == 0, text
    assert 'backward' in text


@pytest.mark.slow
@pytest.mark.parametrize('capability', ['80', '90', '100'])
def test_all_kernels_keep_to_their_budget_on_every_gpu(budget, capability):
    status, text = budget('--capability', capability)
    assert status == 0, text


def test_an_unknown_case_is_refused(budget):
    status, text = budget('--only', 'no such case')
    assert status == 2
    assert "no case contains ['no such case']" in text
