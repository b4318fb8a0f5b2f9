"""What runs the ops: each set of CPU kernels, the fallback, a missing Triton.

The kernels and the fallback are chosen when a process first uses the ops, so other
choices run in processes of their own.
"""

import re
import shutil
import subprocess
import sys
import textwrap

import pytest
import torch
from warm import python

from mmmambamixer.ops import available_backends, backend
from mmmambamixer.ops.testing import cross_inputs, scan_inputs

CAPABILITIES = {'portable': 'portable', 'avx2': 'AVX2', 'avx512': 'AVX-512'}
KERNEL_ERROR = ValueError if torch.__version__ < (2, 15) else RuntimeError
"""What torch makes of `std::invalid_argument` in a kernel."""
FLAGS = {'portable': '', 'avx2': 'AVX2', 'avx512': 'AVX512'}

CASES = """
import itertools
import torch
from mmmambamixer.ops import *
from mmmambamixer.ops.testing import check, cross_inputs, scan_inputs

torch.manual_seed(0)
torch.use_deterministic_algorithms(True, warn_only=True)
F32, F64, BF16, F16 = torch.float32, torch.float64, torch.bfloat16, torch.float16
count = 0
for d, l, n, g in (
    (1, 1, 1, 1), (3, 33, 5, 1), (16, 65, 16, 2), (34, 32, 24, 2), (130, 31, 3, 2)
):
    for dtypes in ((F32,) * 3, (BF16, F32, F16), (F16, BF16, BF16), (F64,) * 3):
        for some in (True, False):
            g = g if d % g == 0 else 1
            x = scan_inputs(2, d, l, n, g, z=some, D=some, bias=some, dtypes=dtypes)
            x = {k: v if v is None or v.dim() < 3 else v.mT.contiguous().mT
                 for k, v in x.items()} if some else x
            options = dict(delta_softplus=True, return_last_state=some)
            check(selective_scan, selective_scan_reference, x, **options)
            x = cross_inputs(2, 4, 35, d, n, 3, shared=some, D=some, dtypes=dtypes)
            size = dict(routes=CROSS, height=5, width=7)
            check(cross_selective_scan, cross_selective_scan_reference, x, **size)
            count += 2
x = scan_inputs(2, 21, 70, 5)
x['delta'] = torch.empty(2, 21, 70).uniform_(-100, 100)
x['A'] = -torch.exp(torch.empty(21, 5).uniform_(-10, 6))
check(selective_scan, selective_scan_reference, x, delta_softplus=True)
x = scan_inputs(2, 17, 0, 3)
check(selective_scan, selective_scan_reference, x, delta_softplus=True)
print('passed', count + 2)
"""

NO_BINARY = """
import warnings
from pathlib import Path

real = Path.is_file
Path.is_file = lambda path: path.name != '_C.so' and real(path)
warnings.simplefilter('always')
"""


def run(code, **variables):
    return python('-c', textwrap.dedent(code), **variables)


def runs_here(kernels):
    best = torch.backends.cpu.get_cpu_capability()
    return kernels == 'portable' or best.startswith(FLAGS[kernels]) or best == 'AVX512'


needs_binary = pytest.mark.skipif(
    backend.BINARY_ERROR is not None, reason='the compiled kernels are not built'
)


@needs_binary
@pytest.mark.parametrize('kernels', CAPABILITIES)
def test_every_set_of_cpu_kernels_is_right(kernels):
    if not runs_here(kernels):
        pytest.skip(f'this processor has no {kernels}')
    code = CASES + 'print(available_backends()["cpu"])'
    result = run(code, MMMAMBAMIXER_CPU=kernels)
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.split('\n')[:2] == [
        'passed 82',
        f'C++ ({CAPABILITIES[kernels]})',
    ]


