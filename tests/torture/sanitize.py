"""Run random calls of the ops under the address and undefined-behaviour sanitizers.

    python tests/torture/sanitize.py [CALLS] [--seed N] [--folder FOLDER]

Compiles the ops anew in FOLDER, a temporary one if not given; the installed ones stay
as they are. First come the canaries, faults committed on purpose: where one is not
reported, the sanitizers are off and nothing else is run. Then come the calls of
`fuzz.py`. The exit code is 0 if all faults and nothing else were reported.

Needs g++ with libasan and libubsan. Leaks are not looked for: Python itself leaves
memory to the end of its process.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SANITIZERS = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all']
# Python's own flags let signed integers wrap around, which hides their overflow
COMPILE = [*SANITIZERS, '-O1', '-g1', '-fno-wrapv', '-fno-omit-frame-pointer']
CANARIES = {
    'read': 'heap-buffer-overflow',
    'overflow': 'signed integer overflow',
    'stride': 'heap-buffer-overflow',
}
"""The faults of `canaries.py`, and what the report of each says."""
REPORT = ('ERROR: AddressSanitizer', 'runtime error:')


def compile_into(folder: Path) -> None:
    """Compile the extension of `setup.py`, with the canaries, under `folder`."""
    from distutils.core import run_setup

    os.chdir(ROOT)
    setup = run_setup('setup.py', stop_after='init')
    (extension,) = setup.ext_modules
    extension.sources.append('tests/torture/canaries.cpp')
    extension.extra_compile_args += COMPILE
    extension.extra_link_args += SANITIZERS
    command = setup.get_command_obj('build_ext')
    command.build_lib, command.build_temp = str(folder), str(folder / 'objects')
    command.ensure_finalized()
    command.run()


def build(folder: Path) -> None:
    """Make the package `folder/mmmambamixer` with sanitized ops."""
    binary = shutil.ignore_patterns('_C*', '__pycache__', '.mim')
    package = folder / 'mmmambamixer'
    shutil.copytree(ROOT / 'mmmambamixer', package, ignore=binary, dirs_exist_ok=True)
    ops = package / 'ops'
    shutil.copytree(ROOT / 'ops', ops, ignore=binary, dirs_exist_ok=True)
    command = [sys.executable, __file__, '--compile-into', str(folder)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f'the build failed:\n{result.stdout}\n{result.stderr}')


def environment(folder: Path) -> dict[str, str]:
    """Return the variables with which a process loads the sanitized ops."""
    libraries = [found(name) for name in ('libasan.so', 'libstdc++.so.6')]
    return os.environ | {
        'PYTHONPATH': str(folder),
        'LD_PRELOAD': ' '.join(libraries),
        'ASAN_OPTIONS': 'detect_leaks=0',
        'UBSAN_OPTIONS': 'print_stacktrace=1',
    }


def found(library: str) -> str:
    """Return where the compiler keeps `library`."""
    command = ['g++', f'-print-file-name={library}']
    path = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    path = path.strip()
    if not os.path.isabs(path):  # g++ gives the bare name of what it does not have
        raise SystemExit(f'the sanitizers need {library}, which g++ does not have')
    return path


def canaries(variables: dict[str, str]) -> int:
    """Commit the faults; return how many were reported, and print those that were not.

    The last words of a fault that was not reported are printed with it.
    """
    dead = 0
    for name, report in CANARIES.items():
        command = [sys.executable, str(HERE / 'canaries.py'), name]
        result = subprocess.run(command, env=variables, capture_output=True, text=True)
        if result.returncode and report in result.stderr:
            dead += 1
        else:
            words = (result.stdout + result.stderr)[-1000:]
            print(f'canary {name}: no report of a {report}\n{words}')
    print(f'canaries: {dead} of {len(CANARIES)}', flush=True)
    return len(CANARIES) - dead


def calls(count: int, seed: int, variables: dict[str, str]) -> int:
    """Run `fuzz.py`; print and return how many reports there were, its code if none."""
    command = [sys.executable, str(HERE / 'fuzz.py'), str(count), '--seed', str(seed)]
    with tempfile.TemporaryFile('w+') as log:
        code = subprocess.run(command, env=variables, stderr=log).returncode
        log.seek(0)
        lines = log.readlines()
    reports = sum(any(word in line for word in REPORT) for line in lines)
    if code or reports:
        sys.stderr.writelines(lines)
    print(f'sanitizers: {reports} reports in {count} calls (exit code {code})')
    return reports or code


def main() -> int:
    """Build, then run canaries and calls; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('calls', type=int, nargs='?', default=1000)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--folder', type=Path, help='keeps the build for another time')
    parser.add_argument('--compile-into', type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.compile_into:
        compile_into(args.compile_into)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        folder, start = (args.folder or Path(scratch)).resolve(), time.monotonic()
        build(folder)
        print(f'built in {time.monotonic() - start:.0f} s', flush=True)
        variables = environment(folder)
        if canaries(variables):
            return 1
        return min(1, calls(args.calls, args.seed, variables))


if __name__ == '__main__':
    raise SystemExit(main())
