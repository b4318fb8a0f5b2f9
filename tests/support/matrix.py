"""Install the wheel into fresh environments, run tests in each, write one table.

    python tests/support/matrix.py [WHEEL]     the newest one in dist/ if left out

A row is a Python and a torch. Each gets an environment of its own with MMEngine and the
wheel, nothing of the checkout, and loses it after its tests. Rows with a result for the
same wheel and tests are not run again, so an interrupted run goes on. Variables:

    MATRIX            rows in place of the usual ones, as PYTHON:TORCH, e.g.
                      "3.10:2.8 3.13:newest": the first is a command or a version that
                      is on PATH or that uv brings
    MATRIX_TESTS      tests to run, in place of those below
    MATRIX_KEEP=1     keep the environments, several GB each
    TORCH_INDEX_URL   package index of torch, e.g. for a CPU-only build
    MATRIX_OUT        folder of environments, logs and results (build/matrix)

uv installs where it is found, else pip. The exit status is 1 if a row has a failure or
no result.
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = (
    'tests/ops',
    'tests/kernels',
    '--ignore-glob=*/test_gpu_*',  # Triton compiles them: each Triton once, elsewhere
    'tests/models/layers',
    'tests/models/test_vim2.py',
    'tests/models/test_vim2_parameters.py',
    'tests/models/test_copies.py',
    'tests/models/test_pretrained.py',
    'tests/checkpoints',
    'tests/test_env.py',
)
"""Of ops, layers, backbone and loaders: those that need no framework but MMEngine."""
COPIED = ('tests', 'configs', 'tools', 'pyproject.toml')
OLDEST_PYTHON = 10
NEEDED = (
    *('pytest', 'setuptools<82', 'addict', 'matplotlib', 'pyyaml', 'rich'),
    *('termcolor', 'yapf'),
)
WITHOUT_NEEDS = ('mmengine', 'opencv-python-headless')
"""MMEngine asks for the OpenCV that needs a desktop, and then for what is in NEEDED."""
FACTS = """
import json, platform
from importlib.metadata import version, PackageNotFoundError
import mmmambamixer
from mmmambamixer.ops import available_backends
facts = dict(file=mmmambamixer.__file__, python=platform.python_version())
for name in ('torch', 'triton', 'numpy', 'mmengine'):
    try:
        facts[name] = version(name)
    except PackageNotFoundError:
        facts[name] = 'none'
