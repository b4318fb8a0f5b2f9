"""Run mamba_ssm's own selective-scan tests on CPU with our `selective_scan`.

    git clone https://github.com/state-spaces/mamba /tmp/mamba
    python benchmarks/mamba_ssm_tests.py /tmp/mamba/tests/ops/test_selective_scan.py \\
        --interface /tmp/mamba/mamba_ssm/ops/selective_scan_interface.py

Their test function runs as it is, with its own tolerances; only `selective_scan_fn` is
ours and 'cuda' is read as 'cpu'. With `--interface` the truth is their own
`selective_scan_ref`, without it our reference. Every value of every real-valued
parameter is used, the ones they commented out too: the grid they left active, and all
combinations of flags, groups and dtypes, each at a short and a longer sequence in turn
(at all of them with `--all`).
Complex `A` and the tests of `mamba_inner_fn` are left out.

Their reference rounds SiLU(z) to the dtype of z, our op does not; over long sequences
this rounding alone exceeds the tolerance of some 16-bit cases with a gate. A case that
fails is therefore run once more with their reference given the same inputs in fp32,
and counted apart.
"""

import argparse
import importlib.util
import io
import itertools
import sys
import time
import traceback
import types
from contextlib import redirect_stdout
from pathlib import Path

import torch
from peers import mamba_ssm_reference
from report import environment, write

from mmmambamixer.ops import selective_scan, selective_scan_reference

SHORT = [1, 3, 8, 16, 32, 63, 64, 65, 128, 129]
LONG = [256, 333, 372, 512, 784, 1024, 1134] * 2 + [2048, 4096]
"""Taken in turn; their numbers share no factor with the 3 dtypes, so all meet all."""
UNCOMMENTED = [128, 256, 512, 1024, 2048, 4096]
FLAGS = [
    'is_variable_B',
    'is_variable_C',
    'has_D',
    'has_z',
    'has_delta_bias',
    'delta_softplus',
    'return_last_state',
]
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


class OnCPU(torch.overrides.TorchFunctionMode):
    """Create on the CPU what is asked for on a GPU."""

    def __torch_function__(self, function, kinds, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if kwargs.get('device') == 'cuda':
            kwargs['device'] = 'cpu'
        return function(*args, **kwargs)


def in_fp32(reference):
    """Return `reference` computing on fp32 copies of its inputs."""

    def widened(x):
        return x.float() if isinstance(x, torch.Tensor) else x

    def run(u, *args, **kwargs):
        kwargs = {name: widened(x) for name, x in kwargs.items()}
        result = reference(u.float(), *map(widened, args), **kwargs)
        y, *rest = result if isinstance(result, tuple) else (result,)
        return (y.to(u.dtype), *rest) if rest else y.to(u.dtype)

    return run


def load_tests(path: Path, reference):
    """Import their test file with our scan in the place of theirs."""
    module = types.ModuleType('mamba_ssm.ops.selective_scan_interface')
    module.selective_scan_fn = selective_scan
    module.selective_scan_ref = reference
    module.mamba_inner_fn = module.mamba_inner_ref = None  # imported there, not run
    for name in ('mamba_ssm', 'mamba_ssm.ops'):
        sys.modules[name] = types.ModuleType(name)
    sys.modules[module.__name__] = module
    spec = importlib.util.spec_from_file_location('their_tests', path)
    tests = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tests)
    return tests


def cases(everything: bool):
    """Yield the parameters of each run: those they left active, then the whole grid."""
    for groups, l in itertools.product([1, 2], UNCOMMENTED):
        case = dict.fromkeys(FLAGS, True) | dict(varBC_groups=groups, seqlen=l)
        yield case | dict(itype=torch.float32, wtype=torch.float32)
    short, long = itertools.cycle(SHORT), itertools.cycle(LONG)
    for flags in itertools.product([False, True], repeat=len(FLAGS)):
        for dtype, groups in itertools.product(DTYPES, [1, 2]):
            case = dict(zip(FLAGS, flags, strict=True))
            case |= dict(itype=dtype, varBC_groups=groups, wtype=torch.float32)
            if groups == 2 and not (case['is_variable_B'] and case['is_variable_C']):
                continue  # they skip it too
            for l in (
                sorted({*SHORT, *LONG}) if everything else (next(short), next(long))
            ):
                yield case | dict(seqlen=l)


def main() -> None:
    """Run the tests, print the counts, write a summary."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('tests', type=Path, help='their test_selective_scan.py')
    parser.add_argument('--interface', type=Path, help='their interface, for its ref')
    parser.add_argument('--commit', default='unknown', help='of their repository')
    parser.add_argument('--all', action='store_true', help='every length in every case')
    parser.add_argument('--out', type=Path, help='write a summary to this JSON file')
    args = parser.parse_args()
    reference = selective_scan_reference
    if args.interface:
        reference = mamba_ssm_reference(args.interface)
    tests = load_tests(args.tests, reference)

    def error_of(case, truth):
        tests.selective_scan_ref = truth
        try:
            with OnCPU(), redirect_stdout(io.StringIO()):
                tests.test_selective_scan(**case)
        except Exception as error:  # an assertion of theirs, or a crash of ours
            where = traceback.extract_tb(error.__traceback__)[-1].line
            return f'{type(error).__name__}: {error} at {where}'

    todo, start = list(cases(args.all)), time.time()
    as_is, in_fp32_only, failed = 0, [], []
    for done, case in enumerate(todo):
        error = error_of(case, reference)
        if error is None:
            as_is += 1
        else:
            again = error_of(case, in_fp32(reference))
            finding = {k: str(v) for k, v in case.items()} | dict(error=again or error)
            (failed if again else in_fp32_only).append(finding)
            print('FAILED' if again else 'passed in fp32 only', finding, flush=True)
        if done % 100 == 99:
            left = (time.time() - start) / (done + 1) * (len(todo) - done - 1)
            print(f'{done + 1}/{len(todo)}, {left:.0f} s left', flush=True)
    passed = as_is + len(in_fp32_only)
    print(
        f'{passed} passed ({as_is} with their reference as it is, {len(in_fp32_only)} '
        f'with its inputs in fp32), {len(failed)} failed'
    )
    if args.out:
        summary = dict(
            what='mamba_ssm tests/ops/test_selective_scan.py::test_selective_scan',
            mamba_commit=args.commit,
            reference='theirs' if args.interface else 'ours',
            passed=passed,
            passed_as_is=as_is,
            passed_with_reference_in_fp32=len(in_fp32_only),
            only_16_bit_with_z=all(
                x['has_z'] == 'True' and x['itype'] != 'torch.float32'
                for x in in_fp32_only
            ),
            failed=failed,
            lengths=sorted({*SHORT, *LONG}),
            lengths_per_case='all' if args.all else 'a short and a longer one in turn',
            **environment(),
        )
        write(args.out, summary)
    raise SystemExit(bool(failed))


if __name__ == '__main__':
    main()
