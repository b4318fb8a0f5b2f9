"""Random calls of the ops, and that the fuzzer finds what it is there to find."""

import ast
import sys
from pathlib import Path

import fuzz
import fuzz_cases
import fuzz_checks
import pytest
import torch
from fuzz_layouts import LAYOUTS, contents, lay_out
from interpreter import interpreter
from warm import python

from mmmambamixer import ops

TORTURE = Path(fuzz.__file__).parent
CASE = dict(
    op='selective_scan',
    seed=3,
    wanted=['u', 'A'],
    threads=2,
    layouts={'u': 'gaps', 'dy0': 'constant'},
    results=['y'],
    values='normal',
    **dict(b=2, c=4, g=2, l=33, n=3, B='bgnl', C='bnl', dtypes=['float32'] * 5),
    **dict(D=True, z=True, bias=True, softplus=True),
)


def run(script, *arguments, **variables):
    return python(TORTURE / script, *arguments, **variables)


def test_random_calls_of_all_kernels():
    result = run('fuzz.py', 120, '--seed', 11)
    assert result.returncode == 0, result.stdout + result.stderr[-3000:]
    assert 'fuzz: 120 of 120 (seed 11, ' in result.stdout
    share = 120 // len(fuzz.kernels_here())
    for kernels in fuzz.kernels_here():
        assert f'fuzz, {kernels}: {share} of {share}' in result.stdout


def test_random_calls_of_the_gpu_kernels():
    result = run('fuzz.py', 6, '--seed', 6, '--kernels', 'triton', **interpreter())
    assert result.returncode == 0, result.stdout + result.stderr[-3000:]
    assert 'fuzz, triton: 6 of 6' in result.stdout


WITHOUT_KERNELS = """
import warnings
from pathlib import Path

real = Path.is_file
Path.is_file = lambda path: path.name != '_C.so' and real(path)
warnings.simplefilter('ignore', RuntimeWarning)
import fuzz
from mmmambamixer import ops

fuzz.torch.use_deterministic_algorithms(True, warn_only=True)
fuzz.torch.set_num_threads(1)
print(ops.available_backends()['cpu'])
for number in range(60):
    print(number, fuzz.problem(fuzz.case_of(number, 300)))
"""


def test_random_calls_without_the_compiled_kernels():
    result = python('-c', WITHOUT_KERNELS, PYTHONPATH=str(TORTURE))
    what, *calls = result.stdout.splitlines()
    assert what.startswith('PyTorch reference, slow'), result.stderr[-3000:]
    assert calls == [f'{number} None' for number in range(60)]


@pytest.mark.slow
def test_sanitizers():
    """Compiles the ops in minutes; `sanitize.py` says what it needs."""
    result = run('sanitize.py', 60)
    assert result.returncode == 0, result.stdout + result.stderr[-3000:]
    assert 'canaries: 3 of 3' in result.stdout
    assert 'sanitizers: 0 reports in 60 calls' in result.stdout


# ---- What a wrong op does, and what is found


def reads_beside(scan, u, **rest):
    """Read one value before the first of `u`."""
    whole = u if u._base is None else u._base
    beside = whole.as_strided((1,), (1,), max(0, u.storage_offset() - 1))
    return scan(u + 0 * beside, **rest)


def writes_its_input(scan, u, **rest):
    """Write as a kernel would: PyTorch does not see it."""
    result = scan(u, **rest)
    u.data[:1, :1, :1].neg_()
    return result