@needs_binary
def test_unknown_cpu_kernels():
    code = """
        import torch
        from mmmambamixer.ops import selective_scan
        from mmmambamixer.ops.testing import scan_inputs
        try:
            selective_scan(**scan_inputs(1, 1, 1, 1))
        except (ValueError, RuntimeError) as error:
            print(error)
    """
    result = run(code, MMMAMBAMIXER_CPU='sse')
    assert 'MMMAMBAMIXER_CPU must be one of ' in result.stdout, result.stderr
    assert 'portable on this processor, got sse' in result.stdout


FALLBACK = """
selective_scan(**scan_inputs(1, 2, 3, 2))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('default')
    for _ in range(3):
        weighted_sum([torch.ones(2)], torch.ones(1))
ours = [str(w.message) for w in caught if 'mmmambamixer' in str(w.message)]
print(len(ours), *ours)
print(available_backends()['cpu'])

x = scan_inputs(2, 4, 5, 3, 2, z=True, dtypes=(F64,) * 3)
leaves = [v.requires_grad_() for v in x.values()]
f = lambda *args: selective_scan(*args, True, True)
assert torch.autograd.gradcheck(f, leaves)
x = cross_inputs(1, 4, 6, 3, 2, dtypes=(F64,) * 3)
leaves = [v.requires_grad_() for v in x.values()]
f = lambda *args: cross_selective_scan(*args, routes=CROSS, height=2, width=3)
assert torch.autograd.gradcheck(f, leaves)
leaves = [torch.randn(s, dtype=F64, requires_grad=True) for s in (2, (3, 4), (3, 4))]
f = lambda w, *tensors: weighted_sum(tensors, w)
assert torch.autograd.gradcheck(f, leaves)
print('gradcheck passed')
"""


@pytest.mark.skipif(
    torch.__version__ < backend.OLDEST_TORCH, reason='it looks for no binary'
)
def test_without_the_binary_the_reference_runs_after_one_warning():
    result = run(NO_BINARY + CASES + FALLBACK)
    assert result.returncode == 0, result.stderr[-3000:]
    passed, warning, cpu, gradcheck = result.stdout.strip().split('\n')
    assert (passed, gradcheck) == ('passed 82', 'gradcheck passed')
    assert warning.startswith('1 mmmambamixer::weighted_sum runs its slow PyTorch')
    assert '/_C.so; build it with `pip install' in warning
    assert cpu.startswith('PyTorch reference, slow: there is no ')


OLD_TORCH = """
import torch
torch.__version__ = '2.9.1+cu128'
import warnings
warnings.simplefilter('error', RuntimeWarning)
from mmmambamixer.ops import available_backends, weighted_sum
print(available_backends()['cpu'])
warnings.simplefilter('always')
with warnings.catch_warnings(record=True) as caught:
    print(weighted_sum([torch.ones(2)], torch.ones(1)).tolist())
print(caught[0].message)
"""


def test_an_older_torch_runs_the_reference_and_is_told_what_to_install():
    result = run(OLD_TORCH)
    assert result.returncode == 0, result.stderr[-3000:]
    cpu, y, warning = result.stdout.strip().split('\n')
    reason = 'the compiled kernels need torch 2.10, this is 2.9.1+cu128; install torch'
    assert cpu == f'PyTorch reference, slow: {reason} 2.10 or later'
    assert y == '[1.0, 1.0]'
    assert warning.endswith(f'on CPU, as {reason} 2.10 or later')


