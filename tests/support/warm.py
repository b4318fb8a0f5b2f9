"""New Python processes at the price of a fork: the parent has made the slow imports.

A process begins with the modules that it was asked to have and with none of ours, an
environment and a folder of its own. As in any new process, nothing is seeded.
"""

import atexit
import functools
import gc
import importlib.util
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

TORCH = ('torch',)
FRAMEWORKS = ('torch', 'mmengine.runner', 'mmpretrain', 'mmdet.apis', 'mmseg.apis')
LONGEST = 300
"""Seconds after which a process is ended."""


def python(
    *arguments: object,
    imported: tuple[str, ...] = TORCH,
    cwd: object = None,
    **variables: str,
) -> subprocess.CompletedProcess:
    """Run Python on one thread; return its exit code and what it wrote.

    Args:
        *arguments: `-c` and code, or a script, and what either finds in `sys.argv`.
        imported: Modules that the process begins with, where they are installed.
        cwd: Its folder; this one by default.
        **variables: Added to its environment.
    """
    environment = os.environ | dict(OMP_NUM_THREADS='1') | variables
    parent = _parent(imported)
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder, name) for name in ('stdout', 'stderr')]
        task = dict(
            arguments=list(map(str, arguments)),
            cwd=str(cwd or Path.cwd()),
            environment=environment,
            outputs=list(map(str, outputs)),
        )
        parent.stdin.write(json.dumps(task) + '\n')
        parent.stdin.flush()
        code = int(parent.stdout.readline())
        texts = [path.read_text() for path in outputs]
    return subprocess.CompletedProcess(arguments, code, *texts)


@functools.cache
def _parent(imported: tuple[str, ...]) -> subprocess.Popen:
    parent = subprocess.Popen(
        [sys.executable, __file__, *imported],
        env=os.environ | dict(OMP_NUM_THREADS='1'),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(parent.communicate)  # it ends with its input
    return parent


def _serve() -> dict:
    """Fork for each task of the standard input; return the task in the child."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            return json.loads(line)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    os._exit(0)


def _begin(arguments: list[str], cwd: str, environment: dict, outputs: list) -> None:
    """Make this process what Python would begin as, and run it."""
    signal.alarm(LONGEST)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in enumerate(outputs, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[1:1] = filter(None, environment.get('PYTHONPATH', '').split(os.pathsep))
    kind, *rest = arguments
    if kind == '-c':
        sys.argv, sys.path[0] = ['-c', *rest[1:]], ''
        exec(compile(rest[0], '<string>', 'exec'), {'__name__': '__main__'})
    else:
        sys.argv, sys.path[0] = arguments, str(Path(kind).resolve().parent)
        runpy.run_path(kind, run_name='__main__')


if __name__ == '__main__':
    for module in sys.argv[1:]:
        if importlib.util.find_spec(module.partition('.')[0]):
            importlib.import_module(module)
    gc.freeze()
    _begin(**_serve())
