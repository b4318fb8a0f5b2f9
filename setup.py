"""Build of the package: `ops/` becomes `mmmambamixer.ops`, configs and tools `.mim`.

`pip install -e . --no-build-isolation` compiles the CPU kernels with the headers of the
torch that is installed. `MMMAMBAMIXER_NO_EXT=1` leaves them out: the ops then run their
slow PyTorch reference and say so.
"""

import os
import runpy
import shlex
import shutil
import sysconfig
from glob import glob
from importlib.machinery import PathFinder

from setuptools import Extension, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

OPS = ['mmmambamixer.ops'] + [f'mmmambamixer.ops.{p}' for p in find_packages('ops')]
MIM = ['configs', 'tools', 'model-index.yml']
"""What OpenMMLab looks for in a package's `.mim` folder."""
OLDEST_TORCH = (2, 10)
"""The first with the stable ABI that the kernels use; also in `ops/backend.py`."""
NO_EXT = 'MMMAMBAMIXER_NO_EXT=1 installs without the compiled kernels'


class BuildPyWithMim(build_py):
    """Put configs, tools and the model index into `mmmambamixer/.mim`.

    A wheel gets copies, an editable install links into the checkout (git ignores them).
    """

    def run(self):
        super().run()
        root = '' if self.editable_mode else self.build_lib
        folder = os.path.join(root, 'mmmambamixer', '.mim')
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        for name in MIM:
            self.place(name, os.path.join(folder, name))

    def place(self, source, target):
        if self.editable_mode:
            os.symlink(os.path.join('..', '..', source), target)
        elif os.path.isdir(source):
            ignored = shutil.ignore_patterns('__pycache__', '*.pyc')
            shutil.copytree(source, target, ignore=ignored)
        else:
            shutil.copy2(source, target)


class BuildKernels(build_ext):
    """Compile `_C.so`, which is no Python module: torch loads it, on any Python."""

    def run(self):
        need_compiler()
        super().run()

    def get_ext_filename(self, fullname):
        return os.path.join(*fullname.split('.')) + '.so'


class WheelOfKernels(bdist_wheel):
    """Name the platform of the kernels in the wheel's tag, and no Python."""

    def get_tag(self):
        return 'py3', 'none', super().get_tag()[2]


def extension():
    """Return the setup arguments that compile `mmmambamixer.ops._C`.

    torch gives headers and one library to link. It is found, not imported: the binary
    serves every torch from OLDEST_TORCH on.
    """
    torch = find_torch()
    kernels = Extension(
        'mmmambamixer.ops._C',
        sorted(glob('ops/**/*.cpp', recursive=True)),
        depends=sorted(glob('ops/**/*.h', recursive=True)),
        language='c++',
        include_dirs=[os.path.join(torch, 'include')],
        library_dirs=[os.path.join(torch, 'lib')],
        libraries=['torch_cpu'],
        extra_compile_args=[
            *('-std=c++17', '-O3', '-g0', '-fvisibility=hidden'),
            *without_paths(torch),
        ],
    )
    commands = dict(build_ext=BuildKernels, bdist_wheel=WheelOfKernels)
    return dict(cmdclass=commands, ext_modules=[kernels])


def find_torch():
    """Return the folder of torch: here, or where an isolated build was started from."""
    outside = [sysconfig.get_path(kind) for kind in ('platlib', 'purelib')]
    spec = PathFinder.find_spec('torch') or PathFinder.find_spec('torch', outside)
    if spec is None or spec.origin is None:
        raise SystemExit(
            'mmmambamixer compiles its CPU kernels against torch: install torch first, '
            f'then `pip install --no-build-isolation .` ({NO_EXT})'
        )
    folder = os.path.dirname(spec.origin)
    version = runpy.run_path(os.path.join(folder, 'version.py'))['__version__']
    if tuple(map(int, version.split('.')[:2])) < OLDEST_TORCH:
        oldest = '.'.join(map(str, OLDEST_TORCH))
        raise SystemExit(
            f'mmmambamixer compiles its CPU kernels against torch {oldest} or later, '
            f'and this is {version} ({NO_EXT})'
        )
    return folder


def need_compiler():
    """Stop in one sentence where there is nothing to compile with."""
    compiler = shlex.split(os.environ.get('CXX') or 'c++')[0]  # what torch takes
    if shutil.which(compiler) is None:
        raise SystemExit(
            f'mmmambamixer compiles its CPU kernels and there is no {compiler!r} on '
            f'PATH: install g++ (Debian: apt install g++) or set CXX ({NO_EXT})'
        )


def without_paths(torch):
    """Return options that keep this machine's folders out of the binary.

    Errors name their source. The last match counts, and torch may lie in here.
    """
    here = os.path.abspath('.')
    return [f'-ffile-prefix-map={here}=.', f'-ffile-prefix-map={torch}=torch']


kwargs = {} if os.environ.get('MMMAMBAMIXER_NO_EXT') == '1' else extension()
kwargs['cmdclass'] = dict(kwargs.get('cmdclass', {}), build_py=BuildPyWithMim)
setup(
    packages=find_packages(include=['mmmambamixer', 'mmmambamixer.*']) + OPS,
    package_dir={'mmmambamixer.ops': 'ops'},
    **kwargs,
)