facts['CPU'] = available_backends()['cpu'].partition(':')[0].partition(' (')[0]
print(json.dumps(facts))
"""
COLUMNS = ('python', 'torch', 'triton', 'numpy', 'mmengine', 'CPU')
COUNTS = ('passed', 'failed', 'skipped', 'minutes')


class Failed(Exception):
    """A row that has no result, with the reason."""


def usual_rows() -> list[tuple[str, str]]:
    """Return oldest to newest torch, on the oldest and the newest Python there is."""
    pin = re.search(r'torch==(\d+\.\d+)', (ROOT / 'requirements/torch.txt').read_text())
    newest = newest_python()
    here = f'3.{sys.version_info.minor}'
    return [
        ('3.10', '2.8'),
        (here, '2.9'),
        ('3.10', '2.10'),
        (here, pin[1]),
        ('3.10', 'newest'),
        (newest, 'newest'),
    ]


def newest_python() -> str:
    for minor in range(30, OLDEST_PYTHON - 1, -1):
        if find_python(f'3.{minor}'):
            return f'3.{minor}'
    return f'3.{sys.version_info.minor}'


def find_python(name: str) -> str | None:
    """Return the interpreter of a version or a command, if it is there and runs."""
    path = shutil.which(f'python{name}' if re.fullmatch(r'3\.\d+', name) else name)
    if path and subprocess.run([path, '-c', ''], capture_output=True).returncode == 0:
        return path
    return None


def parse_rows(text: str) -> list[tuple[str, str]]:
    """Return the rows of `MATRIX`."""
    rows = [tuple(word.rpartition(':')[::2]) for word in text.split()]
    for python, torch in rows:
        if not python or not re.fullmatch(r'\d+\.\d+(\.\d+)?|newest', torch):
            raise SystemExit(
                'MATRIX has rows PYTHON:TORCH such as "3.10:2.8 3.13:newest", got '
                f'{python}:{torch}'[:300]
            )
    return rows


class Matrix:
    """Rows, each with its environment, its log and its result in a folder."""

    def __init__(self, wheel: Path, out: Path, tests: list[str]) -> None:
        self.wheel, self.out, self.tests = wheel, out, tests
        self.uv = shutil.which('uv')
        files = [wheel, *sorted((ROOT / 'tests').rglob('*.py'))]
        digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
        self.key = hashlib.sha256('\n'.join(digests + tests).encode()).hexdigest()

    def row(self, python: str, torch: str) -> dict:
        """Return the result of a row: one that is there, or a new one."""
        name = f'{Path(python).name}-{torch}'
        path = self.out / f'{name}.json'
        if path.is_file():
            result = json.loads(path.read_text())
            if result['key'] == self.key:
                return result
        folder = self.out / name
        with open(self.out / f'{name}.log', 'w') as self.log:
            try:
                result = self.run_row(folder, python, torch)
            finally:
                if os.environ.get('MATRIX_KEEP') != '1':
                    shutil.rmtree(folder, ignore_errors=True)
        path.write_text(json.dumps(result | dict(key=self.key), indent=1))
        return result

    def run_row(self, folder: Path, python: str, torch: str) -> dict:
        started = time.monotonic()
        shutil.rmtree(folder, ignore_errors=True)
        self.make_environment(folder, python)
        version = '' if torch == 'newest' else f'=={torch}.*'
        index = os.environ.get('TORCH_INDEX_URL')
        self.install(folder, f'torch{version}', *(['--index-url', index] * bool(index)))
        self.install(folder, *NEEDED, str(self.wheel))
        self.install(folder, '--no-deps', *WITHOUT_NEEDS)
        source = self.copy_tests(folder)
        facts = json.loads(self.call(folder, '-c', FACTS, cwd=source).splitlines()[-1])
        if not Path(facts.pop('file')).is_relative_to(folder):
            raise Failed('it is not the wheel that was imported')
        counts = self.run_tests(folder, source)
        minutes = f'{(time.monotonic() - started) / 60:.0f}'
        return facts | counts | dict(minutes=minutes)

    def make_environment(self, folder: Path, python: str) -> None:
        found = find_python(python)
        if self.uv:
            command = [self.uv, 'venv', '--no-project', '--python', found or python]
        elif found:
            command = [found, '-m', 'venv']
        else:
            raise Failed(f'there is no Python {python} on PATH, and no uv to bring it')
        self.execute([*command, str(folder)])

    def install(self, folder: Path, *packages: str) -> None:
        python = str(folder / 'bin/python')
        pip = [python, '-m', 'pip', '--disable-pip-version-check', 'install']
        uv = [self.uv or '', 'pip', 'install', '--python', python]
        self.execute([*(uv if self.uv else pip), *packages])

    def copy_tests(self, folder: Path) -> Path:
        """Copy what the tests read to where no import finds the checkout."""
        source = folder / 'source'
        ignored = shutil.ignore_patterns('__pycache__')
        source.mkdir()
        for name in COPIED:
            path = ROOT / name
            if path.is_dir():
                shutil.copytree(path, source / name, ignore=ignored)
            else:
                shutil.copy(path, source)
        return source

    def run_tests(self, folder: Path, source: Path) -> dict[str, int]:
        report = folder / 'report.xml'
        options = ['-q', '-p', 'no:cacheprovider', f'--junitxml={report}']
        pytest = ('-m', 'pytest', *options, *self.tests)
        self.call(folder, *pytest, cwd=source, check=False)
        if not report.is_file():
            raise Failed('pytest wrote no report')
        return count(report)

    def call(self, folder: Path, *arguments: str, cwd: Path, check=True) -> str:
        return self.execute([str(folder / 'bin/python'), *arguments], cwd, check)

    def execute(self, command: list[str], cwd: Path | None = None, check=True) -> str:
        """Run a command, write what it says into the log, and return its output."""
        self.log.write(f'$ {shlex.join(command)}\n'[:2000])
        hidden = ('PYTHONPATH', 'PYTHONHOME', 'VIRTUAL_ENV')
        env = {name: v for name, v in os.environ.items() if name not in hidden}
        done = subprocess.run(
            command,
            cwd=cwd,
            env=env | dict(PYTHONNOUSERSITE='1'),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.log.write(done.stdout)
        self.log.flush()
        if check and done.returncode:
            lines = done.stdout.strip().splitlines() or ['no output']
            raise Failed(f'{Path(command[0]).name} failed: {lines[-1].strip()[:200]}')
        return done.stdout


def count(report: Path) -> dict[str, int]:
    """Return how many tests of a JUnit report passed, failed and were skipped."""
    suites = ET.parse(report).getroot().iter('testsuite')
    totals = dict.fromkeys(('tests', 'errors', 'failures', 'skipped'), 0)
    for suite in suites:
        for name in totals:
            totals[name] += int(suite.get(name, 0))
    failed = totals['errors'] + totals['failures']
    passed = totals['tests'] - failed - totals['skipped']
    return dict(passed=passed, failed=failed, skipped=totals['skipped'])


def is_good(result: Mapping) -> bool:
    return result.get('failed') == 0 and result.get('passed', 0) > 0


def table(results: list[Mapping]) -> str:
    """Return Markdown: a row each, or in place of its counts why there are none."""
    names = {'CPU': 'ops on CPU'}
    head = [names.get(name, name) for name in (*COLUMNS, *COUNTS)]
    lines = [head, ['--'] * len(COLUMNS) + ['--:'] * len(COUNTS)]
    for result in results:
        cells = [str(result.get(name, '')) for name in (*COLUMNS, *COUNTS)]
        cells[len(COLUMNS)] = result.get('error') or cells[len(COLUMNS)]
        lines.append([cell.replace('|', '/') for cell in cells])
    return ''.join(f'| {" | ".join(line)} |\n' for line in lines)


def find_wheel(arguments: list[str]) -> Path:
    wheels = [Path(name).resolve() for name in arguments]
    wheels = wheels or sorted((ROOT / 'dist').glob('*.whl'), key=os.path.getmtime)
    if not wheels or not wheels[-1].is_file():
        raise SystemExit(f'no wheel at {arguments or "dist/"}: `make wheel` builds it')
    return wheels[-1]


def main() -> int:
    wheel = find_wheel(sys.argv[1:])
    out = Path(os.environ.get('MATRIX_OUT') or ROOT / 'build/matrix').resolve()
    out.mkdir(parents=True, exist_ok=True)
    tests = os.environ.get('MATRIX_TESTS', '').split() or list(TESTS)
    rows, results = parse_rows(os.environ.get('MATRIX', '')) or usual_rows(), []
    matrix = Matrix(wheel, out, tests)
    for python, torch in rows:
        print(f'[matrix] Python {python}, torch {torch}', flush=True)
        try:
            results.append(matrix.row(python, torch))
        except Failed as error:
            results.append(dict(python=python, torch=torch, error=str(error)))
        (out / 'table.md').write_text(table(results))
        print(table(results[-1:]).splitlines()[-1], flush=True)
    print(f'[matrix] logs and table.md are in {out}\n{table(results)}', end='')
    return 0 if all(map(is_good, results)) else 1


if __name__ == '__main__':
    sys.exit(main())