@needs_binary
@pytest.mark.skipif(not shutil.which('nm'), reason='binutils are not installed')
def test_the_binary_needs_of_torch_its_stable_interface_only():
    """A C++ name of torch would tie the binary to one version of it."""
    command = ['nm', '--dynamic', '--undefined-only', str(backend.BINARY)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    names = {line.split()[-1].partition('@')[0] for line in result.stdout.splitlines()}
    stable = {name for name in names if name.startswith(('aoti_torch_', 'torch_'))}
    assert {'torch_library_impl', 'torch_parallel_for'} < stable
    assert not [n for n in names - stable if re.search('torch|c10|2at|GOMP|Py', n)]


@needs_binary
def test_errors_of_the_kernels_are_one_sentence():
    x, w = torch.ones(1, 2, 3, dtype=torch.int32), torch.ones(1, 1)
    message = '^v must be fp16, bf16, fp32 or fp64, got Int$'
    with pytest.raises(KERNEL_ERROR, match=message):
        torch.ops.mmmambamixer.scan_conv(x, w, w[0], [0], False)


NO_MEMORY = """
import os
import resource
import torch
from mmmambamixer.ops import selective_scan

def inputs(n):
    shapes = (4, 1, 2), (4, 1, 2), (1, n), (4, n, 2), (4, n, 2)
    return [torch.ones(shape) for shape in shapes]

torch.set_num_threads({threads})
selective_scan(*inputs(1))  # starts the threads
large = inputs(1 << 20)
size = int(open('/proc/self/statm').read().split()[0]) * os.sysconf('SC_PAGE_SIZE')
resource.setrlimit(resource.RLIMIT_AS, (size + (300 << 20),) * 2)
try:
    selective_scan(*large)
except (MemoryError, RuntimeError) as error:
    print(error)
"""


@needs_binary
@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
@pytest.mark.parametrize('threads', [1, 2])
def test_a_thread_without_memory_says_so(threads):
    """Not only that some thread failed."""
    result = run(NO_MEMORY.format(threads=threads))
    assert result.stdout.startswith('std::bad_alloc'), result.stdout + result.stderr


@needs_binary
def test_a_backward_without_the_states_of_its_forward_is_refused():
    """The kernel would read beyond them."""
    x, ops = scan_inputs(1, 4, 40, 2, 1), torch.ops.mmmambamixer
    x = [x[name] for name in ('u', 'delta', 'A', 'B', 'C', 'D', 'delta_bias')]
    y, _, states = ops.selective_scan(*x, True, torch.float32, 0)
    message = '^states must be those of a forward with interval 32, 2 of them, got 0$'
    with pytest.raises(KERNEL_ERROR, match=message):
        ops.selective_scan_backward(y, None, *x, states, True, 32)
    x = cross_inputs(1, 4, 40, 4, 2, 1, D=True)
    x = [x[n] for n in ('u', 'dt', 'dt_weight', 'A', 'B', 'C', 'D', 'dt_bias')]
    x[0] = x[0].reshape(1, -1, 40, 4)
    size = ([0, 1, 2, 3], 8, 5)
    y, states = ops.cross_selective_scan(*x, *size, 0)
    with pytest.raises(KERNEL_ERROR, match=message):
        ops.cross_selective_scan_backward(y, *x, states, *size, 32)


def test_missing_triton_says_what_to_install():
    launch = backend._needs_triton('selective_scan')
    message = (
        r'mmmambamixer::selective_scan needs Triton for CUDA tensors, which is not '
        r'installed; install it with `pip install triton`, or move the tensors to '
        r'the CPU'
    )
    with pytest.raises(RuntimeError, match=message):
        launch(torch.randn(1))


def test_without_triton_cuda_is_registered_to_say_so():
    code = """
        import importlib.util
        real = importlib.util.find_spec
        def find_spec(name, *args):
            return None if name == 'triton' else real(name, *args)
        importlib.util.find_spec = find_spec
        import torch
        from mmmambamixer.ops import available_backends
        print(available_backends()['cuda'])
        for name in ('selective_scan', 'cross_selective_scan', 'weighted_sum'):
            for op in (name, name + '_backward'):
                kernel = torch._C._dispatch_has_kernel_for_dispatch_key(
                    'mmmambamixer::' + op, 'CUDA')
                assert kernel, op
    """
    result = run(code)
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.startswith('none: Triton is missing; install it with')


def test_backends_name_what_runs():
    backends = available_backends()
    assert set(backends) == {'cpu', 'cuda'}
    if backend.BINARY_ERROR is None:
        assert backends['cpu'] == f'C++ ({backend.cpu_capability()})'
        assert backend.cpu_capability() in CAPABILITIES.values()