@pytest.fixture(autouse=True)
def one_thread():
    """The fuzzer runs on one thread, and some calls again on two."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def depends_on_threads(scan, u, **rest):
    y, h = scan(u, **rest)
    return y * (1 + 2e-7 * (torch.get_num_threads() - 1)), h


def depends_on_wanted(scan, u, **rest):
    """Round where the gradient of `u` is not asked for."""
    y, h = scan(u, **rest)
    return (y if u.requires_grad else y * (1 + 2e-7)), h


def is_inaccurate(scan, **inputs):
    y, h = scan(**inputs)
    return y * (1 + 1e-5), h


def drops_the_last_step(scan, u, **rest):
    y, h = scan(u, **rest)
    return torch.cat([y[..., :-1], torch.zeros_like(y[..., -1:])], -1), h


def leaves_memory_unwritten(scan, **inputs):
    y, h = scan(**inputs)
    hole = torch.empty_like(y[..., -1:])
    return torch.cat([y[..., :-1], hole], -1), h


def does_not_round_its_gate(scan, z, **rest):
    return scan(z=z.float(), **rest)


def fails(scan, **inputs):
    raise IndexError('at random')


FAULTS = {
    reads_beside: 'y: relative error nan',
    writes_its_input: 'an input or what lies around it: other bits',
    depends_on_threads: 'again, with 2 threads: other bits',
    depends_on_wanted: 'without gradients: other bits',
    is_inaccurate: 'y: relative error 1.0e-05',
    drops_the_last_step: 'y: relative error',
    leaves_memory_unwritten: 'y: relative error nan',
    fails: 'IndexError: at random',
}


def test_a_right_op_has_no_problem():
    assert fuzz_checks.problem(CASE) is None


@pytest.mark.parametrize('fault', FAULTS)
def test_a_fault_is_found_and_made_small(fault, monkeypatch):
    right = ops.selective_scan
    monkeypatch.setattr(ops, 'selective_scan', lambda **x: fault(right, **x))
    assert FAULTS[fault] in fuzz_checks.problem(CASE)
    small, found = fuzz_checks.smallest(CASE)
    assert found and small['b'] == small['n'] == 1 and small['l'] <= 2


def test_the_truth_rounds_the_gate(monkeypatch):
    case = CASE | dict(dtypes=[*['float32'] * 3, 'bfloat16', 'float32'])
    assert fuzz_checks.problem(case) is None
    right = ops.selective_scan
    monkeypatch.setattr(
        ops, 'selective_scan', lambda **x: does_not_round_its_gate(right, **x)
    )
    assert 'y: relative error' in fuzz_checks.problem(case)


def test_a_fault_of_one_length_keeps_that_length(monkeypatch):
    right = ops.selective_scan

    def wrong(u, **rest):
        y, h = right(u, **rest)
        return (2 * y if u.shape[-1] > 20 else y), h

    monkeypatch.setattr(ops, 'selective_scan', wrong)
    small, _ = fuzz_checks.smallest(CASE)
    assert small['l'] == 21 and small['layouts'] == {} and not small['z']


# ---- Its parts


def test_a_printed_case_is_the_case(monkeypatch, capsys):
    case = fuzz.case_of(5, 0)
    text = fuzz.command(case, 'portable').split('"')[1]
    assert ast.literal_eval(text) == case
    monkeypatch.setattr(sys, 'argv', ['fuzz.py', '--case', text])
    assert not fuzz.main()
    assert capsys.readouterr().out == 'as it should be\n'


def test_cases_cover_what_there_is():
    cases = [fuzz.case_of(i, 0) for i in range(400)]
    assert {case['op'] for case in cases} == set(fuzz_cases.OPS)
    layouts = {layout for case in cases for layout in case['layouts'].values()}
    assert layouts == set(LAYOUTS) - {'plain'}
    dtypes = {dtype for case in cases for dtype in case['dtypes']}
    assert dtypes == {'float32', 'float64', 'bfloat16', 'float16'}
    assert {k for case in cases for k in case.get('routes', [])} == {0, 1, 2, 3}


@pytest.mark.parametrize('layout', LAYOUTS)
def test_layouts_lie_between_nans(layout):
    x = torch.randn(3, 4, 5)
    for seed in range(20):
        view = lay_out(x, layout, fuzz.random.Random(seed))
        around = contents(view).view(x.dtype)
        assert torch.equal(view[0, 0, 0], x[0, 0, 0])
        assert layout in ('repeated', 'constant') or torch.equal(view, x)
        assert around[0].isnan() and around[-17:].isnan().all()
        values = {'plain': 60, 'permuted': 60, 'gaps': 60, 'constant': 1}.get(layout)
        assert values in (None, (~around.isnan()).sum().item())


def test_a_process_that_dies_is_told(monkeypatch, tmp_path, capfd):
    python = tmp_path / 'python'
    python.write_text('#!/bin/sh\necho call 0\necho call 3\nkill -SEGV $$\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, 'executable', str(python))
    assert fuzz.run_apart(range(0, 30, 3), 0, 'portable') == 1
    out = capfd.readouterr().out
    assert 'portable, call 3 ended the process with code -11' in out
    assert str(fuzz.case_of(3, 0)) in out
